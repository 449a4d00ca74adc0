//! The chunks of one disk.

use super::files;
use super::pace::Pace;
use super::read::Buffers;
use super::segment::{HEADER, Header, survey};
use super::writer::{Job, Writer};
use bytes::Bytes;
use planaria_storage_core::ChunkId;
use planaria_storage_core::merkle::{Tree, range_of};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// How many writes may wait for the writer. Each holds a chunk in memory.
const QUEUE: usize = 64;
/// What stays free for DELETE, compaction and Raft beside two segments.
const RESERVE: u64 = 64 << 20;

/// How the store is to behave.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// A segment is closed when it has grown to this length.
    pub segment_bytes: u64,
    /// Whether a write is synced before it is acknowledged.
    pub sync: bool,
}

impl Default for StoreOptions {
    /// Long enough segments to sync seldom, short enough to compact; and every write synced.
    fn default() -> Self {
        Self {
            segment_bytes: 128 << 20,
            sync: true,
        }
    }
}

/// What a disk holds.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Usage {
    /// Chunks with a good copy.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of all segment files.
    pub segment_bytes: u64,
}

/// Why there is no chunk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// This disk has no copy.
    #[error("no copy here")]
    Absent,
    /// The copy's bytes are not the ones that were written; it is forgotten.
    #[error("the copy here is damaged")]
    Rotten,
    /// The disk has no room for user data. Deletions still work.
    #[error("the disk is full")]
    Full,
    /// The disk is too slow for user data now.
    #[error("the disk is slow")]
    Slow,
    /// More writes wait than the disk can take.
    #[error("too many writes wait for the disk")]
    Busy,
    /// The file system.
    #[error("the disk failed: {0}")]
    Disk(#[from] io::Error),
}

/// Where a copy lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    segment: u32,
    pub(super) at: u64,
    pub(super) len: u32,
    generation: u64,
    /// Its quick proof, once these very bytes were proved by their name.
    pub(super) quick: Option<u64>,
}

impl Place {
    pub(super) fn is_at(&self, other: &Self) -> bool {
        (self.segment, self.at) == (other.segment, other.at)
    }
}

struct Segment {
    file: Arc<File>,
    /// Bytes of the records that count: live copies and removals.
    live: u64,
    end: u64,
    /// What is dead in this segment or an earlier one.
    removals: Vec<(ChunkId, u64)>,
}

#[derive(Default)]
struct Index {
    chunks: BTreeMap<ChunkId, Place>,
    segments: BTreeMap<u32, Segment>,
    bytes: u64,
    /// The digests of `chunks`.
    tree: Tree,
}

pub(super) struct Shared {
    dir: PathBuf,
    pub(super) options: StoreOptions,
    index: Mutex<Index>,
    pub(super) pace: Pace,
    pub(super) buffers: Buffers,
}

/// The chunks of one disk: append-only segments and an index in memory that each start rebuilds.
#[derive(Clone)]
pub struct ChunkStore {
    pub(super) shared: Arc<Shared>,
    jobs: SyncSender<Job>,
}

impl std::fmt::Debug for ChunkStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChunkStore")
            .field("dir", &self.shared.dir)
            .finish_non_exhaustive()
    }
}

impl ChunkStore {
    /// Opens the store: reads every segment's headers, verifies the newest segment whole and cuts
    /// its torn tail.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(dir: &Path, options: StoreOptions) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        files::sync_parent(dir)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            options,
            index: Mutex::new(Index::default()),
            pace: Pace::default(),
            buffers: Buffers::default(),
        });
        let numbers = segment_numbers(dir)?;
        let newest = numbers.last().copied();
        for number in numbers {
            shared.load(number, Some(number) == newest)?;
        }
        let (jobs, queue) = sync_channel(QUEUE);
        #[cfg(feature = "sabotage-ack-before-disk")]
        let queue = super::sabotage::answered_first(queue)?;
        let writer = Writer::new(Arc::clone(&shared), newest.map_or(1, |n| n + 1))?;
        std::thread::Builder::new()
            .name("chunk-writer".to_owned())
            .spawn(move || writer.run(&queue))?;
        Ok(Self { shared, jobs })
    }

    /// Writes a chunk and answers its generation when it is durable. A copy that is there is
    /// enough, unless `again` asks for a new one.
    ///
    /// # Errors
    /// [`ChunkError`].
    pub async fn put(
        &self,
        chunk: ChunkId,
        bytes: Bytes,
        generation: u64,
        again: bool,
    ) -> Result<u64, ChunkError> {
        if !again && let Some(place) = self.shared.lock().chunks.get(&chunk) {
            return Ok(place.generation);
        }
        if !chunk.names(&bytes) {
            return Err(ChunkError::Rotten);
        }
        if self.shared.pace.is_slow() {
            return Err(ChunkError::Slow);
        }
        if self.is_full() {
            return Err(ChunkError::Full);
        }
        let (done, answer) = oneshot::channel();
        self.give(Job::Keep {
            chunk,
            bytes,
            generation,
            done,
        })?;
        settle(answer).await
    }

    fn give(&self, job: Job) -> Result<(), ChunkError> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => ChunkError::Busy,
            TrySendError::Disconnected(_) => io::Error::other("the writer ended").into(),
        })
    }

    /// The generation of the copy here, if there is one.
    #[must_use]
    pub fn generation(&self, chunk: &ChunkId) -> Option<u64> {
        self.shared
            .lock()
            .chunks
            .get(chunk)
            .map(|place| place.generation)
    }

    /// The digests of the chunks here.
    #[must_use]
    pub fn tree(&self) -> Tree {
        self.shared.lock().tree.clone()
    }

    /// The chunks of one range of the digests, with their generations.
    #[must_use]
    pub fn range(&self, range: u8) -> Vec<(ChunkId, u64)> {
        let mut first = [0; 32];
        first[0] = range;
        let index = self.shared.lock();
        index
            .chunks
            .range(ChunkId(first)..)
            .take_while(|(id, _)| range_of(id) == range)
            .map(|(id, place)| (*id, place.generation))
            .collect()
    }

    /// Up to `limit` chunks behind `after` in the order of their names, with their generations.
    #[must_use]
    pub fn page(&self, after: Option<ChunkId>, limit: usize) -> Vec<(ChunkId, u64)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let index = self.shared.lock();
        index
            .chunks
            .range((from, Bound::Unbounded))
            .take(limit)
            .map(|(id, place)| (*id, place.generation))
            .collect()
    }

    /// Removes the copies of chunks that are of these generations or older, durably. Their room
    /// is won back by [`ChunkStore::compact`].
    ///
    /// # Errors
    /// [`ChunkError`].
    pub async fn remove(&self, chunks: Vec<(ChunkId, u64)>) -> Result<(), ChunkError> {
        let chunks: Vec<_> = chunks
            .into_iter()
            .filter(|(chunk, up_to)| self.generation(chunk).is_some_and(|found| found <= *up_to))
            .collect();
        if chunks.is_empty() {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        self.give(Job::Remove { chunks, done })?;
        settle(answer).await.map(drop)
    }

    /// Removes one closed segment in which less than half is alive, after what is alive in it was
    /// written again and is durable. Answers whether there was one.
    ///
    /// # Errors
    /// [`ChunkError`].
    pub async fn compact(&self) -> Result<bool, ChunkError> {
        let Some(found) = self.shared.emptiest() else {
            return Ok(false);
        };
        for (chunk, generation) in found.alive {
            let store = self.clone();
            let read = tokio::task::spawn_blocking(move || store.get(&chunk)).await;
            let bytes = match read.map_err(io::Error::other)? {
                Ok(bytes) => bytes,
                Err(ChunkError::Absent | ChunkError::Rotten) => continue,
                Err(error) => return Err(error),
            };
            let (done, answer) = oneshot::channel();
            self.give(Job::Keep {
                chunk,
                bytes,
                generation,
                done,
            })?;
            settle(answer).await?;
        }
        if !found.removals.is_empty() {
            let (done, answer) = oneshot::channel();
            self.give(Job::Remove {
                chunks: found.removals,
                done,
            })?;
            settle(answer).await?;
        }
        self.shared.drop_segment(found.number)?;
        Ok(true)
    }

    /// Where the segments lie.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// What the disk holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let index = self.shared.lock();
        Usage {
            chunks: index.chunks.len() as u64,
            bytes: index.bytes,
            segments: index.segments.len() as u64,
            segment_bytes: index.segments.values().map(|segment| segment.end).sum(),
        }
    }

    /// How the writer gets on.
    #[must_use]
    pub fn pace(&self) -> &Pace {
        &self.shared.pace
    }

    /// Whether user data is refused: only the reserve is left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let reserve = 2 * self.shared.options.segment_bytes + RESERVE;
        files::free_bytes(&self.shared.dir).is_ok_and(|free| free < reserve)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn path(&self, segment: u32) -> PathBuf {
        self.dir.join(format!("{segment:010}.segment"))
    }

    fn load(&self, number: u32, newest: bool) -> io::Result<()> {
        let path = self.path(number);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let found = survey(&file, newest)?;
        let length = file.metadata()?.len();
        if found.holes > 0 {
            tracing::warn!(
                event = "segment_rotten",
                segment = number,
                holes = found.holes,
                "a segment has bad stretches; what was lost is repaired from the others"
            );
        }
        if newest && found.end < length {
            tracing::info!(
                event = "torn_tail_cut",
                segment = number,
                bytes = length - found.end,
                "cut what a crash left half-written"
            );
            file.set_len(found.end)?;
        }
        if found.end == 0 && newest {
            return fs::remove_file(&path);
        }
        if newest {
            // What was read may be in memory only: the process that wrote it was killed before
            // its sync. From here on these copies count, so they must outlive the power too.
            files::sync(&file)?;
        }
        self.open_segment(number, Arc::new(file));
        for (at, header) in found.records {
            self.add(number, at, header, None);
        }
        Ok(())
    }

    pub(super) fn open_segment(&self, number: u32, file: Arc<File>) {
        self.lock().segments.insert(
            number,
            Segment {
                file,
                live: 0,
                end: 0,
                removals: Vec::new(),
            },
        );
    }

    /// Takes a durable record into the index; an older copy of the chunk is dead from now on. `quick` is the
    /// quick proof of bytes that were proved by their name.
    pub(super) fn add(&self, number: u32, at: u64, header: Header, quick: Option<u64>) {
        let mut index = self.lock();
        if let Some(segment) = index.segments.get_mut(&number) {
            segment.live += header.record();
            segment.end = segment.end.max(at + header.record());
            if header.removal {
                segment.removals.push((header.chunk, header.generation));
            }
        }
        let old = if header.removal {
            let found = index.chunks.get(&header.chunk);
            if found.is_none_or(|place| place.generation > header.generation) {
                return;
            }
            index.take(&header.chunk)
        } else {
            let place = Place {
                segment: number,
                at,
                len: header.len,
                generation: header.generation,
                quick,
            };
            index.bytes += u64::from(header.len);
            let old = index.chunks.insert(header.chunk, place);
            if old.is_none() {
                index.tree.insert(&header.chunk);
            }
            old
        };
        if let Some(old) = old {
            index.bury(old);
        }
    }

    /// Where a chunk lies, and the file.
    pub(super) fn find(&self, chunk: &ChunkId) -> Option<(Place, Arc<File>)> {
        let index = self.lock();
        let place = *index.chunks.get(chunk)?;
        let segment = index.segments.get(&place.segment)?;
        Some((place, Arc::clone(&segment.file)))
    }

    /// These very bytes are the ones that the name stands for.
    pub(super) fn proved(&self, chunk: &ChunkId, place: &Place, quick: u64) {
        if let Some(found) = self.lock().chunks.get_mut(chunk)
            && found.is_at(place)
        {
            found.quick = Some(quick);
        }
    }

    pub(super) fn forget(&self, chunk: &ChunkId, which: impl Fn(&Place) -> bool) {
        let mut index = self.lock();
        if index.chunks.get(chunk).is_some_and(which)
            && let Some(place) = index.take(chunk)
        {
            index.bury(place);
        }
    }

    /// A closed segment that is less than half alive, and what has to be kept of it. Removals
    /// count, and are kept, as long as there is an earlier segment in which they may be needed.
    fn emptiest(&self) -> Option<Found> {
        let index = self.lock();
        let newest = *index.segments.last_key_value()?.0;
        let oldest = *index.segments.first_key_value()?.0;
        let (number, segment) = index.segments.iter().find(|(number, segment)| {
            let removals = if **number == oldest {
                segment.removals.len() as u64
            } else {
                0
            };
            **number != newest && (segment.live - removals * HEADER) * 2 <= segment.end
        })?;
        let alive = index
            .chunks
            .iter()
            .filter(|(_, place)| place.segment == *number)
            .map(|(chunk, place)| (*chunk, place.generation))
            .collect();
        let removals = if *number == oldest {
            Vec::new()
        } else {
            segment.removals.clone()
        };
        Some(Found {
            number: *number,
            alive,
            removals,
        })
    }

    fn drop_segment(&self, number: u32) -> io::Result<()> {
        self.lock().segments.remove(&number);
        let path = self.path(number);
        fs::remove_file(&path)?;
        files::sync_parent(&path)
    }
}

/// A segment to be written again.
struct Found {
    number: u32,
    alive: Vec<(ChunkId, u64)>,
    removals: Vec<(ChunkId, u64)>,
}

async fn settle(answer: oneshot::Receiver<io::Result<u64>>) -> Result<u64, ChunkError> {
    answer
        .await
        .map_err(io::Error::other)?
        .map_err(|error| match error.kind() {
            io::ErrorKind::StorageFull => ChunkError::Full,
            _ => ChunkError::Disk(error),
        })
}

impl Index {
    fn take(&mut self, chunk: &ChunkId) -> Option<Place> {
        let place = self.chunks.remove(chunk)?;
        self.tree.remove(chunk);
        Some(place)
    }

    fn bury(&mut self, place: Place) {
        self.bytes -= u64::from(place.len);
        if let Some(segment) = self.segments.get_mut(&place.segment) {
            segment.live -= HEADER + u64::from(place.len);
        }
    }
}

fn segment_numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".segment"));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            numbers.push(number);
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::os::unix::fs::FileExt;

    const OPTIONS: StoreOptions = StoreOptions {
        segment_bytes: 4096,
        sync: true,
    };

    async fn put(store: &ChunkStore, bytes: &'static [u8], generation: u64) -> u64 {
        store
            .put(
                ChunkId::of(bytes),
                Bytes::from_static(bytes),
                generation,
                false,
            )
            .await
            .unwrap()
    }

    fn newest(dir: &Path) -> PathBuf {
        let number = *segment_numbers(dir).unwrap().last().unwrap();
        dir.join(format!("{number:010}.segment"))
    }

    #[tokio::test]
    async fn what_was_acknowledged_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        put(&store, b"one", 1).await;
        put(&store, b"two", 2).await;
        drop(store);
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        assert_eq!(store.get(&ChunkId::of(b"one")).unwrap(), &b"one"[..]);
        assert_eq!(store.generation(&ChunkId::of(b"two")), Some(2));
        assert_eq!(store.page(None, 10).len(), 2);
        assert!(matches!(
            store.get(&ChunkId::of(b"three")),
            Err(ChunkError::Absent)
        ));
    }

    #[tokio::test]
    async fn a_torn_tail_is_cut_and_writing_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        put(&store, b"one", 1).await;
        put(&store, b"two", 1).await;
        drop(store);
        let path = newest(dir.path());
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        assert!(store.get(&ChunkId::of(b"one")).is_ok());
        assert!(matches!(
            store.get(&ChunkId::of(b"two")),
            Err(ChunkError::Absent)
        ));
        put(&store, b"two", 1).await;
        drop(store);
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        assert!(store.get(&ChunkId::of(b"two")).is_ok());
    }

    /// A process that is killed between its write and its sync leaves copies that the next one
    /// finds and counts: they must be as durable as any other.
    #[tokio::test]
    async fn what_a_killed_process_had_not_synced_is_synced_before_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let unsynced = StoreOptions {
            sync: false,
            ..OPTIONS
        };
        let store = ChunkStore::open(dir.path(), unsynced).unwrap();
        put(&store, b"one", 1).await;
        drop(store);
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        // Answered at once: it is there.
        assert_eq!(put(&store, b"one", 2).await, 1);
        let after = tempfile::tempdir().unwrap();
        let mut rng = rand::rngs::SmallRng::seed_from_u64(1);
        let cut = super::super::power::hold().cut(dir.path(), after.path(), &mut rng);
        cut.unwrap();
        let store = ChunkStore::open(after.path(), OPTIONS).unwrap();
        assert_eq!(store.get(&ChunkId::of(b"one")).unwrap(), &b"one"[..]);
    }

    #[tokio::test]
    async fn a_slow_disk_refuses_what_is_new_and_gives_what_it_has() {
        let dir = tempfile::tempdir().unwrap();
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        put(&store, b"one", 1).await;
        store.shared.pace.pretend(true);
        let bytes = Bytes::from_static(b"two");
        let refused = store.put(ChunkId::of(&bytes), bytes, 1, false).await;
        assert!(matches!(refused, Err(ChunkError::Slow)));
        assert_eq!(store.get(&ChunkId::of(b"one")).unwrap(), &b"one"[..]);
        store.shared.pace.pretend(false);
        put(&store, b"two", 1).await;
    }

    /// By its name and by the quick proof, of what was just written and of what a start found.
    #[tokio::test]
    async fn a_flipped_bit_is_seen_and_the_copy_forgotten() {
        type Get = fn(&ChunkStore, &ChunkId) -> Result<Bytes, ChunkError>;
        let id = ChunkId::of(b"one");
        for (get, anew) in [ChunkStore::get as Get, ChunkStore::get_again]
            .into_iter()
            .flat_map(|get| [(get, false), (get, true)])
        {
            let dir = tempfile::tempdir().unwrap();
            let mut store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
            put(&store, b"one", 1).await;
            let segment = newest(dir.path());
            if anew {
                drop(store);
                store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
            }
            assert_eq!(get(&store, &id).unwrap(), &b"one"[..]);
            let file = OpenOptions::new().write(true).open(segment).unwrap();
            file.write_all_at(b"X", HEADER).unwrap();
            assert!(matches!(get(&store, &id), Err(ChunkError::Rotten)));
            assert!(matches!(get(&store, &id), Err(ChunkError::Absent)));
        }
    }

    #[tokio::test]
    async fn a_copy_is_kept_or_written_again_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        let id = ChunkId::of(b"one");
        assert_eq!(put(&store, b"one", 1).await, 1);
        assert_eq!(put(&store, b"one", 5).await, 1);
        assert_eq!(
            store
                .put(id, Bytes::from_static(b"one"), 5, true)
                .await
                .unwrap(),
            5
        );
        store.remove(vec![(id, 4)]).await.unwrap();
        assert_eq!(store.generation(&id), Some(5));
        store.remove(vec![(id, 5)]).await.unwrap();
        assert_eq!(store.generation(&id), None);
        let wrong = store.put(id, Bytes::from_static(b"two"), 5, false).await;
        assert!(matches!(wrong, Err(ChunkError::Rotten)));
    }

    #[tokio::test]
    async fn compaction_wins_room_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        let chunks: Vec<Bytes> = (0..20_u8).map(|n| vec![n; 1000].into()).collect();
        for bytes in &chunks {
            store
                .put(ChunkId::of(bytes), bytes.clone(), 1, false)
                .await
                .unwrap();
        }
        let before = store.usage();
        for bytes in chunks.iter().step_by(2) {
            store.remove(vec![(ChunkId::of(bytes), 1)]).await.unwrap();
        }
        while store.compact().await.unwrap() {}
        assert!(store.usage().segment_bytes < before.segment_bytes);
        drop(store);
        let store = ChunkStore::open(dir.path(), OPTIONS).unwrap();
        for (n, bytes) in chunks.iter().enumerate() {
            match store.get(&ChunkId::of(bytes)) {
                Ok(found) => assert!(n % 2 == 1 && found == bytes),
                Err(_) => assert!(n % 2 == 0, "what was removed stays removed"),
            }
        }
    }
}
