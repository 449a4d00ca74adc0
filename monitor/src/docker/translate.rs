//! From the client library's words into ours.

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum, EventMessage, EventMessageTypeEnum,
    HealthStatusEnum, RestartPolicyNameEnum,
};
use planaria_core::engine::{
    Attachment, Container, ContainerState, EngineEvent, EventKind, Health, RestartPolicy,
};
use planaria_core::id::{ContainerId, MemberName};
use std::time::Duration;

/// What the engine does where the container says nothing.
const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);
const SIGTERM: i32 = 15;
/// The engine's zero time: never.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The engine's `inspect` in our words; `None` where it has neither id nor state.
pub(super) fn container(found: ContainerInspectResponse) -> Option<Container> {
    let state = found.state?;
    let config = found.config.unwrap_or_default();
    let host = found.host_config.unwrap_or_default();
    let network_mode = host.network_mode.unwrap_or_default();
    let networks = found
        .network_settings
        .and_then(|settings| settings.networks)
        .unwrap_or_default()
        .into_iter()
        .map(|(network, endpoint)| Attachment {
            network,
            aliases: endpoint.aliases.unwrap_or_default(),
            address: endpoint
                .ipam_config
                .and_then(|fixed| fixed.ipv4_address)
                .filter(|address| !address.is_empty()),
        })
        .collect();
    Some(Container {
        id: ContainerId(found.id?),
        name: found
            .name
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        member: config.env.as_deref().and_then(member_name),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        state: state_word(state.status?)?,
        started_at: time(state.started_at),
        finished_at: time(state.finished_at),
        exit_code: state.exit_code.unwrap_or(0),
        oom_killed: state.oom_killed.unwrap_or(false),
        error: state.error.unwrap_or_default(),
        restart_policy: policy(host.restart_policy),
        health: state.health.and_then(|health| verdict(&health)),
        stop_signal: config.stop_signal.as_deref().map_or(SIGTERM, signal_number),
        stop_timeout: config
            .stop_timeout
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(DEFAULT_STOP_TIMEOUT, Duration::from_secs),
        network_mode,
        networks,
        process_state: None,
    })
}

fn member_name(env: &[String]) -> Option<MemberName> {
    env.iter()
        .find_map(|line| line.strip_prefix("CONTAINER_NAME="))
        .and_then(|name| MemberName::new(name).ok())
}

fn time(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text != NEVER)
}

fn state_word(status: ContainerStateStatusEnum) -> Option<ContainerState> {
    Some(match status {
        ContainerStateStatusEnum::CREATED => ContainerState::Created,
        ContainerStateStatusEnum::RUNNING => ContainerState::Running,
        ContainerStateStatusEnum::PAUSED => ContainerState::Paused,
        ContainerStateStatusEnum::RESTARTING => ContainerState::Restarting,
        ContainerStateStatusEnum::REMOVING => ContainerState::Removing,
        ContainerStateStatusEnum::EXITED => ContainerState::Exited,
        ContainerStateStatusEnum::DEAD => ContainerState::Dead,
        _ => return None,
    })
}

fn policy(policy: Option<bollard::models::RestartPolicy>) -> RestartPolicy {
    let Some(policy) = policy else {
        return RestartPolicy::No;
    };
    match policy.name {
        Some(RestartPolicyNameEnum::ALWAYS) => RestartPolicy::Always,
        Some(RestartPolicyNameEnum::UNLESS_STOPPED) => RestartPolicy::UnlessStopped,
        Some(RestartPolicyNameEnum::ON_FAILURE) => {
            let limit = policy.maximum_retry_count.unwrap_or(0);
            RestartPolicy::OnFailure(u32::try_from(limit).unwrap_or(0))
        }
        _ => RestartPolicy::No,
    }
}

/// The engine writes "unhealthy" into every container whose checks it suspends (a pause, an end), and
/// that word stays until the next check after the thaw. No check failed then: the streak tells.
fn verdict(health: &bollard::models::Health) -> Option<Health> {
    match health.status? {
        HealthStatusEnum::STARTING => Some(Health::Starting),
        HealthStatusEnum::HEALTHY => Some(Health::Healthy),
        HealthStatusEnum::UNHEALTHY if health.failing_streak == Some(0) => Some(Health::Starting),
        HealthStatusEnum::UNHEALTHY => Some(Health::Unhealthy),
        _ => None,
    }
}

/// `SIGQUIT`, `quit`, `3` → 3, as the engine reads them; what it would not understand is SIGTERM.
pub(super) fn signal_number(name: &str) -> i32 {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
        "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
        "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    /// The kernel's first real-time signal; the C library keeps two for itself and says 34.
    const RTMIN: i32 = 34;
    const RTMAX: i32 = 64;
    if let Ok(number) = name.parse::<i32>() {
        return if (1..=RTMAX).contains(&number) {
            number
        } else {
            SIGTERM
        };
    }
    let name = name.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return i32::try_from(at).map_or(SIGTERM, |at| at + 1);
    }
    let real_time = |base: i32, rest: &str| match rest {
        "" => Some(base),
        rest => rest.parse::<i32>().ok().map(|offset| base + offset),
    };
    let number = name
        .strip_prefix("RTMIN")
        .and_then(|rest| real_time(RTMIN, rest))
        .or_else(|| {
            name.strip_prefix("RTMAX")
                .and_then(|rest| real_time(RTMAX, rest))
        });
    number
        .filter(|number| (RTMIN..=RTMAX).contains(number))
        .unwrap_or(SIGTERM)
}

/// One event in our words; `None` for those that are nobody's concern here.
pub(super) fn event(message: EventMessage) -> Option<EngineEvent> {
    let actor = message.actor?;
    let attributes = actor.attributes.unwrap_or_default();
    let attribute = |key: &str| attributes.get(key).cloned().unwrap_or_default();
    let action = message.action?;
    let at = message.time_nano.unwrap_or(0);
    if message.typ == Some(EventMessageTypeEnum::NETWORK) {
        let network = attribute("name");
        let kind = match action.as_str() {
            "disconnect" => EventKind::Disconnect { network },
            "connect" => EventKind::Connect { network },
            _ => return None,
        };
        let container = ContainerId(attribute("container"));
        return (!container.0.is_empty()).then(|| EngineEvent {
            at,
            container,
            name: String::new(),
            kind,
        });
    }
    if message.typ != Some(EventMessageTypeEnum::CONTAINER) {
        return None;
    }
    let kind = match action.as_str() {
        "create" => EventKind::Create,
        "start" => EventKind::Start,
        "kill" => EventKind::Kill {
            signal: signal_number(&attribute("signal")),
        },
        "die" => EventKind::Die {
            exit_code: attribute("exitCode").parse().unwrap_or(-1),
        },
        "stop" => EventKind::Stop,
        "pause" => EventKind::Pause,
        "unpause" => EventKind::Unpause,
        "oom" => EventKind::Oom,
        "destroy" => EventKind::Destroy,
        "rename" => EventKind::Rename,
        other => match other.strip_prefix("health_status: ")? {
            "healthy" => EventKind::Health(Health::Healthy),
            "unhealthy" => EventKind::Health(Health::Unhealthy),
            "starting" => EventKind::Health(Health::Starting),
            _ => return None,
        },
    };
    Some(EngineEvent {
        at,
        container: ContainerId(actor.id?),
        name: attribute("name"),
        kind,
    })
}

/// Nanoseconds since 1970 of the engine's own time stamp (RFC 3339, UTC or with an offset).
pub(crate) fn nanoseconds(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let zone_at = clock.find(['Z', '+', '-'])?;
    let (clock, zone) = clock.split_at(zone_at);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = whole.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (
        parts.next()?.ok()?,
        parts.next()?.ok()?,
        parts.next()?.ok()?,
    );
    let digits: String = format!("{fraction:0<9}").chars().take(9).collect();
    let nanos: i64 = digits.parse().ok()?;
    let offset = match zone {
        "Z" => 0,
        zone => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let span = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if zone.starts_with('-') { -span } else { span }
        }
    };
    if !(1970..2262).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days of the civil calendar since 1970 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted / 400;
    let of_era = shifted - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::EventActor;
    use std::collections::HashMap;

    #[test]
    fn signals_are_read_as_the_engine_reads_them() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("quit", 3),
            ("9", 9),
            ("SIGRTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("SIGWINCH", 28),
            ("nonsense", 15),
            ("0", 15),
            ("", 15),
            ("SIGRTMIN+99", 15),
        ] {
            assert_eq!(signal_number(text), number, "{text}");
        }
    }

    #[test]
    fn time_stamps_become_nanoseconds() {
        assert_eq!(nanoseconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            nanoseconds("2026-11-21T13:04:09.5Z"),
            Some(1_795_266_249_500_000_000)
        );
        assert_eq!(
            nanoseconds("2024-02-29T01:00:00.000000001+01:00"),
            Some(1_709_164_800_000_000_001)
        );
        for bad in [
            "",
            "yesterday",
            "2026-13-01T00:00:00Z",
            "2026-01-01T",
            "2026-01-01T00:00:00",
        ] {
            assert_eq!(nanoseconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn unhealthy_without_a_failed_check_is_no_verdict() {
        let health = |streak| bollard::models::Health {
            status: Some(HealthStatusEnum::UNHEALTHY),
            failing_streak: streak,
            log: None,
        };
        assert_eq!(verdict(&health(Some(0))), Some(Health::Starting));
        assert_eq!(verdict(&health(Some(3))), Some(Health::Unhealthy));
        assert_eq!(verdict(&health(None)), Some(Health::Unhealthy));
    }

    fn message(
        typ: EventMessageTypeEnum,
        action: &str,
        attributes: &[(&str, &str)],
    ) -> EventMessage {
        EventMessage {
            typ: Some(typ),
            action: Some(action.to_owned()),
            actor: Some(EventActor {
                id: Some("abc".to_owned()),
                attributes: Some(
                    attributes
                        .iter()
                        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                        .collect::<HashMap<_, _>>(),
                ),
            }),
            time_nano: Some(7),
            ..EventMessage::default()
        }
    }

    #[test]
    fn events_become_ours() {
        let kind = |action: &str, attributes: &[(&str, &str)]| {
            event(message(EventMessageTypeEnum::CONTAINER, action, attributes)).map(|it| it.kind)
        };
        assert_eq!(
            kind("die", &[("exitCode", "137")]),
            Some(EventKind::Die { exit_code: 137 })
        );
        assert_eq!(
            kind("kill", &[("signal", "9")]),
            Some(EventKind::Kill { signal: 9 })
        );
        assert_eq!(
            kind("health_status: unhealthy", &[]),
            Some(EventKind::Health(Health::Unhealthy))
        );
        assert_eq!(kind("exec_start: /bin/sh", &[]), None);
        let cut = event(message(
            EventMessageTypeEnum::NETWORK,
            "disconnect",
            &[("container", "c1"), ("name", "net")],
        ));
        assert_eq!(
            cut.map(|it| (it.container, it.kind)),
            Some((
                ContainerId("c1".into()),
                EventKind::Disconnect {
                    network: "net".into()
                }
            ))
        );
        assert_eq!(event(EventMessage::default()), None);
    }

    #[test]
    fn an_inspection_without_a_state_is_nothing() {
        assert!(container(ContainerInspectResponse::default()).is_none());
    }
}
