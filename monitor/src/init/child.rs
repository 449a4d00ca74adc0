//! The program under watch: its present life, and how it is ended when it hangs.

use super::postmortem;
use super::reap::Reaper;
use super::tail::Tail;
use crate::apoptosis::{self, Apoptosis, Words};
use crate::sys;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Between SIGABRT and SIGKILL: time for a core or a backtrace.
const ABORT_GRACE: Duration = Duration::from_secs(1);

/// The program, over all of its lives.
pub(super) struct Life {
    pub(super) reaper: Arc<Reaper>,
    apoptosis: Arc<Apoptosis>,
    /// Whom signals go to: the one that was started, or whom it named by `MAINPID=`.
    main: AtomicI32,
    /// The one that was started; its number is that of its process group.
    leader: AtomicI32,
    number: AtomicU64,
    /// Somebody asked for the end, or the program said that it comes: nothing is judged any more.
    stopping: AtomicBool,
    ended_by_us: AtomicBool,
    respawns: bool,
    /// One undertaker at a time.
    ending: Mutex<()>,
    /// What the program said of itself last.
    status: Mutex<String>,
    pub(super) tail: Option<Arc<Tail>>,
}

impl Life {
    pub(super) fn new(
        reaper: Arc<Reaper>,
        apoptosis: Arc<Apoptosis>,
        respawns: bool,
        keep_lines: usize,
    ) -> Arc<Self> {
        let life = Arc::new(Self {
            reaper,
            apoptosis,
            main: AtomicI32::new(0),
            leader: AtomicI32::new(0),
            number: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            ended_by_us: AtomicBool::new(false),
            respawns,
            ending: Mutex::new(()),
            status: Mutex::new(String::new()),
            tail: (keep_lines > 0).then(|| Tail::new(keep_lines)),
        });
        let undertaker = Arc::downgrade(&life);
        life.apoptosis.set_undertaker(Box::new(move || {
            if let Some(life) = undertaker.upgrade() {
                life.end();
            }
        }));
        life
    }

    /// A new life begins.
    pub(super) fn begin(&self, pid: i32) {
        self.main.store(pid, SeqCst);
        self.leader.store(pid, SeqCst);
        self.stopping.store(false, SeqCst);
        self.ended_by_us.store(false, SeqCst);
        self.say(String::new());
        self.number.fetch_add(1, SeqCst);
    }

    pub(super) fn main(&self) -> i32 {
        self.main.load(SeqCst)
    }

    pub(super) fn leader(&self) -> i32 {
        self.leader.load(SeqCst)
    }

    pub(super) fn set_main(&self, pid: i32) {
        self.reaper.know(pid);
        self.main.store(pid, SeqCst);
    }

    /// Which life it is, from 1 on; 0 before the first.
    pub(super) fn number(&self) -> u64 {
        self.number.load(SeqCst)
    }

    pub(super) fn set_stopping(&self) {
        self.stopping.store(true, SeqCst);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    pub(super) fn was_ended_by_us(&self) -> bool {
        self.ended_by_us.load(SeqCst)
    }

    pub(super) fn apoptosis(&self) -> &Apoptosis {
        &self.apoptosis
    }

    pub(super) fn say(&self, status: String) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    /// The program hangs: in life `number`, by this evidence. Ends it, and us with it where nobody starts it again.
    pub(super) fn failed(&self, number: u64, words: &Words) {
        if !self.respawns {
            self.apoptosis.end(words);
        }
        let _one = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if number != self.number() || self.ended_by_us.swap(true, SeqCst) {
            return;
        }
        let report = apoptosis::report(words, "The program is ended and started again.");
        self.apoptosis.say(words, &report);
        self.end();
    }

    /// Evidence, then SIGABRT, then SIGKILL to all that it started.
    fn end(&self) {
        let main = self.main();
        if main <= 0 {
            return;
        }
        let lines = self.tail.as_ref().map(|tail| tail.lines());
        let status = self
            .status
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        apoptosis::write(&postmortem::report(
            main,
            &status,
            &lines.unwrap_or_default(),
        ));
        // A stopped process does not take SIGABRT; SIGKILL ends that one too.
        let stopped = std::fs::read_to_string(format!("/proc/{main}/stat"))
            .is_ok_and(|stat| matches!(apoptosis::name_and_state(&stat), Some((_, 'T' | 't'))));
        if !stopped && self.reaper.kill(main, libc::SIGABRT) {
            let step = Duration::from_millis(20);
            let mut waited = Duration::ZERO;
            while waited < ABORT_GRACE && self.reaper.lives(main) {
                std::thread::sleep(step);
                waited += step;
            }
        }
        let leader = self.leader();
        self.reaper.kill(main, libc::SIGKILL);
        self.reaper.kill(leader, libc::SIGKILL);
        // What it started goes with it: as first process of a container we take all along, elsewhere not.
        sys::kill_group(leader, libc::SIGKILL);
    }
}
