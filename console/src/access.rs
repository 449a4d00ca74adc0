//! Who may act: a password (argon2id), sessions in a cookie, tokens for programs, and how often one may try.
//!
//! Of cookies and tokens only SHA-256 digests are kept; both are 256 random bits, so that nothing slower is
//! needed. Reading is open to whoever reaches the port, which is published on the loopback only.

use crate::store::people::{self, Session};
use crate::store::{Store, StoreError, now_ms};
use argon2::{Argon2, PasswordHash, PasswordVerifier};
use rand::TryRngCore;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// How long a session lasts: a working day.
pub const SESSION_FOR: Duration = Duration::from_secs(12 * 3600);
/// Wrong passwords within [`TRIES_WINDOW`], from everywhere together: the port is local.
const TRIES_MAX: usize = 10;
const TRIES_WINDOW: Duration = Duration::from_secs(60);
/// Acts within [`ACTS_WINDOW`].
const ACTS_MAX: usize = 60;
const ACTS_WINDOW: Duration = Duration::from_secs(60);
/// A longer password is none: hashing it costs time.
const PASSWORD_MAX: usize = 1024;
/// Tokens that may be out.
pub const TOKENS_MAX: usize = 50;

/// Why somebody is not let in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// There is nothing to check a password against.
    #[error("no password is set (CONSOLE_LOGIN_FILE); scripts/setup makes one")]
    NoLogin,
    /// It is not the password.
    #[error("that is not the password; make console-password prints it")]
    Wrong,
    /// Too many tries or acts.
    #[error("too many tries; wait {0} s")]
    TooMany(u64),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system has no random bytes.
    #[error("the system gives no random bytes")]
    NoRandom,
}

/// The door.
#[derive(Debug)]
pub struct Door {
    login: Option<String>,
    store: Store,
    tries: Mutex<Window>,
    acts: Mutex<Window>,
    /// One hash at a time: each takes 12 MiB.
    hashing: Semaphore,
}

/// A session that has just begun.
#[derive(Debug)]
pub struct Begun {
    /// What the cookie holds.
    pub cookie: String,
    /// The session.
    pub session: Session,
}

impl Door {
    /// With the hash in this file; without one nobody can log in.
    ///
    /// # Errors
    /// The file cannot be read, or holds no argon2id hash.
    pub fn new(file: Option<&Path>, store: Store) -> Result<Self, String> {
        let login = match file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("CONSOLE_LOGIN_FILE {}: {error}", path.display()))?;
                let text = text.trim().to_owned();
                let hash = PasswordHash::new(&text)
                    .ok()
                    .filter(|hash| hash.algorithm.as_str() == "argon2id");
                if hash.is_none() {
                    return Err(format!(
                        "CONSOLE_LOGIN_FILE {} holds no argon2id hash; scripts/setup writes it",
                        path.display()
                    ));
                }
                Some(text)
            }
        };
        Ok(Self {
            login,
            store,
            tries: Mutex::new(Window::new(TRIES_MAX, TRIES_WINDOW)),
            acts: Mutex::new(Window::new(ACTS_MAX, ACTS_WINDOW)),
            hashing: Semaphore::new(1),
        })
    }

    /// Begins a session for whoever knows the password.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn log_in(&self, password: String) -> Result<Begun, AccessError> {
        let login = self.login.clone().ok_or(AccessError::NoLogin)?;
        self.may_try()?;
        let _turn = self
            .hashing
            .acquire()
            .await
            .map_err(|_| AccessError::NoLogin)?;
        let fits = tokio::task::spawn_blocking(move || verify(&login, &password))
            .await
            .unwrap_or(false);
        if !fits {
            self.tries
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .count(Instant::now());
            return Err(AccessError::Wrong);
        }
        let (cookie, csrf) = (random()?, random()?);
        let session = Session {
            csrf,
            who: "operator".to_owned(),
        };
        let until = now_ms().saturating_add(u64::try_from(SESSION_FOR.as_millis()).unwrap_or(0));
        let (hash, kept) = (digest(&cookie), session.clone());
        self.store
            .call(move |db| people::begin(db, &hash, &kept, until))
            .await?;
        Ok(Begun { cookie, session })
    }

    fn may_try(&self) -> Result<(), AccessError> {
        let tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.free(Instant::now()).map_err(AccessError::TooMany)
    }

    /// Counts an act.
    ///
    /// # Errors
    /// [`AccessError::TooMany`].
    pub fn may_act(&self) -> Result<(), AccessError> {
        let now = Instant::now();
        let mut acts = self.acts.lock().unwrap_or_else(PoisonError::into_inner);
        acts.free(now).map_err(AccessError::TooMany)?;
        acts.count(now);
        Ok(())
    }

    /// Whose cookie that is.
    ///
    /// # Errors
    /// [`AccessError::Store`].
    pub async fn session(&self, cookie: &str) -> Result<Option<Session>, AccessError> {
        let hash = digest(cookie);
        Ok(self
            .store
            .call(move |db| people::session(db, &hash, now_ms()))
            .await?)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`AccessError::Store`].
    pub async fn log_out(&self, cookie: &str) -> Result<(), AccessError> {
        let hash = digest(cookie);
        Ok(self
            .store
            .call(move |db| people::end(db, &hash, now_ms()))
            .await?)
    }

    /// Whose token that is.
    ///
    /// # Errors
    /// [`AccessError::Store`].
    pub async fn token(&self, token: &str) -> Result<Option<String>, AccessError> {
        let hash = digest(token);
        Ok(self.store.call(move |db| people::token(db, &hash)).await?)
    }

    /// Makes a token; it is shown this once. `None` where the name is taken, or too many are out.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn make_token(&self, name: String) -> Result<Option<String>, AccessError> {
        let token = format!("planaria_{}", random()?);
        let hash = digest(&token);
        let made = self
            .store
            .call(move |db| {
                Ok(people::tokens(db)?.len() < TOKENS_MAX
                    && people::add_token(db, &name, &hash, now_ms())?)
            })
            .await?;
        Ok(made.then_some(token))
    }
}

fn verify(login: &str, password: &str) -> bool {
    password.len() <= PASSWORD_MAX
        && PasswordHash::new(login).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        })
}

fn random() -> Result<String, AccessError> {
    let mut bytes = [0; 32];
    OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| AccessError::NoRandom)?;
    Ok(hex(&bytes))
}

fn digest(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Equal, in a time that does not tell how far.
#[must_use]
pub fn same(a: &str, b: &str) -> bool {
    // The digests' first difference says nothing of the texts'.
    Sha256::digest(a.as_bytes()) == Sha256::digest(b.as_bytes())
}

/// So many within so long.
#[derive(Debug)]
struct Window {
    times: VecDeque<Instant>,
    most: usize,
    span: Duration,
}

impl Window {
    fn new(most: usize, span: Duration) -> Self {
        Self {
            times: VecDeque::new(),
            most,
            span,
        }
    }

    /// There is room; else for how many seconds there is none.
    fn free(&self, now: Instant) -> Result<(), u64> {
        let within = self
            .times
            .iter()
            .filter(|at| now.duration_since(**at) < self.span)
            .count();
        if within < self.most {
            return Ok(());
        }
        let first = self
            .times
            .iter()
            .find(|at| now.duration_since(**at) < self.span);
        let wait = first.map_or(self.span, |at| {
            self.span.saturating_sub(now.duration_since(*at))
        });
        Err(wait.as_secs() + 1)
    }

    fn count(&mut self, now: Instant) {
        if self.times.len() >= self.most {
            self.times.pop_front();
        }
        self.times.push_back(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::SaltString;
    use argon2::{Algorithm, Params, PasswordHasher, Version};

    fn door() -> (Door, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let hasher = Argon2::new(
            Algorithm::Argon2id,
            Version::V0x13,
            Params::new(64, 1, 1, None).unwrap(),
        );
        let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
        let path = folder.path().join("login");
        std::fs::write(
            &path,
            hasher
                .hash_password(b"open sesame", &salt)
                .unwrap()
                .to_string(),
        )
        .unwrap();
        let store = Store::open(None).unwrap();
        (Door::new(Some(&path), store).unwrap(), folder)
    }

    #[tokio::test]
    async fn the_password_opens_and_the_cookie_is_remembered_until_the_end() {
        let (door, _folder) = door();
        assert!(matches!(
            door.log_in("open barley".to_owned()).await,
            Err(AccessError::Wrong)
        ));
        let begun = door.log_in("open sesame".to_owned()).await.unwrap();
        assert_eq!(
            door.session(&begun.cookie).await.unwrap(),
            Some(begun.session)
        );
        assert_eq!(door.session("another").await.unwrap(), None);
        door.log_out(&begun.cookie).await.unwrap();
        assert_eq!(door.session(&begun.cookie).await.unwrap(), None);
    }

    #[tokio::test]
    async fn guessing_is_slowed_down() {
        let (door, _folder) = door();
        for _ in 0..TRIES_MAX {
            assert!(matches!(
                door.log_in("x".to_owned()).await,
                Err(AccessError::Wrong)
            ));
        }
        assert!(matches!(
            door.log_in("open sesame".to_owned()).await,
            Err(AccessError::TooMany(_))
        ));
    }

    #[tokio::test]
    async fn a_token_opens_until_it_is_withdrawn() {
        let (door, _folder) = door();
        let token = door.make_token("ci".to_owned()).await.unwrap().unwrap();
        assert_eq!(door.token(&token).await.unwrap().as_deref(), Some("ci"));
        assert!(door.make_token("ci".to_owned()).await.unwrap().is_none());
        door.store
            .call(|db| people::remove_token(db, "ci"))
            .await
            .unwrap();
        assert_eq!(door.token(&token).await.unwrap(), None);
    }

    #[tokio::test]
    async fn without_a_password_nobody_gets_in_and_a_wrong_file_is_named() {
        let store = Store::open(None).unwrap();
        let door = Door::new(None, store.clone()).unwrap();
        assert!(matches!(
            door.log_in("x".to_owned()).await,
            Err(AccessError::NoLogin)
        ));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("login");
        std::fs::write(&path, "plain text").unwrap();
        assert!(
            Door::new(Some(&path), store)
                .unwrap_err()
                .contains("argon2id")
        );
    }

    #[test]
    fn a_window_says_how_long_to_wait() {
        let mut window = Window::new(2, Duration::from_secs(10));
        let now = Instant::now();
        window.count(now);
        window.count(now + Duration::from_secs(4));
        assert_eq!(window.free(now + Duration::from_secs(5)), Err(6));
        assert_eq!(window.free(now + Duration::from_secs(11)), Ok(()));
    }
}
