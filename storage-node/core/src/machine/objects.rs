//! Buckets and objects.

use super::{MAX_BUCKETS, Machine, MachineError, Outcome, find, refused};
use crate::{
    Attributes, BucketRecord, Command, Condition, CopySource, Data, ObjectRecord, Refusal, Reply,
    StoreMut, VersionId, keys,
};

impl<S: StoreMut> Machine<'_, S> {
    pub(super) fn create_bucket(&mut self, bucket: &str, created_ms: u64) -> Outcome<S> {
        let key = keys::bucket(bucket);
        if self.has(&key)? {
            return refused(Refusal::BucketExists);
        }
        if self.keys_with(&[keys::BUCKET], MAX_BUCKETS)?.len() == MAX_BUCKETS {
            return refused(Refusal::TooManyBuckets);
        }
        self.write(&key, &BucketRecord { created_ms })?;
        Ok(Reply::Done)
    }

    pub(super) fn delete_bucket(&mut self, bucket: &str) -> Outcome<S> {
        let key = keys::bucket(bucket);
        if !self.has(&key)? {
            return refused(Refusal::NoSuchBucket);
        }
        for prefix in [
            keys::object(bucket, ""),
            keys::uploads(bucket, ""),
            keys::versions_from(bucket, ""),
        ] {
            if !self.keys_with(&prefix, 1)?.is_empty() {
                return refused(Refusal::BucketNotEmpty);
            }
        }
        self.erase(&key)?;
        self.erase(&keys::settings(bucket))?;
        Ok(Reply::Done)
    }

    pub(super) fn put_object(&mut self, command: &Command) -> Outcome<S> {
        let plain = Attributes::default();
        let (bucket, key, object, attributes, stored, copies, condition) = match command {
            Command::PutObject {
                bucket,
                key,
                object,
                stored,
                copies,
                condition,
            } => (bucket, key, object, &plain, stored, copies, condition),
            Command::Put {
                bucket,
                key,
                object,
                attributes,
                stored,
                copies,
                condition,
            } => (bucket, key, object, attributes, stored, copies, condition),
            _ => return refused(Refusal::NoSuchKey),
        };
        if !self.has(&keys::bucket(bucket))? {
            return refused(Refusal::NoSuchBucket);
        }
        let old: Option<ObjectRecord> = self.read(&keys::object(bucket, key))?;
        if let Err(refusal) = judge(condition, old.as_ref()) {
            return refused(refusal);
        }
        if let Data::Chunks(chunks) = &object.data
            && let Err(refusal) = self.hold_new(chunks, stored, *copies)?
        {
            return refused(refusal);
        }
        self.put_current((bucket, key), object, attributes.clone())
    }

    pub(super) fn copy_object(&mut self, command: &Command) -> Outcome<S> {
        let (source, target, headers, tags, now_ms, condition) = match command {
            Command::CopyObject {
                source,
                target,
                headers,
                now_ms,
                source_condition,
                condition,
            } => {
                let source = CopySource {
                    bucket: source.0.clone(),
                    key: source.1.clone(),
                    version: None,
                    condition: source_condition.clone(),
                    modified_after_ms: None,
                    unmodified_after_ms: None,
                };
                (source, target, headers, &None, *now_ms, condition)
            }
            Command::Copy {
                source,
                target,
                headers,
                tags,
                now_ms,
                condition,
            } => (source.clone(), target, headers, tags, *now_ms, condition),
            _ => return refused(Refusal::NoSuchKey),
        };
        for bucket in [&source.bucket, &target.0] {
            if !self.has(&keys::bucket(bucket))? {
                return refused(Refusal::NoSuchBucket);
            }
        }
        let from = (source.bucket.as_str(), source.key.as_str());
        let (mut object, mut attributes) = match find(self.store, from, source.version)? {
            Ok(found) => found,
            Err(refusal) => return refused(refusal),
        };
        let old: Option<ObjectRecord> = self.read(&keys::object(&target.0, &target.1))?;
        let verdict = judge_source(&source, &object).and_then(|()| judge(condition, old.as_ref()));
        if let Err(refusal) = verdict {
            return refused(refusal);
        }
        object.modified_ms = now_ms;
        if let Some(headers) = headers {
            object.headers = headers.clone();
        }
        if let Some(tags) = tags {
            attributes.tags.clone_from(tags);
        }
        if let Data::Chunks(chunks) = &object.data {
            self.hold_named(chunks)?;
        }
        self.put_current((&target.0, &target.1), &object, attributes)
    }

    pub(super) fn delete_object(
        &mut self,
        (bucket, key): (&str, &str),
        version: Option<VersionId>,
        now_ms: u64,
        condition: &Condition,
    ) -> Outcome<S> {
        if !self.has(&keys::bucket(bucket))? {
            return refused(Refusal::NoSuchBucket);
        }
        let old: Option<ObjectRecord> = self.read(&keys::object(bucket, key))?;
        if let Err(refusal) = judge(condition, old.as_ref()) {
            return refused(refusal);
        }
        match version {
            Some(version) => self.delete_version((bucket, key), version),
            None => self.delete_current((bucket, key), now_ms),
        }
    }

    pub(super) fn release_object(
        &mut self,
        object: &ObjectRecord,
    ) -> Result<(), MachineError<S::Error>> {
        match &object.data {
            Data::Inline(_) => Ok(()),
            Data::Chunks(chunks) => self.release(chunks),
        }
    }
}

/// What a copy asks of its source: where a tag is asked about, times are not.
fn judge_source(source: &CopySource, object: &ObjectRecord) -> Result<(), Refusal> {
    judge(&source.condition, Some(object))?;
    // HTTP's dates have whole seconds.
    let modified = object.modified_ms / 1000;
    let later = |than: Option<u64>| than.map(|ms| modified > ms / 1000);
    let by_tag = matches!(source.condition, Condition::Matches(_) | Condition::Present);
    let stale = later(source.modified_after_ms) == Some(false)
        && !matches!(source.condition, Condition::Differs(_) | Condition::Absent);
    let changed = later(source.unmodified_after_ms) == Some(true) && !by_tag;
    if stale || changed {
        return Err(Refusal::ConditionFailed);
    }
    Ok(())
}

/// Whether a condition holds of what lies under a key.
pub(super) fn judge(condition: &Condition, old: Option<&ObjectRecord>) -> Result<(), Refusal> {
    let holds = match (condition, old) {
        (Condition::Always, _) | (Condition::Absent | Condition::Differs(_), None) => true,
        (Condition::Present, Some(_)) => true,
        (Condition::Absent, Some(_)) => false,
        // S3: If-Match on a key without an object answers 404, not 412.
        (Condition::Present | Condition::Matches(_), None) => return Err(Refusal::NoSuchKey),
        (Condition::Matches(etag), Some(old)) => *etag == old.etag,
        (Condition::Differs(etag), Some(old)) => *etag != old.etag,
    };
    if holds {
        Ok(())
    } else {
        Err(Refusal::ConditionFailed)
    }
}
