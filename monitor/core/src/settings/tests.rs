use super::*;
use std::time::Duration;

fn ini(text: &str) -> Sources {
    Sources {
        ini: Some(("config.ini".to_owned(), text.to_owned())),
        env: Vec::new(),
    }
}

fn env(pairs: &[(&str, &str)]) -> Sources {
    let env = pairs
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    Sources { ini: None, env }
}

fn errors(sources: &Sources) -> String {
    Settings::parse(sources).unwrap_err().to_string()
}

#[test]
fn defaults_are_readable_consistent_and_documented() {
    let parsed = Settings::parse(&Sources::default()).unwrap();
    assert_eq!(parsed, Settings::default());
    assert_eq!(parsed.heartbeat_timeout, Duration::from_secs(6));
    assert_eq!(parsed.lease, Duration::from_secs(3));
    assert_eq!(parsed.storage_data_dir, std::path::PathBuf::from("/data"));
    for key in KEYS {
        let mut settings = Settings::default();
        (key.set)(&mut settings, key.default).unwrap();
        assert_eq!(settings, Settings::default(), "{}", key.name);
        assert!(
            key.doc.trim().ends_with('.'),
            "{} is documented in sentences",
            key.name
        );
    }
}

#[test]
fn the_reference_file_changes_nothing() {
    assert_eq!(
        Settings::parse(&ini(&reference())).unwrap(),
        Settings::default()
    );
    for key in KEYS {
        let shown = format!("{} = {}", key.name, key.default);
        assert!(
            reference()
                .lines()
                .any(|line| line.trim_start_matches("# ") == shown.trim_end()),
            "{shown}"
        );
    }
}

#[test]
fn both_signs_comments_quotes_and_cases_are_read() {
    let settings = Settings::parse(&ini(
        "\u{feff}; note\r\n[Any]\r\nheartbeat_interval : 500ms ; short\r\nCHAOS_ENABLED=On\r\n\
         CHAOS_EXCLUDE = a, b ,,\r\nCONTAINER_PREFIX = \"pt-\" # test\r\nCHAOS_SEED =\r\n[log] # x\r\nLOG_FORMAT = JSON",
    ))
    .unwrap();
    assert_eq!(settings.heartbeat_interval, Duration::from_millis(500));
    assert!(settings.chaos_enabled);
    assert_eq!(settings.chaos_exclude, ["a", "b"]);
    assert_eq!(settings.container_prefix, "pt-");
    assert_eq!(settings.chaos_seed, None);
    assert_eq!(settings.log_format, LogFormat::Json);
}

#[test]
fn any_two_heartbeat_keys_give_the_third() {
    let cases = [
        ("HEARTBEAT_INTERVAL=1\nDEAD_THRESHOLD=4", 1_000, 4, 4_000),
        ("HEARTBEAT_INTERVAL=1\nHEARTBEAT_TIMEOUT=5", 1_000, 5, 5_000),
        ("DEAD_THRESHOLD=4\nHEARTBEAT_TIMEOUT=2", 500, 4, 2_000),
        ("HEARTBEAT_INTERVAL=1", 1_000, 3, 3_000),
        ("DEAD_THRESHOLD=5", 2_000, 5, 10_000),
        ("HEARTBEAT_TIMEOUT=3", 1_000, 3, 3_000),
        (
            "HEARTBEAT_INTERVAL=2\nDEAD_THRESHOLD=3\nHEARTBEAT_TIMEOUT=6",
            2_000,
            3,
            6_000,
        ),
    ];
    for (text, interval, threshold, timeout) in cases {
        let settings = Settings::parse(&ini(text)).unwrap();
        assert_eq!(
            settings.heartbeat_interval,
            Duration::from_millis(interval),
            "{text}"
        );
        assert_eq!(settings.dead_threshold, threshold, "{text}");
        assert_eq!(
            settings.heartbeat_timeout,
            Duration::from_millis(timeout),
            "{text}"
        );
    }
    let text = errors(&ini(
        "HEARTBEAT_INTERVAL=2\nDEAD_THRESHOLD=3\nHEARTBEAT_TIMEOUT=7",
    ));
    assert_eq!(
        text,
        "config.ini:3: HEARTBEAT_TIMEOUT 7s is not HEARTBEAT_INTERVAL 2s x DEAD_THRESHOLD 3 = 6s; give any two of the three"
    );
    assert!(
        errors(&ini("HEARTBEAT_INTERVAL=2\nHEARTBEAT_TIMEOUT=7")).contains("no whole multiple")
    );
    assert!(errors(&ini("HEARTBEAT_INTERVAL=2\nHEARTBEAT_TIMEOUT=4")).contains("3 or more"));
    assert!(errors(&ini("DEAD_THRESHOLD=0\nHEARTBEAT_TIMEOUT=4")).contains("3 or more"));
}

#[test]
fn all_errors_come_together_with_line_key_and_mend() {
    let text = errors(&Sources {
        ini: Some((
            "config.ini".to_owned(),
            "[timing\nnonsense\nHEARTBEAT_INTERVL = 2\nPAUSE_GRACE = 2x\nPAUSE_GRACE = 5\nHEALERS = 0\nXYZZY=1\n= 3\nFSYNC = \"data"
                .to_owned(),
        )),
        env: vec![
            ("PLANARIA_CHAOS_ENABLE".to_owned(), "true".to_owned()),
            ("PLANARIA_CHAOS_ENABLED".to_owned(), "maybe".to_owned()),
            ("OTHER".to_owned(), "x".to_owned()),
        ],
    });
    let expected = "\
config.ini:1: the section's ']' is missing
config.ini:2: 'nonsense' is neither a section nor KEY = value
config.ini:3: HEARTBEAT_INTERVL is no key; did you mean HEARTBEAT_INTERVAL?
config.ini:4: PAUSE_GRACE is '2x', which is no duration; write 30, 30s, 500ms, 5m or 2h
config.ini:5: PAUSE_GRACE is given a second time (first in line 4); keep one of the two
config.ini:6: HEALERS is 0; write 1 to 200
config.ini:7: XYZZY is no key; remove the line, or see config.ini for the keys there are
config.ini:8: '= 3' has no key before its sign; write KEY = value
config.ini:9: the closing quote is missing
environment: PLANARIA_CHAOS_ENABLE is no setting; did you mean PLANARIA_CHAOS_ENABLED?
environment, PLANARIA_CHAOS_ENABLED: CHAOS_ENABLED is 'maybe', which is no yes or no; write true or false";
    assert_eq!(text, expected);
}

#[test]
fn relations_are_reported_where_somebody_wrote() {
    let cases = [
        ("LEASE = 4", "config.ini:1: LEASE is 4s, but the broker"),
        ("AMQP_HEARTBEAT=1\nLEASE = 3", "config.ini:2: LEASE is 3s"),
        ("AMQP_HEARTBEAT=1.5", "whole seconds"),
        ("LEADER_BEAT_INTERVAL=2", "more than half of LEASE"),
        (
            "AMQP_HEARTBEAT=1",
            "config.ini:1: AMQP_HEARTBEAT makes LEADER_BEAT_INTERVAL wrong, which is 1s",
        ),
        ("WRITE_QUORUM=4", "more than REPLICATION_FACTOR 3"),
        (
            "STORAGE_NODES=2",
            "config.ini:1: STORAGE_NODES makes REPLICATION_FACTOR wrong, which is 3",
        ),
        ("CHUNK_SIZE=1k", "64KiB to 16MiB"),
        ("BACKOFF_MIN=2m", "more than BACKOFF_MAX 1m"),
        ("CHAOS_COOLDOWN=1s", "RESTART_WINDOW / RESTART_LIMIT = 12s"),
        (
            "WORKERS=10",
            "gives plain-1 the port 8090, which WORKER_PORT_BASE gave to worker-10",
        ),
        ("S3_PORT_BASE=65535", "leads to port 65538"),
        ("AMQP_URLS=amqps://x", "asks for TLS"),
        ("AMQP_URLS=http://x", "no amqp:// URL"),
        ("CONTAINER_PREFIX=a b", "may hold letters"),
        ("PROBE_INTERVAL=0", "is 0; write a duration above 0"),
    ];
    for (text, expected) in cases {
        let found = errors(&ini(text));
        assert!(found.contains(expected), "{text}: {found}");
    }
    // A key that could not be read is reported once, not again by its relations.
    assert_eq!(errors(&ini("WRITE_QUORUM = many")).lines().count(), 1);
}

#[test]
fn derived_defaults_follow_what_they_derive_from() {
    let settings = Settings::parse(&ini(
        "AMQP_HEARTBEAT=4\nRESTART_WINDOW=100s\nRESTART_LIMIT=3",
    ))
    .unwrap();
    assert_eq!(settings.lease, Duration::from_secs(6));
    assert_eq!(settings.chaos_cooldown, Duration::from_millis(33_334));
}

#[test]
fn the_environment_wins_and_bare_names_count_only_where_they_may() {
    let mut sources = env(&[
        ("HEARTBEAT_INTERVAL", "1"),
        ("CONTAINER_NAME", "worker-1"),
        ("CHAOS_UNKNOWN", "x"),
    ]);
    let settings = Settings::parse(&sources).unwrap();
    assert_eq!(settings.heartbeat_interval, Duration::from_secs(2));
    assert_eq!(settings.container_name.as_deref(), Some("worker-1"));

    sources
        .env
        .push(("PLANARIA_OWN_IMAGE".to_owned(), "true".to_owned()));
    assert_eq!(
        Settings::parse(&sources).unwrap().heartbeat_interval,
        Duration::from_secs(1)
    );

    sources.env.insert(
        0,
        ("PLANARIA_HEARTBEAT_INTERVAL".to_owned(), "3s".to_owned()),
    );
    sources.ini = Some(("config.ini".to_owned(), "HEARTBEAT_INTERVAL=9".to_owned()));
    assert_eq!(
        Settings::parse(&sources).unwrap().heartbeat_interval,
        Duration::from_secs(3)
    );
    assert_eq!(given(&sources).unwrap()["HEARTBEAT_INTERVAL"], "3s");
    assert!(
        errors(&env(&[("PLANARIA_HEALERS", "x")]))
            .starts_with("environment, PLANARIA_HEALERS: HEALERS is 'x'")
    );
}

#[test]
fn durations_and_sizes_are_exact_and_bounded() {
    let good = [
        ("30", 30_000),
        ("1.5s", 1_500),
        ("500ms", 500),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("0.25 s", 250),
        ("0", 0),
    ];
    for (text, millis) in good {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
        let shown = format_duration(Duration::from_millis(millis));
        assert_eq!(
            parse_duration(&shown),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for text in [
        "",
        "s",
        "-1",
        "1d",
        ".5",
        "1.",
        "1.2.3",
        "9e9",
        "99999999999999999999",
        "18446744073709551615h",
        "600000m",
        "0.00000000000000000000000001",
    ] {
        assert!(parse_duration(text).is_err(), "{text}");
    }
    assert_eq!(Bytes::parse("1MiB"), Ok(Bytes(1 << 20)));
    assert_eq!(Bytes::parse("5 GB"), Ok(Bytes(5_000_000_000)));
    assert!(Bytes::parse("99999999999TiB").is_err());
    assert!(Bytes::parse("1.5MiB").is_err());
}

proptest::proptest! {
    #[test]
    fn nothing_panics_whatever_is_written(text in "\\PC{0,80}", key in 0..KEYS.len(), value in "\\PC{0,30}") {
        let _ = Settings::parse(&ini(&text));
        let _ = Settings::parse(&ini(&format!("{} = {value}", KEYS[key].name)));
        let _ = Settings::parse(&env(&[(&format!("PLANARIA_{}", KEYS[key].name), &value)]));
    }
}
