//! Buckets and objects.

use super::{MAX_BUCKETS, Machine, MachineError, Outcome, refused};
use crate::{
    BucketRecord, Command, Condition, Copies, Data, ObjectRecord, Refusal, Reply, StoreMut, Stored,
    keys,
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
        for prefix in [keys::object(bucket, ""), keys::uploads(bucket, "")] {
            if !self.keys_with(&prefix, 1)?.is_empty() {
                return refused(Refusal::BucketNotEmpty);
            }
        }
        self.erase(&key)?;
        Ok(Reply::Done)
    }

    pub(super) fn put_object(
        &mut self,
        (bucket, key): (&str, &str),
        object: &ObjectRecord,
        stored: &[Stored],
        copies: Copies,
        condition: &Condition,
    ) -> Outcome<S> {
        if !self.has(&keys::bucket(bucket))? {
            return refused(Refusal::NoSuchBucket);
        }
        let place = keys::object(bucket, key);
        let old: Option<ObjectRecord> = self.read(&place)?;
        if let Err(refusal) = judge(condition, old.as_ref()) {
            return refused(refusal);
        }
        if let Data::Chunks(chunks) = &object.data
            && let Err(refusal) = self.hold_new(chunks, stored, copies)?
        {
            return refused(refusal);
        }
        self.replace(&place, old.as_ref(), object)
    }

    pub(super) fn copy_object(&mut self, command: &Command) -> Outcome<S> {
        let Command::CopyObject {
            source,
            target,
            headers,
            now_ms,
            source_condition,
            condition,
        } = command
        else {
            return refused(Refusal::NoSuchKey);
        };
        for bucket in [&source.0, &target.0] {
            if !self.has(&keys::bucket(bucket))? {
                return refused(Refusal::NoSuchBucket);
            }
        }
        let Some(mut object) = self.read::<ObjectRecord>(&keys::object(&source.0, &source.1))?
        else {
            return refused(Refusal::NoSuchKey);
        };
        let place = keys::object(&target.0, &target.1);
        let old: Option<ObjectRecord> = self.read(&place)?;
        let verdict =
            judge(source_condition, Some(&object)).and_then(|()| judge(condition, old.as_ref()));
        if let Err(refusal) = verdict {
            return refused(refusal);
        }
        object.modified_ms = *now_ms;
        if let Some(headers) = headers {
            object.headers = headers.clone();
        }
        if let Data::Chunks(chunks) = &object.data {
            self.hold_named(chunks)?;
        }
        self.replace(&place, old.as_ref(), &object)
    }

    pub(super) fn delete_object(
        &mut self,
        bucket: &str,
        key: &str,
        condition: &Condition,
    ) -> Outcome<S> {
        if !self.has(&keys::bucket(bucket))? {
            return refused(Refusal::NoSuchBucket);
        }
        let place = keys::object(bucket, key);
        let old: Option<ObjectRecord> = self.read(&place)?;
        if let Err(refusal) = judge(condition, old.as_ref()) {
            return refused(refusal);
        }
        if let Some(old) = old {
            self.erase(&place)?;
            self.release_object(&old)?;
        }
        Ok(Reply::Done)
    }

    /// Puts an object whose chunks are already held, and lets go of the one that lay there.
    pub(super) fn replace(
        &mut self,
        place: &[u8],
        old: Option<&ObjectRecord>,
        object: &ObjectRecord,
    ) -> Outcome<S> {
        self.write(place, object)?;
        if let Some(old) = old {
            self.release_object(old)?;
        }
        Ok(Reply::Object {
            etag: object.etag.clone(),
            modified_ms: object.modified_ms,
        })
    }

    fn release_object(&mut self, object: &ObjectRecord) -> Result<(), MachineError<S::Error>> {
        match &object.data {
            Data::Inline(_) => Ok(()),
            Data::Chunks(chunks) => self.release(chunks),
        }
    }
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
