//! openraft's own test suite, on our log and state machine.

use super::machine::StateMachine;
use super::{LogStore, StorageError, TypeConfig};
use crate::config::Fsync;
use openraft::testing::{StoreBuilder, Suite};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, tempfile::TempDir> for Builder {
    async fn build(&self) -> Result<(tempfile::TempDir, LogStore, StateMachine), StorageError> {
        let dir = tempfile::tempdir().unwrap();
        let log = LogStore::open(&dir.path().join("raft.log")).unwrap();
        let machine = StateMachine::open(dir.path(), Fsync::Data).unwrap();
        Ok((dir, log, machine))
    }
}

#[test]
fn openrafts_own_suite_passes() {
    Suite::test_all(Builder).unwrap();
}
