//! Probes for programs that say nothing of themselves: what is asked, and when.

use crate::http;
use planaria_core::settings::{format_duration, parse_duration};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// Does it take a connection?
    Tcp(String),
    /// Does it answer 2xx or 3xx?
    Http(String, String),
    /// Does this program end with 0? Split at white space; no shell.
    Exec(Vec<String>),
    /// Was this file written to, or touched, within the time?
    FileAge(PathBuf, Duration),
}

impl FromStr for Probe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no probe: use tcp:6379, http://:80/health, exec:program arguments or file-age:30s:/path"
            )
        };
        if text.starts_with("http://") {
            let (address, path) = http::split_url(text).ok_or_else(wrong)?;
            return Ok(Self::Http(address, path));
        }
        if let Some(address) = text.strip_prefix("tcp:") {
            let address = address.trim_start_matches('/');
            return http::with_host(address, None)
                .map(Self::Tcp)
                .ok_or_else(wrong);
        }
        if let Some(rest) = text.strip_prefix("file-age:") {
            let (age, path) = rest.split_once(':').ok_or_else(wrong)?;
            let age = parse_duration(age).map_err(|_| wrong())?;
            if age.is_zero() || !path.starts_with('/') {
                return Err(wrong());
            }
            return Ok(Self::FileAge(path.into(), age));
        }
        let program = text.strip_prefix("exec:").ok_or_else(wrong)?;
        let words: Vec<String> = program.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(wrong());
        }
        Ok(Self::Exec(words))
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "tcp:{address}"),
            Self::Http(address, path) => write!(out, "http://{address}{path}"),
            Self::Exec(words) => write!(out, "exec:{}", words.join(" ")),
            Self::FileAge(path, age) => {
                write!(out, "file-age:{}:{}", format_duration(*age), path.display())
            }
        }
    }
}

/// What a probe's answer is good for, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    /// The others wait until it has passed; where it does not, the program is ended.
    Startup,
    /// Says what `/readyz` answers, no more.
    Readiness,
    /// Where it fails, the program is ended.
    Liveness,
    /// Readiness and liveness in one.
    Both,
}

impl Duty {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Readiness => "readiness",
            Self::Liveness => "liveness",
            Self::Both => "probe",
        }
    }

    pub(super) fn ends(self) -> bool {
        self != Self::Readiness
    }

    pub(super) fn is_shown(self) -> bool {
        matches!(self, Self::Readiness | Self::Both | Self::Startup)
    }
}

/// How often, how long, how many times. The defaults are Kubernetes' own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    pub(crate) failure_threshold: u32,
    pub(crate) success_threshold: u32,
    /// Failures before the first success do not count for so long.
    pub(crate) start_period: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            initial_delay: Duration::ZERO,
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            failure_threshold: 3,
            success_threshold: 1,
            start_period: Duration::ZERO,
        }
    }
}

/// A probe with its times: `periodSeconds=5,failureThreshold=3,http://:80/healthz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timed {
    pub(crate) probe: Probe,
    pub(crate) timing: Timing,
}

impl FromStr for Timed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut timing = Timing::default();
        let mut rest = text;
        while let Some((option, after)) = rest.split_once(',')
            && let Some((name, value)) = option.split_once('=')
            && !name.contains(':')
        {
            set(&mut timing, name.trim(), value.trim())?;
            rest = after;
        }
        Ok(Self {
            probe: rest.parse()?,
            timing,
        })
    }
}

fn set(timing: &mut Timing, name: &str, value: &str) -> Result<(), String> {
    let span = || parse_duration(value).map_err(|_| format!("{name}={value}: no duration"));
    let positive = || match span()? {
        Duration::ZERO => Err(format!("{name}={value}: must be more than 0")),
        span => Ok(span),
    };
    let count = || match value.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("{name}={value}: use a whole number from 1 on")),
    };
    match name {
        "initialDelaySeconds" => timing.initial_delay = span()?,
        "periodSeconds" => timing.period = positive()?,
        "timeoutSeconds" => timing.timeout = positive()?,
        "failureThreshold" => timing.failure_threshold = count()?,
        "successThreshold" => timing.success_threshold = count()?,
        _ => {
            return Err(format!(
                "{name} is no option of a probe; use initialDelaySeconds, periodSeconds, timeoutSeconds, \
                 failureThreshold or successThreshold"
            ));
        }
    }
    Ok(())
}

/// Asks once. A program is not asked here: that needs somebody who reaps it.
pub(crate) fn ask(probe: &Probe, within: Duration) -> Result<(), String> {
    match probe {
        Probe::Tcp(address) => http::connect(address, within)
            .map(drop)
            .map_err(|error| error.to_string()),
        Probe::Http(address, path) => match http::status(address, path, within) {
            Ok(200..400) => Ok(()),
            Ok(status) => Err(format!("HTTP {status}")),
            Err(error) => Err(error.to_string()),
        },
        Probe::FileAge(path, most) => {
            let modified = std::fs::metadata(path).and_then(|data| data.modified());
            let modified = modified.map_err(|error| format!("{}: {error}", path.display()))?;
            // A file from the future is young: clocks step.
            let age = SystemTime::now().duration_since(modified);
            match age.unwrap_or_default() {
                age if age <= *most => Ok(()),
                age => Err(format!("it is {} s old", age.as_secs())),
            }
        }
        Probe::Exec(_) => Err("a program needs a reaper".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_read() {
        assert_eq!("tcp:6379".parse(), Ok(Probe::Tcp("127.0.0.1:6379".into())));
        assert_eq!(
            "http://:80/health".parse(),
            Ok(Probe::Http("127.0.0.1:80".into(), "/health".into()))
        );
        assert_eq!(
            "exec:redis-cli ping".parse(),
            Ok(Probe::Exec(vec!["redis-cli".into(), "ping".into()]))
        );
        for bad in [
            "",
            "tcp:",
            "tcp:host",
            "exec:",
            "exec:  ",
            "https://x",
            "udp:1",
            "http://a b/",
            "file-age:/x",
            "file-age:0:/x",
            "file-age:5s:relative",
        ] {
            let parsed: Result<Probe, _> = bad.parse();
            assert!(parsed.is_err(), "{bad}");
        }
    }

    #[test]
    fn times_stand_before_the_probe_in_kubernetes_words() {
        let timed: Timed = "initialDelaySeconds=2,periodSeconds=500ms,timeoutSeconds=3,failureThreshold=4,successThreshold=5,exec:a b=c,d"
            .parse()
            .unwrap();
        assert_eq!(timed.probe, Probe::Exec(vec!["a".into(), "b=c,d".into()]));
        assert_eq!(
            timed.timing,
            Timing {
                initial_delay: Duration::from_secs(2),
                period: Duration::from_millis(500),
                timeout: Duration::from_secs(3),
                failure_threshold: 4,
                success_threshold: 5,
                start_period: Duration::ZERO,
            }
        );
        let plain: Timed = "http://:80/a?b=1,c=2".parse().unwrap();
        assert_eq!(plain.timing, Timing::default());
        for bad in [
            "",
            "periodSeconds=0,tcp:1",
            "failureThreshold=0,tcp:1",
            "successThreshold=x,tcp:1",
            "period=1,tcp:1",
            "periodSeconds=1",
            "timeoutSeconds=-1,tcp:1",
        ] {
            assert!(bad.parse::<Timed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_is_fresh_or_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().display();
        let young: Probe = format!("file-age:60s:{path}").parse().unwrap();
        assert_eq!(young.to_string(), format!("file-age:1m:{path}"));
        assert_eq!(ask(&young, Duration::from_secs(1)), Ok(()));
        let hour_ago = SystemTime::now() - Duration::from_secs(3600);
        file.as_file().set_modified(hour_ago).unwrap();
        assert!(ask(&young, Duration::from_secs(1)).is_err());
        let missing = Probe::FileAge("/nonexistent".into(), Duration::from_secs(1));
        assert!(ask(&missing, Duration::from_secs(1)).is_err());
    }
}
