//! The faults, one file each: how it is done, how it is proven to have taken effect, how it is undone,
//! and when it counts as healed.
//!
//! Four ways: a call to the engine; one to RabbitMQ; a helper container in the target's network namespace; one in its
//! process namespace (see [`crate::helper`], and [`helper`] for this side of it).

mod amqp_close;
mod bit_rot;
mod broker_kill;
mod broker_pause;
mod corrupt;
mod cpu;
mod descriptors;
mod disconnect;
mod disk_full;
mod dns;
mod dose;
mod freeze;
mod hang;
pub mod helper;
mod io;
mod jitter;
mod kill;
mod latency;
mod leader_kill;
mod loss;
mod memory;
mod oom;
mod partition;
mod pause;
mod rate;
mod reject;
mod reorder;
mod restart;
mod rm;
mod stop;
mod term;
mod undo;

pub(crate) use bit_rot::{CHUNKS, STORE};
pub use dose::{
    CORRUPT_PERCENT, Dose, HELPER_IMAGE, IO_MEBIBYTES, JITTER_MS, LATENCY_MS, LOSS_PERCENT,
    MEMORY_MEBIBYTES, RATE_KBIT, REORDER_MS, REORDER_PERCENT, Saved, Way,
};
pub use undo::{Undo, Undone};

use crate::engine::{Engine, EngineError, Found};
use crate::ledger::Attack;
use crate::management::Known;
use crate::target::{Life, Part};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Everything that the monkey can do to a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGTERM without a `docker stop`.
    Term,
    /// `docker stop`.
    Stop,
    /// `docker restart`.
    Restart,
    /// `docker pause`.
    Pause,
    /// SIGSTOP to the first process.
    Hang,
    /// SIGSTOP to another process.
    Freeze,
    /// SIGKILL to whoever leads.
    LeaderKill,
    /// SIGKILL to the broker.
    BrokerKill,
    /// The broker is frozen.
    BrokerPause,
    /// Off a network.
    Disconnect,
    /// Packets are dropped, both ways or one.
    Partition,
    /// Packets are refused.
    Reject,
    /// Names are not resolved.
    Dns,
    /// Packets are held.
    Latency,
    /// Packets are held for times that differ.
    Jitter,
    /// Packets are lost.
    Loss,
    /// Only so many bits a second pass.
    Rate,
    /// Bits are flipped.
    Corrupt,
    /// Packets overtake each other.
    Reorder,
    /// Little processor is left.
    Cpu,
    /// Memory runs short.
    Memory,
    /// The kernel kills for memory.
    Oom,
    /// A disk is full.
    DiskFull,
    /// Nothing more can be opened.
    Descriptors,
    /// Files have other bytes than were written.
    BitRot,
    /// A disk is busy.
    Io,
    /// Connections to the broker are closed.
    AmqpClose,
    /// `docker rm --force`.
    Rm,
}

/// What a fault is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// Calls to the engine.
    Engine,
    /// Calls to RabbitMQ's management API.
    Management,
    /// A helper in the target's network namespace.
    Network,
    /// A helper in the target's process namespace.
    Processes,
}

/// What a person should know of a fault.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Its name.
    pub name: &'static str,
    /// What is done, and by which mechanism.
    pub what: &'static str,
    /// How it is proven to have taken effect.
    pub proof: &'static str,
    /// How it is undone.
    pub undo: Undo,
    /// What it is done with.
    pub needs: Needs,
    /// Who is expected to heal it.
    pub healed_by: &'static str,
    /// Others are expected to heal it; else the monkey undoes it, and that is as it should be.
    pub heals: bool,
    /// After so long it is undone, healed or not.
    pub patience: Duration,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::Kill,
        Self::Term,
        Self::Stop,
        Self::Restart,
        Self::Pause,
        Self::Hang,
        Self::Freeze,
        Self::LeaderKill,
        Self::BrokerKill,
        Self::BrokerPause,
        Self::Disconnect,
        Self::Partition,
        Self::Reject,
        Self::Dns,
        Self::Latency,
        Self::Jitter,
        Self::Loss,
        Self::Rate,
        Self::Corrupt,
        Self::Reorder,
        Self::Cpu,
        Self::Memory,
        Self::Oom,
        Self::DiskFull,
        Self::Descriptors,
        Self::BitRot,
        Self::Io,
        Self::AmqpClose,
        Self::Rm,
    ];

    /// What a person should know.
    #[must_use]
    pub fn about(self) -> &'static About {
        match self {
            Self::Kill => &kill::ABOUT,
            Self::Term => &term::ABOUT,
            Self::Stop => &stop::ABOUT,
            Self::Restart => &restart::ABOUT,
            Self::Pause => &pause::ABOUT,
            Self::Hang => &hang::ABOUT,
            Self::Freeze => &freeze::ABOUT,
            Self::LeaderKill => &leader_kill::ABOUT,
            Self::BrokerKill => &broker_kill::ABOUT,
            Self::BrokerPause => &broker_pause::ABOUT,
            Self::Disconnect => &disconnect::ABOUT,
            Self::Partition => &partition::ABOUT,
            Self::Reject => &reject::ABOUT,
            Self::Dns => &dns::ABOUT,
            Self::Latency => &latency::ABOUT,
            Self::Jitter => &jitter::ABOUT,
            Self::Loss => &loss::ABOUT,
            Self::Rate => &rate::ABOUT,
            Self::Corrupt => &corrupt::ABOUT,
            Self::Reorder => &reorder::ABOUT,
            Self::Cpu => &cpu::ABOUT,
            Self::Memory => &memory::ABOUT,
            Self::Oom => &oom::ABOUT,
            Self::DiskFull => &disk_full::ABOUT,
            Self::Descriptors => &descriptors::ABOUT,
            Self::BitRot => &bit_rot::ABOUT,
            Self::Io => &io::ABOUT,
            Self::AmqpClose => &amqp_close::ABOUT,
            Self::Rm => &rm::ABOUT,
        }
    }

    /// Its name, as `CHAOS_FAULTS` and `--fault` take it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.about().name
    }

    /// Whom it hits where nobody is named.
    #[must_use]
    pub fn part(self) -> Option<Part> {
        match self {
            Self::LeaderKill => Some(Part::Leader),
            Self::BrokerKill | Self::BrokerPause => Some(Part::Broker),
            _ => None,
        }
    }

    /// After so long it is undone, healed or not.
    #[must_use]
    pub fn patience(self, dose: &Dose) -> Duration {
        dose.for_s
            .map_or(self.about().patience, Duration::from_secs)
    }

    /// What must be remembered before it is done, to undo it.
    ///
    /// # Errors
    /// Where the engine did not answer, or the target cannot be hit so.
    pub async fn prepare<E: Engine>(
        self,
        engine: &E,
        before: &Found,
        image: &str,
        management: &Known,
    ) -> Result<Option<Saved>, EngineError> {
        match self.about().undo {
            Undo::Reconnect => disconnect::prepare(engine, before).await,
            Undo::Limits => cpu::prepare(engine, before).await,
            Undo::Helper => Ok(Some(Saved::Helper {
                image: image.to_owned(),
                found: None,
            })),
            // How it was made is asked right before.
            Undo::Recreate => Ok(None),
            Undo::Nothing => amqp_close::prepare(management, before).await,
            Undo::Start | Undo::Unpause | Undo::Continue => Ok(None),
        }
    }

    /// What is needed to undo it can be seen from inside the target only, so a helper looks before it is done.
    #[must_use]
    pub fn looks_first(self) -> bool {
        self == Self::BitRot
    }

    /// What it does is on a disk and outlives the target's life: it can be taken back only while the target runs.
    #[must_use]
    pub fn leaves_files(self) -> bool {
        matches!(self, Self::BitRot | Self::DiskFull | Self::Io)
    }

    /// It is done only when somebody asks for it by its name; never drawn.
    #[must_use]
    pub fn only_asked_for(self) -> bool {
        self == Self::Rm
    }

    /// Looks for what is needed to undo it and no inspection before tells; it must be written down before it is done.
    ///
    /// # Errors
    /// Where the engine did not answer, or the target cannot be hit so.
    pub async fn look<E: Engine>(
        self,
        engine: &E,
        attack: &Attack,
    ) -> Result<Option<Looked>, EngineError> {
        match self {
            Self::BitRot => {
                let saved = helper::look(engine, attack).await?;
                Ok(Some(Looked::Line(saved)))
            }
            Self::Rm => {
                let how = engine.how_made(&attack.container).await?;
                Ok(Some(Looked::File(how)))
            }
            _ => Ok(None),
        }
    }

    /// It is done to one at a time, whoever asks: to all of a group at once nothing would be left.
    #[must_use]
    pub fn spares_the_others(self) -> bool {
        matches!(self, Self::BitRot | Self::Rm)
    }

    /// Does it.
    ///
    /// # Errors
    /// Where the engine did not do it; after [`EngineError::Slow`] it may have.
    pub async fn inject<E: Engine>(
        self,
        engine: &E,
        management: &Known,
        attack: &Attack,
    ) -> Result<(), EngineError> {
        let id = attack.container.as_str();
        match self {
            Self::Kill | Self::BrokerKill => kill::inject(engine, id).await,
            Self::LeaderKill => leader_kill::inject(engine, id).await,
            Self::Term => term::inject(engine, id).await,
            Self::Stop => stop::inject(engine, id).await,
            Self::Restart => restart::inject(engine, id).await,
            Self::Pause | Self::BrokerPause => pause::inject(engine, id).await,
            Self::Hang => hang::inject(engine, id).await,
            Self::Rm => rm::inject(engine, id).await,
            Self::Disconnect => disconnect::inject(engine, attack).await,
            Self::Cpu => cpu::inject(engine, attack).await,
            Self::AmqpClose => amqp_close::inject(management, attack).await,
            _ => helper::begin(engine, attack).await,
        }
    }

    /// Whether it took effect, compared with what was found before.
    ///
    /// # Errors
    /// Where the engine did not answer, or the helper says that it could not be done.
    pub async fn took<E: Engine>(
        self,
        engine: &E,
        management: &Known,
        attack: &Attack,
        before: &Found,
    ) -> Result<bool, EngineError> {
        match self {
            Self::Kill
            | Self::LeaderKill
            | Self::BrokerKill
            | Self::Term
            | Self::Stop
            | Self::Restart => ended(engine, before).await,
            Self::Pause | Self::BrokerPause => pause::took(engine, before).await,
            Self::Hang => hang::took(engine, before).await,
            Self::Rm => rm::took(engine, &before.id).await,
            Self::Disconnect => disconnect::is_off(engine, attack).await,
            Self::Cpu => cpu::took(engine, attack).await,
            Self::AmqpClose => amqp_close::took(management, attack).await,
            Self::Oom => {
                Ok(oom::took(engine, before).await? || helper::took(engine, attack).await?)
            }
            _ => helper::took(engine, attack).await,
        }
    }

    /// Whether the victim is back; asked only after [`Fault::took`] said yes.
    ///
    /// # Errors
    /// Where the engine did not answer.
    pub async fn progress<E: Engine>(
        self,
        engine: &E,
        management: &Known,
        attack: &Attack,
        before: &Found,
    ) -> Result<Progress, EngineError> {
        match self {
            Self::AmqpClose => {
                return amqp_close::progress(engine, management, attack, before).await;
            }
            Self::Rm => return rm::progress(engine, attack).await,
            _ => {}
        }
        let now = engine.inspect(&before.id).await?;
        let same_life = now.started_at == before.started_at && now.life != Life::Down;
        match self.about().undo {
            Undo::Continue if same_life => return hang::progress(engine, &now).await,
            Undo::Reconnect if same_life => {
                return disconnect::progress(engine, attack, &now).await;
            }
            Undo::Helper if same_life => return helper::progress(engine, attack, &now).await,
            // A lower limit stays with the container from one life to the next.
            Undo::Limits => return Ok(Progress::Out),
            _ => {}
        }
        let other_life = !same_life || self.about().undo == Undo::Unpause;
        Ok(match now.life {
            Life::Well if other_life => Progress::Back,
            Life::Starting | Life::Unhealthy if other_life => Progress::Running,
            _ => Progress::Out,
        })
    }
}

/// What a look found, and where there is room for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Looked {
    /// In a line of the ledger.
    Line(Saved),
    /// In a file beside it.
    File(String),
}

/// How far a victim has come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Still out.
    Out,
    /// Its processes run; its health check has not passed yet.
    Running,
    /// Running, and healthy where it has a check.
    Back,
}

/// Ended, or already in another life.
async fn ended<E: Engine>(engine: &E, before: &Found) -> Result<bool, EngineError> {
    let now = engine.inspect(&before.id).await?;
    Ok(matches!(now.life, Life::Down | Life::Restarting) || now.started_at != before.started_at)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No fault has that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault {0:?}; there are {all} (see chaos-monkey faults)", all = names())]
pub struct NoSuchFault(pub String);

fn names() -> String {
    Fault::ALL.map(Fault::name).join(", ")
}

impl std::str::FromStr for Fault {
    type Err = NoSuchFault;
    fn from_str(text: &str) -> Result<Self, NoSuchFault> {
        let found = Self::ALL.into_iter().find(|fault| fault.name() == text);
        found.ok_or_else(|| NoSuchFault(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(fault.name().parse::<Fault>(), Ok(fault));
            assert_eq!(serde_json::to_value(fault).unwrap(), fault.name());
            assert!(
                NoSuchFault(String::new())
                    .to_string()
                    .contains(fault.name())
            );
        }
    }
}
