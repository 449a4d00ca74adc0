//! Points between two steps that only together are a healing, where a test can end this process.
//!
//! `CRASH_AFTER` names the point and `CRASH_MARK` a file: the first process that comes there makes the file and
//! ends at once, whatever else the step wanted; those after it find the file and go on. The points have the names of
//! the simulator's (`CrashAfter`). What is shipped has none of this.

use planaria_core::engine::EngineCall;

/// Where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Point {
    /// The engine is to be asked for a change; the call has not begun.
    OrderSent,
    /// The engine took the call, and the answer finds nobody.
    CallMade,
    /// The volume was written to, and what follows from that is not done.
    Saved,
}

impl Point {
    const fn name(self) -> &'static str {
        match self {
            Self::OrderSent => "order_sent",
            Self::CallMade => "call_made",
            Self::Saved => "saved",
        }
    }

    /// Ends the process if this is the point.
    pub(super) fn pass(self) {
        if std::env::var("CRASH_AFTER").as_deref() != Ok(self.name()) {
            return;
        }
        let Ok(mark) = std::env::var("CRASH_MARK") else {
            return;
        };
        if std::fs::File::create_new(mark).is_ok() {
            std::process::abort();
        }
    }
}

/// Whether it changes anything.
pub(super) const fn is_change(call: &EngineCall) -> bool {
    matches!(
        call,
        EngineCall::Recreate { .. }
            | EngineCall::Start { .. }
            | EngineCall::Kill { .. }
            | EngineCall::Unpause { .. }
            | EngineCall::Connect { .. }
    )
}
