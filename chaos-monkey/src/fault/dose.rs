//! How much of a fault, and what has to be remembered to undo it.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// How much of a fault; what is not given has the fault's own default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dose {
    /// For how long, in seconds, where nobody heals it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// Of how many packets in a hundred; of how much of a resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// By how many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u32>,
    /// Give or take so many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<u32>,
    /// How many kilobits a second pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kbit: Option<u32>,
    /// How many mebibytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mebibytes: Option<u32>,
    /// Which way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
    /// From these addresses only; none: from everybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<IpAddr>,
    /// The folder to fill, to write in, or whose files rot, inside the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Dose {
    /// Nothing is given.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Which way packets go that are hit, seen from the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// To it.
    In,
    /// From it.
    Out,
    /// Both.
    #[default]
    Both,
}

/// No way is called that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no way; there are in, out and both")]
pub struct NoSuchWay(pub String);

impl std::str::FromStr for Way {
    type Err = NoSuchWay;
    fn from_str(text: &str) -> Result<Self, NoSuchWay> {
        match text {
            "in" => Ok(Self::In),
            "out" => Ok(Self::Out),
            "both" => Ok(Self::Both),
            other => Err(NoSuchWay(other.to_owned())),
        }
    }
}

/// What was found before a fault and is needed to undo it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Saved {
    /// A network with the target's place in it.
    Network {
        /// The network's id.
        network: String,
        /// The names it had there.
        aliases: Vec<String>,
        /// The address that was asked for, where one was.
        address: Option<String>,
    },
    /// The image of the helper container that does it.
    Helper {
        /// Its name or id.
        image: String,
        /// What a look from inside found, where the fault wants one before anything is changed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<String>,
    },
    /// Connections that RabbitMQ closes.
    Connections {
        /// By RabbitMQ's own names; of many, the first ones.
        names: Vec<String>,
        /// The others. A line of the ledger has no room for them, and nothing is undone by them.
        #[serde(skip)]
        more: Vec<String>,
    },
    /// How a container was made, in a file beside the ledger: a line has no room for it.
    Removed {
        /// Which; only its owner reads it, for the container's environment is in it.
        file: PathBuf,
    },
    /// How much of the processor it may have.
    Limits {
        /// Billionths of a processor; 0: no limit.
        nano_cpus: i64,
    },
}

/// Defaults of doses. A fifth of the packets: TCP goes on, slowly.
pub const LOSS_PERCENT: u8 = 20;
/// More than a network has between cities, less than a time-out.
pub const LATENCY_MS: u32 = 100;
/// Around which packets are held, and by how much it differs.
pub const JITTER_MS: u32 = 60;
/// A bad line of the nineties.
pub const RATE_KBIT: u32 = 512;
/// Rare enough that connections live, often enough to be seen.
pub const CORRUPT_PERCENT: u8 = 10;
/// Of the packets are held …
pub const REORDER_PERCENT: u8 = 25;
/// … for so long.
pub const REORDER_MS: u32 = 30;
/// Written over and over: more than a disk's own cache takes at once is not needed, each block is synced.
pub const IO_MEBIBYTES: u32 = 64;
/// Taken from the target.
pub const MEMORY_MEBIBYTES: u32 = 64;

/// The image of helper containers where nothing else is said: the monkey's own.
pub const HELPER_IMAGE: &str = "planaria/chaos-monkey";
