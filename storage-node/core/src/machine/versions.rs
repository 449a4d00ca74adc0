//! What lies under a key: the current object, and behind it what the bucket keeps.
//!
//! ```text
//!                    O (object) + A (attributes)      the current object, if it is one
//!  put, Enabled ──▶  the old one moves to V under its order, the new one is O
//!  put, Suspended ▶  the version `null` goes for good, any other moves to V, the new one is `null`
//!  delete ─────────▶ the old one moves to V, and a delete marker stands before it in V
//!  delete version ─▶ that one goes; where no O is left, the newest of V comes back if it is
//!                    an object
//! ```
//! O is always newer than everything in V of its key.

use super::{Machine, MachineError, Outcome, keys_with, read, refused};
use crate::{
    Attributes, BucketSettings, ObjectRecord, Refusal, Reply, Store, StoreMut, Tags, VersionId,
    VersionRecord, Versioning, keys,
};

/// How many versions of a key are searched for the one that is called `null` at once.
const PAGE: usize = 256;

/// The object under a key, the current one or a version of it, with its attributes.
///
/// # Errors
/// [`MachineError`].
#[allow(clippy::type_complexity)] // a refusal inside a store's error
pub fn find<S: Store>(
    store: &S,
    (bucket, key): (&str, &str),
    version: Option<VersionId>,
) -> Result<Result<(ObjectRecord, Attributes), Refusal>, MachineError<S::Error>> {
    let current: Option<ObjectRecord> = read(store, &keys::object(bucket, key))?;
    if let Some(object) = current {
        let attributes: Attributes =
            read(store, &keys::attributes(bucket, key))?.unwrap_or_default();
        if version.is_none_or(|version| version == attributes.version) {
            return Ok(Ok((object, attributes)));
        }
    }
    let Some(version) = version else {
        return Ok(Err(Refusal::NoSuchKey));
    };
    Ok(match kept(store, (bucket, key), version)? {
        Some(VersionRecord {
            object: Some(object),
            attributes,
            ..
        }) => Ok((object, attributes)),
        Some(_) => Err(Refusal::DeleteMarker),
        None => Err(Refusal::NoSuchVersion),
    })
}

/// A version that is not the current one.
fn kept<S: Store>(
    store: &S,
    (bucket, key): (&str, &str),
    version: VersionId,
) -> Result<Option<VersionRecord>, MachineError<S::Error>> {
    if version != VersionId::NULL {
        let found: Option<VersionRecord> = read(store, &keys::version(bucket, key, version.0))?;
        // The version `null` lies under its order too, and is not called by it.
        return Ok(found.filter(|record| record.attributes.version == version));
    }
    let prefix = keys::versions(bucket, key);
    let mut from = prefix.clone();
    loop {
        let page = keys_with(store, &prefix, &from, PAGE)?;
        for place in &page {
            if let Some(record) = read::<VersionRecord, S>(store, place)?
                && record.attributes.version == VersionId::NULL
            {
                return Ok(Some(record));
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => {
                from.clone_from(last);
                from.push(0);
            }
            _ => return Ok(None),
        }
    }
}

impl<S: StoreMut> Machine<'_, S> {
    pub(super) fn versioning(&self, bucket: &str) -> Result<Versioning, MachineError<S::Error>> {
        let settings: Option<BucketSettings> = self.read(&keys::settings(bucket))?;
        Ok(settings.unwrap_or_default().versioning)
    }

    /// Puts an object whose chunks are already held in front of what lies under the key.
    pub(super) fn put_current(
        &mut self,
        (bucket, key): (&str, &str),
        object: &ObjectRecord,
        mut attributes: Attributes,
    ) -> Outcome<S> {
        let versioning = self.versioning(bucket)?;
        attributes.version = VersionId::NULL;
        attributes.order = 0;
        match versioning {
            Versioning::Off => self.drop_current((bucket, key))?,
            Versioning::Enabled => {
                attributes.version = VersionId(self.index);
                attributes.order = self.index;
                self.retire((bucket, key))?;
            }
            Versioning::Suspended => {
                attributes.order = self.index;
                self.drop_null((bucket, key))?;
                self.retire((bucket, key))?;
            }
        }
        self.write(&keys::object(bucket, key), object)?;
        self.keep_attributes((bucket, key), &attributes)?;
        Ok(Reply::Written {
            etag: object.etag.clone(),
            modified_ms: object.modified_ms,
            version: (versioning != Versioning::Off).then_some(attributes.version),
        })
    }

    /// Deletes what is current.
    pub(super) fn delete_current(
        &mut self,
        (bucket, key): (&str, &str),
        now_ms: u64,
    ) -> Outcome<S> {
        let version = match self.versioning(bucket)? {
            Versioning::Off => {
                self.drop_current((bucket, key))?;
                return Ok(Reply::Deleted {
                    version: None,
                    marker: false,
                });
            }
            Versioning::Enabled => VersionId(self.index),
            Versioning::Suspended => {
                self.drop_null((bucket, key))?;
                VersionId::NULL
            }
        };
        self.retire((bucket, key))?;
        let marker = VersionRecord {
            modified_ms: now_ms,
            object: None,
            attributes: Attributes {
                version,
                order: self.index,
                ..Attributes::default()
            },
        };
        self.write(&keys::version(bucket, key, self.index), &marker)?;
        Ok(Reply::Deleted {
            version: Some(version),
            marker: true,
        })
    }

    /// Deletes one version for good; none there is no error.
    pub(super) fn delete_version(
        &mut self,
        (bucket, key): (&str, &str),
        version: VersionId,
    ) -> Outcome<S> {
        let mut marker = false;
        let current: Option<ObjectRecord> = self.read(&keys::object(bucket, key))?;
        if current.is_some() && self.attributes((bucket, key))?.version == version {
            self.drop_current((bucket, key))?;
        } else if let Some(record) = kept(self.store, (bucket, key), version)? {
            marker = record.object.is_none();
            self.drop_kept((bucket, key), &record)?;
        }
        self.promote((bucket, key))?;
        Ok(Reply::Deleted {
            version: Some(version),
            marker,
        })
    }

    pub(super) fn tag_object(
        &mut self,
        (bucket, key): (&str, &str),
        version: Option<VersionId>,
        tags: &Tags,
    ) -> Outcome<S> {
        if !self.has(&keys::bucket(bucket))? {
            return refused(Refusal::NoSuchBucket);
        }
        let (object, mut attributes) = match find(self.store, (bucket, key), version)? {
            Ok(found) => found,
            Err(refusal) => return refused(refusal),
        };
        attributes.tags.clone_from(tags);
        let named = (self.versioning(bucket)? != Versioning::Off).then_some(attributes.version);
        let current = self.has(&keys::object(bucket, key))?
            && self.attributes((bucket, key))?.version == attributes.version;
        if current {
            self.keep_attributes((bucket, key), &attributes)?;
        } else {
            let place = keys::version(bucket, key, attributes.order);
            let record = VersionRecord {
                modified_ms: object.modified_ms,
                object: Some(object.clone()),
                attributes,
            };
            self.write(&place, &record)?;
        }
        Ok(Reply::Written {
            etag: object.etag,
            modified_ms: object.modified_ms,
            version: named,
        })
    }

    pub(super) fn attributes(
        &self,
        (bucket, key): (&str, &str),
    ) -> Result<Attributes, MachineError<S::Error>> {
        Ok(self
            .read(&keys::attributes(bucket, key))?
            .unwrap_or_default())
    }

    fn keep_attributes(
        &mut self,
        (bucket, key): (&str, &str),
        attributes: &Attributes,
    ) -> Result<(), MachineError<S::Error>> {
        let place = keys::attributes(bucket, key);
        if *attributes == Attributes::default() {
            self.erase(&place)
        } else {
            self.write(&place, attributes)
        }
    }

    /// Removes the current object for good.
    fn drop_current(&mut self, (bucket, key): (&str, &str)) -> Result<(), MachineError<S::Error>> {
        let place = keys::object(bucket, key);
        let Some(object) = self.read::<ObjectRecord>(&place)? else {
            return Ok(());
        };
        self.erase(&place)?;
        self.erase(&keys::attributes(bucket, key))?;
        self.release_object(&object)
    }

    fn drop_kept(
        &mut self,
        (bucket, key): (&str, &str),
        record: &VersionRecord,
    ) -> Result<(), MachineError<S::Error>> {
        self.erase(&keys::version(bucket, key, record.attributes.order))?;
        match &record.object {
            Some(object) => self.release_object(object),
            None => Ok(()),
        }
    }

    /// Removes the version `null` for good, wherever it lies.
    fn drop_null(&mut self, (bucket, key): (&str, &str)) -> Result<(), MachineError<S::Error>> {
        let current = self.has(&keys::object(bucket, key))?;
        if current && self.attributes((bucket, key))?.version == VersionId::NULL {
            return self.drop_current((bucket, key));
        }
        match kept(self.store, (bucket, key), VersionId::NULL)? {
            Some(record) => self.drop_kept((bucket, key), &record),
            None => Ok(()),
        }
    }

    /// Moves the current object among the versions.
    fn retire(&mut self, (bucket, key): (&str, &str)) -> Result<(), MachineError<S::Error>> {
        let place = keys::object(bucket, key);
        let Some(object) = self.read::<ObjectRecord>(&place)? else {
            return Ok(());
        };
        let attributes = self.attributes((bucket, key))?;
        let record = VersionRecord {
            modified_ms: object.modified_ms,
            object: Some(object),
            attributes,
        };
        self.write(
            &keys::version(bucket, key, record.attributes.order),
            &record,
        )?;
        self.erase(&place)?;
        self.erase(&keys::attributes(bucket, key))
    }

    /// Where nothing is current, the newest version becomes it, unless it is a delete marker.
    fn promote(&mut self, (bucket, key): (&str, &str)) -> Result<(), MachineError<S::Error>> {
        if self.has(&keys::object(bucket, key))? {
            return Ok(());
        }
        let newest = self.keys_with(&keys::versions(bucket, key), 1)?;
        let Some(place) = newest.first() else {
            return Ok(());
        };
        let Some(VersionRecord {
            object: Some(object),
            attributes,
            ..
        }) = self.read(place)?
        else {
            return Ok(());
        };
        self.erase(place)?;
        self.write(&keys::object(bucket, key), &object)?;
        self.keep_attributes((bucket, key), &attributes)
    }
}
