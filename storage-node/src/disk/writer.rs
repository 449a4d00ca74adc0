//! The one thread that appends to segments: many writes, one sync.

use super::segment::Header;
use super::store::Shared;
use super::{files, read};
use bytes::Bytes;
use planaria_storage_core::ChunkId;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use tokio::sync::oneshot;

/// How much is written before a sync, at most: more would make the first wait for the last.
const BATCH_BYTES: usize = 16 << 20;

/// What to write, and whom to tell when it is durable.
pub(super) enum Job {
    /// A chunk; answers its generation.
    Keep {
        chunk: ChunkId,
        bytes: Bytes,
        generation: u64,
        done: oneshot::Sender<io::Result<u64>>,
    },
    /// That copies up to a generation are dead; answers how many were named.
    Remove {
        chunks: Vec<(ChunkId, u64)>,
        done: oneshot::Sender<io::Result<u64>>,
    },
}

impl Job {
    fn size(&self) -> usize {
        match self {
            Self::Keep { bytes, .. } => bytes.len(),
            Self::Remove { chunks, .. } => chunks.len() * super::segment::HEADER as usize,
        }
    }

    fn finish(self, result: io::Result<()>) {
        let (done, value) = match self {
            Self::Keep {
                done, generation, ..
            } => (done, generation),
            Self::Remove { done, chunks } => (done, chunks.len() as u64),
        };
        // Who gave up waiting does not care; what was written is there all the same.
        let _ = done.send(result.map(|()| value));
    }

    /// The same job, its chunk acknowledged already.
    #[cfg(feature = "sabotage-ack-before-disk")]
    pub(super) fn answered(self) -> Self {
        match self {
            Self::Keep {
                chunk,
                bytes,
                generation,
                done,
            } => {
                let _ = done.send(Ok(generation));
                Self::Keep {
                    chunk,
                    bytes,
                    generation,
                    done: oneshot::channel().0,
                }
            }
            other => other,
        }
    }
}

/// Where a record was written, what its header says, and the quick proof of its bytes.
type Written = (u64, Header, Option<u64>);

pub(super) struct Writer {
    shared: Arc<Shared>,
    file: Arc<File>,
    segment: u32,
    end: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, segment: u32) -> io::Result<Self> {
        let file = create(&shared, segment)?;
        Ok(Self {
            shared,
            file,
            segment,
            end: 0,
        })
    }

    /// Runs until the store is dropped.
    pub(super) fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(first) = jobs.recv() {
            let mut batch = vec![first];
            let mut size = batch[0].size();
            while size < BATCH_BYTES
                && let Ok(job) = jobs.try_recv()
            {
                size += job.size();
                batch.push(job);
            }
            let pace = self.shared.pace.clone();
            pace.during(|| self.write(batch));
        }
    }

    fn write(&mut self, batch: Vec<Job>) {
        if self.end >= self.shared.options.segment_bytes
            && let Err(error) = self.next_segment()
        {
            return refuse(batch, &error);
        }
        let start = self.end;
        let mut places = Vec::with_capacity(batch.len());
        for job in &batch {
            if let Err(error) = self.append(job, &mut places) {
                // Nothing of this batch was acknowledged: the next one overwrites it.
                self.end = start;
                if let Err(error) = self.file.set_len(start) {
                    files::die("cannot cut a half-written segment", &error);
                }
                return refuse(batch, &error);
            }
        }
        if self.shared.options.sync
            && let Err(error) = files::sync(&self.file)
        {
            files::die("cannot sync a segment", &error);
        }
        for (at, header, quick) in places {
            self.shared.add(self.segment, at, header, quick);
        }
        for job in batch {
            job.finish(Ok(()));
        }
    }

    fn append(&mut self, job: &Job, places: &mut Vec<Written>) -> io::Result<()> {
        match job {
            Job::Keep {
                chunk,
                bytes,
                generation,
                ..
            } => {
                let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
                let header = Header {
                    chunk: *chunk,
                    len,
                    generation: *generation,
                    removal: false,
                };
                self.append_one(header, bytes, places)
            }
            Job::Remove { chunks, .. } => chunks.iter().try_for_each(|(chunk, generation)| {
                let header = Header {
                    chunk: *chunk,
                    len: 0,
                    generation: *generation,
                    removal: true,
                };
                self.append_one(header, &[], places)
            }),
        }
    }

    fn append_one(
        &mut self,
        header: Header,
        bytes: &[u8],
        places: &mut Vec<Written>,
    ) -> io::Result<()> {
        let at = self.end;
        self.file.write_all_at(&header.to_bytes(), at)?;
        self.file.write_all_at(bytes, at + super::segment::HEADER)?;
        self.end += header.record();
        // Whoever gave it has proved it by its name.
        let quick = (!header.removal).then(|| read::quick(bytes));
        places.push((at, header, quick));
        Ok(())
    }

    fn next_segment(&mut self) -> io::Result<()> {
        // What is closed is durable, whatever FSYNC says: only the newest segment can be torn.
        if let Err(error) = files::sync(&self.file) {
            files::die("cannot sync a full segment", &error);
        }
        let next = self.segment + 1;
        self.file = create(&self.shared, next)?;
        self.segment = next;
        self.end = 0;
        Ok(())
    }
}

fn create(shared: &Shared, segment: u32) -> io::Result<Arc<File>> {
    let path = shared.path(segment);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)?;
    file.flush()?;
    files::sync(&file)?;
    files::sync_parent(&path)?;
    let file = Arc::new(file);
    shared.open_segment(segment, Arc::clone(&file));
    Ok(file)
}

fn refuse(batch: Vec<Job>, error: &io::Error) {
    tracing::error!(event = "chunk_write_failed", %error, "cannot write chunks");
    for job in batch {
        job.finish(Err(io::Error::new(error.kind(), error.to_string())));
    }
}
