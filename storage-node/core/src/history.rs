//! Listings of versions: by key, the newest first, delete markers among them.

use crate::listing::{Query, behind, common_prefix};
use crate::machine::{MachineError, keys_with, read};
use crate::{Attributes, ObjectRecord, Store, VersionId, VersionRecord, keys};
use std::ops::ControlFlow;

/// One line of a listing of versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A version or a delete marker.
    Version {
        /// The key.
        key: String,
        /// Whether it is the newest of its key.
        latest: bool,
        /// What it is.
        record: Box<VersionRecord>,
    },
    /// A common prefix.
    Prefix(String),
}

/// A page of a listing of versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The lines in order.
    pub lines: Vec<Line>,
    /// Where the next page goes on, when there is more: behind this key, or behind this version
    /// of it.
    pub next: Option<(String, Option<VersionId>)>,
}

/// Lists the versions in a bucket. With `after_version`, the listing goes on within the key that
/// `query.after` names.
///
/// # Errors
/// [`MachineError`].
pub fn versions<S: Store>(
    store: &S,
    bucket: &str,
    query: &Query,
    after_version: Option<VersionId>,
) -> Result<Page, MachineError<S::Error>> {
    let mut page = Page::default();
    if query.limit == 0 {
        return Ok(page);
    }
    let mut skip = after_version;
    let mut lower = first_place(query, after_version.is_some());
    while let Some(key) = next_key(store, bucket, &lower, &query.prefix)? {
        if let Some(common) = common_prefix(&key, query) {
            if page.lines.len() == query.limit {
                page.next = last(&page);
                return Ok(page);
            }
            let Some(place) = behind(&[], common.as_bytes()) else {
                return Ok(page);
            };
            page.lines.push(Line::Prefix(common));
            lower = place;
            continue;
        }
        let skipped = skip.take().filter(|_| key == query.after);
        for (latest, record) in of_key(store, bucket, &key, skipped)? {
            if page.lines.len() == query.limit {
                page.next = last(&page);
                return Ok(page);
            }
            page.lines.push(Line::Version {
                key: key.clone(),
                latest,
                record: Box::new(record),
            });
        }
        lower = after(&key);
    }
    Ok(page)
}

fn last(page: &Page) -> Option<(String, Option<VersionId>)> {
    page.lines.last().map(|line| match line {
        Line::Version { key, record, .. } => (key.clone(), Some(record.attributes.version)),
        Line::Prefix(prefix) => (prefix.clone(), None),
    })
}

/// The first place behind a key: keys hold no NUL.
fn after(key: &str) -> Vec<u8> {
    let mut place = key.as_bytes().to_vec();
    place.push(1);
    place
}

fn first_place(query: &Query, within: bool) -> Vec<u8> {
    if query.after.is_empty() || query.after < query.prefix {
        return query.prefix.clone().into_bytes();
    }
    if let Some(common) = common_prefix(&query.after, query)
        && let Some(place) = behind(&[], common.as_bytes())
    {
        return place;
    }
    if within {
        query.after.clone().into_bytes()
    } else {
        after(&query.after)
    }
}

/// The first key from `lower` on, with the prefix, that has an object or a version.
fn next_key<S: Store>(
    store: &S,
    bucket: &str,
    lower: &[u8],
    prefix: &str,
) -> Result<Option<String>, MachineError<S::Error>> {
    let mut found: Option<String> = None;
    for (root, tail) in [
        (keys::object(bucket, ""), 0),
        (keys::versions_from(bucket, ""), 9),
    ] {
        let from = [&root[..], lower].concat();
        store
            .scan(&from, &mut |place, _| {
                let key = place
                    .strip_prefix(&root[..])
                    .and_then(|rest| rest.get(..rest.len().checked_sub(tail)?))
                    .and_then(|key| std::str::from_utf8(key).ok())
                    .filter(|key| key.starts_with(prefix));
                if let Some(key) = key
                    && found.as_deref().is_none_or(|best| key < best)
                {
                    found = Some(key.to_owned());
                }
                ControlFlow::Break(())
            })
            .map_err(MachineError::Store)?;
    }
    Ok(found)
}

/// The versions under a key, the newest first, behind one of them if asked.
fn of_key<S: Store>(
    store: &S,
    bucket: &str,
    key: &str,
    after: Option<VersionId>,
) -> Result<Vec<(bool, VersionRecord)>, MachineError<S::Error>> {
    let mut all = Vec::new();
    if let Some(object) = read::<ObjectRecord, S>(store, &keys::object(bucket, key))? {
        let attributes: Attributes =
            read(store, &keys::attributes(bucket, key))?.unwrap_or_default();
        let record = VersionRecord {
            modified_ms: object.modified_ms,
            object: Some(object),
            attributes,
        };
        all.push((true, record));
    }
    let prefix = keys::versions(bucket, key);
    for place in keys_with(store, &prefix, &prefix, usize::MAX)? {
        if let Some(record) = read(store, &place)? {
            all.push((all.is_empty(), record));
        }
    }
    if let Some(after) = after
        && let Some(at) = all
            .iter()
            .position(|(_, record)| record.attributes.version == after)
    {
        all.drain(..=at);
    }
    Ok(all)
}
