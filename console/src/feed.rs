//! Server-sent events: each browser gets the regions that changed since what it has.

use crate::snapshot::{Regions, Snapshot};
use axum::response::sse::Event;
use futures::Stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// So many browsers at once; one more is told to come back later.
pub const CLIENTS_MAX: usize = 64;
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

    /// A place; `None` where all are taken. `seen` is the number of the moment that the browser
    /// already has: where it is still the newest, nothing is sent again.
    #[must_use]
    pub fn join(
        &self,
        seen: Option<u64>,
    ) -> Option<impl Stream<Item = Result<Event, Infallible>> + Send + use<>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let newest = self.newest();
        let has = if seen == Some(newest.seq) {
            newest.regions.clone()
        } else {
            Regions::new()
        };
        let reader = Reader {
            snapshots: self.snapshots.clone(),
            has,
            begun: false,
            _place: place,
        };
        Some(futures::stream::unfold(reader, Reader::next))
    }
}

/// One browser.
struct Reader {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    has: Regions,
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
        let changed = changes(&self.has, &snapshot.regions);
        self.has.clone_from(&snapshot.regions);
        let event = Event::default().id(snapshot.seq.to_string());
        let event = match serde_json::to_string(&changed) {
            Ok(text) if !changed.is_empty() => event.event("regions").data(text),
            _ => event.event("tick").data(TICK_DATA),
        };
        Some((Ok(event), self))
    }
}

/// The regions that look different now.
fn changes<'a>(
    has: &Regions,
    now: &'a Regions,
) -> std::collections::BTreeMap<&'static str, &'a str> {
    now.iter()
        .filter(|(name, html)| has.get(*name) != Some(html))
        .map(|(name, html)| (*name, html.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;

    fn moment(seq: u64, tickets: u32) -> Arc<Snapshot> {
        let mut known = fixture::known();
        known.status.tickets = tickets;
        Arc::new(Snapshot::new(seq, known))
    }

    #[test]
    fn only_what_changed_is_sent() {
        let (one, two) = (moment(1, 0), moment(2, 1));
        assert_eq!(
            changes(&Regions::new(), &one.regions).len(),
            one.regions.len()
        );
        assert_eq!(
            changes(&one.regions, &two.regions)
                .into_keys()
                .collect::<Vec<_>>(),
            ["facts"]
        );
    }

    #[tokio::test]
    async fn places_are_bounded_and_given_back() {
        let (_send, receive) = watch::channel(moment(1, 0));
        let feed = Feed::new(receive);
        let mut streams: Vec<_> = (0..CLIENTS_MAX).map(|_| feed.join(None).unwrap()).collect();
        assert!(feed.join(None).is_none());
        streams.pop();
        assert_eq!(feed.clients(), CLIENTS_MAX - 1);
        assert!(feed.join(None).is_some());
    }
}
