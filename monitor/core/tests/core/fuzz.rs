//! Bytes from strangers: every decoder of the core under seeded mutations of a kept corpus.
//!
//! Thousands of runs each time; more by the environment:
//! `FUZZ_RUNS=10000000 cargo test --release -p planaria-core --test core fuzz -- --nocapture`.

use crate::bench::{Bench, container, name};
use planaria_core::codec::{Codec, Key, Keys};
use planaria_core::engine::EventKind;
use planaria_core::id::{BootId, Term};
use planaria_core::input::Input;
use planaria_core::message::{
    Body, Envelope, Heartbeat, Hold, HoldVersion, Holds, KeyRole, LastWords, MemberView, Verb,
};
use planaria_core::node::Role;
use planaria_core::settings::{Settings, Sources};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Runs of each target in an ordinary test.
const RUNS: u64 = 3000;

fn runs() -> u64 {
    std::env::var("FUZZ_RUNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(RUNS)
}

const KEYS: [(KeyRole, &[u8]); 3] = [
    (KeyRole::Member, b"member-key-0123456789"),
    (KeyRole::Healer, b"healer-key-0123456789"),
    (KeyRole::Operator, b"operator-key-0123456789"),
];

fn codec() -> Codec {
    let keys = KEYS.iter().fold(Keys::new(), |keys, (role, secret)| {
        keys.with(*role, Key::new(secret).unwrap())
    });
    Codec::new(keys)
}

/// Words that mean something somewhere: spliced in whole.
const WORDS: &[&str] = &[
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551615",
    "9999999999999999999999",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[",
    "{\"type\":",
    "\"body\":",
    "\u{0}",
    "\u{fffd}",
    "\\ud800",
    "..",
    "/",
    "\n",
    "\r\n",
    "=",
    ":",
    "#",
    "\"",
    "ffffffffffffffff",
    "s1",
    "planaria",
    "tcp:",
    "http://:",
    "always",
    "on-failure:",
    "99999d",
    "1.5.5",
    "∞",
];

fn mutate(rng: &mut SmallRng, seed: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=bytes.len());
        match rng.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] = rng.random(),
            1 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes.insert(at, rng.random()),
            3 => {
                let end = (at + rng.random_range(0..40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let word = WORDS[rng.random_range(0..WORDS.len())];
                bytes.splice(at..at, word.bytes());
            }
            5 => {
                let end = (at + rng.random_range(0..60)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = rng.random_range(0..=bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let other = &others[rng.random_range(0..others.len())];
                let from = rng.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
        bytes.truncate(4096);
    }
    bytes
}

/// Puts something else of the right or a wrong kind into one place of a JSON text.
fn mutate_value(rng: &mut SmallRng, value: &mut serde_json::Value) {
    use serde_json::{Value, json};
    let children = match value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    if children > 0 && rng.random_bool(0.85) {
        let at = rng.random_range(0..children);
        match value {
            Value::Array(list) if rng.random_bool(0.1) => {
                let copy = list[at].clone();
                list.extend(std::iter::repeat_n(copy, 20));
            }
            Value::Array(list) => mutate_value(rng, &mut list[at]),
            Value::Object(map) => {
                if let Some(child) = map.values_mut().nth(at) {
                    mutate_value(rng, child);
                }
            }
            _ => {}
        }
        return;
    }
    *value = match (&*value, rng.random_range(0..8)) {
        (Value::Number(_), 0..6) => {
            let numbers = [0, 1, 2, 9, 1000, 90_000, u64::from(u32::MAX), u64::MAX];
            json!(numbers[rng.random_range(0..numbers.len())])
        }
        (Value::Bool(on), 0..6) => json!(!on),
        (Value::String(_), 0..6) => {
            let words = [
                "",
                "healer-2",
                "healer-9",
                "worker-1",
                "plain-1",
                "s1",
                "host",
                "planaria",
                "2",
                "0000000000000003",
                "alive",
                "dead",
                "force",
                "hung",
                "ffffffffffffffff",
            ];
            json!(words[rng.random_range(0..words.len())])
        }
        (_, 0) => Value::Null,
        (_, 1) => json!([]),
        (_, 2) => json!({}),
        (_, 3) => json!("x".repeat(300)),
        _ => json!(-1),
    };
}

fn fuzz(seed: u64, corpus: &[Vec<u8>], mut target: impl FnMut(&mut SmallRng, &[u8])) {
    let mut rng = SmallRng::seed_from_u64(seed);
    for _ in 0..runs() {
        let pick = rng.random_range(0..corpus.len());
        let bytes = mutate(&mut rng, &corpus[pick], corpus);
        target(&mut rng, &bytes);
    }
}

fn envelope(body: Body) -> Envelope {
    Envelope {
        cluster: "planaria".to_owned(),
        from: name("healer-3"),
        boot: BootId(3),
        seq: 7,
        body,
    }
}

/// One of each kind of message, as it is sent.
fn bodies() -> Vec<Body> {
    let term = Term {
        number: 8,
        boot: BootId(3),
    };
    // A leader's own beat and incident are the richest texts there are.
    let mut bench = Bench::leader(vec![container("plain-1"), container("plain-2")]);
    bench.kill("plain-1");
    bench.stop("plain-2");
    bench.pass(std::time::Duration::from_secs(12));
    let mut beat = bench.last_beat();
    beat.term = term;
    let members: Vec<MemberView> = beat.members.clone();
    let hold = Hold {
        name: Some(name("plain-1")),
        left_ms: 60_000,
        reason: "x".to_owned(),
        version: HoldVersion {
            term: 8,
            count: 2,
            boot: BootId(3),
        },
    };
    let records = beat.records.clone();
    let incident = bench.incidents().pop().unwrap();
    vec![
        Body::Heartbeat(Heartbeat::default()),
        Body::Leave,
        Body::LastWords(LastWords {
            pulse: "loop".to_owned(),
            late_ms: 12,
            reason: "pulse".to_owned(),
        }),
        Body::Beat(Box::new(beat)),
        Body::Coordinator {
            term,
            token: true,
            why: "x".to_owned(),
        },
        Body::Resign { term },
        Body::Challenge,
        Body::Election { term: 3 },
        Body::Answer { term: 3 },
        Body::Probe { nonce: 5 },
        Body::Ack { nonce: 5 },
        Body::ProbeRequest {
            target: name("worker-1"),
            nonce: 5,
        },
        Body::ProbeReport {
            target: name("worker-1"),
            boot: BootId(4),
            nonce: 5,
        },
        Body::Request {
            id: planaria_core::id::RequestId("r".to_owned()),
            verb: Verb::Hold {
                names: vec![name("plain-1")],
                for_s: 60,
                reason: "x".to_owned(),
            },
        },
        Body::Records(records),
        Body::Holds(Holds {
            held: vec![hold.clone()],
            resumed: vec![hold],
        }),
        Body::HostReport(Box::new(planaria_core::message::HostReport {
            host: planaria_core::id::HostId("h".to_owned()),
            members,
            wanted: Vec::new(),
        })),
        Body::Incident(Box::new(incident)),
    ]
}

#[test]
fn no_bytes_on_the_exchange_or_the_port_do_harm() {
    let codec = codec();
    let corpus: Vec<Vec<u8>> = bodies()
        .into_iter()
        .map(|body| codec.encode(&envelope(body)).unwrap())
        .collect();
    let genuine: Vec<Envelope> = corpus.iter().map(|b| codec.decode(b).unwrap()).collect();
    fuzz(1, &corpus, |_, bytes| {
        if let Ok(read) = codec.decode(bytes) {
            // What is believed was signed: only what stands around the signed text may differ.
            assert!(genuine.contains(&read), "forged: {read:?}");
        }
        let _ = codec.decode_relayed(bytes);
    });
}

/// Signed by one that holds every key, and says anything: nothing panics, nothing spins, and time passes.
#[test]
fn no_signed_nonsense_upsets_a_member() {
    let corpus: Vec<Vec<u8>> = bodies()
        .into_iter()
        .map(|body| serde_json::to_vec(&envelope(body)).unwrap())
        .collect();
    let fresh = || {
        let mut bench = Bench::new(Role::Healer);
        bench.engine(vec![container("plain-1"), container("worker-1")]);
        bench.office();
        bench
    };
    let mut bench = fresh();
    let mut fed = 0_u64;
    let whole: Vec<serde_json::Value> = corpus
        .iter()
        .map(|bytes| serde_json::from_slice(bytes).unwrap())
        .collect();
    fuzz(2, &corpus, |rng, bytes| {
        let read = if rng.random_bool(0.2) {
            serde_json::from_slice::<Envelope>(bytes)
        } else {
            let mut value = whole[rng.random_range(0..whole.len())].clone();
            for _ in 0..rng.random_range(1..4) {
                mutate_value(rng, &mut value);
            }
            serde_json::from_value(value)
        };
        let Ok(envelope) = read else {
            return;
        };
        fed += 1;
        if fed.is_multiple_of(500) {
            bench = fresh();
        }
        let input = if rng.random_bool(0.5) {
            Input::Message(envelope)
        } else {
            Input::Direct(envelope)
        };
        bench.feed(input);
        if rng.random_bool(0.1) {
            bench.pass(std::time::Duration::from_millis(700));
        }
        bench.log.clear();
    });
    assert!(fed > runs() / 20, "the corpus is no corpus: {fed}");
}

#[test]
fn no_label_and_no_name_upsets_a_healer() {
    let corpus: Vec<Vec<u8>> = [
        "planaria.policy=on-failure:3",
        "planaria.action=notify",
        "planaria.probe=http://:8080/health",
        "planaria.probe=tcp:6379",
        "planaria.stop-timeout=30s",
        "planaria.start-period=1.5",
        "planaria.restart-limit=7",
        "planaria.depends-on=rabbitmq, worker-1",
        "planaria.webhook=http://hooks/x?y=z",
        "planaria.recreate=true",
        "planaria.hold=True",
        "planaria.group=planaria",
        "com.docker.compose.depends_on=a:service_started:true,b:service_healthy:false",
        "com.docker.compose.oneoff=True",
        "autoheal=true",
        "autoheal.stop.timeout=20",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    let mut rng = SmallRng::seed_from_u64(3);
    // A bench of its own each time: fewer, for each is a whole story.
    for _ in 0..runs().div_ceil(20).min(50_000) {
        let mut patient = container("plain-1");
        for _ in 0..3 {
            let pick = rng.random_range(0..corpus.len());
            let bytes = mutate(&mut rng, &corpus[pick], &corpus);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let (key, value) = text.split_once('=').unwrap_or((&text, ""));
            patient.labels.insert(key.to_owned(), value.to_owned());
            if rng.random_bool(0.2) {
                patient.name = text.chars().take(200).collect();
            }
        }
        let role = if rng.random_bool(0.5) {
            Role::Solo
        } else {
            Role::Healer
        };
        let mut bench = Bench::new(role);
        let title = patient.name.clone();
        bench.engine(vec![patient]);
        bench.event(&title, EventKind::Kill { signal: 9 });
        bench.end(&title, 137);
        bench.event(&title, EventKind::Die { exit_code: 137 });
        bench.pass(std::time::Duration::from_secs(3));
    }
}

#[test]
fn no_text_in_the_settings_panics_and_each_refusal_has_words() {
    let corpus: Vec<Vec<u8>> = [
        planaria_core::settings::reference(),
        "HEARTBEAT_INTERVAL = 500ms\nDEAD_THRESHOLD: 4\n[timing]\n# x\nLEASE=3".to_owned(),
        "AMQP_URLS = amqp://a:b@c:5672/%2f, amqp://d\nCHUNK_SIZE=64KiB\nCHAOS_FAULTS=kill,pause"
            .to_owned(),
        "ELECTION_CANDIDATES=all\nELECTION_ORDER = lexicographic\nFSYNC=off\nWORKERS=200"
            .to_owned(),
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect();
    // The whole reference has some ten thousand bytes: a piece of it at a time.
    let corpus: Vec<Vec<u8>> = corpus
        .iter()
        .flat_map(|text| text.chunks(700).map(<[u8]>::to_vec))
        .collect();
    fuzz(4, &corpus, |rng, bytes| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let sources = if rng.random_bool(0.8) {
            Sources {
                ini: Some(("config.ini".to_owned(), text)),
                env: Vec::new(),
            }
        } else {
            let (key, value) = text.split_once('=').unwrap_or((&text, ""));
            Sources {
                ini: None,
                env: vec![(format!("PLANARIA_{}", key.trim()), value.to_owned())],
            }
        };
        if let Err(errors) = Settings::parse(&sources) {
            assert!(!errors.to_string().trim().is_empty());
        }
    });
}
