//! Sessions: a retry finds its own first answer, and never undoes another's write.
//!
//! Without them, a write that was committed by a leader that died before it answered would be
//! sent again: a conditional one would fail on its own success, and an unconditional one would
//! overwrite what others wrote in between.

use super::{MAX_FORGET, MAX_SESSIONS, Machine, MachineError, Outcome, refused};
use crate::{Command, Refusal, Request, StoreMut, keys};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Session {
    /// Index of its newest entry.
    last_used: u64,
    /// Answers below this number are forgotten.
    answered_below: u64,
}

impl<S: StoreMut> Machine<'_, S> {
    pub(super) fn with_session(&mut self, request: &Request) -> Outcome<S> {
        if request.session == 0 {
            return self.run(&request.command);
        }
        let key = keys::session(request.session);
        let session = match self.read::<Session>(&key)? {
            Some(session) => session,
            None if request.command == Command::OpenSession => {
                self.make_room()?;
                Session {
                    last_used: self.index,
                    answered_below: 0,
                }
            }
            None => return refused(Refusal::SessionRetired),
        };
        let answer = keys::answer(request.session, request.number);
        if let Some(reply) = self.read(&answer)? {
            return Ok(reply);
        }
        if request.number < session.answered_below {
            // Its answer was fetched and forgotten: this is a stray repetition.
            return refused(Refusal::SessionRetired);
        }
        let reply = self.run(&request.command)?;
        self.write(&answer, &reply)?;
        let answered_below = session.answered_below.max(request.answered_below);
        self.forget_answers(request.session, answered_below)?;
        self.write(
            &key,
            &Session {
                last_used: self.index,
                answered_below,
            },
        )?;
        Ok(reply)
    }

    fn forget_answers(&mut self, session: u64, below: u64) -> Result<(), MachineError<S::Error>> {
        let prefix = keys::answer(session, 0);
        let end = keys::answer(session, below);
        for key in self.keys_with(&prefix[..9], MAX_FORGET)? {
            if key >= end {
                break;
            }
            self.erase(&key)?;
        }
        Ok(())
    }

    fn make_room(&mut self) -> Result<(), MachineError<S::Error>> {
        let sessions = self.keys_with(&[keys::SESSION], MAX_SESSIONS)?;
        if sessions.len() < MAX_SESSIONS {
            return Ok(());
        }
        let mut oldest: Option<(u64, Vec<u8>)> = None;
        for key in sessions {
            let Some(session) = self.read::<Session>(&key)? else {
                continue;
            };
            if oldest
                .as_ref()
                .is_none_or(|(used, _)| session.last_used < *used)
            {
                oldest = Some((session.last_used, key));
            }
        }
        let Some((_, key)) = oldest else {
            return Ok(());
        };
        let mut answers = vec![keys::ANSWER];
        answers.extend_from_slice(&key[1..]);
        for answer in self.keys_with(&answers, usize::MAX)? {
            self.erase(&answer)?;
        }
        self.erase(&key)
    }
}
