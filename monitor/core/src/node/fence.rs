//! Lives that a person declared dead (`monitor fence NAME`): nobody listens to them, they act on nothing,
//! and what they run in is killed and started. The next life is free.

use super::Node;
use crate::id::{BootId, MemberName};
use crate::message::{Fence, Outcome};
use crate::time::Instant;
use std::time::Duration;

/// More lives than a person declares dead.
const FENCES_MAX: usize = 64;

fn no(text: String) -> Outcome {
    Outcome {
        accepted: false,
        text,
    }
}

impl Node {
    pub(super) fn is_fenced(&self, name: &MemberName, boot: BootId) -> bool {
        self.fences
            .iter()
            .any(|fence| fence.boot == boot && fence.name == *name)
    }

    /// A person declares a life dead. Only the leader does it.
    pub(super) fn fence(&mut self, now: Instant, name: &MemberName, reason: &str) -> Outcome {
        let own = *name == self.config.name;
        let boot = if own {
            Some(self.boot)
        } else {
            self.detector
                .members
                .get(name)
                .filter(|peer| !peer.over())
                .map(|peer| peer.boot)
        };
        let Some(boot) = boot else {
            return no(format!(
                "{name} is not heard, so there is no life of it to fence; to bring it back: monitor heal {name}; to leave it alone: monitor hold {name}"
            ));
        };
        if own && !self.others_are_fit() {
            return no(format!("{name} leads, and no other candidate is fit"));
        }
        if !self.is_fenced(name, boot) {
            if self.fences.len() >= FENCES_MAX {
                self.fences.remove(0);
            }
            self.fences.push(Fence {
                name: name.clone(),
                boot,
                reason: reason.chars().take(200).collect(),
            });
        }
        let text = format!("{name} is declared dead by a person: {reason}");
        self.out.info("member_fenced", Some(name), text);
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.unsaved = true;
            supervisor.announce = true;
        }
        if !own {
            self.detector.ended(name, now);
            self.execute_fence(now, name);
        }
        Outcome {
            accepted: true,
            text: format!(
                "{name} is declared dead; it is not listened to, and it will be killed and started"
            ),
        }
    }

    /// The fenced life is still there: that is a reason to end it, and a person is the witness.
    pub(super) fn execute_fence(&mut self, now: Instant, name: &MemberName) {
        if let Some(supervisor) = &mut self.supervisor {
            let evidence = "a person declared it dead".to_owned();
            supervisor.suspect_once(now, name, Duration::ZERO, evidence);
        }
    }

    /// A newer life of that name is heard: the fence has done its work.
    pub(super) fn unfence(&mut self, name: &MemberName, boot: BootId) {
        let before = self.fences.len();
        self.fences
            .retain(|fence| fence.name != *name || fence.boot == boot);
        if self.fences.len() != before
            && let Some(supervisor) = &mut self.supervisor
        {
            supervisor.unsaved = true;
        }
    }

    /// What the leader says of fences.
    pub(super) fn adopt_fences(&mut self, fences: &[Fence]) {
        if self.fences != fences {
            self.fences = fences.iter().take(FENCES_MAX).cloned().collect();
            if let Some(supervisor) = &mut self.supervisor {
                supervisor.unsaved = true;
            }
        }
    }

    /// This very life was declared dead: it lays everything down, and says nothing more of office.
    pub(super) fn obey_fence(&mut self, now: Instant) {
        if self.fenced || !self.is_fenced(&self.config.name, self.boot) {
            return;
        }
        self.fenced = true;
        self.out.info(
            "fenced",
            Some(&self.config.name),
            "A person declared this very life dead: it acts on nothing any more".to_owned(),
        );
        self.election.resign_now(now, &mut self.out);
        let mandate = self.mandate(now);
        if let Some(supervisor) = &mut self.supervisor {
            supervisor.mandate(mandate);
        }
    }
}
