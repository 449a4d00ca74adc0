//! The state machine against the schedules that it is there for.

use super::*;
use crate::listing::{self, Query};
use crate::{
    BucketChange, ChunkId, ChunkRecord, ChunkRef, ChunkState, Condition, Copies, Data, DiskId,
    MemoryStore, ObjectHeaders, ObjectRecord, RoleChange, Stored, UploadId, VersionId, Versioning,
    history, keys,
};
use proptest::prelude::*;

pub(super) const COPIES: Copies = Copies {
    wanted: 3,
    quorum: 2,
};

pub(super) struct World {
    pub(super) store: MemoryStore,
    pub(super) index: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            store: MemoryStore::default(),
            index: 0,
        };
        world.members(&[1, 2, 3]);
        world.done(Command::CreateBucket {
            bucket: "b".into(),
            now_ms: 1,
        });
        world
    }

    pub(super) fn members(&mut self, voters: &[u64]) {
        self.index += 1;
        let voters = voters.iter().copied().map(DiskId).collect();
        set_members(
            &mut self.store,
            self.index,
            &Members {
                voters,
                learners: vec![],
            },
        )
        .unwrap();
    }

    pub(super) fn ask(&mut self, session: u64, number: u64, command: Command) -> Reply {
        self.index += 1;
        let request = Request {
            session,
            number,
            answered_below: 0,
            command,
        };
        apply(&mut self.store, self.index, &request).unwrap()
    }

    pub(super) fn run(&mut self, command: Command) -> Reply {
        self.ask(0, 0, command)
    }

    pub(super) fn done(&mut self, command: Command) {
        let reply = self.run(command);
        assert!(
            matches!(reply, Reply::Done | Reply::More | Reply::Deleted { .. }),
            "{reply:?}"
        );
    }

    pub(super) fn record(&self, bytes: &[u8]) -> Option<ChunkRecord> {
        read(&self.store, &keys::chunk(keys::CHUNK, &ChunkId::of(bytes))).unwrap()
    }

    pub(super) fn listed(&self, kind: u8) -> usize {
        self.listed_up_to(kind, 1000)
    }

    pub(super) fn listed_up_to(&self, kind: u8, limit: usize) -> usize {
        keys_with(&self.store, &[kind], &[kind], limit)
            .unwrap()
            .len()
    }

    pub(super) fn stored(&self, bytes: &[u8], disks: &[u64]) -> Stored {
        Stored {
            chunk: chunk(bytes),
            generation: self.index + 1,
            disks: disks.iter().copied().map(DiskId).collect(),
        }
    }

    pub(super) fn put(&self, key: &str, bytes: &[u8], disks: &[u64]) -> Command {
        put(key, bytes, self.stored(bytes, disks), Condition::Always)
    }
}

fn chunk(bytes: &[u8]) -> ChunkRef {
    ChunkRef {
        id: ChunkId::of(bytes),
        len: u32::try_from(bytes.len()).unwrap(),
    }
}

fn put(key: &str, bytes: &[u8], stored: Stored, condition: Condition) -> Command {
    Command::PutObject {
        bucket: "b".into(),
        key: key.into(),
        object: ObjectRecord {
            size: bytes.len() as u64,
            etag: ChunkId::of(bytes).to_string(),
            modified_ms: 5,
            headers: ObjectHeaders::default(),
            data: Data::Chunks(vec![chunk(bytes)]),
        },
        stored: vec![stored],
        copies: COPIES,
        condition,
    }
}

pub(super) fn delete(key: &str) -> Command {
    Command::DeleteObject {
        bucket: "b".into(),
        key: key.into(),
        condition: Condition::Always,
    }
}

fn create_upload() -> Command {
    Command::CreateUpload {
        bucket: "b".into(),
        key: "k".into(),
        headers: ObjectHeaders::default(),
        now_ms: 1,
    }
}

fn put_part(upload: UploadId, number: u16, stored: Stored) -> Command {
    Command::PutPart {
        bucket: "b".into(),
        key: "k".into(),
        upload,
        number,
        size: u64::from(stored.chunk.len),
        md5: [u8::try_from(number).unwrap(); 16],
        stored: vec![stored],
        copies: COPIES,
        now_ms: 2,
    }
}

fn complete(upload: UploadId, parts: &[u16]) -> Command {
    Command::CompleteUpload {
        bucket: "b".into(),
        key: "k".into(),
        upload,
        parts: parts
            .iter()
            .map(|n| (*n, [u8::try_from(*n).unwrap(); 16]))
            .collect(),
        etag: "e-2".into(),
        now_ms: 3,
        condition: Condition::Always,
        least_part: 2,
    }
}

#[test]
fn the_third_copy_is_owed_until_it_is_placed() {
    let mut world = World::new();
    world.run(world.put("k", b"x", &[1, 2]));
    assert_eq!(world.listed(keys::OWED), 1);
    let generation = world.index;
    world.done(Command::Placed {
        disk: DiskId(3),
        chunks: vec![(ChunkId::of(b"x"), generation)],
    });
    assert_eq!(world.listed(keys::OWED), 0);
    world.done(Command::Lost {
        disk: DiskId(1),
        chunks: vec![ChunkId::of(b"x")],
    });
    assert_eq!(world.listed(keys::OWED), 1);
}

#[test]
fn one_disk_is_no_quorum_however_often_it_acknowledges() {
    let mut world = World::new();
    let stale = Reply::Refused(Refusal::StaleChunks(vec![ChunkId::of(b"x")]));
    assert_eq!(world.run(world.put("k", b"x", &[1, 1])), stale);
    // A disk that does not belong to the cluster does not count either.
    assert_eq!(world.run(world.put("k", b"x", &[1, 9])), stale);
    assert_eq!(world.record(b"x"), None);
}

#[test]
fn a_disk_that_is_gone_owes_all_that_it_held() {
    let mut world = World::new();
    world.run(world.put("k", b"x", &[1, 2, 3]));
    assert_eq!(world.listed(keys::OWED), 0);
    world.members(&[1, 2, 4]);
    assert_eq!(world.listed(keys::OWED), 1);
    assert_eq!(world.record(b"x").unwrap().disks, [DiskId(1), DiskId(2)]);
}

#[test]
fn a_retry_gets_its_first_answer() {
    let mut world = World::new();
    assert_eq!(world.ask(7, 0, Command::OpenSession), Reply::Done);
    let first = put("k", b"x", world.stored(b"x", &[1, 2]), Condition::Absent);
    let answer = world.ask(7, 1, first.clone());
    assert!(matches!(answer, Reply::Written { .. }));
    // The same request again: its own success, not 412.
    assert_eq!(world.ask(7, 1, first.clone()), answer);
    assert_eq!(world.record(b"x").unwrap().references, 1);
    // Another request with the same content is judged for itself.
    assert_eq!(
        world.ask(7, 2, first),
        Reply::Refused(Refusal::ConditionFailed)
    );
}

#[test]
fn a_retry_does_not_undo_anothers_write() {
    let mut world = World::new();
    world.ask(7, 0, Command::OpenSession);
    let first = world.put("k", b"one", &[1, 2]);
    world.ask(7, 1, first.clone());
    world.run(world.put("k", b"two", &[1, 2]));
    world.ask(7, 1, first);
    let object: ObjectRecord = read(&world.store, &keys::object("b", "k"))
        .unwrap()
        .unwrap();
    assert_eq!(object.data, Data::Chunks(vec![chunk(b"two")]));
}

#[test]
fn sessions_are_bounded_and_a_retired_one_is_told() {
    let mut world = World::new();
    for session in 1..=MAX_SESSIONS as u64 + 1 {
        assert_eq!(world.ask(session, 0, Command::OpenSession), Reply::Done);
    }
    assert_eq!(world.listed(keys::SESSION), MAX_SESSIONS);
    let retired = Reply::Refused(Refusal::SessionRetired);
    assert_eq!(world.ask(1, 1, delete("k")), retired);
    assert_ne!(world.ask(2, 1, delete("k")), retired);
}

#[test]
fn answers_below_the_mark_are_forgotten_and_not_repeated() {
    let mut world = World::new();
    world.ask(7, 0, Command::OpenSession);
    for number in 1..5 {
        world.ask(7, number, Command::Nothing);
    }
    world.index += 1;
    let request = Request {
        session: 7,
        number: 5,
        answered_below: 5,
        command: Command::Nothing,
    };
    apply(&mut world.store, world.index, &request).unwrap();
    assert_eq!(world.listed(keys::ANSWER), 1);
    assert_eq!(
        world.ask(7, 3, delete("k")),
        Reply::Refused(Refusal::SessionRetired)
    );
}

#[test]
fn conditions_are_judged_when_applied() {
    let mut world = World::new();
    let with = |world: &World, condition| put("k", b"x", world.stored(b"x", &[1, 2]), condition);
    let etag = ChunkId::of(b"x").to_string();
    let failed = Reply::Refused(Refusal::ConditionFailed);
    assert_eq!(
        world.run(with(&world, Condition::Matches(etag.clone()))),
        Reply::Refused(Refusal::NoSuchKey)
    );
    assert!(matches!(
        world.run(with(&world, Condition::Absent)),
        Reply::Written { .. }
    ));
    assert_eq!(world.run(with(&world, Condition::Absent)), failed);
    assert!(matches!(
        world.run(with(&world, Condition::Matches(etag))),
        Reply::Written { .. }
    ));
    assert_eq!(
        world.run(with(&world, Condition::Matches("other".into()))),
        failed
    );
    assert!(matches!(
        world.run(with(&world, Condition::Present)),
        Reply::Written { .. }
    ));
    assert_eq!(world.record(b"x").unwrap().references, 1);
}

#[test]
fn completing_checks_and_closes_in_one() {
    let mut world = World::new();
    let Reply::Upload(upload) = world.run(create_upload()) else {
        panic!("no upload")
    };
    world.done(put_part(upload, 1, world.stored(b"one", &[1, 2])));
    world.done(put_part(upload, 2, world.stored(b"two", &[1, 2])));
    world.done(put_part(upload, 2, world.stored(b"neu", &[1, 2])));
    assert_eq!(world.record(b"two").unwrap().references, 0);
    assert_eq!(
        world.run(complete(upload, &[2, 1])),
        Reply::Refused(Refusal::InvalidPartOrder)
    );
    assert_eq!(
        world.run(complete(upload, &[1, 3])),
        Reply::Refused(Refusal::InvalidPart(3))
    );
    assert!(matches!(
        world.run(complete(upload, &[1, 2])),
        Reply::Written { .. }
    ));
    for command in [
        complete(upload, &[1, 2]),
        put_part(upload, 1, world.stored(b"late", &[1, 2])),
        Command::AbortUpload {
            bucket: "b".into(),
            key: "k".into(),
            upload,
        },
    ] {
        assert_eq!(world.run(command), Reply::Refused(Refusal::NoSuchUpload));
    }
    let object: ObjectRecord = read(&world.store, &keys::object("b", "k"))
        .unwrap()
        .unwrap();
    assert_eq!(object.size, 6);
    assert_eq!(
        object.data,
        Data::Chunks(vec![chunk(b"one"), chunk(b"neu")])
    );
    assert_eq!(world.record(b"one").unwrap().references, 1);
    assert_eq!(world.record(b"late"), None);
    assert_eq!(world.listed(keys::PART), 0);
}

#[test]
fn an_aborted_upload_lets_go_of_its_chunks() {
    let mut world = World::new();
    let Reply::Upload(upload) = world.run(create_upload()) else {
        panic!("no upload")
    };
    world.done(put_part(upload, 1, world.stored(b"one", &[1, 2])));
    assert_eq!(
        world.run(Command::DeleteBucket { bucket: "b".into() }),
        Reply::Refused(Refusal::BucketNotEmpty)
    );
    let page = listing::uploads(
        &world.store,
        "b",
        &Query {
            limit: 9,
            ..Query::default()
        },
    );
    assert_eq!(page.unwrap().lines.len(), 1);
    world.done(Command::AbortUpload {
        bucket: "b".into(),
        key: "k".into(),
        upload,
    });
    assert_eq!(world.listed(keys::UNNAMED), 1);
    world.done(Command::DeleteBucket { bucket: "b".into() });
}

#[test]
fn a_condemned_chunk_counts_only_when_written_again() {
    let mut world = World::new();
    let old = world.stored(b"x", &[1, 2]);
    world.run(put("k", b"x", old.clone(), Condition::Always));
    world.done(delete("k"));
    world.done(Command::Condemn {
        chunks: vec![ChunkId::of(b"x")],
    });
    let condemned = world.index;
    // An upload that found the chunk before the condemnation must write it again.
    assert_eq!(
        world.run(put("k", b"x", old, Condition::Always)),
        Reply::Refused(Refusal::StaleChunks(vec![ChunkId::of(b"x")]))
    );
    world.run(world.put("k", b"x", &[2, 3]));
    assert_eq!(world.record(b"x").unwrap().disks, [DiskId(2), DiskId(3)]);
    // A disk that obeyed the old condemnation late changes nothing.
    world.done(Command::Reaped {
        disk: DiskId(2),
        chunks: vec![(ChunkId::of(b"x"), condemned)],
    });
    assert_eq!(world.record(b"x").unwrap().disks, [DiskId(2), DiskId(3)]);
}

#[test]
fn a_chunk_that_is_gone_leaves_a_floor_behind() {
    let mut world = World::new();
    let old = world.stored(b"x", &[1, 2]);
    world.run(put("k", b"x", old.clone(), Condition::Always));
    world.done(delete("k"));
    world.done(Command::Condemn {
        chunks: vec![ChunkId::of(b"x")],
    });
    let condemned = world.index;
    for disk in [1, 2, 3] {
        assert_ne!(world.record(b"x"), None, "not before every disk has obeyed");
        world.done(Command::Reaped {
            disk: DiskId(disk),
            chunks: vec![(ChunkId::of(b"x"), condemned)],
        });
    }
    assert_eq!(world.record(b"x"), None);
    assert!(matches!(
        world.run(put("k", b"x", old, Condition::Always)),
        Reply::Refused(Refusal::StaleChunks(_))
    ));
    assert!(matches!(
        world.run(world.put("k", b"x", &[1, 2])),
        Reply::Written { .. }
    ));
}

#[test]
fn a_named_chunk_cannot_be_condemned() {
    let mut world = World::new();
    world.run(world.put("k", b"x", &[1, 2]));
    world.done(Command::Condemn {
        chunks: vec![ChunkId::of(b"x")],
    });
    assert_eq!(world.record(b"x").unwrap().condemned, None);
}

#[test]
fn a_copy_names_the_same_chunks() {
    let mut world = World::new();
    world.run(world.put("k", b"x", &[1, 2, 3]));
    let copy = Command::CopyObject {
        source: ("b".into(), "k".into()),
        target: ("b".into(), "l".into()),
        headers: None,
        now_ms: 9,
        source_condition: Condition::Always,
        condition: Condition::Always,
    };
    assert!(matches!(world.run(copy), Reply::Written { .. }));
    assert_eq!(world.record(b"x").unwrap().references, 2);
    world.done(delete("k"));
    world.done(delete("l"));
    assert_eq!(world.listed(keys::UNNAMED), 1);
}

fn any_command() -> impl Strategy<Value = (u8, u8, u8)> {
    (0_u8..13, 0_u8..4, 0_u8..4)
}

proptest! {
    /// Whatever happens in whatever order: references are exactly the names that exist, a named
    /// chunk is never condemned, the owed list is exact, and two nodes agree.
    #[test]
    fn the_books_balance(steps in prop::collection::vec(any_command(), 1..60)) {
        let mut world = World::new();
        let mut twin = World::new();
        let mut uploads: Vec<UploadId> = Vec::new();
        for (verb, a, b) in steps {
            let key = format!("k{a}");
            let bytes = [b];
            let id = ChunkId::of(&bytes);
            let upload = uploads.last().copied().unwrap_or(UploadId(0));
            let command = match verb {
                0 | 1 => world.put(&key, &bytes, &[1, 2]),
                2 => delete(&key),
                3 => create_upload(),
                4 => put_part(upload, u16::from(a) + 1, world.stored(&bytes, &[2, 3])),
                5 => complete(upload, &[u16::from(a) + 1]),
                6 => Command::Condemn { chunks: vec![id] },
                7 => {
                    let at = world.record(&bytes).and_then(|r| r.condemned).unwrap_or(0);
                    Command::Reaped { disk: DiskId(u64::from(a)), chunks: vec![(id, at)] }
                }
                8 => Command::SetBucket {
                    bucket: "b".into(),
                    change: BucketChange::Versioning(if b == 0 {
                        Versioning::Suspended
                    } else {
                        Versioning::Enabled
                    }),
                },
                9 => Command::Delete {
                    bucket: "b".into(),
                    key,
                    version: Some(VersionId(u64::from(b))),
                    now_ms: 1,
                    condition: Condition::Always,
                },
                10 => Command::Assign {
                    disk: DiskId(u64::from(a)),
                    change: RoleChange::Away(b == 0),
                },
                11 => Command::Surplus {
                    disk: DiskId(u64::from(a)),
                    layout: plan(&world.store).unwrap().layout.version,
                    chunks: vec![(id, vec![DiskId(1), DiskId(2), DiskId(3)])],
                },
                _ => Command::Placed { disk: DiskId(3), chunks: vec![(id, world.index)] },
            };
            if let Reply::Upload(id) = world.run(command.clone()) {
                uploads.push(id);
            }
            twin.run(command);
        }
        prop_assert_eq!(&world.store, &twin.store);
        let query = Query { limit: 1000, ..Query::default() };
        let mut named = std::collections::BTreeMap::<ChunkId, u64>::new();
        for line in history::versions(&world.store, "b", &query, None).unwrap().lines {
            let history::Line::Version { record, .. } = line else { continue };
            let Some(Data::Chunks(chunks)) = record.object.map(|object| object.data) else {
                continue;
            };
            for chunk in chunks {
                *named.entry(chunk.id).or_default() += 1;
            }
        }
        for upload in uploads {
            for (_, part) in listing::parts(&world.store, upload, 0, 1000).unwrap().0 {
                for chunk in part.chunks {
                    *named.entry(chunk.id).or_default() += 1;
                }
            }
        }
        let plan = plan(&world.store).unwrap();
        let mut counted = Counts::default();
        for key in keys_with(&world.store, &[keys::CHUNK], &[], 1000).unwrap() {
            let id = keys::chunk_of(keys::CHUNK, &key).unwrap();
            let record: ChunkRecord = read(&world.store, &key).unwrap().unwrap();
            let references = named.remove(&id).unwrap_or(0);
            prop_assert_eq!(record.references, references);
            prop_assert!(references == 0 || record.condemned.is_none());
            let owed = world.store.get(&keys::chunk(keys::OWED, &id)).unwrap().is_some();
            prop_assert_eq!(owed, plan.missing(&record) > 0);
            match plan.state(&record) {
                Some(ChunkState::Healthy) => counted.healthy += 1,
                Some(ChunkState::Degraded) => counted.degraded += 1,
                Some(ChunkState::Lost) => counted.lost += 1,
                None => {}
            }
        }
        prop_assert_eq!(counts(&world.store).unwrap(), Some(counted));
        prop_assert!(named.is_empty(), "named chunks without a record: {:?}", named);
    }
}
