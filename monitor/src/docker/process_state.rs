//! The last answers about first processes. Asking makes the engine run `ps`, which takes it longer than all else that
//! is asked before a healing, and a finding is looked at twice within milliseconds.

use planaria_core::id::ContainerId;
use planaria_core::time::Instant;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Who is stopped in the meantime is found by the next look.
const KEPT: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct Answer {
    id: ContainerId,
    pid: i64,
    asked: Instant,
    state: Option<char>,
}

/// What was answered just now, by container and process.
#[derive(Clone, Debug, Default)]
pub(super) struct ProcessStates(Arc<Mutex<Vec<Answer>>>);

impl ProcessStates {
    fn with<T>(&self, now: Instant, work: impl FnOnce(&mut Vec<Answer>) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| now.since(one.asked) < KEPT);
        work(&mut all)
    }

    /// The state's letter, or that the engine could not tell; `None` where nobody asked just now.
    pub(super) fn get(&self, now: Instant, id: &ContainerId, pid: i64) -> Option<Option<char>> {
        self.with(now, |all| {
            let found = all.iter().find(|one| one.id == *id && one.pid == pid);
            found.map(|one| one.state)
        })
    }

    pub(super) fn put(&self, asked: Instant, id: &ContainerId, pid: i64, state: Option<char>) {
        let id = id.clone();
        let answer = Answer {
            id,
            pid,
            asked,
            state,
        };
        self.with(asked, |all| all.push(answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_one_process_and_half_a_second() {
        let states = ProcessStates::default();
        let (one, other): (ContainerId, ContainerId) = ("one".into(), "other".into());
        let began = crate::clock::now();
        states.put(began, &one, 7, Some('T'));
        states.put(began, &other, 7, None);
        let later = began + Duration::from_millis(499);
        assert_eq!(states.get(later, &one, 7), Some(Some('T')));
        assert_eq!(states.get(later, &one, 8), None, "another life");
        assert_eq!(states.get(later, &other, 7), Some(None));
        let too_late = began + KEPT;
        assert_eq!(states.get(too_late, &one, 7), None);
        assert!(states.0.lock().unwrap().is_empty(), "nothing piles up");
    }
}
