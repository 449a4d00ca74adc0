//! S3 listings: prefix, delimiter, a place to go on from, and a limit.

use crate::machine::{MachineError, read};
use crate::{ObjectRecord, PartRecord, Store, UploadId, UploadRecord, codec, keys};
use std::ops::ControlFlow;

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only keys that begin with this.
    pub prefix: String,
    /// Keys that share what stands before the first of these behind the prefix become one common
    /// prefix. Empty: none do.
    pub delimiter: String,
    /// Only keys behind this one; a common prefix that it lies in is not given again.
    pub after: String,
    /// How many keys and common prefixes at most.
    pub limit: usize,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<T> {
    /// A key and what lies under it.
    Key(String, T),
    /// A common prefix.
    Prefix(String),
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// Keys and common prefixes in order.
    pub lines: Vec<Line<T>>,
    /// Where the next page goes on (as `after`), when there is more.
    pub next: Option<String>,
}

/// Lists the objects of a bucket.
///
/// # Errors
/// [`MachineError`].
pub fn objects<S: Store>(
    store: &S,
    bucket: &str,
    query: &Query,
) -> Result<Page<ObjectRecord>, MachineError<S::Error>> {
    let root = keys::object(bucket, "");
    list(store, &root, query, |rest, value| {
        let key = std::str::from_utf8(rest).ok()?.to_owned();
        Some((key, codec::decode(value)))
    })
}

/// Lists the open uploads of a bucket, in the order of keys, then of their opening. `after` is a
/// key: all its uploads are left out.
///
/// # Errors
/// [`MachineError`].
pub fn uploads<S: Store>(
    store: &S,
    bucket: &str,
    query: &Query,
) -> Result<Page<(UploadId, UploadRecord)>, MachineError<S::Error>> {
    let root = keys::uploads(bucket, "");
    list(store, &root, query, |rest, value| {
        let (key, id) = rest.split_at_checked(rest.len().checked_sub(9)?)?;
        let id = UploadId(u64::from_be_bytes(id.get(1..)?.try_into().ok()?));
        let key = std::str::from_utf8(key).ok()?.to_owned();
        Some((key, codec::decode(value).map(|record| (id, record))))
    })
}

/// Lists up to `limit` parts of an upload behind part `after`, and says whether there are more.
///
/// # Errors
/// [`MachineError`].
#[allow(clippy::type_complexity)] // numbered parts and a flag: a type of their own says no more
pub fn parts<S: Store>(
    store: &S,
    upload: UploadId,
    after: u16,
    limit: usize,
) -> Result<(Vec<(u16, PartRecord)>, bool), MachineError<S::Error>> {
    let prefix = keys::part(upload, 0)[..9].to_vec();
    let from = keys::part(upload, after.saturating_add(1));
    let found = crate::machine::keys_with(store, &prefix, &from, limit.saturating_add(1))?;
    let more = found.len() > limit;
    let mut parts = Vec::new();
    for key in found.into_iter().take(limit) {
        let Ok(number) = <[u8; 2]>::try_from(&key[9..]) else {
            continue;
        };
        if let Some(part) = read(store, &key)? {
            parts.push((u16::from_be_bytes(number), part));
        }
    }
    Ok((parts, more))
}

type Decoded<T> = Option<(String, Result<T, codec::CodecError>)>;

fn list<S: Store, T>(
    store: &S,
    root: &[u8],
    query: &Query,
    decode: impl Fn(&[u8], &[u8]) -> Decoded<T>,
) -> Result<Page<T>, MachineError<S::Error>> {
    let mut page = Page {
        lines: Vec::new(),
        next: None,
    };
    if query.limit == 0 {
        return Ok(page);
    }
    let mut from = first_place(root, query);
    loop {
        let mut jump = None;
        let mut failure = None;
        store
            .scan(&from, &mut |place, value| {
                let Some(rest) = place.strip_prefix(root) else {
                    return ControlFlow::Break(());
                };
                if !rest.starts_with(query.prefix.as_bytes()) {
                    return ControlFlow::Break(());
                }
                let Some((key, record)) = decode(rest, value) else {
                    return ControlFlow::Continue(());
                };
                if key <= query.after && !query.after.is_empty() {
                    return ControlFlow::Continue(());
                }
                if page.lines.len() == query.limit {
                    page.next = page.lines.last().map(|line| last_key(line).to_owned());
                    return ControlFlow::Break(());
                }
                if let Some(common) = common_prefix(&key, query) {
                    jump = behind(root, common.as_bytes());
                    page.lines.push(Line::Prefix(common));
                    return ControlFlow::Break(());
                }
                match record {
                    Ok(record) => page.lines.push(Line::Key(key, record)),
                    Err(error) => {
                        failure = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                ControlFlow::Continue(())
            })
            .map_err(MachineError::Store)?;
        if let Some(error) = failure {
            return Err(error.into());
        }
        match jump {
            Some(place) => from = place,
            None => return Ok(page),
        }
    }
}

/// Where the scan begins: behind `after`, and behind the common prefix that `after` lies in.
fn first_place(root: &[u8], query: &Query) -> Vec<u8> {
    let mut start = root.to_vec();
    if query.after.is_empty() || query.after < query.prefix {
        start.extend_from_slice(query.prefix.as_bytes());
        return start;
    }
    if let Some(common) = common_prefix(&query.after, query)
        && let Some(place) = behind(root, common.as_bytes())
    {
        return place;
    }
    start.extend_from_slice(query.after.as_bytes());
    start
}

pub(crate) fn common_prefix(key: &str, query: &Query) -> Option<String> {
    if query.delimiter.is_empty() {
        return None;
    }
    let rest = key.strip_prefix(query.prefix.as_str())?;
    let end = rest.find(&query.delimiter)? + query.delimiter.len();
    Some(format!("{}{}", query.prefix, &rest[..end]))
}

/// The first place behind all that begin with `root` and `prefix`.
pub(crate) fn behind(root: &[u8], prefix: &[u8]) -> Option<Vec<u8>> {
    let mut place = [root, prefix].concat();
    while let Some(last) = place.pop() {
        if last < u8::MAX {
            place.push(last + 1);
            return Some(place);
        }
    }
    None
}

fn last_key<T>(line: &Line<T>) -> &str {
    match line {
        Line::Key(key, _) => key,
        Line::Prefix(prefix) => prefix,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Data, MemoryStore, ObjectHeaders, StoreMut};
    use proptest::prelude::*;

    fn store(keys_of: &[&str]) -> MemoryStore {
        let mut store = MemoryStore::default();
        for bucket in ["a", "b", "b-c"] {
            for key in keys_of {
                let object = ObjectRecord {
                    size: 0,
                    etag: String::new(),
                    modified_ms: 0,
                    headers: ObjectHeaders::default(),
                    data: Data::Inline(Vec::new()),
                };
                store
                    .put(&keys::object(bucket, key), &codec::encode(&object).unwrap())
                    .unwrap();
            }
        }
        store
    }

    fn names(page: &Page<ObjectRecord>) -> Vec<String> {
        page.lines
            .iter()
            .map(|line| match line {
                Line::Key(key, _) => key.clone(),
                Line::Prefix(prefix) => format!("{prefix}…"),
            })
            .collect()
    }

    fn query(prefix: &str, delimiter: &str, after: &str, limit: usize) -> Query {
        Query {
            prefix: prefix.into(),
            delimiter: delimiter.into(),
            after: after.into(),
            limit,
        }
    }

    #[test]
    fn a_folder_is_one_line() {
        let store = store(&["a/1", "a/2", "a0", "b/x/1", "b/y", "c"]);
        let list = |query| names(&objects(&store, "b", &query).unwrap());
        assert_eq!(list(query("", "/", "", 100)), ["a/…", "a0", "b/…", "c"]);
        assert_eq!(list(query("b/", "/", "", 100)), ["b/x/…", "b/y"]);
        assert_eq!(
            list(query("", "", "", 100)),
            ["a/1", "a/2", "a0", "b/x/1", "b/y", "c"]
        );
        assert_eq!(list(query("", "/", "a/", 100)), ["a0", "b/…", "c"]);
        assert_eq!(list(query("", "/", "a/1", 100)), ["a0", "b/…", "c"]);
        assert_eq!(list(query("", "", "a/1", 2)), ["a/2", "a0"]);
        assert!(list(query("", "", "", 0)).is_empty());
    }

    #[test]
    fn a_page_that_is_exactly_full_has_no_next() {
        let store = store(&["1", "2"]);
        assert_eq!(
            objects(&store, "b", &query("", "", "", 2)).unwrap().next,
            None
        );
        assert_eq!(
            objects(&store, "b", &query("", "", "", 1)).unwrap().next,
            Some("1".to_owned())
        );
    }

    proptest! {
        #[test]
        fn pages_put_together_are_the_whole(
            set in prop::collection::btree_set("[ab/]{1,6}", 0..30),
            prefix in "[ab/]{0,2}",
            delimiter in prop::sample::select(vec!["", "/", "a", "/b"]),
            limit in 1_usize..5,
        ) {
            let keys: Vec<&str> = set.iter().map(String::as_str).collect();
            let store = store(&keys);
            let whole = objects(&store, "b", &query(&prefix, delimiter, "", usize::MAX)).unwrap();
            let mut pieces = Vec::new();
            let mut after = String::new();
            loop {
                let page =
                    objects(&store, "b", &query(&prefix, delimiter, &after, limit)).unwrap();
                prop_assert!(page.lines.len() <= limit);
                pieces.extend(names(&page));
                match page.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
            prop_assert_eq!(&pieces, &names(&whole));
            let mut expected: Vec<String> = Vec::new();
            for key in keys.iter().filter(|key| key.starts_with(prefix.as_str())) {
                let rest = &key[prefix.len()..];
                let line = match rest.find(delimiter) {
                    Some(at) if !delimiter.is_empty() => {
                        format!("{prefix}{}…", &rest[..at + delimiter.len()])
                    }
                    _ => (*key).to_owned(),
                };
                if !expected.contains(&line) {
                    expected.push(line);
                }
            }
            prop_assert_eq!(pieces, expected);
        }
    }
}
