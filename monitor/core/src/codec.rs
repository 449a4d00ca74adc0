//! Messages as bytes: versioned JSON around the signed text.
//!
//! `{"v":1,"app_id":"planaria","key":"member","mac":"<hex>","message":{…}}`, where `mac` is
//! HMAC-SHA-256 (RFC 2104, FIPS 180-4) over the very bytes of `message` under the named key. Fields
//! that are not known are tolerated, other versions and bad signatures are refused.

use crate::message::{Envelope, KeyRole};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Sha256;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// No message is longer than this: a beat of 200 members takes about 60 KB.
pub const MESSAGE_MAX: usize = 256 * 1024;

/// A secret that signs; at least 16 bytes. Never printed.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The shortest secret that is taken, in bytes.
pub const KEY_MIN: usize = 16;

impl Key {
    /// Takes a secret as it stands in its file; surrounding white space is no part of it.
    ///
    /// # Errors
    /// Where it is shorter than [`KEY_MIN`].
    pub fn new(secret: &[u8]) -> Result<Self, KeyTooShort> {
        let secret = secret.trim_ascii();
        if secret.len() < KEY_MIN {
            return Err(KeyTooShort {
                length: secret.len(),
            });
        }
        Ok(Self(secret.to_vec()))
    }

    fn mac(&self, text: &[u8]) -> Hmac<Sha256> {
        // HMAC takes keys of any length, so this cannot fail; an empty key would be refused by `new`.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("HMAC takes keys of any length");
        };
        mac.update(text);
        mac
    }
}

/// The secret is too short to be one.
#[derive(Debug, thiserror::Error)]
#[error(
    "a secret of {length} bytes is too short: use at least {KEY_MIN} (scripts/setup makes one of 64 hex digits)"
)]
pub struct KeyTooShort {
    /// How long it was.
    pub length: usize,
}

/// The keys that a member holds; the previous ones are still accepted, never used to sign.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    current: [Option<Key>; 3],
    previous: [Option<Key>; 3],
}

impl Keys {
    /// None at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a role's key.
    #[must_use]
    pub fn with(mut self, role: KeyRole, key: Key) -> Self {
        self.current[role as usize] = Some(key);
        self
    }

    /// Adds a role's key from before a rotation.
    #[must_use]
    pub fn with_previous(mut self, role: KeyRole, key: Key) -> Self {
        self.previous[role as usize] = Some(key);
        self
    }

    /// Whether this member can say what needs that key.
    #[must_use]
    pub fn holds(&self, role: KeyRole) -> bool {
        self.current[role as usize].is_some()
    }
}

#[derive(Serialize, Deserialize)]
struct Outer<'a> {
    v: u32,
    app_id: std::borrow::Cow<'a, str>,
    key: KeyRole,
    mac: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    message: &'a RawValue,
}

/// Why bytes are no message for us. Nothing changed by it; it is counted and dropped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than [`MESSAGE_MAX`].
    #[error("{length} bytes are more than a message may have ({MESSAGE_MAX})")]
    TooLong {
        /// How long.
        length: usize,
    },
    /// Not the JSON that is expected.
    #[error("malformed: {reason}")]
    Malformed {
        /// What the parser says.
        reason: String,
    },
    /// Another version.
    #[error("version {version} is not spoken here, only {VERSION}")]
    Version {
        /// Which.
        version: u32,
    },
    /// The key that signed may not say this.
    #[error("a {kind} must be signed by the {needed:?} key, not the {used:?} key")]
    WrongKey {
        /// The message's type.
        kind: &'static str,
        /// The key it needs.
        needed: KeyRole,
        /// The key it has.
        used: KeyRole,
    },
    /// The signature does not fit, under no key that is held for that role.
    #[error(
        "the signature does not fit the {0:?} key held here: is the secret the same everywhere?"
    )]
    Signature(KeyRole),
    /// No key of that role is held here, so that it cannot be believed.
    #[error("no {0:?} key is held here to check it")]
    NoKey(KeyRole),
}

/// Why a message could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The key it needs is not held here.
    #[error("a {kind} needs the {needed:?} key, which is not held here")]
    NoKey {
        /// The message's type.
        kind: &'static str,
        /// The key.
        needed: KeyRole,
    },
    /// It would be longer than [`MESSAGE_MAX`].
    #[error("the message would have {length} bytes, more than {MESSAGE_MAX}")]
    TooLong {
        /// How long.
        length: usize,
    },
    /// It has no JSON form.
    #[error("no JSON form: {reason}")]
    Unserializable {
        /// What the serializer says.
        reason: String,
    },
}

/// Signs what goes out and checks what comes in.
#[derive(Clone, Debug)]
pub struct Codec {
    keys: Keys,
}

impl Codec {
    /// With these keys.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        Self { keys }
    }

    /// The keys that it was made with.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Signs a message with the key that its body needs.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing was sent.
    pub fn encode(&self, envelope: &Envelope) -> Result<Vec<u8>, EncodeError> {
        let unserializable = |error: serde_json::Error| EncodeError::Unserializable {
            reason: error.to_string(),
        };
        let needed = envelope.body.key();
        let Some(key) = &self.keys.current[needed as usize] else {
            return Err(EncodeError::NoKey {
                kind: envelope.body.kind(),
                needed,
            });
        };
        let message = serde_json::value::to_raw_value(envelope).map_err(unserializable)?;
        let mac = hex(&key.mac(message.get().as_bytes()).finalize().into_bytes());
        let outer = Outer {
            v: VERSION,
            app_id: "planaria".into(),
            key: needed,
            mac: mac.into(),
            message: &message,
        };
        let bytes = serde_json::to_vec(&outer).map_err(unserializable)?;
        if bytes.len() > MESSAGE_MAX {
            return Err(EncodeError::TooLong {
                length: bytes.len(),
            });
        }
        Ok(bytes)
    }

    /// Checks the signature and reads the message.
    ///
    /// # Errors
    /// [`DecodeError`]: drop it and count it.
    pub fn decode(&self, bytes: &[u8]) -> Result<Envelope, DecodeError> {
        self.read(bytes, false)
    }

    /// As [`Codec::decode`], for what came by a routing key that the broker lets only healers write: a
    /// message under the healer key is believed where that key is not held (members hold only their own).
    ///
    /// # Errors
    /// [`DecodeError`]: drop it and count it.
    pub fn decode_relayed(&self, bytes: &[u8]) -> Result<Envelope, DecodeError> {
        self.read(bytes, true)
    }

    fn read(&self, bytes: &[u8], relayed: bool) -> Result<Envelope, DecodeError> {
        let malformed = |error: serde_json::Error| DecodeError::Malformed {
            reason: error.to_string(),
        };
        if bytes.len() > MESSAGE_MAX {
            return Err(DecodeError::TooLong {
                length: bytes.len(),
            });
        }
        let outer: Outer<'_> = serde_json::from_slice(bytes).map_err(malformed)?;
        if outer.v != VERSION {
            return Err(DecodeError::Version { version: outer.v });
        }
        let role = outer.key;
        let candidates = [
            &self.keys.current[role as usize],
            &self.keys.previous[role as usize],
        ];
        let keyless = candidates.iter().all(|key| key.is_none());
        let believed = keyless && relayed && role == KeyRole::Healer;
        if keyless && !believed {
            return Err(DecodeError::NoKey(role));
        }
        let mac = unhex(&outer.mac).ok_or(DecodeError::Signature(role))?;
        let text = outer.message.get().as_bytes();
        let fits = candidates
            .into_iter()
            .flatten()
            .any(|key| key.mac(text).verify_slice(&mac).is_ok());
        if !fits && !believed {
            return Err(DecodeError::Signature(role));
        }
        let envelope: Envelope = serde_json::from_str(outer.message.get()).map_err(malformed)?;
        let needed = envelope.body.key();
        if needed != role {
            return Err(DecodeError::WrongKey {
                kind: envelope.body.kind(),
                needed,
                used: role,
            });
        }
        Ok(envelope)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}
