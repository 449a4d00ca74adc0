//! Server-sent events: each browser gets the regions that changed since what it has. Those that look at the same
//! share one frame of bytes: with 200 open pages a frame of its own for each would be megabytes per redraw.

use crate::page::{self, View};
use crate::snapshot::Snapshot;
use axum::body::Bytes;
use futures::Stream;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// So many browsers at once; one more is told to come back later.
pub const CLIENTS_MAX: usize = 256;
/// Something is said at least so often, so that a browser knows the line is alive (it gives up
/// after three times as long).
pub const TICK: Duration = Duration::from_secs(2);

/// A browser drops events without data.
const TICK_FRAME: &str = "event: tick\ndata: -\n\n";
/// Frames of one moment that are shared: every view, for browsers that have the moment before it or none at all.
const FRAMES_MAX: usize = 32;

/// Gives out places.
#[derive(Clone, Debug)]
pub struct Feed {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    places: Arc<Semaphore>,
    frames: Arc<Mutex<Frames>>,
}

/// What was made of the newest moment, by view and by what the browser has.
#[derive(Debug, Default)]
struct Frames {
    seq: u64,
    made: BTreeMap<(&'static str, u64), Bytes>,
}

impl Feed {
    /// Feeds from these moments.
    #[must_use]
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self {
            snapshots,
            places: Arc::new(Semaphore::new(CLIENTS_MAX)),
            frames: Arc::default(),
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
    ) -> Option<impl Stream<Item = Result<Bytes, Infallible>> + Send + use<>> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        // A number from the future is of another console's life.
        let seen = seen.filter(|seen| *seen <= self.newest().seq);
        let reader = Reader {
            snapshots: self.snapshots.clone(),
            frames: Arc::clone(&self.frames),
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
    frames: Arc<Mutex<Frames>>,
    seen: u64,
    /// The member's panel as it was sent last.
    panel: String,
    view: View,
    begun: bool,
    /// Given back when the browser goes.
    _place: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.begun {
            match tokio::time::timeout(TICK, self.snapshots.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((Ok(Bytes::from_static(TICK_FRAME.as_bytes())), self)),
            }
        }
        self.begun = true;
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let frame = self.frame(&snapshot);
        self.seen = snapshot.seq;
        Some((Ok(frame), self))
    }

    /// What the browser lacks of this moment.
    fn frame(&mut self, snapshot: &Snapshot) -> Bytes {
        // A member's panel is each reader's own.
        if matches!(self.view, View::Member(_)) {
            return frame(snapshot.seq, self.changes(snapshot).as_deref());
        }
        let frames = Arc::clone(&self.frames);
        let mut frames = frames.lock().unwrap_or_else(PoisonError::into_inner);
        if frames.seq != snapshot.seq {
            *frames = Frames {
                seq: snapshot.seq,
                made: BTreeMap::new(),
            };
        }
        let key = (self.view.name(), self.seen);
        if let Some(made) = frames.made.get(&key) {
            return made.clone();
        }
        let made = frame(snapshot.seq, self.changes(snapshot).as_deref());
        if frames.made.len() < FRAMES_MAX {
            frames.made.insert(key, made.clone());
        }
        made
    }

    /// The regions that look different since what the browser has, as one JSON object.
    fn changes(&mut self, snapshot: &Snapshot) -> Option<String> {
        let shown = |name: &str, since: u64| since > self.seen && self.view.shows(name);
        let mut changed: Vec<(&str, Arc<str>)> = snapshot
            .regions
            .iter()
            .filter(|(name, region)| shown(name, region.since))
            .map(|(name, region)| (*name, Arc::clone(&region.json)))
            .collect();
        if let View::Member(name) = &self.view {
            let panel = page::member::panel(&snapshot.known, &snapshot.board, name).into_string();
            if panel != self.panel {
                changed.push(("member", serde_json::to_string(&panel).ok()?.into()));
                self.panel = panel;
            }
        }
        if changed.is_empty() {
            return None;
        }
        let size = changed
            .iter()
            .map(|(name, json)| name.len() + json.len() + 4);
        let mut text = String::with_capacity(size.sum::<usize>() + 2);
        for (index, (name, json)) in changed.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            text.push_str(&format!("\"{name}\":{json}"));
        }
        text.push('}');
        Some(text)
    }
}

/// An event of the stream. JSON holds no line breaks, so that it is one line of data.
fn frame(seq: u64, changes: Option<&str>) -> Bytes {
    match changes {
        Some(text) => format!("id: {seq}\nevent: regions\ndata: {text}\n\n").into(),
        None => format!("id: {seq}\n{TICK_FRAME}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;
    use crate::snapshot::Board;
    use futures::StreamExt;

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
            frames: Arc::default(),
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
    async fn pages_of_one_view_share_a_frame_and_others_have_their_own() {
        let (_send, receive) = watch::channel(Arc::new(moment(None, 0)));
        let feed = Feed::new(receive);
        let first = |view: View, seen: Option<u64>| {
            let stream = feed.join(seen, view).unwrap();
            async move { Box::pin(stream).next().await.unwrap().unwrap() }
        };
        let one = first(View::Overview, None).await;
        let two = first(View::Overview, None).await;
        assert_eq!(one.as_ptr(), two.as_ptr());
        assert!(one.starts_with(b"id: 1\nevent: regions\ndata: {") && one.ends_with(b"}\n\n"));
        assert_ne!(first(View::Storage, None).await, one);
        assert_eq!(
            first(View::Overview, Some(1)).await,
            "id: 1\nevent: tick\ndata: -\n\n"
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
