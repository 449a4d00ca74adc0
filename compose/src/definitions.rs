//! RabbitMQ's users, permissions and topology, as its `definitions.json`.
//!
//! A pure function of the passwords: the same passwords give the same bytes, so that the broker can skip
//! what it has imported already.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The exchange that everything goes through.
pub const EXCHANGE: &str = "control_exchange";
/// Whoever holds the one message in it leads.
pub const TOKEN_QUEUE: &str = "planaria.token";
/// The incident journal.
pub const JOURNAL_QUEUE: &str = "planaria.journal";

/// What the journal is bounded to.
const JOURNAL_BYTES_MAX: u64 = 50_000_000;
/// Streams drop whole segments only, so a segment is a tenth of the journal.
const JOURNAL_SEGMENT_BYTES: u64 = 5_000_000;

/// What a user may do. Patterns are anchored regular expressions.
struct User {
    name: &'static str,
    tags: &'static str,
    /// Declare and delete queues and exchanges of these names.
    configure: &'static str,
    /// Publish to, and bind, these.
    write: &'static str,
    /// Consume from, and bind to, these.
    read: &'static str,
    /// Routing keys of messages published.
    topic_write: &'static str,
    /// Routing keys of bindings.
    topic_read: &'static str,
}

/// The users; `amq.default` is the exchange that reaches a queue by its name.
const USERS: [User; 4] = [
    User {
        name: "member",
        tags: "",
        configure: r"^planaria\.member\..+",
        write: r"^(control_exchange|planaria\.member\..+)$",
        read: r"^(control_exchange|planaria\.member\..+)$",
        topic_write: r"^(heartbeat\.|report\.(leave|last_words)$)",
        topic_read: r"^control\.",
    },
    User {
        name: "healer",
        tags: "",
        configure: r"^(planaria\.(member|heartbeats|heal|reply)\..+|amq\.gen.*)$",
        write: r"^(control_exchange|amq\.default|amq\.gen.*|planaria\..+)$",
        read: r"^(control_exchange|amq\.gen.*|planaria\..+)$",
        topic_write: r"^(heartbeat|report|control|election|request|alert|heal)\.",
        topic_read: r".*",
    },
    User {
        name: "operator",
        tags: "",
        configure: r"^(planaria\.(member|console|chaos|reply)\..+|amq\.gen.*)$",
        write: r"^(control_exchange|amq\.gen.*|planaria\.(member|console|chaos|reply)\..+)$",
        read: r"^(control_exchange|amq\.gen.*|planaria\.(member|console|chaos|reply)\..+|planaria\.journal)$",
        topic_write: r"^((heartbeat|request|chaos)\.|report\.(leave|last_words)$)",
        topic_read: r"^((control|heartbeat|report|alert|chaos)\.|request\.attack$)",
    },
    User {
        name: "admin",
        tags: "administrator",
        configure: ".*",
        write: ".*",
        read: ".*",
        topic_write: ".*",
        topic_read: ".*",
    },
];

/// As whom the monkey asks the management API to close connections. RabbitMQ closes what another user opened
/// for nobody but an administrator (4.0: the tags `monitoring` and `policymaker` are refused with 401), and it
/// needs no permission in any vhost for that, so it has none. A user of its own: the console shares `operator`
/// with the monkey, and need not close anything.
const CLOSER: (&str, &str) = ("chaos", "administrator");

/// `definitions.json`. `password` gives each user's password by name; who has none is no user.
pub fn definitions(password: impl Fn(&str) -> String) -> String {
    let named = USERS.iter().map(|user| (user.name, user.tags));
    let users = named.chain([CLOSER]).filter_map(|(name, tags)| {
        let password = password(name);
        (!password.is_empty()).then(|| {
            json!({
                "name": name,
                "password_hash": password_hash(name, &password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": tags,
                "limits": {},
            })
        })
    });
    let permissions = USERS.iter().map(|user| {
        json!({
            "user": user.name, "vhost": "/",
            "configure": user.configure, "write": user.write, "read": user.read,
        })
    });
    let topic_permissions = USERS.iter().map(|user| {
        json!({
            "user": user.name, "vhost": "/", "exchange": EXCHANGE,
            "write": user.topic_write, "read": user.topic_read,
        })
    });
    let journal = ["report.incident", "alert.#", "chaos.#"].map(|routing_key| {
        json!({
            "source": EXCHANGE, "vhost": "/", "destination": JOURNAL_QUEUE,
            "destination_type": "queue", "routing_key": routing_key, "arguments": {},
        })
    });
    let document = json!({
        "users": users.collect::<Value>(),
        "vhosts": [{"name": "/"}],
        "permissions": permissions.collect::<Value>(),
        "topic_permissions": topic_permissions.collect::<Value>(),
        "exchanges": [{
            "name": EXCHANGE, "vhost": "/", "type": "topic",
            "durable": true, "auto_delete": false, "internal": false, "arguments": {},
        }],
        "queues": [
            {
                "name": TOKEN_QUEUE, "vhost": "/", "durable": true, "auto_delete": false,
                "arguments": {
                    "x-queue-type": "classic",
                    "x-single-active-consumer": true,
                    "x-max-length": 1,
                    "x-overflow": "reject-publish",
                },
            },
            {
                "name": JOURNAL_QUEUE, "vhost": "/", "durable": true, "auto_delete": false,
                "arguments": {
                    "x-queue-type": "stream",
                    "x-max-length-bytes": JOURNAL_BYTES_MAX,
                    "x-stream-max-segment-size-bytes": JOURNAL_SEGMENT_BYTES,
                },
            },
        ],
        "bindings": journal,
    });
    format!("{document:#}\n")
}

/// RabbitMQ's salted SHA-256: base64 of a 4-byte salt and the digest of salt and password.
///
/// The salt is drawn from name and password, so that the hash is the same each time; the passwords are
/// random and long, which is what a salt is for.
fn password_hash(name: &str, password: &str) -> String {
    let seed = Sha256::digest(format!("planaria salt {name} {password}"));
    let salt = &seed[..4];
    let digest = Sha256::new()
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    STANDARD.encode([salt, digest.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_what_rabbitmq_checks() {
        // RabbitMQ's own check: the first four bytes are the salt of the rest.
        let raw = STANDARD.decode(password_hash("member", "secret")).unwrap();
        let (salt, digest) = raw.split_at(4);
        assert_eq!(
            Sha256::new()
                .chain_update(salt)
                .chain_update("secret")
                .finalize()
                .as_slice(),
            digest
        );
        assert_eq!(raw.len(), 36);
    }

    #[test]
    fn the_same_passwords_give_the_same_bytes_and_none_shows() {
        let text = definitions(|name| format!("password-of-{name}"));
        assert_eq!(text, definitions(|name| format!("password-of-{name}")));
        assert!(!text.contains("password-of"));
        let parsed: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed["users"].as_array().unwrap().len(), 5);
        assert_eq!(
            parsed["permissions"][0]["configure"],
            r"^planaria\.member\..+"
        );
    }

    #[test]
    fn who_closes_connections_may_nothing_else_and_is_missing_where_nobody_attacks() {
        let users = |password: fn(&str) -> String| {
            let parsed: Value = serde_json::from_str(&definitions(password)).unwrap();
            for kind in ["permissions", "topic_permissions"] {
                let all = parsed[kind].as_array().unwrap().clone();
                assert!(all.iter().all(|it| it["user"] != "chaos"), "{kind}");
            }
            let all = parsed["users"].as_array().unwrap().clone();
            let tagged = all.into_iter().filter(|it| it["tags"] == "administrator");
            let names = tagged.map(|it| it["name"].as_str().unwrap_or_default().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(users(str::to_owned), ["admin", "chaos"]);
        let adopted = |name: &str| if name == "chaos" { "" } else { name }.to_owned();
        assert_eq!(users(adopted), ["admin"]);
    }
}
