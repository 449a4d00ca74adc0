//! Versions, delete markers, tags.

use super::tests::*;
use super::*;
use crate::listing::Query;
use crate::{BucketChange, Condition, Tags, VersionId, Versioning, history};

fn versioning(versioning: Versioning) -> Command {
    Command::SetBucket {
        bucket: "b".into(),
        change: BucketChange::Versioning(versioning),
    }
}

fn written(world: &mut World, bytes: &[u8]) -> VersionId {
    match world.run(world.put("k", bytes, &[1, 2])) {
        Reply::Written {
            version: Some(version),
            ..
        } => version,
        other => panic!("{other:?}"),
    }
}

fn delete_version(world: &mut World, version: Option<VersionId>) -> Reply {
    world.run(Command::Delete {
        bucket: "b".into(),
        key: "k".into(),
        version,
        now_ms: 9,
        condition: Condition::Always,
    })
}

/// What is listed under the key: each version, whether it is the latest, whether a marker.
fn listed(world: &World) -> Vec<(VersionId, bool, bool)> {
    let query = Query {
        limit: 100,
        ..Query::default()
    };
    history::versions(&world.store, "b", &query, None)
        .unwrap()
        .lines
        .into_iter()
        .map(|line| match line {
            history::Line::Version { latest, record, .. } => {
                (record.attributes.version, latest, record.object.is_none())
            }
            history::Line::Prefix(prefix) => panic!("{prefix}"),
        })
        .collect()
}

fn current(world: &World) -> Option<String> {
    find(&world.store, ("b", "k"), None)
        .unwrap()
        .ok()
        .map(|(object, _)| object.etag)
}

fn tag(bytes: &[u8]) -> String {
    crate::ChunkId::of(bytes).to_string()
}

#[test]
fn overwritten_and_deleted_objects_stay_until_their_version_is_deleted() {
    let mut world = World::new();
    world.run(world.put("k", b"zero", &[1, 2]));
    world.done(versioning(Versioning::Enabled));
    let one = written(&mut world, b"one");
    let two = written(&mut world, b"two");
    let Reply::Deleted {
        version: Some(marker),
        marker: true,
    } = delete_version(&mut world, None)
    else {
        panic!("no marker")
    };
    assert_eq!(current(&world), None);
    assert_eq!(
        listed(&world),
        [
            (marker, true, true),
            (two, false, false),
            (one, false, false),
            (VersionId::NULL, false, false)
        ]
    );
    let kept = find(&world.store, ("b", "k"), Some(one)).unwrap().unwrap();
    assert_eq!(kept.0.etag, tag(b"one"));
    assert_eq!(
        find(&world.store, ("b", "k"), Some(marker)).unwrap(),
        Err(Refusal::DeleteMarker)
    );
    // Restored by deleting the marker.
    delete_version(&mut world, Some(marker));
    assert_eq!(current(&world), Some(tag(b"two")));
    // The current version deleted for good: the one before it is current.
    delete_version(&mut world, Some(two));
    assert_eq!(current(&world), Some(tag(b"one")));
    assert!(world.record(b"two").unwrap().references == 0);
    delete_version(&mut world, Some(one));
    delete_version(&mut world, Some(VersionId::NULL));
    assert!(listed(&world).is_empty());
}

#[test]
fn a_suspended_bucket_keeps_one_version_without_a_name() {
    let mut world = World::new();
    world.done(versioning(Versioning::Enabled));
    let one = written(&mut world, b"one");
    world.done(versioning(Versioning::Suspended));
    assert_eq!(written(&mut world, b"two"), VersionId::NULL);
    assert_eq!(written(&mut world, b"three"), VersionId::NULL);
    assert_eq!(
        listed(&world),
        [(VersionId::NULL, true, false), (one, false, false)]
    );
    assert_eq!(world.record(b"two").unwrap().references, 0);
    delete_version(&mut world, None);
    assert_eq!(
        listed(&world),
        [(VersionId::NULL, true, true), (one, false, false)]
    );
    world.done(versioning(Versioning::Enabled));
    let four = written(&mut world, b"four");
    assert_eq!(listed(&world).len(), 3);
    assert_eq!(current(&world), Some(tag(b"four")));
    // Off is no way back.
    world.done(versioning(Versioning::Off));
    assert_ne!(written(&mut world, b"five"), four);
}

#[test]
fn a_bucket_with_versions_is_not_empty() {
    let mut world = World::new();
    world.done(versioning(Versioning::Enabled));
    written(&mut world, b"one");
    delete_version(&mut world, None);
    let bucket = Command::DeleteBucket { bucket: "b".into() };
    assert_eq!(world.run(bucket), Reply::Refused(Refusal::BucketNotEmpty));
}

#[test]
fn tags_belong_to_a_version() {
    let mut world = World::new();
    world.done(versioning(Versioning::Enabled));
    let one = written(&mut world, b"one");
    written(&mut world, b"two");
    let tags = Tags::from([("a".to_owned(), "1".to_owned())]);
    for version in [Some(one), None] {
        let reply = world.run(Command::TagObject {
            bucket: "b".into(),
            key: "k".into(),
            version,
            tags: tags.clone(),
        });
        assert!(matches!(reply, Reply::Written { .. }));
        let found = find(&world.store, ("b", "k"), version).unwrap().unwrap();
        assert_eq!(found.1.tags, tags);
    }
    assert_eq!(listed(&world).len(), 2);
}

#[test]
fn pages_of_versions_put_together_are_the_whole() {
    let mut world = World::new();
    world.done(versioning(Versioning::Enabled));
    for n in 0..12_u8 {
        let key = format!("{}/{}", n % 3, n % 2);
        world.run(world.put(&key, &[n], &[1, 2]));
        if n % 4 == 0 {
            world.run(delete(&key));
        }
    }
    for (delimiter, prefix) in [("", ""), ("/", ""), ("", "1/"), ("/", "1/")] {
        let list = |limit, after: &str, version| {
            let query = Query {
                prefix: prefix.into(),
                delimiter: delimiter.into(),
                after: after.into(),
                limit,
            };
            history::versions(&world.store, "b", &query, version).unwrap()
        };
        let whole = list(1000, "", None);
        assert_eq!(whole.next, None);
        for limit in 1..6 {
            let mut lines = Vec::new();
            let mut page = list(limit, "", None);
            loop {
                lines.append(&mut page.lines);
                let Some((key, version)) = page.next.take() else {
                    break;
                };
                page = list(limit, &key, version);
            }
            assert_eq!(lines, whole.lines, "{limit} {delimiter} {prefix}");
        }
    }
}

#[test]
fn keys_come_and_go_and_are_bounded() {
    let mut world = World::new();
    let key = crate::AccessKey {
        name: "n".into(),
        secret: "s".into(),
        created_ms: 1,
        grants: None,
    };
    assert!(!format!("{key:?}").contains("secret"));
    for n in 0..MAX_KEYS {
        world.done(Command::PutKey {
            id: format!("AK{n}"),
            key: key.clone(),
        });
    }
    let more = Command::PutKey {
        id: "more".into(),
        key,
    };
    assert_eq!(
        world.run(more.clone()),
        Reply::Refused(Refusal::TooManyKeys)
    );
    world.done(Command::DeleteKey { id: "AK3".into() });
    assert_eq!(
        world.run(Command::DeleteKey { id: "AK3".into() }),
        Reply::Refused(Refusal::NoSuchAccessKey)
    );
    world.done(more);
}
