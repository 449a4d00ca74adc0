//! Newtypes for every identity and counter.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// The longest member name that is accepted, in bytes: Docker's own limit for a host name plus room
/// for a prefix. A routing key (`heartbeat.NAME`) must stay below AMQP's 255 bytes.
pub const NAME_MAX: usize = 128;

/// A supervised container's name, as `CONTAINER_NAME` gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemberName(String);

/// Why a text is no member name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} is not a member name: use 1 to {NAME_MAX} of a-z, A-Z, 0-9, '_', '.', '-', starting with a letter or digit"
)]
pub struct BadName {
    /// The text, cut to a printable length.
    pub name: String,
}

impl MemberName {
    /// Who has no name, and tells nobody: a watchdog alone on a host whose own name is none.
    #[must_use]
    pub fn unnamed() -> Self {
        Self("unnamed".into())
    }

    /// Takes a text that follows Docker's rule for container names.
    ///
    /// # Errors
    /// [`BadName`] where it does not.
    pub fn new(name: impl Into<String>) -> Result<Self, BadName> {
        let name = name.into();
        let mut bytes = name.bytes();
        let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if first && rest && name.len() <= NAME_MAX {
            Ok(Self(name))
        } else {
            Err(BadName {
                name: name.chars().take(NAME_MAX).collect(),
            })
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Natural order: runs of digits compare as numbers, so `worker-9` < `worker-10`.
    #[must_use]
    pub fn natural_cmp(&self, other: &Self) -> Ordering {
        natural(self.0.as_bytes(), other.0.as_bytes()).then_with(|| self.0.cmp(&other.0))
    }
}

fn natural(mut left: &[u8], mut right: &[u8]) -> Ordering {
    // Asked at every step of every healer, mostly about itself.
    if left == right {
        return Ordering::Equal;
    }
    loop {
        match (left.first(), right.first()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let (number_a, rest_a) = digits(left);
                let (number_b, rest_b) = digits(right);
                let order = number_a
                    .len()
                    .cmp(&number_b.len())
                    .then_with(|| number_a.cmp(number_b));
                if order != Ordering::Equal {
                    return order;
                }
                (left, right) = (rest_a, rest_b);
            }
            (Some(a), Some(b)) if a == b => (left, right) = (&left[1..], &right[1..]),
            (Some(a), Some(b)) => return a.cmp(b),
        }
    }
}

/// The leading number without its leading zeros, and what follows it.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(text.len());
    let zeros = text[..end].iter().take_while(|b| **b == b'0').count();
    (&text[zeros..end], &text[end..])
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MemberName {
    type Error = BadName;
    fn try_from(name: String) -> Result<Self, BadName> {
        Self::new(name)
    }
}

impl From<MemberName> for String {
    fn from(name: MemberName) -> Self {
        name.0
    }
}

/// One life of a process, drawn at random when it starts. Its order says nothing but that two are not the same.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BootId(pub u64);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<BootId> for String {
    fn from(boot: BootId) -> Self {
        boot.to_string()
    }
}

impl TryFrom<String> for BootId {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(BootId)
    }
}

/// A leadership: its number, which grows at each election, and the boot that holds it.
///
/// Two offices may reach the same number on two paths; they are different terms, because the boot
/// belongs to the name. Ordered by number first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Term {
    /// Grows at each election.
    pub number: u64,
    /// Whose boot holds it.
    pub boot: BootId,
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The identity as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id! {
    /// A container engine: the engine's own id, or `HOST_ID` where two engines report the same one.
    HostId
}
text_id! {
    /// A container, as its engine names it (64 hex digits).
    ContainerId
}
text_id! {
    /// One life of a member: container id, start time and boot in one text. Compared for equality only.
    Incarnation
}

impl ContainerId {
    /// Whether this is the container that a member says it runs in: by its id, or by the beginning of it.
    #[must_use]
    pub fn is_called(&self, said: &Self) -> bool {
        self.as_str().starts_with(said.as_str())
    }
}

/// The number of one call to the container engine, unique within a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(pub u64);

/// The number of a token channel, given by the driver, unique within a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelId(pub u64);

/// A person's request, unique within the asker's boot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> MemberName {
        MemberName::new(text).unwrap()
    }

    #[test]
    fn numbers_in_names_compare_as_numbers() {
        assert_eq!(
            name("worker-9").natural_cmp(&name("worker-10")),
            Ordering::Less
        );
        assert_eq!(
            name("worker-010").natural_cmp(&name("worker-9")),
            Ordering::Greater
        );
        assert_eq!(name("a").natural_cmp(&name("a-1")), Ordering::Less);
        assert_ne!(name("n01").natural_cmp(&name("n1")), Ordering::Equal);
    }

    #[test]
    fn hostile_names_are_refused() {
        for bad in ["", "-a", "a b", "a/../b", "é", &"x".repeat(NAME_MAX + 1)] {
            assert!(MemberName::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_boot_id_survives_its_text() {
        let boot = BootId(0xfeed);
        assert_eq!(BootId::try_from(String::from(boot)).unwrap(), boot);
    }
}
