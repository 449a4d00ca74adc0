//! Server-sent events: each browser gets the regions that changed since what it has.

use crate::page::{self, View};
use crate::snapshot::Snapshot;
use axum::response::sse::Event;
use futures::Stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// So many browsers at once; one more is told to come back later.
pub const CLIENTS_MAX: usize = 256;
/// Something is said at least so often, so that a browser knows the line is alive (it gives up
/// after three times as long).
pub const TICK: Duration = Duration::from_secs(2);

/// A browser drops events without data.
const TICK_DATA: &str = "-";

/// Gives out places.
#[derive(Clone, Debug)]
pub struct Feed {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    places: Arc<Semaphore>,
}

impl Feed {
    /// Feeds from these moments.
    #[must_use]
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self {
            snapshots,
            places: Arc::new(Semaphore::new(CLIENTS_MAX)),
        }
    }

    /// The newest moment.
    #[must_use]
    pub fn newest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// How many browsers are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        CLIENTS_MAX - self.places.available_permits()
    }

    /// A place; `None` where all are taken. `seen` is the number of the newest moment that the browser
    /// has: what looks the same since is not sent again. `view` says which regions it shows.
    #[must_use]
    pub fn join(
        &self,
        seen: Option<u64>,
        view: View,
    ) -> Option<impl Stream<Item = Result<Event, Infallible>> + Send + use<>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        // A number from the future is of another console's life.
        let seen = seen.filter(|seen| *seen <= self.newest().seq);
        let reader = Reader {
            snapshots: self.snapshots.clone(),
            seen: seen.unwrap_or(0),
            panel: String::new(),
            view,
            begun: false,
            _place: place,
        };
        Some(futures::stream::unfold(reader, Reader::next))
    }
}

/// One browser.
struct Reader {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    seen: u64,
    /// The member's panel as it was sent last.
    panel: String,
    view: View,
    begun: bool,
    /// Given back when the browser goes.
    _place: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.begun {
            match tokio::time::timeout(TICK, self.snapshots.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((Ok(Event::default().event("tick").data(TICK_DATA)), self)),
            }
        }
        self.begun = true;
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let event = Event::default().id(snapshot.seq.to_string());
        let text = self.changes(&snapshot);
        self.seen = snapshot.seq;
        let event = match text {
            Some(text) => event.event("regions").data(text),
            None => event.event("tick").data(TICK_DATA),
        };
        Some((Ok(event), self))
    }

    /// The regions that look different since what the browser has, as one JSON object.
    fn changes(&mut self, snapshot: &Snapshot) -> Option<String> {
        let mut text = String::from("{");
        let mut add = |name: &str, json: &str| {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&format!("\"{name}\":{json}"));
        };
        for (name, region) in &snapshot.regions {
            if region.since > self.seen && self.view.shows(name) {
                add(name, &region.json);
            }
        }
        if let View::Member(name) = &self.view {
            let panel = page::member::panel(&snapshot.known, &snapshot.board, name).into_string();
            if panel != self.panel {
                add("member", &serde_json::to_string(&panel).ok()?);
                self.panel = panel;
            }
        }
        text.push('}');
        (text.len() > 2).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;
    use crate::snapshot::Board;

    fn moment(before: Option<&Snapshot>, tickets: u32) -> Snapshot {
        let mut known = fixture::known();
        known.status.tickets = tickets;
        let board = Arc::new(Board::default());
        match before {
            Some(before) => before.then(known, board),
            None => Snapshot::new(1, known, board),
        }
    }

    fn reader(view: View, seen: u64) -> Reader {
        let (_, snapshots) = watch::channel(Arc::new(moment(None, 0)));
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Reader {
            snapshots,
            seen,
            panel: String::new(),
            view,
            begun: true,
            _place: place,
        }
    }

    #[test]
    fn only_what_changed_and_is_shown_is_sent() {
        let one = moment(None, 0);
        let two = moment(Some(&one), 1);
        assert_eq!(two.seq, 2);
        let text = reader(View::Overview, 1).changes(&two).unwrap();
        let regions: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&text).unwrap();
        assert!(
            regions.contains_key("facts") && !regions.contains_key("members"),
            "{regions:?}"
        );
        assert!(reader(View::Overview, 2).changes(&two).is_none());
        assert!(
            reader(View::Storage, 0)
                .changes(&two)
                .unwrap()
                .contains("\"storage\"")
        );
        assert!(
            !reader(View::Storage, 0)
                .changes(&two)
                .unwrap()
                .contains("\"ring\"")
        );
        let name = "healer-3".to_owned();
        assert!(
            reader(View::Member(name), 2)
                .changes(&two)
                .unwrap()
                .contains("\"member\"")
        );
    }

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let (_send, receive) = watch::channel(Arc::new(moment(None, 0)));
        let feed = Feed::new(receive);
        let mut streams: Vec<_> = (0..CLIENTS_MAX)
            .map(|_| feed.join(None, View::Overview).unwrap())
            .collect();
        assert!(feed.join(None, View::Overview).is_none());
        streams.pop();
        assert_eq!(feed.clients(), CLIENTS_MAX - 1);
        assert!(feed.join(None, View::Overview).is_some());
    }
}
