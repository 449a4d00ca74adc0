//! Access keys, and what buckets are told.

use super::{MAX_KEYS, Machine, Outcome, refused};
use crate::{AccessKey, BucketChange, BucketSettings, Refusal, Reply, StoreMut, Versioning, keys};

impl<S: StoreMut> Machine<'_, S> {
    pub(super) fn put_key(&mut self, id: &str, key: &AccessKey) -> Outcome<S> {
        let place = keys::access(id);
        if !self.has(&place)? && self.keys_with(&[keys::ACCESS], MAX_KEYS)?.len() == MAX_KEYS {
            return refused(Refusal::TooManyKeys);
        }
        self.write(&place, key)?;
        Ok(Reply::Done)
    }

    pub(super) fn delete_key(&mut self, id: &str) -> Outcome<S> {
        let place = keys::access(id);
        if !self.has(&place)? {
            return refused(Refusal::NoSuchAccessKey);
        }
        self.erase(&place)?;
        Ok(Reply::Done)
    }

    pub(super) fn set_bucket(&mut self, bucket: &str, change: &BucketChange) -> Outcome<S> {
        if !self.has(&keys::bucket(bucket))? {
            return refused(Refusal::NoSuchBucket);
        }
        let place = keys::settings(bucket);
        let mut settings: BucketSettings = self.read(&place)?.unwrap_or_default();
        match change {
            // What was once kept by version cannot be looked up without.
            BucketChange::Versioning(Versioning::Off) => {}
            BucketChange::Versioning(versioning) => settings.versioning = *versioning,
            BucketChange::Tags(tags) => settings.tags.clone_from(tags),
        }
        self.write(&place, &settings)?;
        Ok(Reply::Done)
    }
}
