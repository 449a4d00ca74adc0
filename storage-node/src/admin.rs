//! What a person asks at the command line, answered by any node.

use crate::meta::{Meta, MetaError, StoreError, View};
use crate::peer::{Admin, Answer, Ask, Fault, Lane};
use crate::s3::{check_bucket_name, new_key, now_ms};
use crate::work::{Cluster, Context};
use bytes::Bytes;
use openraft::{ChangeMembers, ServerState};
use planaria_storage_core::machine::{self, keys_with, read};
use planaria_storage_core::{
    AccessKey, BucketChange, BucketRecord, BucketSettings, ChunkRecord, Command, DiskId, Plan,
    Role, RoleChange, keys, placement,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long the leader may take with what is passed on to it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How much of a snapshot goes out at once.
const PIECE: usize = 4 << 20;
/// How many records are looked at in one page.
const PAGE: usize = 4096;

/// Answers the command line's requests.
pub struct Admins {
    /// The chunks' workers and what they know.
    pub context: Context,
    /// This node's part in the cluster.
    pub cluster: Cluster,
}

type Told = Result<(Value, Bytes), Fault>;

impl Admins {
    /// Answers a request.
    ///
    /// # Errors
    /// [`Fault::Refused`] with the reason for people, or [`Fault::Unavailable`].
    pub async fn answer(&self, admin: Admin) -> Result<(String, Bytes), Fault> {
        let (value, blob) = match admin {
            Admin::Snapshot { name, offset } => self.snapshot(name, offset).await?,
            Admin::Remove { .. } if !self.leads() => return self.pass_on(admin).await,
            other => (self.small(other).await?, Bytes::new()),
        };
        Ok((value.to_string(), blob))
    }

    async fn small(&self, admin: Admin) -> Result<Value, Fault> {
        match admin {
            Admin::Layout => self.layout().await,
            Admin::Assign {
                node,
                change,
                dry_run,
            } => self.assign(&node, change, dry_run).await,
            Admin::Remove { node, force } => self.remove(&node, force).await,
            Admin::CreateKey { name, grants } => self.create_key(name, grants).await,
            Admin::ListKeys => self.list_keys().await,
            Admin::DeleteKey { id } => self.done(Command::DeleteKey { id }).await,
            Admin::ListBuckets => self.list_buckets().await,
            Admin::CreateBucket { name } => {
                if !check_bucket_name(&name) {
                    return Err(Fault::Refused(format!("{name:?} is no name for a bucket")));
                }
                let now_ms = now_ms();
                self.done(Command::CreateBucket {
                    bucket: name,
                    now_ms,
                })
                .await
            }
            Admin::DeleteBucket { name } => self.done(Command::DeleteBucket { bucket: name }).await,
            Admin::SetVersioning { name, versioning } => {
                let change = BucketChange::Versioning(versioning);
                self.done(Command::SetBucket {
                    bucket: name,
                    change,
                })
                .await
            }
            Admin::Scrub => {
                let before = self.context.synced.scrubs.load(Ordering::Relaxed);
                self.context.synced.scrub_now.notify_one();
                Ok(json!({ "scrubs": before }))
            }
            Admin::Repair => {
                self.context.synced.compared.store(false, Ordering::Relaxed);
                self.context.synced.rebalance_now.notify_one();
                Ok(json!({}))
            }
            Admin::Snapshot { .. } => Err(Fault::Refused("asked elsewhere".to_owned())),
        }
    }

    fn meta(&self) -> &Meta {
        &self.cluster.meta
    }

    fn leads(&self) -> bool {
        self.meta().metrics().state == ServerState::Leader
    }

    async fn pass_on(&self, admin: Admin) -> Result<(String, Bytes), Fault> {
        let none = || Fault::Unavailable("there is no leader".to_owned());
        let metrics = self.meta().metrics();
        let leader = metrics.current_leader.ok_or_else(none)?;
        let membership = metrics.membership_config.membership();
        let node = membership.get_node(&leader).ok_or_else(none)?;
        let ask = Ask::Admin(admin);
        let peers = &self.cluster.peers;
        let asked = peers.ask(&node.addr, Lane::Data, &ask, Bytes::new(), PATIENCE);
        match asked.await {
            Ok((Answer::Json(text), blob)) => Ok((text, blob)),
            Ok(_) => Err(Fault::Refused("an odd answer".to_owned())),
            Err(crate::peer::PeerError::Fault(fault)) => Err(fault),
            Err(error) => Err(Fault::Unavailable(error.to_string())),
        }
    }

    async fn done(&self, command: Command) -> Result<Value, Fault> {
        self.meta().write(command).await.map_err(fault)?;
        Ok(json!({}))
    }

    async fn view(&self) -> Result<View, Fault> {
        self.meta().read().await.map_err(fault)
    }

    fn disk_of(&self, node: &str) -> Result<DiskId, Fault> {
        self.context
            .data
            .nodes()
            .into_iter()
            .find(|(disk, info, _)| info.name == node || disk.to_string() == node)
            .map(|(disk, _, _)| disk)
            .ok_or_else(|| Fault::Refused(format!("there is no node {node} in the cluster")))
    }

    async fn layout(&self) -> Result<Value, Fault> {
        let view = self.view().await?;
        let plan = machine::plan(&view).map_err(damaged)?;
        let counts = machine::counts(&view).map_err(damaged)?;
        let nodes = self.context.data.nodes();
        let held = held(
            &view,
            &nodes.iter().map(|(disk, _, _)| *disk).collect::<Vec<_>>(),
        )?;
        let lines: Vec<Value> = nodes
            .iter()
            .zip(held)
            .map(|((disk, info, votes), (chunks, bytes))| {
                let Role {
                    zone,
                    draining,
                    away,
                } = plan.role(disk);
                json!({
                    "name": info.name, "disk": disk.to_string(), "addr": info.addr,
                    "voter": votes, "zone": zone, "draining": draining, "away": away,
                    "chunks": chunks, "bytes": bytes,
                })
            })
            .collect();
        Ok(json!({
            "version": plan.layout.version,
            "counted": counts.is_some(),
            "owed": counts.map_or(0, |counts| counts.owed()),
            "nodes": lines,
        }))
    }

    async fn assign(&self, node: &str, change: RoleChange, dry_run: bool) -> Result<Value, Fault> {
        let disk = self.disk_of(node)?;
        if dry_run {
            let view = self.view().await?;
            let plan = machine::plan(&view).map_err(damaged)?;
            let mut next = plan.clone();
            let role = next.layout.roles.entry(disk).or_default();
            match change {
                RoleChange::Zone(zone) => role.zone = zone,
                RoleChange::Draining(draining) => role.draining = draining,
                RoleChange::Away(away) => role.away = away,
            }
            let (copies, bytes) = moves(&view, &plan, &next)?;
            return Ok(json!({ "copies": copies, "bytes": bytes }));
        }
        self.done(Command::Assign { disk, change }).await
    }

    async fn remove(&self, node: &str, force: bool) -> Result<Value, Fault> {
        let disk = self.disk_of(node)?;
        let view = self.view().await?;
        let chunks = held(&view, &[disk])?
            .first()
            .map_or(0, |(chunks, _)| *chunks);
        drop(view);
        if chunks > 0 && !force {
            return Err(Fault::Refused(format!(
                "{node} still holds {chunks} chunks; drain it first (storage-node layout drain \
                 {node}), or use --force when it is lost"
            )));
        }
        let _one = self.cluster.changing.lock().await;
        let metrics = self.meta().metrics();
        let membership = metrics.membership_config.membership();
        let mut voters: BTreeSet<u64> = membership.voter_ids().collect();
        let votes = voters.remove(&disk.0);
        if voters.is_empty() {
            return Err(Fault::Refused(
                "the last voter cannot be removed".to_owned(),
            ));
        }
        self.done(Command::Retire { disk }).await?;
        let raft = self.meta().raft();
        let unavailable = |text: String| Fault::Unavailable(text);
        if votes {
            raft.change_membership(voters, false)
                .await
                .map_err(|e| unavailable(e.to_string()))?;
        } else {
            let gone = BTreeSet::from([disk.0]);
            raft.change_membership(ChangeMembers::RemoveNodes(gone), false)
                .await
                .map_err(|e| unavailable(e.to_string()))?;
        }
        tracing::warn!(event = "disk_removed", %disk, %node, "a person took {node} out of the cluster");
        Ok(json!({ "disk": disk.to_string() }))
    }

    async fn create_key(
        &self,
        name: String,
        grants: Option<Vec<planaria_storage_core::Grant>>,
    ) -> Result<Value, Fault> {
        if name.is_empty() || name.len() > 128 {
            return Err(Fault::Refused("a name has 1 to 128 bytes".to_owned()));
        }
        let (id, secret) = new_key();
        let key = AccessKey {
            name: name.clone(),
            secret: secret.clone(),
            created_ms: now_ms(),
            grants,
        };
        let command = Command::PutKey {
            id: id.clone(),
            key,
        };
        self.meta().write(command).await.map_err(fault)?;
        Ok(json!({ "id": id, "name": name, "access_key": id, "secret_key": secret }))
    }

    async fn list_keys(&self) -> Result<Value, Fault> {
        let view = self.view().await?;
        let mut lines = Vec::new();
        for place in keys_with(&view, &[keys::ACCESS], &[], machine::MAX_KEYS).map_err(damaged)? {
            let Some(key) = read::<AccessKey, _>(&view, &place).map_err(damaged)? else {
                continue;
            };
            let id = String::from_utf8_lossy(&place[1..]).into_owned();
            lines.push(json!({
                "id": id, "name": key.name, "created_ms": key.created_ms, "grants": key.grants,
            }));
        }
        Ok(json!({ "keys": lines }))
    }

    async fn list_buckets(&self) -> Result<Value, Fault> {
        let view = self.view().await?;
        let mut lines = Vec::new();
        for place in
            keys_with(&view, &[keys::BUCKET], &[], machine::MAX_BUCKETS).map_err(damaged)?
        {
            let Some(bucket) = read::<BucketRecord, _>(&view, &place).map_err(damaged)? else {
                continue;
            };
            let name = String::from_utf8_lossy(&place[1..]).into_owned();
            let settings: BucketSettings = read(&view, &keys::settings(&name))
                .map_err(damaged)?
                .unwrap_or_default();
            lines.push(json!({
                "name": name, "created_ms": bucket.created_ms, "tags": settings.tags,
                "versioning": format!("{:?}", settings.versioning).to_lowercase(),
            }));
        }
        Ok(json!({ "buckets": lines }))
    }

    async fn snapshot(&self, name: Option<String>, offset: u64) -> Told {
        let reader = self.meta().reader().clone();
        if name.is_none() {
            // What is written out is at least as new as this request.
            drop(self.view().await?);
        }
        let read = tokio::task::spawn_blocking(move || {
            let path = match name {
                None => reader.export()?,
                Some(name) => reader.exported(&name)?,
            };
            let file = std::fs::File::open(&path)?;
            let length = file.metadata()?.len();
            let left = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
            let mut piece = vec![0; left.min(PIECE)];
            file.read_exact_at(&mut piece, offset)?;
            if offset + piece.len() as u64 == length {
                std::fs::remove_file(&path)?;
            }
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned());
            Ok::<_, StoreError>((json!({ "name": name, "length": length }), piece))
        });
        let (value, piece) = read
            .await
            .map_err(|e| Fault::Unavailable(e.to_string()))?
            .map_err(|e| Fault::Refused(e.to_string()))?;
        Ok((value, Bytes::from(piece)))
    }
}

/// Of each disk: how many chunks the records name it for, and their bytes.
fn held(view: &View, disks: &[DiskId]) -> Result<Vec<(u64, u64)>, Fault> {
    let mut held = vec![(0, 0); disks.len()];
    each_chunk(view, |_, record| {
        for (slot, disk) in held.iter_mut().zip(disks) {
            if record.disks.contains(disk) && record.condemned.is_none() {
                slot.0 += 1;
                slot.1 += u64::from(record.len);
            }
        }
    })?;
    Ok(held)
}

/// How many copies, and bytes, one plan wants where the other has none.
fn moves(view: &View, before: &Plan, after: &Plan) -> Result<(u64, u64), Fault> {
    let (old, new) = (before.seats(), after.seats());
    let (mut copies, mut bytes) = (0, 0);
    each_chunk(view, |id, record| {
        let wanted = usize::from(record.copies);
        let had = placement::homes(&id, &old, wanted);
        let fresh = placement::homes(&id, &new, wanted)
            .iter()
            .filter(|disk| !had.contains(disk))
            .count() as u64;
        copies += fresh;
        bytes += fresh * u64::from(record.len);
    })?;
    Ok((copies, bytes))
}

fn each_chunk(
    view: &View,
    mut look: impl FnMut(planaria_storage_core::ChunkId, &ChunkRecord),
) -> Result<(), Fault> {
    let mut from = vec![keys::CHUNK];
    loop {
        let page = keys_with(view, &[keys::CHUNK], &from, PAGE).map_err(damaged)?;
        for key in &page {
            if let Some(id) = keys::chunk_of(keys::CHUNK, key)
                && let Some(record) = read(view, key).map_err(damaged)?
            {
                look(id, &record);
            }
        }
        let Some(last) = page.last().filter(|_| page.len() == PAGE) else {
            return Ok(());
        };
        from.clone_from(last);
        from.push(0);
    }
}

fn damaged<E: std::fmt::Display>(error: machine::MachineError<E>) -> Fault {
    Fault::Unavailable(StoreError::from(error).to_string())
}

fn fault(error: MetaError) -> Fault {
    match error {
        MetaError::Refused(refusal) => Fault::Refused(refusal.to_string()),
        other => Fault::Unavailable(other.to_string()),
    }
}
