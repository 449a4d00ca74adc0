//! The kinds of values and how a person writes them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The longest duration taken: longer is a slip, and arithmetic on it must not overflow.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// A kind of value.
pub trait Value: Sized {
    /// What is expected, for messages and the reference.
    const KIND: &'static str;

    /// Reads one trimmed value.
    ///
    /// # Errors
    /// What is wrong and how it would be right, as the rest of a sentence that begins with the key.
    fn parse(text: &str) -> Result<Self, String>;
}

fn bad(text: &str, kind: &str, mend: &str) -> String {
    if text.is_empty() {
        format!("is empty; write {mend}, or remove the line for the default")
    } else {
        format!("is '{text}', which is no {kind}; write {mend}")
    }
}

impl Value for String {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        if text.chars().any(char::is_control) {
            return Err("holds a control character; remove it".to_owned());
        }
        Ok(text.to_owned())
    }
}

impl Value for PathBuf {
    const KIND: &'static str = "path";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err(bad(text, Self::KIND, "a path"))
        } else {
            Ok(Self::from(text))
        }
    }
}

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::parse(text).map(Some)
        }
    }
}

impl Value for Vec<String> {
    const KIND: &'static str = "list (commas between)";

    fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(<String as Value>::parse)
            .collect()
    }
}

impl Value for bool {
    const KIND: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(bad(text, "yes or no", "true or false")),
        }
    }
}

macro_rules! whole_number {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const KIND: &'static str = "whole number";

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| bad(text, "whole number in range", &format!("0 to {}", <$type>::MAX)))
            }
        }
    )+};
}
whole_number!(u16, u32, u64);

impl Value for SocketAddr {
    const KIND: &'static str = "address:port";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| {
            bad(
                text,
                "address with a port",
                "an address such as 0.0.0.0:9747",
            )
        })
    }
}

impl Value for Duration {
    const KIND: &'static str = "duration";

    fn parse(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }
}

/// Reads `30`, `30s`, `1.5s`, `500ms`, `5m`, `2h`; a plain number is seconds. Exact to the millisecond.
///
/// # Errors
/// What is wrong and how it would be right, as the rest of a sentence that begins with the key.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || bad(text, "duration", "30, 30s, 500ms, 5m or 2h");
    let split = text
        .find(|letter: char| !letter.is_ascii_digit() && letter != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit_ms: u64 = match unit.trim() {
        "ms" => 1,
        "" | "s" | "sec" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
    let (Ok(whole), Ok(part), Some(scale)) = (
        whole.parse::<u64>(),
        fraction.parse::<u64>(),
        10_u64.checked_pow(digits),
    ) else {
        return Err(wrong());
    };
    let millis = whole
        .checked_mul(unit_ms)
        .zip(part.checked_mul(unit_ms))
        .and_then(|(a, b)| a.checked_add(b / scale));
    match millis.map(Duration::from_millis) {
        Some(duration) if duration <= DURATION_MAX => Ok(duration),
        _ => Err(format!(
            "is '{text}', which is more than a year; write a shorter duration"
        )),
    }
}

/// The shortest way to write a duration so that [`parse_duration`] gives it back, to the millisecond.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0 => "0s".to_owned(),
        _ if millis.is_multiple_of(3_600_000) => format!("{}h", millis / 3_600_000),
        _ if millis.is_multiple_of(60_000) => format!("{}m", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Value for Bytes {
    const KIND: &'static str = "size";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || bad(text, "size", "bytes, or 64KiB, 1MiB, 5GiB");
        let split = text
            .find(|letter: char| !letter.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

macro_rules! choice {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $name {
            /// The word for it in `config.ini`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl Value for $name {
            const KIND: &'static str = concat!("one of" $(, " ", $word)+);

            fn parse(text: &str) -> Result<Self, String> {
                match text.to_ascii_lowercase().as_str() {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("is '{text}'; write {}", Self::KIND)),
                }
            }
        }
    };
}

choice! {
    /// How names compare when the highest candidate is sought.
    ElectionOrder {
        /// Digits count as numbers: `worker-9` is below `worker-10`.
        Natural = "natural",
        /// Plain string order.
        Lexicographic = "lexicographic",
    }
}

choice! {
    /// Who may stand in an election.
    ElectionCandidates {
        /// Only members with Docker access.
        Healers = "healers",
        /// Every member that has the Docker socket.
        All = "all",
    }
}

choice! {
    /// What is forced to disk before a write counts as done. Raft's vote and log are synced always.
    Fsync {
        /// Nothing: the promise for data across a power loss is withdrawn.
        Off = "off",
        /// The data itself.
        Data = "data",
        /// Directory entries and the state machine with every batch, too.
        Full = "full",
    }
}

choice! {
    /// How much is logged.
    LogLevel {
        /// Only what needs a person.
        Error = "error",
        /// Also what may need one.
        Warn = "warn",
        /// Also what happened.
        Info = "info",
        /// Also how.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
}

choice! {
    /// How log lines look.
    LogFormat {
        /// Sentences for people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }
}
