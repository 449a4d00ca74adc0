//! Disks that go away, come back, are emptied, and hold more than is wanted.

use super::tests::*;
use super::*;
use crate::{ChunkId, DiskId, RoleChange, keys};

fn assign(disk: u64, change: RoleChange) -> Command {
    Command::Assign {
        disk: DiskId(disk),
        change,
    }
}

fn surplus(world: &World, disk: u64, bytes: &[u8], verified: &[u64]) -> Command {
    let verified = verified.iter().copied().map(DiskId).collect();
    Command::Surplus {
        disk: DiskId(disk),
        layout: plan(&world.store).unwrap().layout.version,
        chunks: vec![(ChunkId::of(bytes), verified)],
    }
}

fn disks(world: &World, bytes: &[u8]) -> Vec<u64> {
    world
        .record(bytes)
        .unwrap()
        .disks
        .iter()
        .map(|disk| disk.0)
        .collect()
}

fn four() -> World {
    let mut world = World::new();
    world.members(&[1, 2, 3, 4]);
    world.run(world.put("k", b"x", &[1, 2, 3]));
    world
}

#[test]
fn what_a_disk_held_that_stays_away_is_owed_until_another_has_it() {
    let mut world = four();
    assert_eq!(world.listed(keys::OWED), 0);
    world.done(assign(3, RoleChange::Away(true)));
    assert_eq!(world.listed(keys::OWED), 1);
    assert_eq!(counts(&world.store).unwrap().unwrap().degraded, 1);
    let generation = world.index + 1;
    world.done(Command::Placed {
        disk: DiskId(4),
        chunks: vec![(ChunkId::of(b"x"), generation)],
    });
    assert_eq!(world.listed(keys::OWED), 0);
    // It is back: its copy counts again, and one of the four may go.
    world.done(assign(3, RoleChange::Away(false)));
    assert_eq!(disks(&world, b"x"), [1, 2, 3, 4]);
    world.done(surplus(&world, 4, b"x", &[1, 2, 3]));
    assert_eq!(disks(&world, b"x"), [1, 2, 3]);
    assert_eq!(world.listed(keys::OWED), 0);
}

#[test]
fn a_copy_goes_only_when_enough_others_were_verified_under_this_layout() {
    let mut world = four();
    world.done(Command::Placed {
        disk: DiskId(4),
        chunks: vec![(ChunkId::of(b"x"), world.index + 1)],
    });
    let early = surplus(&world, 4, b"x", &[1, 2, 3]);
    world.done(surplus(&world, 4, b"x", &[1, 2]));
    assert_eq!(disks(&world, b"x").len(), 4, "two are not three");
    world.done(assign(2, RoleChange::Draining(true)));
    assert_eq!(
        world.run(early),
        Reply::Refused(Refusal::LayoutChanged),
        "verified before the layout changed"
    );
    world.done(surplus(&world, 4, b"x", &[1, 2, 3]));
    assert_eq!(disks(&world, b"x").len(), 4, "one of them is to be emptied");
    world.done(surplus(&world, 2, b"x", &[1, 3, 4]));
    assert_eq!(disks(&world, b"x"), [1, 3, 4]);
}

/// A writer is told that disk 4 has the chunk; then the copy goes as surplus; then the manifest
/// comes and names it.
#[test]
fn a_surplus_copy_counts_no_more_for_a_writer_that_saw_it_before() {
    let mut world = four();
    world.done(Command::Placed {
        disk: DiskId(4),
        chunks: vec![(ChunkId::of(b"x"), world.index + 1)],
    });
    let seen = world.put("k2", b"x", &[4]);
    world.done(surplus(&world, 4, b"x", &[1, 2, 3]));
    assert!(matches!(world.run(seen), Reply::Written { .. }));
    assert_eq!(disks(&world, b"x"), [1, 2, 3]);
    // Written again since: it counts.
    let again = world.put("k3", b"x", &[4]);
    world.run(again);
    assert_eq!(disks(&world, b"x"), [1, 2, 3, 4]);
}

#[test]
fn a_disk_that_is_emptied_is_owed_to_others_and_counts_for_nothing() {
    let mut world = four();
    world.done(assign(1, RoleChange::Draining(true)));
    assert_eq!(world.listed(keys::OWED), 1);
    assert_eq!(
        world.run(assign(9, RoleChange::Draining(true))),
        Reply::Refused(Refusal::NoSuchDisk)
    );
    world.done(assign(1, RoleChange::Draining(false)));
    assert_eq!(world.listed(keys::OWED), 0);
}

#[test]
fn more_chunks_than_a_page_are_counted_page_by_page() {
    let mut world = World::new();
    world.members(&[1, 2, 3, 4]);
    let many = u32::try_from(CHUNKS_PAGE).unwrap() + 10;
    for n in 0..many {
        world.run(world.put(&format!("k{n}"), &n.to_be_bytes(), &[1, 2, 3]));
    }
    world.done(assign(3, RoleChange::Away(true)));
    assert_eq!(
        counts(&world.store).unwrap(),
        None,
        "they are being counted"
    );
    // What changes meanwhile is counted once, wherever the cursor is.
    for n in [0, 1, 2, many - 1] {
        world.done(delete(&format!("k{n}")));
    }
    world.run(world.put("new", b"new", &[1, 2, 4]));
    while world.run(Command::Recount) == Reply::More {}
    let counts = counts(&world.store).unwrap().unwrap();
    assert_eq!((counts.degraded, counts.healthy), (u64::from(many) - 4, 1));
    assert_eq!(world.listed_up_to(keys::OWED, 10_000), many as usize - 4);
}
