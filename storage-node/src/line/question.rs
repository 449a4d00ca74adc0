//! What a line says, and what proves who says it.

use hmac::{Hmac, Mac};
use sha2::Sha256;

const HELP: &str = "\
NODE PING answers PONG; HELP this; QUIT ends.
AUTH, then AUTH <access key> <HMAC-SHA256 of the nonce with the secret key, hex>, before all else:
NODE INFO, TOPOLOGY WALK, NETMAP GET answer OK <length> and that many bytes of JSON.
FILE PUSH <bucket> <key> <length>, then the bytes; FILE PULL|TAGS|DELETE <bucket> <key>;
FILE LIST <bucket> [<prefix>]. Keys are percent-encoded.
";
const NOT_SET: &str = "ERR membership is agreed, not set; use storage-node layout\n";
const NO_TAGS: &str = "ERR tags are agreed, not set; use S3's PutObjectTagging\n";
const UNKNOWN: &str = "ERR not understood; try HELP\n";

/// A line, understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Nothing,
    Quit,
    Say(&'static str),
    Nonce,
    Proof { id: String, proof: String },
    Ask(Question),
}

/// What only those may ask who have proven who they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    Info,
    Walk,
    Netmap,
    List {
        bucket: String,
        prefix: String,
    },
    Push {
        bucket: String,
        key: String,
        length: u64,
    },
    Pull {
        bucket: String,
        key: String,
    },
    Tags {
        bucket: String,
        key: String,
    },
    Delete {
        bucket: String,
        key: String,
    },
}

impl Question {
    /// The right that it takes, in S3's words, and where; none: any key will do.
    pub(super) fn right(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::Info | Self::Walk | Self::Netmap => None,
            Self::List { bucket, .. } => Some(("ListObjectsV2", bucket)),
            Self::Push { bucket, .. } => Some(("PutObject", bucket)),
            Self::Pull { bucket, .. } => Some(("GetObject", bucket)),
            Self::Tags { bucket, .. } => Some(("GetObjectTagging", bucket)),
            Self::Delete { bucket, .. } => Some(("DeleteObject", bucket)),
        }
    }
}

pub(super) fn understand(line: &[u8]) -> Line {
    let Ok(line) = std::str::from_utf8(line) else {
        return Line::Say("ERR not UTF-8\n");
    };
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let verbs: Vec<String> = words
        .iter()
        .take(2)
        .map(|word| word.to_ascii_uppercase())
        .collect();
    let verbs: Vec<&str> = verbs.iter().map(String::as_str).collect();
    let rest = words.get(2..).unwrap_or_default();
    let named = |make: fn(String, String) -> Question| match rest {
        [bucket, key] => match decoded(key) {
            Some(key) => Line::Ask(make((*bucket).to_owned(), key)),
            None => Line::Say("ERR the key is badly percent-encoded\n"),
        },
        _ => Line::Say(UNKNOWN),
    };
    match (verbs.as_slice(), rest) {
        ([], _) => Line::Nothing,
        (["QUIT"], _) => Line::Quit,
        (["HELP"], _) => Line::Say(HELP),
        (["NODE", "PING"], []) => Line::Say("PONG\n"),
        (["AUTH"], _) => Line::Nonce,
        (["AUTH", _], [proof]) => Line::Proof {
            id: words[1].to_owned(),
            proof: (*proof).to_ascii_lowercase(),
        },
        (["NODE", "INFO"], []) => Line::Ask(Question::Info),
        (["TOPOLOGY", "WALK"], []) => Line::Ask(Question::Walk),
        (["NETMAP", "GET"], []) => Line::Ask(Question::Netmap),
        (["TOPOLOGY" | "NETMAP", "SET"], _) => Line::Say(NOT_SET),
        (["FILE", "TAGS-SET"], _) => Line::Say(NO_TAGS),
        (["FILE", "LIST"], [bucket]) => Line::Ask(Question::List {
            bucket: (*bucket).to_owned(),
            prefix: String::new(),
        }),
        (["FILE", "LIST"], [_, _]) => named(|bucket, prefix| Question::List { bucket, prefix }),
        (["FILE", "PULL"], _) => named(|bucket, key| Question::Pull { bucket, key }),
        (["FILE", "TAGS"], _) => named(|bucket, key| Question::Tags { bucket, key }),
        (["FILE", "DELETE"], _) => named(|bucket, key| Question::Delete { bucket, key }),
        (["FILE", "PUSH"], [bucket, key, length]) => match (decoded(key), length.parse()) {
            (Some(key), Ok(length)) => Line::Ask(Question::Push {
                bucket: (*bucket).to_owned(),
                key,
                length,
            }),
            _ => Line::Say("ERR a length in digits, and a percent-encoded key\n"),
        },
        _ => Line::Say(UNKNOWN),
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the proof is the one that only who knows the secret can give.
pub(super) fn proves(secret: &str, nonce: &str, proof: &str) -> bool {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return false;
    };
    mac.update(nonce.as_bytes());
    let bytes: Option<Vec<u8>> = (0..proof.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(proof.get(at..at + 2)?, 16).ok())
        .collect();
    bytes.is_some_and(|bytes| mac.verify_slice(&bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};

    #[test]
    fn ping_needs_nobody_and_set_is_refused_with_the_reason() {
        assert_eq!(understand(b"NODE PING\n"), Line::Say("PONG\n"));
        assert_eq!(understand(b"node ping\r\n"), Line::Say("PONG\n"));
        assert_eq!(understand(b"QUIT\n"), Line::Quit);
        assert_eq!(understand(b"TOPOLOGY SET x\n"), Line::Say(NOT_SET));
        assert_eq!(understand(b"NETMAP SET {}\n"), Line::Say(NOT_SET));
        assert_eq!(understand(b"FILE TAGS-SET b k x\n"), Line::Say(NO_TAGS));
        for bad in [
            &b"NODE PING PING\n"[..],
            b"x\n",
            b"\xff\n",
            b"\0\n",
            b"FILE PULL b\n",
            b"FILE PULL b %zz\n",
            b"FILE PUSH b k -1\n",
        ] {
            assert!(matches!(understand(bad), Line::Say(text) if text.starts_with("ERR")));
        }
    }

    #[test]
    fn keys_are_percent_decoded() {
        let key = "a b/\u{fc}".to_owned();
        let bucket = "b".to_owned();
        assert_eq!(
            understand(b"FILE PULL b a%20b/%C3%BC\n"),
            Line::Ask(Question::Pull { bucket, key })
        );
    }

    #[test]
    fn only_who_knows_the_secret_proves_it() {
        let proof = |secret: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
            mac.update(b"nonce");
            hex(&mac.finalize().into_bytes())
        };
        assert!(proves("secret", "nonce", &proof("secret")));
        assert!(!proves("secret", "nonce", &proof("other")));
        assert!(!proves("secret", "another", &proof("secret")));
        for bad in ["", "zz", "0", "\u{e9}\u{e9}"] {
            assert!(!proves("secret", "nonce", bad));
        }
    }

    #[test]
    fn noise_is_never_a_panic() {
        let mut rng = rand::rngs::SmallRng::seed_from_u64(11);
        let words: [&[u8]; 9] = [
            b"FILE",
            b"PUSH",
            b"AUTH",
            b"NODE",
            b"%",
            b"%C3",
            b"99999999999999999999",
            b"\t",
            b"b",
        ];
        for _ in 0..20_000 {
            let mut line = Vec::new();
            for _ in 0..rng.random_range(0..6) {
                line.extend_from_slice(words[rng.random_range(0..words.len())]);
                line.push(if rng.random_bool(0.9) {
                    b' '
                } else {
                    rng.random()
                });
            }
            let _ = understand(&line);
        }
    }
}
