//! The random part of a stack: made once, kept in one folder, never printed but where asked for.
//!
//! Layout of the folder (mode 0700, files 0600): `secrets.json` is the source of all; `*.env` carry the
//! broker's address with user and password; `volumes/NAME/` is what goes into the key volume of that name.

use crate::definitions::definitions;
use anyhow::{Context as _, bail};
use argon2::password_hash::SaltString;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, Version};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Name and length in random bytes of each secret; written as hexadecimal.
const SECRETS: [(&str, usize); 13] = [
    ("member_key", 32),
    ("healer_key", 32),
    ("operator_key", 32),
    ("member_password", 20),
    ("healer_password", 20),
    ("operator_password", 20),
    ("admin_password", 20),
    ("chaos_password", 20),
    // 20 and 40 characters, as S3 clients expect of such keys.
    ("storage_access_key", 10),
    ("storage_secret_key", 20),
    ("storage_peer_secret", 32),
    ("console_password", 10),
    ("console_salt", 16),
];

/// Those of [`SECRETS`] that an adopted stack needs.
const ADOPTED: [&str; 7] = [
    "member_key",
    "healer_key",
    "operator_key",
    "member_password",
    "healer_password",
    "operator_password",
    "admin_password",
];

/// argon2id's cost, from OWASP's list for little memory: the console has 30 MiB.
const LOGIN_MEMORY_KIB: u32 = 12 * 1024;
const LOGIN_PASSES: u32 = 3;

/// All secrets by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Reads the secrets of `folder`, draws those that are missing, and writes all that follows from them.
    /// Doing it twice changes nothing.
    ///
    /// # Errors
    /// The folder cannot be read or written, or `secrets.json` is not what was written there.
    pub fn ensure(folder: &Path) -> anyhow::Result<Self> {
        let secrets = Self::drawn(folder, |_| true)?;
        secrets.write_derived(folder)?;
        Ok(secrets)
    }

    /// The same for an adopted stack, whose broker is called `broker`: keys and broker users of members and healers,
    /// and nothing else. The folder hides itself from git.
    ///
    /// # Errors
    /// As [`Secrets::ensure`].
    pub fn ensure_adopted(folder: &Path, broker: &str) -> anyhow::Result<Self> {
        make_folder(folder)?;
        write(&folder.join(".gitignore"), "*\n")?;
        let secrets = Self::drawn(folder, |name| ADOPTED.contains(&name))?;
        secrets.write_users(folder, broker, &["member", "healer"])?;
        let [member, healer, operator] = secrets.keys();
        let volumes = [
            ("keys_member", vec![member.clone()]),
            ("keys_healer", vec![member, healer, operator]),
            (
                "keys_broker",
                vec![("definitions.json", secrets.definitions())],
            ),
        ];
        write_volumes(folder, volumes)?;
        Ok(secrets)
    }

    /// What is in `secrets.json`, with what is `wanted` and was missing.
    fn drawn(folder: &Path, wanted: impl Fn(&str) -> bool) -> anyhow::Result<Self> {
        make_folder(folder)?;
        let path = folder.join("secrets.json");
        let mut known: BTreeMap<String, String> = match fs::read_to_string(&path) {
            Ok(text) => read(&text).with_context(|| format!("{} is damaged; remove the folder and run make docker-compose-down VOLUMES=1 for new secrets", path.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        for (name, bytes) in SECRETS {
            if wanted(name) && !known.contains_key(name) {
                known.insert(name.to_owned(), random_hex(bytes)?);
            }
        }
        let secrets = Self(known);
        write(&path, &format!("{:#}\n", json!(secrets.0)))?;
        Ok(secrets)
    }

    /// One secret by name; empty for a name that is not in the list.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The broker's address with user and password, a file for each user.
    fn write_users(&self, folder: &Path, broker: &str, users: &[&str]) -> anyhow::Result<()> {
        for user in users {
            let password = self.get(&format!("{user}_password"));
            let line = format!("PLANARIA_AMQP_URLS=amqp://{user}:{password}@{broker}:5672/%2f\n");
            write(&folder.join(format!("{user}.env")), &line)?;
        }
        Ok(())
    }

    /// The files of the keys that sign messages: of members, healers and operators.
    fn keys(&self) -> [(&'static str, String); 3] {
        [
            ("member.key", self.get("member_key").to_owned()),
            ("healer.key", self.get("healer_key").to_owned()),
            ("operator.key", self.get("operator_key").to_owned()),
        ]
    }

    fn definitions(&self) -> String {
        definitions(|user| self.get(&format!("{user}_password")).to_owned())
    }

    fn write_derived(&self, folder: &Path) -> anyhow::Result<()> {
        self.write_users(folder, "rabbitmq", &["member", "healer", "operator"])?;
        let [member, healer, operator] = self.keys();
        let storage = json!({
            "access_key": self.get("storage_access_key"),
            "secret_key": self.get("storage_secret_key"),
            "peer_secret": self.get("storage_peer_secret"),
        });
        let login = ("console.login", self.login()?);
        // In a file and not in the environment, which every inspection of the container shows.
        let address = format!(
            "http://chaos:{}@rabbitmq:15672\n",
            self.get("chaos_password")
        );
        let management = ("management.url", address);
        let volumes = [
            ("keys_member", vec![member.clone()]),
            // For the stack in which everyone stands for election; in others this volume is not made.
            (
                "keys_all",
                vec![
                    member.clone(),
                    healer.clone(),
                    operator.clone(),
                    ("storage.json", storage.to_string()),
                    login.clone(),
                ],
            ),
            (
                "keys_healer",
                vec![member.clone(), healer, operator.clone()],
            ),
            (
                "keys_operator",
                vec![member.clone(), operator.clone(), login],
            ),
            ("keys_chaos", vec![member.clone(), operator, management]),
            (
                "keys_storage",
                vec![member, ("storage.json", storage.to_string())],
            ),
            (
                "keys_broker",
                vec![("definitions.json", self.definitions())],
            ),
        ];
        write_volumes(folder, volumes)
    }
}

/// The files of each key volume.
fn write_volumes<const N: usize>(
    folder: &Path,
    volumes: [(&str, Vec<(&str, String)>); N],
) -> anyhow::Result<()> {
    make_folder(&folder.join("volumes"))?;
    for (volume, files) in volumes {
        let inner = folder.join("volumes").join(volume);
        make_folder(&inner)?;
        for (name, text) in files {
            write(&inner.join(name), &text)?;
        }
    }
    Ok(())
}

impl Secrets {
    /// What the console checks a password against. The salt is a secret of its own, so that the hash is the same
    /// each time and the key volume is not filled anew.
    fn login(&self) -> anyhow::Result<String> {
        let hash = |error| anyhow::anyhow!("the console's password cannot be hashed: {error}");
        let salt = SaltString::encode_b64(self.get("console_salt").as_bytes()).map_err(hash)?;
        let parameters = Params::new(LOGIN_MEMORY_KIB, LOGIN_PASSES, 1, None)
            .map_err(|error| hash(error.into()))?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters);
        let password = self.get("console_password").as_bytes();
        Ok(format!(
            "{}\n",
            hasher.hash_password(password, &salt).map_err(hash)?
        ))
    }
}

fn read(text: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let Value::Object(object) = serde_json::from_str(text)? else {
        bail!("not an object")
    };
    object
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) if !text.is_empty() => Ok((name, text)),
            _ => bail!("{name} is no text"),
        })
        .collect()
}

fn random_hex(bytes: usize) -> anyhow::Result<String> {
    let mut raw = vec![0_u8; bytes];
    OsRng
        .try_fill_bytes(&mut raw)
        .context("the system gives no random bytes")?;
    Ok(raw.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Writes by way of a new file and a rename, so that a full disk leaves the old content.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
        })
        .and_then(|()| fs::rename(&new, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}
