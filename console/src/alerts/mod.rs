//! Alerts: one per root cause.
//!
//! ```text
//!  facts ──▶ [`cause`] conditions ──▶ [`book`] settle · fold · open · end ──▶ [`route`] deliveries
//!  journal ─▶ alerts of healers ──────┘         ▲
//!                              acknowledge, resolve, note, silence
//! ```
//!
//! [`cause`] and [`book`] are pure; what they say is kept by [`crate::store::alerts`].

pub mod book;
pub mod cause;
pub mod route;

use planaria_core::message::Severity;
use serde::{Deserialize, Serialize};

/// Symptoms that one alert names; further ones are counted only.
pub const FOLDED_MAX: usize = 256;
/// Lines of an alert's history; the oldest go first.
pub const HISTORY_MAX: usize = 100;
/// Characters of a note or a name that came from outside.
pub const TEXT_MAX: usize = 500;

/// Where an alert stands with people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nobody has looked at it.
    Open,
    /// Somebody has it in hand.
    Acknowledged,
    /// Done with.
    Resolved,
}

impl State {
    /// As it is written everywhere.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// A symptom that has the same root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folded {
    /// Its own root.
    pub root: String,
    /// Whom it is about.
    pub name: Option<String>,
    /// What it says.
    pub text: String,
    /// Since when, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A line of an alert's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who; `console` for what happened by itself.
    pub who: String,
    /// `opened`, `again`, `graver`, `ended`, `acknowledged`, `resolved`, `note`, `silenced`.
    pub act: String,
    /// What was said.
    pub text: String,
}

/// One alert, from its opening to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Grows by one with each alert of this console.
    pub id: u64,
    /// What is behind it: the same root has never two alerts that are not resolved.
    pub root: String,
    /// The stable name of what it is: `broker_down`, `quarantined`.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// Whom it is about.
    pub name: Option<String>,
    /// One sentence, with what to do.
    pub text: String,
    /// Where it stands with people.
    pub state: State,
    /// Its cause still holds.
    pub active: bool,
    /// When it was opened, in milliseconds since 1970.
    pub opened_ms: u64,
    /// When something changed last.
    pub updated_ms: u64,
    /// When its cause ended.
    pub ended_ms: Option<u64>,
    /// How often it came.
    pub count: u32,
    /// Symptoms of the same cause.
    pub members: Vec<Folded>,
    /// What happened to it.
    pub history: Vec<Happening>,
    /// Nothing is sent about it until then.
    pub silenced_until_ms: Option<u64>,
}

impl Record {
    /// Adds a line to its history.
    pub fn tell(&mut self, at_ms: u64, who: &str, act: &str, text: &str) {
        if self.history.len() >= HISTORY_MAX {
            self.history.remove(0);
        }
        self.history.push(Happening {
            at_ms,
            who: cut(who),
            act: act.to_owned(),
            text: cut(text),
        });
        self.updated_ms = at_ms;
    }
}

/// What comes from outside, at a length that a page and a pager can bear.
#[must_use]
pub fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(TEXT_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// Its word.
#[must_use]
pub fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

/// The severity of that word, in any case.
#[must_use]
pub fn severity_of(word: &str) -> Option<Severity> {
    let all = [
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];
    all.into_iter()
        .find(|severity| severity_word(*severity).eq_ignore_ascii_case(word.trim()))
}
