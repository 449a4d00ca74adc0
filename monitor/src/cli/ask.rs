//! What a person asks of the leader: signed with the operator key, handed to the monitor in this
//! container, which passes it on.

use super::{config_error, exit, local, show};
use crate::config;
use crate::http;
use crate::identity;
use clap::Args;
use planaria_core::codec::Codec;
use planaria_core::id::{MemberName, RequestId};
use planaria_core::message::{Body, Envelope, KeyRole, MemberState, MemberView, Outcome, Verb};
use planaria_core::settings::{Settings, parse_duration};
use std::time::Duration;

/// Longer than the monitor itself waits for the leader.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(12);

/// How the answer is shown.
#[derive(Debug, Args)]
pub(super) struct PlainArgs {
    /// Print the answer as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// The container, by its name.
    name: String,
    #[command(flatten)]
    plain: PlainArgs,
}

#[derive(Debug, Args)]
pub(super) struct HealArgs {
    /// The container, by its name.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    name: Option<String>,
    /// Everyone who is dead, in quarantine, or expected and never heard, one after another.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    plain: PlainArgs,
}

#[derive(Debug, Args)]
pub(super) struct FenceArgs {
    #[command(flatten)]
    whom: NameArgs,
    /// Why, for those who look at it later.
    #[arg(long, default_value = "")]
    reason: String,
}

#[derive(Debug, Args)]
pub(super) struct NamesArgs {
    /// The containers, by their names.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    names: Vec<String>,
    /// All of them.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    plain: PlainArgs,
}

#[derive(Debug, Args)]
pub(super) struct HoldArgs {
    #[command(flatten)]
    whom: NamesArgs,
    /// For how long; it ends by itself.
    #[arg(long = "for", value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    span: Duration,
    /// Why, for those who look at it later.
    #[arg(long, default_value = "")]
    reason: String,
}

pub(super) fn heal(settings: &Settings, args: HealArgs) -> u8 {
    if let Some(name) = args.name {
        let plain = args.plain;
        return one(settings, NameArgs { name, plain }, |name| Verb::Heal {
            name,
        });
    }
    let status = match show::ask_for_status(&local(settings)) {
        Ok((_, status)) => status,
        Err(code) => return code,
    };
    let down = down(&status.members);
    if down.is_empty() && !args.plain.json {
        println!("Nobody is down.");
    }
    // The first refusal's code is told, after all were asked.
    down.into_iter().fold(exit::OK, |code, name| {
        let one = ask(settings, Verb::Heal { name }, &args.plain);
        if code == exit::OK { one } else { code }
    })
}

/// Those whom a person means by everyone who is down; who was stopped on purpose has left and is none of them.
fn down(members: &[MemberView]) -> Vec<MemberName> {
    members
        .iter()
        .filter(|member| {
            matches!(
                member.state,
                MemberState::Dead | MemberState::Quarantined | MemberState::Expected
            )
        })
        .map(|member| member.name.clone())
        .collect()
}

pub(super) fn release(settings: &Settings, args: NameArgs) -> u8 {
    one(settings, args, |name| Verb::Release { name })
}

pub(super) fn fence(settings: &Settings, args: FenceArgs) -> u8 {
    let reason = args.reason;
    one(settings, args.whom, |name| Verb::Fence { name, reason })
}

pub(super) fn elect(settings: &Settings, args: &PlainArgs) -> u8 {
    ask(settings, Verb::Elect, args)
}

pub(super) fn hold(settings: &Settings, args: HoldArgs) -> u8 {
    let (for_s, reason) = (args.span.as_secs(), args.reason);
    several(settings, args.whom, |names| Verb::Hold {
        names,
        for_s,
        reason,
    })
}

pub(super) fn resume(settings: &Settings, args: NamesArgs) -> u8 {
    several(settings, args, |names| Verb::Resume { names })
}

fn one(settings: &Settings, args: NameArgs, verb: impl FnOnce(MemberName) -> Verb) -> u8 {
    match MemberName::new(args.name) {
        Ok(name) => ask(settings, verb(name), &args.plain),
        Err(error) => {
            eprintln!("monitor: {error}");
            exit::FAILURE
        }
    }
}

fn several(settings: &Settings, args: NamesArgs, verb: impl FnOnce(Vec<MemberName>) -> Verb) -> u8 {
    let names: Result<Vec<_>, _> = args.names.into_iter().map(MemberName::new).collect();
    match names {
        Ok(names) => ask(settings, verb(names), &args.plain),
        Err(error) => {
            eprintln!("monitor: {error}");
            exit::FAILURE
        }
    }
}

fn ask(settings: &Settings, verb: Verb, args: &PlainArgs) -> u8 {
    let keys = match config::keys(settings) {
        Ok(keys) => keys,
        Err(error) => return config_error(&error),
    };
    if !keys.holds(KeyRole::Operator) {
        eprintln!(
            "monitor: this container holds no operator key (OPERATOR_SECRET_FILE); ask a healer: docker exec healer-1 monitor {}",
            name_of(&verb)
        );
        return exit::NO_PERMISSION;
    }
    let from = match identity::name(settings) {
        Ok(name) => name,
        Err(error) => return config_error(&error),
    };
    let envelope = Envelope {
        cluster: settings.cluster_name.clone(),
        from,
        boot: identity::boot(),
        seq: 1,
        body: Body::Request {
            id: RequestId(format!("{:016x}", rand::random::<u64>())),
            verb,
        },
    };
    let payload = match Codec::new(keys).encode(&envelope) {
        Ok(payload) => payload,
        Err(error) => {
            eprintln!("monitor: {error}");
            return exit::FAILURE;
        }
    };
    let address = local(settings);
    match http::request("POST", &address, "/request", &payload, ANSWER_TIMEOUT) {
        Ok(got) => answer(got.status, &got.body, args),
        Err(error) => {
            eprintln!("monitor: no monitor answers at {address}: {error}");
            exit::UNAVAILABLE
        }
    }
}

fn name_of(verb: &Verb) -> String {
    let value = serde_json::to_value(verb).unwrap_or_default();
    value["verb"].as_str().unwrap_or("--help").to_owned()
}

fn answer(status: u16, body: &[u8], args: &PlainArgs) -> u8 {
    let Ok(outcome) = serde_json::from_slice::<Outcome>(body) else {
        eprintln!("monitor: an answer that is not understood (HTTP {status})");
        return exit::FAILURE;
    };
    if args.json {
        println!("{}", String::from_utf8_lossy(body));
    } else if outcome.accepted {
        println!("{}", outcome.text);
    } else {
        eprintln!("monitor: {}", outcome.text);
    }
    match (outcome.accepted, status) {
        (true, _) => exit::OK,
        (false, 403) => exit::NO_PERMISSION,
        (false, 503 | 504) => exit::TRY_AGAIN,
        (false, _) => exit::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_named_as_on_the_command_line() {
        assert_eq!(name_of(&Verb::Elect), "elect");
        let name = MemberName::new("worker-1").unwrap();
        assert_eq!(name_of(&Verb::Heal { name }), "heal");
    }

    #[test]
    fn answers_become_exit_codes() {
        let args = PlainArgs { json: true };
        let yes = br#"{"accepted":true,"text":"done"}"#;
        let no = br#"{"accepted":false,"text":"no"}"#;
        assert_eq!(answer(200, yes, &args), exit::OK);
        assert_eq!(answer(200, no, &args), exit::FAILURE);
        assert_eq!(answer(403, no, &args), exit::NO_PERMISSION);
        assert_eq!(answer(504, no, &args), exit::TRY_AGAIN);
        assert_eq!(answer(200, b"<html>", &args), exit::FAILURE);
    }
}
