use super::*;
use planaria_core::engine::EngineReply;
use planaria_core::id::{CallId, ChannelId, HostId, MemberName, RequestId};
use planaria_core::message::{Body, Envelope, Heartbeat, Verb};
use planaria_core::node::Role;
use planaria_core::settings::Settings;
use replay::Mismatch;
use std::time::Duration;

fn name(name: &str) -> MemberName {
    MemberName::new(name).unwrap()
}

fn beginning() -> Beginning {
    let settings = Settings::default();
    Beginning {
        config: NodeConfig::from_settings(&settings, name("healer-1"), None, Role::Healer),
        boot: BootId(u64::MAX - 5),
        saved: Some(Saved {
            version: 1,
            term: 6,
            ..Saved::default()
        }),
        seed: u64::MAX,
        start: Instant(1_000_000_007),
    }
}

/// A healer that comes to office, hears a member, loses it, is asked something, and ends.
fn flight() -> (String, Vec<Vec<Effect>>) {
    let beginning = beginning();
    let mut recorder = Recorder::begin(Vec::new(), &beginning).unwrap();
    let cluster = beginning.config.cluster.clone();
    let mut now = beginning.start;
    let mut node = beginning.node();
    let mut all = Vec::new();
    let heartbeat = |seq| {
        Input::Message(Envelope {
            cluster: cluster.clone(),
            from: name("worker-1"),
            boot: BootId(77),
            seq,
            body: Body::Heartbeat(Heartbeat::default()),
        })
    };
    let channel = ChannelId(1);
    // A candidate asks for the token after a lease of silence.
    let silence = (0..40).map(|_| Input::Tick);
    let office = [
        Input::TokenGranted { channel },
        Input::HeartbeatsBound,
        heartbeat(1),
        Input::BeatReturned { channel, number: 1 },
        heartbeat(2),
        Input::Request {
            id: RequestId("r".into()),
            verb: Verb::Heal {
                name: name("worker-1"),
            },
        },
    ];
    let connected = [
        Input::EngineConnected {
            host: HostId("engine".into()),
            since: 5,
        },
        Input::EngineReply {
            call: CallId(1),
            result: Ok(EngineReply::Containers(Vec::new())),
        },
        Input::BrokerConnected,
    ];
    let end = [Input::TokenLost { channel }, Input::Shutdown];
    let inputs = connected
        .into_iter()
        .chain(silence.clone())
        .chain(office)
        .chain(silence)
        .chain(end);
    for input in inputs {
        now = node
            .next_deadline()
            .filter(|_| input == Input::Tick)
            .unwrap_or(now + Duration::from_millis(3))
            .max(now);
        recorder.input(now, &input).unwrap();
        let effects = node.handle(now, input);
        recorder.effects(&effects).unwrap();
        all.push(effects);
    }
    (String::from_utf8(recorder.out.out).unwrap(), all)
}

#[test]
fn a_recording_replays_to_the_very_effects() {
    let (text, recorded) = flight();
    let mut replayed = Vec::new();
    let result = replay(&text, |step| replayed.push(step.effects)).unwrap();
    assert_eq!(replayed, recorded);
    assert_eq!(result.inputs, recorded.len());
    assert!(!result.torn);
    let beats = |effect: &Effect| matches!(effect, Effect::PublishBeat { .. });
    assert!(recorded.iter().flatten().any(beats), "it was in office");
}

#[test]
fn a_changed_line_is_found_and_named() {
    let (text, _) = flight();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let granted = "{\"token_granted\":{\"channel\":1}}";
    let at = lines
        .iter()
        .position(|line| line.contains(granted))
        .unwrap();
    lines[at] = lines[at].replace(granted, "\"tick\"");
    let changed = lines.join("\n") + "\n";
    assert_ne!(changed, text);
    let mut steps = 0;
    let error = replay(&changed, |_| steps += 1).unwrap_err();
    assert!(
        matches!(error, Mismatch::Differs { line, .. } if line == at + 1),
        "{error}"
    );
    assert_eq!(steps, at, "it ends there");
}

#[test]
fn rubbish_and_a_torn_end_are_told_apart() {
    let (text, recorded) = flight();
    let torn = replay(&text[..text.len() - 9], |_| ()).unwrap();
    assert!(torn.torn);
    assert_eq!(torn.inputs, recorded.len() - 1);
    for rubbish in ["", "{}", "\u{0}\n\n", "{\"planaria_recording\":1}\n"] {
        let error = replay(rubbish, |_| ()).unwrap_err();
        assert!(matches!(error, Mismatch::NoHeader(_)), "{rubbish}: {error}");
    }
    let other = text.replacen("\"planaria_recording\":1", "\"planaria_recording\":2", 1);
    let error = replay(&other, |_| ()).unwrap_err();
    assert!(error.to_string().contains("layout is 2"), "{error}");
    let holed = text.replacen('\n', "\n{\"at\":1}\n", 1);
    let error = replay(&holed, |_| ()).unwrap_err();
    assert!(
        matches!(error, Mismatch::NoRecord { line: 2, .. }),
        "{error}"
    );
    let back = text.replacen("{\"at\":1", "{\"at\":0", 1);
    assert!(replay(&back, |_| ()).is_err());
}

#[test]
fn it_stops_at_its_bound_and_the_boot_before_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut flight = Flight::start(folder.path(), &beginning());
    let mut node = beginning().node();
    let input = Input::BrokerDisconnected {
        reason: "x".repeat(100_000),
    };
    for step in 0..60 {
        let now = beginning().start + Duration::from_secs(step);
        flight.input(now, &input);
        flight.effects(&node.handle(now, input.clone()));
    }
    assert!(flight.recorder.is_none(), "it stopped");
    let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
    assert!(text.len() as u64 >= RECORDING_MAX && text.len() < 2_300_000);
    let whole = replay(&text, |_| ()).unwrap();
    assert!(!whole.torn && whole.inputs < 60);
    drop(Flight::start(folder.path(), &beginning()));
    let before = std::fs::read_to_string(folder.path().join(FILE_BEFORE)).unwrap();
    assert_eq!(before, text);
    let nowhere = Flight::start(&folder.path().join("missing"), &beginning());
    assert!(nowhere.recorder.is_none());
}
