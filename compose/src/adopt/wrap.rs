//! One service: what it runs, and whether the monitor can be put around it.

use super::image::Image;
use super::{Options, words};
use serde_json::Value;

/// Where the monitor's volume is mounted.
pub(super) const FOLDER: &str = "/planaria";

/// Programs that must be the first process themselves.
const FIRST_PROCESSES: [&str; 6] = [
    "/init",
    "/sbin/init",
    "/usr/sbin/init",
    "/lib/systemd/systemd",
    "/usr/lib/systemd/systemd",
    "/usr/bin/systemd",
];

/// Programs that do what the monitor does as first process; inside it they only need to be told so.
const INITS: [&str; 3] = ["tini", "dumb-init", "docker-init"];

/// What is done with a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// The monitor goes before these words.
    Wrap {
        entrypoint: Vec<String>,
        command: Vec<String>,
        /// What a person should know.
        notes: Vec<String>,
    },
    /// Left as it is, watched from outside.
    Watch { reason: String },
}

fn watch(reason: impl Into<String>) -> Plan {
    Plan::Watch {
        reason: reason.into(),
    }
}

/// A `command` or `entrypoint` of a compose file: text is cut into words, a list is taken as it is.
fn given(value: &Value) -> Result<Option<Vec<String>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => words::split(&unescaped(text))
            .map(Some)
            .ok_or_else(|| format!("a quote is not closed in {text:?}")),
        Value::Array(items) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Ok(unescaped(text)),
                Value::Number(number) => Ok(number.to_string()),
                other => Err(format!("{other} is no word of a command")),
            })
            .collect::<Result<_, _>>()
            .map(Some),
        other => Err(format!("{other} is no command")),
    }
}

/// Compose writes a `$` that it shall not expand twice.
fn unescaped(text: &str) -> String {
    text.replace("$$", "$")
}

/// Decides.
pub(super) fn plan(service: &Value, image: &Image, options: &Options) -> Plan {
    if image.os != "linux" {
        return watch(format!("its image is for {}", image.os));
    }
    if image.architecture != options.architecture {
        return watch(format!(
            "its image is for {}, the monitor for {}",
            image.architecture, options.architecture
        ));
    }
    let (own_entrypoint, own_command) =
        match (given(&service["entrypoint"]), given(&service["command"])) {
            (Ok(entrypoint), Ok(command)) => (entrypoint, command),
            (Err(reason), _) | (_, Err(reason)) => return watch(reason),
        };
    // As the engine does it: whoever gives an entrypoint drops the image's command too.
    let command = match (&own_entrypoint, own_command) {
        (_, Some(command)) => command,
        (Some(_), None) => Vec::new(),
        (None, None) => image.command.clone(),
    };
    let entrypoint = own_entrypoint.unwrap_or_else(|| image.entrypoint.clone());
    let Some(program) = entrypoint.first().or(command.first()) else {
        return watch("neither it nor its image says what to run");
    };
    if FIRST_PROCESSES.contains(&program.as_str()) {
        return watch(format!("{program} must be the first process itself"));
    }
    let mounts = service["volumes"].as_array();
    let taken = mounts.into_iter().flatten().any(|mount| {
        let target = mount["target"]
            .as_str()
            .or_else(|| mount.as_str()?.split(':').nth(1));
        target.is_some_and(|target| target.trim_end_matches('/') == FOLDER)
    });
    if taken {
        return watch(format!("it has a mount at {FOLDER} already"));
    }
    let mut notes = Vec::new();
    let name = program.rsplit('/').next().unwrap_or(program);
    if INITS.contains(&name) {
        notes.push(format!("its own {name} stays, as a child of the monitor"));
    }
    if drops_kill(service) {
        notes.push(
            "it may not send signals to other users' processes (cap_drop): a program that changes its user can't be \
             ended by the monitor; cap_add: [KILL] mends that"
                .into(),
        );
    }
    Plan::Wrap {
        entrypoint,
        command,
        notes,
    }
}

fn drops_kill(service: &Value) -> bool {
    let has = |key: &str, names: &[&str]| {
        let list = service[key].as_array();
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .any(|name| {
                let upper = name.to_ascii_uppercase();
                names.contains(&upper.trim_start_matches("CAP_"))
            })
    };
    has("cap_drop", &["ALL", "KILL"]) && !has("cap_add", &["ALL", "KILL"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image(entrypoint: &[&str], command: &[&str]) -> Image {
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
        Image {
            os: "linux".into(),
            architecture: "amd64".into(),
            entrypoint: words(entrypoint),
            command: words(command),
            id: String::new(),
        }
    }

    fn planned(service: &Value, image: &Image) -> Plan {
        plan(service, image, &Options::default())
    }

    fn wrapped(service: &Value, image: &Image) -> (Vec<String>, Vec<String>) {
        match planned(service, image) {
            Plan::Wrap {
                entrypoint,
                command,
                ..
            } => (entrypoint, command),
            Plan::Watch { reason } => panic!("{reason}"),
        }
    }

    #[test]
    fn what_runs_is_what_the_engine_would_run() {
        let of_image = image(&["/entry.sh"], &["serve", "-p 1"]);
        let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        for (service, entrypoint, command) in [
            (json!({}), &["/entry.sh"][..], &["serve", "-p 1"][..]),
            (json!({"command": "a 'b c'"}), &["/entry.sh"], &["a", "b c"]),
            (json!({"command": []}), &["/entry.sh"], &[]),
            (json!({"entrypoint": "x -y"}), &["x", "-y"], &[]),
            (
                json!({"entrypoint": ["x"], "command": ["$$HOME", 1]}),
                &["x"],
                &["$HOME", "1"],
            ),
            (
                json!({"entrypoint": [], "command": "only this"}),
                &[],
                &["only", "this"],
            ),
        ] {
            let expected = (words(entrypoint), words(command));
            assert_eq!(wrapped(&service, &of_image), expected, "{service}");
        }
    }

    #[test]
    fn what_cannot_be_wrapped_is_said() {
        let plain = image(&[], &["run"]);
        let mut windows = plain.clone();
        windows.os = "windows".into();
        let mut arm = plain.clone();
        arm.architecture = "arm64".into();
        for (service, image, says) in [
            (json!({}), windows, "windows"),
            (json!({}), arm, "arm64"),
            (json!({}), image(&[], &[]), "what to run"),
            (json!({}), image(&["/init"], &[]), "first process"),
            (json!({"command": "a 'b"}), plain.clone(), "quote"),
            (json!({"command": {"a": 1}}), plain.clone(), "no command"),
            (
                json!({"volumes": ["/x:/planaria/"]}),
                plain.clone(),
                "/planaria already",
            ),
            (
                json!({"volumes": [{"target": "/planaria"}]}),
                plain,
                "/planaria already",
            ),
        ] {
            let Plan::Watch { reason } = planned(&service, &image) else {
                panic!("{service} is wrapped");
            };
            assert!(reason.contains(says), "{reason}");
        }
    }

    #[test]
    fn what_a_person_should_know_is_noted() {
        let tini = image(&["/usr/bin/tini", "--", "x"], &[]);
        let service = json!({"cap_drop": ["ALL"]});
        let Plan::Wrap { notes, .. } = planned(&service, &tini) else {
            panic!("left to watch");
        };
        assert!(notes.len() == 2 && notes[0].contains("tini") && notes[1].contains("KILL"));
        let kept = json!({"cap_drop": ["ALL"], "cap_add": ["CAP_KILL"]});
        assert!(
            matches!(planned(&kept, &image(&[], &["x"])), Plan::Wrap { notes, .. } if notes.is_empty())
        );
    }
}
