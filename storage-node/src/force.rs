//! A cluster of one, made by a person: of what one disk still has, when a majority is lost; or of
//! a snapshot's file, when the metadata is.

use crate::config::Config;
use crate::disk::{ChunkStore, StoreOptions, files};
use crate::identity::IdentityFile;
use crate::meta::{LogStore, NodeInfo};
use anyhow::{Context, bail};
use std::fs::File;
use std::path::Path;

/// How many copies are looked at at once.
const PAGE: usize = 4096;

/// Makes this disk the only member, under a new cluster's name, so that a disk of the old one
/// that turns up after all is a stranger. Answers that name.
///
/// # Errors
/// What stands against it, for people; nothing was changed then.
pub fn force(config: &Config, disk: &str) -> anyhow::Result<u64> {
    let data = &config.data;
    let _lock = lock(data)?;
    if !data.join("identity.json").exists() {
        bail!("there is no disk in {}", data.display());
    }
    let mut identity = IdentityFile::open(data)?;
    let found = identity.get().disk;
    if found.to_string() != disk {
        bail!("the disk in {} is {found}, not {disk}", data.display());
    }
    if !identity.get().voted {
        bail!("disk {found} never belonged to a cluster: it has nothing to begin one with");
    }
    let node = NodeInfo {
        name: config.name.clone(),
        addr: config.advertise.clone(),
    };
    let cluster = rand::random_range(1..=u64::MAX);
    // The name first: with it alone the disk joins nobody and waits for this to be done again.
    identity.set_cluster(cluster)?;
    LogStore::force_alone(&data.join("meta/raft.log"), found, node)?;
    files::sync_parent(&data.join("meta"))?;
    Ok(cluster)
}

/// Begins a new cluster with the metadata of a snapshot's file. The disk gets a new name and keeps
/// its chunks; so do the others, once their metadata and their identities are removed. Answers the
/// cluster's name.
///
/// # Errors
/// What stands against it, for people; the disk holds no metadata then, as before.
pub fn restore(config: &Config, file: &Path) -> anyhow::Result<u64> {
    let data = &config.data;
    let _lock = lock(data)?;
    let meta = data.join("meta");
    if meta.exists() {
        bail!(
            "{} holds metadata; move it away first, if what it holds is to be given up",
            meta.display()
        );
    }
    let above = newest_copy(&data.join("chunks"))?;
    let mut identity = IdentityFile::open(data)?;
    identity.renew()?;
    let cluster = rand::random_range(1..=u64::MAX);
    identity.set_cluster(cluster)?;
    let node = NodeInfo {
        name: config.name.clone(),
        addr: config.advertise.clone(),
    };
    // Beside its place until it is whole: a start that finds a half of it would take it for all.
    let beside = data.join("meta.partial");
    let _ = std::fs::remove_dir_all(&beside);
    std::fs::create_dir(&beside)?;
    let disk = identity.get().disk;
    if let Err(error) = crate::meta::restore(&beside, file, disk, node, above) {
        std::fs::remove_dir_all(&beside)?;
        return Err(error).with_context(|| format!("cannot restore {}", file.display()));
    }
    std::fs::rename(&beside, &meta)?;
    files::sync_parent(&meta)?;
    identity.set_voted()?;
    Ok(cluster)
}

fn lock(data: &Path) -> anyhow::Result<File> {
    let lock = File::create(data.join("lock"))
        .with_context(|| format!("there is no disk in {}", data.display()))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("the node on {} still runs; stop it first", data.display()))?;
    Ok(lock)
}

/// The highest generation of the copies on this disk.
fn newest_copy(chunks: &Path) -> anyhow::Result<u64> {
    let store = ChunkStore::open(chunks, StoreOptions::default())?;
    let (mut newest, mut after) = (0, None);
    loop {
        let page = store.page(after, PAGE);
        let Some((last, _)) = page.last() else {
            return Ok(newest);
        };
        after = Some(*last);
        newest = page.iter().map(|(_, at)| *at).fold(newest, u64::max);
    }
}
