//! Raft's messages over the peer connections.

use super::{NodeInfo, TypeConfig};
use crate::peer::{Answer, Ask, Lane, PeerError, Peers};
use bytes::Bytes;
use openraft::error::{
    InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use planaria_storage_core::DiskId;
use std::time::Duration;

/// How long Raft leaves a node alone that could not be reached.
const BACKOFF: Duration = Duration::from_millis(200);

/// Makes Raft's clients.
#[derive(Clone)]
pub struct Network {
    /// The connections.
    pub peers: Peers,
}

/// Raft's client for one disk.
pub struct Client {
    peers: Peers,
    disk: DiskId,
    addr: String,
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &NodeInfo) -> Client {
        Client {
            peers: self.peers.clone(),
            disk: DiskId(target),
            addr: node.addr.clone(),
        }
    }
}

type RpcError<E> = RPCError<u64, NodeInfo, E>;

impl Client {
    async fn ask<E: std::error::Error>(
        &self,
        lane: Lane,
        ask: &Ask,
        option: &RPCOption,
    ) -> Result<Answer, RpcError<E>> {
        let asked = self
            .peers
            .ask(&self.addr, lane, ask, Bytes::new(), option.hard_ttl());
        match asked.await {
            Ok((answer, _)) => Ok(answer),
            Err(error @ PeerError::Unreachable { .. }) => {
                Err(RPCError::Unreachable(Unreachable::new(&error)))
            }
            // Another disk at the address is as good as none.
            Err(PeerError::Fault(fault)) => Err(RPCError::Unreachable(Unreachable::new(&fault))),
            Err(error) => Err(RPCError::Network(NetworkError::new(&error))),
        }
    }

    #[allow(clippy::result_large_err)] // the type that openraft asks for
    fn remote<T, E: std::error::Error>(&self, result: Result<T, E>) -> Result<T, RpcError<E>> {
        result.map_err(|error| RPCError::RemoteError(RemoteError::new(self.disk.0, error)))
    }
}

fn odd<E: std::error::Error>() -> RpcError<E> {
    let error = std::io::Error::other("an answer to another question");
    RPCError::Network(NetworkError::new(&error))
}

impl RaftNetwork<TypeConfig> for Client {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError<RaftError<u64>>> {
        match self
            .ask(Lane::Control, &Ask::Append(self.disk, rpc), &option)
            .await?
        {
            Answer::Append(result) => self.remote(result),
            _ => Err(odd()),
        }
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<u64>, RpcError<RaftError<u64, InstallSnapshotError>>> {
        match self
            .ask(Lane::Data, &Ask::Snapshot(self.disk, rpc), &option)
            .await?
        {
            Answer::Snapshot(result) => self.remote(result),
            _ => Err(odd()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        option: RPCOption,
    ) -> Result<VoteResponse<u64>, RpcError<RaftError<u64>>> {
        match self
            .ask(Lane::Control, &Ask::Vote(self.disk, rpc), &option)
            .await?
        {
            Answer::Vote(result) => self.remote(result),
            _ => Err(odd()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}
