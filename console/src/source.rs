//! Where the facts come from: the embedded monitor hears the leader's beat; incidents and alerts are
//! the leader's own and are asked of it over HTTP.

use crate::snapshot::Known;
use crate::store::now_ms;
use planaria_core::id::MemberName;
use planaria_core::message::{Incident, MemberState};
use planaria_core::status::{INCIDENTS_KEPT, Status};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How often the leader is asked. It answers within a millisecond from memory.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Words of the leader older than this are not used.
const ANSWER_GOOD_FOR: Duration = Duration::from_secs(4);

/// The newest facts of the group, from whoever has them.
pub struct Source {
    own: watch::Receiver<Arc<Status>>,
    /// How everyone stood by the embedded monitor last.
    seen: BTreeMap<MemberName, MemberState>,
    /// Who stands otherwise since the leader answered, as its beat said.
    since: BTreeMap<MemberName, MemberState>,
    /// What the leader answered last, and when.
    answer: Option<(Status, Instant)>,
    /// Incidents of all leaders so far, newest first, at most [`INCIDENTS_KEPT`].
    history: Vec<Incident>,
    stale_since_ms: Option<u64>,
    asking: watch::Receiver<Option<Status>>,
    leader: watch::Sender<Option<MemberName>>,
}

impl Source {
    /// Starts from the embedded monitor's status. `ask` is given the leader's name and answers with
    /// its status; its task runs until the source is dropped.
    #[must_use]
    pub fn new<A, F>(own: watch::Receiver<Arc<Status>>, ask: A) -> Self
    where
        A: Fn(MemberName) -> F + Send + Sync + 'static,
        F: Future<Output = Option<Status>> + Send + 'static,
    {
        let (first, seen) = (own.borrow().leader.clone(), states(&own.borrow()));
        let (leader, leaders) = watch::channel(first);
        let (answers, asking) = watch::channel(None);
        tokio::spawn(ask_on(leaders, own.clone(), answers, ask));
        Self {
            own,
            seen,
            since: BTreeMap::new(),
            answer: None,
            stale_since_ms: None,
            history: Vec::new(),
            asking,
            leader,
        }
    }

    /// Returns when there may be something new; false when the monitor is gone.
    pub async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.own.changed() => changed.is_ok(),
            Ok(()) = self.asking.changed() => true,
        }
    }

    /// What is known now.
    pub fn known(&mut self) -> Known {
        let own = Arc::clone(&self.own.borrow_and_update());
        let leader = own.leader.clone();
        self.leader.send_if_modified(|old| {
            let changed = *old != leader;
            *old = leader;
            changed
        });
        let now = states(&own);
        for (name, state) in &now {
            if self.seen.get(name) != Some(state) {
                self.since.insert(name.clone(), *state);
            }
        }
        self.since.retain(|name, _| now.contains_key(name));
        self.seen = now;
        let news = self.asking.borrow_and_update().clone();
        if let Some(answer) = news
            && self.answer.as_ref().is_none_or(|(old, _)| *old != answer)
        {
            self.history = join(&answer.incidents, &self.history);
            self.answer = Some((answer, Instant::now()));
            self.since.clear();
        }
        let fresh = self
            .answer
            .as_ref()
            .filter(|(_, at)| at.elapsed() < ANSWER_GOOD_FOR)
            .map(|(answer, _)| answer);
        let heard = own.leader.is_some() || fresh.is_some_and(|answer| answer.leader.is_some());
        self.stale_since_ms = if heard {
            None
        } else {
            self.stale_since_ms.or(Some(now_ms()))
        };
        let old = self.answer.as_ref().map(|(answer, _)| answer);
        let mut known = merge(&own, fresh, old, &self.history);
        // The beat is there before the answer that it makes the console ask for.
        for member in &mut known.status.members {
            if let Some(state) = self.since.get(&member.name) {
                member.state = *state;
            }
        }
        known.stale = self.stale_since_ms.is_some();
        known.stale_since_ms = self.stale_since_ms;
        known
    }
}

async fn ask_on<A, F>(
    mut leaders: watch::Receiver<Option<MemberName>>,
    mut own: watch::Receiver<Arc<Status>>,
    answers: watch::Sender<Option<Status>>,
    ask: A,
) where
    A: Fn(MemberName) -> F + Send + Sync,
    F: Future<Output = Option<Status>> + Send,
{
    let mut seen = states(&own.borrow_and_update());
    loop {
        let leader = leaders.borrow_and_update().clone();
        if let Some(leader) = leader
            && let Some(answer) = ask(leader).await
        {
            answers.send_replace(Some(answer));
        }
        tokio::select! {
            changed = leaders.changed() => if changed.is_err() { return },
            // What the beat says has its story at the leader: not asked for a second later.
            () = stirred(&mut own, &mut seen) => {}
            () = tokio::time::sleep(ASK_EVERY) => {}
        }
        if answers.is_closed() {
            return;
        }
    }
}

/// How everyone stands, without the ages that grow all the time.
fn states(status: &Status) -> BTreeMap<MemberName, MemberState> {
    let members = status.members.iter();
    members
        .map(|member| (member.name.clone(), member.state))
        .collect()
}

/// Returns when somebody stands otherwise than was seen.
async fn stirred(
    own: &mut watch::Receiver<Arc<Status>>,
    seen: &mut BTreeMap<MemberName, MemberState>,
) {
    while own.changed().await.is_ok() {
        let now = states(&own.borrow_and_update());
        if now != *seen {
            *seen = now;
            return;
        }
    }
    // The monitor is gone; the others of the select go on.
    std::future::pending::<()>().await;
}

/// The leader's fresh words where there are any and they are of no older term, the embedded monitor's
/// otherwise; with all incidents that are remembered, whichever leader they were of.
fn merge(
    own: &Status,
    fresh: Option<&Status>,
    old: Option<&Status>,
    history: &[Incident],
) -> Known {
    let best = fresh.filter(|answer| answer.is_leader && answer.term >= own.term);
    let mut status = best.unwrap_or(own).clone();
    let source = status.node.clone();
    // How the broker looks from here matters to the page: from the leader it may look otherwise.
    status.broker = own.broker;
    status.incidents = join(&status.incidents, history);
    if best.is_none()
        && let Some(old) = old
    {
        status.docker = old.docker;
        if status.alerts.is_empty() {
            status.alerts.clone_from(&old.alerts);
        }
    }
    Known {
        status,
        source,
        stale: false,
        stale_since_ms: None,
    }
}

fn join(newer: &[Incident], older: &[Incident]) -> Vec<Incident> {
    let mut all = newer.to_vec();
    all.extend(
        older
            .iter()
            .filter(|incident| newer.iter().all(|other| other.id != incident.id))
            .cloned(),
    );
    all.truncate(INCIDENTS_KEPT);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;

    fn leaders_words() -> Status {
        let mut status = fixture::known().status;
        status.node = MemberName::new("healer-3").unwrap();
        status.is_leader = true;
        status
    }

    fn own() -> Status {
        let mut status = fixture::known().status;
        status.incidents.clear();
        status.alerts.clear();
        status
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_of_state_asks_the_leader_at_once() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (say, hear) = watch::channel(Arc::new(own()));
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let _source = Source::new(hear, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async { None }
        });
        let moment = Duration::from_millis(10);
        tokio::time::sleep(moment).await;
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let mut older = own();
        older.heartbeats += 1;
        say.send_replace(Arc::new(older));
        tokio::time::sleep(moment).await;
        assert_eq!(
            asked.load(Ordering::Relaxed),
            1,
            "ages and counts are no news"
        );
        let mut other = own();
        other.members[0].state = MemberState::Suspect;
        say.send_replace(Arc::new(other));
        tokio::time::sleep(moment).await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_is_known_by_the_beat_until_the_leader_has_answered() {
        let (say, hear) = watch::channel(Arc::new(own()));
        let answers = Arc::new(std::sync::Mutex::new(leaders_words()));
        let answer = Arc::clone(&answers);
        let mut source = Source::new(hear, move |_| {
            let answer = answer.lock().unwrap().clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some(answer)
            }
        });
        let state = |source: &mut Source| source.known().status.members[0].state;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(state(&mut source), own().members[0].state);
        let mut other = own();
        other.members[0].state = MemberState::Suspect;
        say.send_replace(Arc::new(other));
        assert_eq!(state(&mut source), MemberState::Suspect);
        // The leader knows more by now.
        answers.lock().unwrap().members[0].state = MemberState::Restarting;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(state(&mut source), MemberState::Restarting);
    }

    #[test]
    fn the_leaders_words_win() {
        let known = merge(&own(), Some(&leaders_words()), None, &[]);
        assert_eq!(
            (known.source.as_str(), known.status.incidents.len()),
            ("healer-3", 5)
        );
    }

    #[test]
    fn words_of_an_older_term_do_not() {
        let mut newer = own();
        newer.term = 9;
        let old = leaders_words();
        let known = merge(&newer, Some(&old), Some(&old), &old.incidents);
        assert_eq!((known.source.as_str(), known.status.term), ("console", 9));
        assert_eq!(
            known.status.incidents.len(),
            5,
            "but what happened is remembered"
        );
    }

    #[test]
    fn incidents_are_joined_once_and_bounded() {
        let some = fixture::known().status.incidents;
        assert_eq!(join(&some, &some).len(), some.len());
        let many: Vec<Incident> = (0..100)
            .map(|i| {
                let mut incident = some[0].clone();
                incident.id = i.to_string();
                incident
            })
            .collect();
        assert_eq!(join(&some, &many).len(), INCIDENTS_KEPT);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_makes_it_stale_and_a_beat_makes_it_live_again() {
        let mut silent = own();
        silent.leader = None;
        let (send, receive) = watch::channel(Arc::new(silent));
        let mut source = Source::new(receive, |_| async { None });
        let stale = source.known();
        assert!(stale.stale && stale.stale_since_ms.is_some());
        send.send_replace(Arc::new(own()));
        assert!(source.changed().await);
        assert!(!source.known().stale);
        drop(send);
        assert!(!source.changed().await);
    }
}
