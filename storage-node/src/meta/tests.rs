//! openraft's own test suite, on our log and state machine, and what is ours alone.

use super::machine::StateMachine;
use super::{Entry, LogId, LogStore, NodeInfo, StorageError, TypeConfig};
use crate::config::Fsync;
use openraft::storage::RaftStateMachine;
use openraft::testing::{StoreBuilder, Suite};
use openraft::{CommittedLeaderId, EntryPayload, Membership, RaftSnapshotBuilder};
use std::collections::{BTreeMap, BTreeSet};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(&dir.path().join("raft.log")).unwrap();
        let machine = StateMachine::open(dir.path(), Fsync::Data).unwrap();
        Ok((dir, log, machine))
    }
}

fn entry(index: u64) -> Entry {
    let node = NodeInfo {
        name: format!("node-{index}"),
        addr: String::new(),
    };
    let members = Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, node)]));
    Entry {
        log_id: LogId::new(CommittedLeaderId::new(1, 1), index),
        payload: EntryPayload::Membership(members),
    }
}

#[tokio::test]
async fn a_mark_writes_no_file_and_who_needs_a_snapshot_is_given_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("00000000000000000007.snapshot"), "of old").unwrap();
    let mut machine = StateMachine::open(dir.path(), Fsync::Data).unwrap();
    let files = || {
        let names = std::fs::read_dir(dir.path()).unwrap();
        names
            .map(|one| one.unwrap().file_name())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        files(),
        ["state.redb"],
        "what earlier versions left is gone"
    );
    machine.apply([entry(1)]).await.unwrap();
    assert!(machine.get_current_snapshot().await.unwrap().is_none());
    let mark = machine.build_snapshot().await.unwrap().meta;
    assert_eq!(mark.last_log_id.unwrap().index, 1);
    machine.apply([entry(2)]).await.unwrap();
    let sent = machine.get_current_snapshot().await.unwrap().unwrap();
    assert_eq!(sent.meta.last_log_id.unwrap().index, 2);
    assert_eq!(files(), ["state.redb"], "it has no name any more");

    let other = tempfile::tempdir().unwrap();
    let mut installed = StateMachine::open(other.path(), Fsync::Data).unwrap();
    let (meta, file) = (sent.meta.clone(), sent.snapshot);
    installed.install_snapshot(&meta, file).await.unwrap();
    assert_eq!(
        installed.applied_state().await.unwrap(),
        machine.applied_state().await.unwrap()
    );
    assert!(installed.get_current_snapshot().await.unwrap().is_some());
}

#[test]
fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).unwrap();
}
