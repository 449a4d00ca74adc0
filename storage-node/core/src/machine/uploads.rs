//! Multipart uploads.
//!
//! ```text
//!   CreateUpload ─▶ open ──PutPart──▶ open      each part holds its chunks from its entry on
//!                    │ Complete (parts as listed) ─▶ closed: the object holds the chunks
//!                    └ Abort ──────────────────────▶ closed: the chunks are let go
//!   closed: PutPart, Complete, Abort answer NoSuchUpload
//! ```

use super::objects::judge;
use super::{Machine, MachineError, Outcome, refused};
use crate::{
    Attributes, ChunkRef, Command, Data, ObjectHeaders, ObjectRecord, PartRecord, Refusal, Reply,
    StoreMut, Tags, UploadId, UploadRecord, keys,
};

/// The highest number of a part.
const MAX_PART: u16 = 10_000;

impl<S: StoreMut> Machine<'_, S> {
    pub(super) fn create_upload(
        &mut self,
        (bucket, key): (&str, &str),
        headers: &ObjectHeaders,
        tags: Option<&Tags>,
        created_ms: u64,
    ) -> Outcome<S> {
        if !self.has(&keys::bucket(bucket))? {
            return refused(Refusal::NoSuchBucket);
        }
        let upload = UploadId(self.index);
        let record = UploadRecord {
            created_ms,
            headers: headers.clone(),
        };
        self.write(&keys::upload(bucket, key, upload), &record)?;
        if let Some(tags) = tags.filter(|tags| !tags.is_empty()) {
            let attributes = Attributes {
                tags: tags.clone(),
                ..Attributes::default()
            };
            self.write(&keys::upload_attributes(upload), &attributes)?;
        }
        Ok(Reply::Upload(upload))
    }

    pub(super) fn put_part(&mut self, command: &Command) -> Outcome<S> {
        let Command::PutPart {
            bucket,
            key,
            upload,
            number,
            size,
            md5,
            stored,
            copies,
            now_ms,
        } = command
        else {
            return refused(Refusal::NoSuchUpload);
        };
        if !self.has(&keys::upload(bucket, key, *upload))? {
            return refused(Refusal::NoSuchUpload);
        }
        if !(1..=MAX_PART).contains(number) {
            return refused(Refusal::InvalidPart(*number));
        }
        let chunks: Vec<ChunkRef> = stored.iter().map(|stored| stored.chunk).collect();
        if let Err(refusal) = self.hold_new(&chunks, stored, *copies)? {
            return refused(refusal);
        }
        let place = keys::part(*upload, *number);
        if let Some(old) = self.read::<PartRecord>(&place)? {
            self.release(&old.chunks)?;
        }
        let part = PartRecord {
            size: *size,
            md5: *md5,
            modified_ms: *now_ms,
            chunks,
        };
        self.write(&place, &part)?;
        Ok(Reply::Done)
    }

    pub(super) fn complete_upload(&mut self, command: &Command) -> Outcome<S> {
        let Command::CompleteUpload {
            bucket,
            key,
            upload,
            parts,
            etag,
            now_ms,
            condition,
            least_part,
        } = command
        else {
            return refused(Refusal::NoSuchUpload);
        };
        let place = keys::upload(bucket, key, *upload);
        let Some(record) = self.read::<UploadRecord>(&place)? else {
            return refused(Refusal::NoSuchUpload);
        };
        let (size, chunks) = match self.listed_parts(*upload, parts, *least_part)? {
            Ok(whole) => whole,
            Err(refusal) => return refused(refusal),
        };
        let target = keys::object(bucket, key);
        let old: Option<ObjectRecord> = self.read(&target)?;
        if let Err(refusal) = judge(condition, old.as_ref()) {
            return refused(refusal);
        }
        // The object's hold first, then the parts' release: no chunk is unnamed in between.
        let attributes: Attributes = self
            .read(&keys::upload_attributes(*upload))?
            .unwrap_or_default();
        self.hold_named(&chunks)?;
        self.close(*upload, &place)?;
        let object = ObjectRecord {
            size,
            etag: etag.clone(),
            modified_ms: *now_ms,
            headers: record.headers,
            data: Data::Chunks(chunks),
        };
        self.put_current((bucket, key), &object, attributes)
    }

    pub(super) fn abort_upload(&mut self, bucket: &str, key: &str, upload: UploadId) -> Outcome<S> {
        let place = keys::upload(bucket, key, upload);
        if !self.has(&place)? {
            return refused(Refusal::NoSuchUpload);
        }
        self.close(upload, &place)?;
        Ok(Reply::Done)
    }

    /// Length and chunks of the parts as the client lists them.
    #[allow(clippy::type_complexity)] // a refusal inside a store's error, used once
    fn listed_parts(
        &self,
        upload: UploadId,
        parts: &[(u16, [u8; 16])],
        least_part: u64,
    ) -> Result<Result<(u64, Vec<ChunkRef>), Refusal>, MachineError<S::Error>> {
        let mut size = 0;
        let mut chunks = Vec::new();
        let mut before = 0;
        for (at, (number, md5)) in parts.iter().enumerate() {
            if *number <= before {
                return Ok(Err(Refusal::InvalidPartOrder));
            }
            before = *number;
            let part = match self.read::<PartRecord>(&keys::part(upload, *number))? {
                Some(part) if part.md5 == *md5 => part,
                _ => return Ok(Err(Refusal::InvalidPart(*number))),
            };
            if at + 1 < parts.len() && part.size < least_part {
                return Ok(Err(Refusal::PartTooSmall(*number)));
            }
            size += part.size;
            chunks.extend_from_slice(&part.chunks);
        }
        if parts.is_empty() {
            return Ok(Err(Refusal::InvalidPart(1)));
        }
        Ok(Ok((size, chunks)))
    }

    fn close(&mut self, upload: UploadId, place: &[u8]) -> Result<(), MachineError<S::Error>> {
        let parts = keys::part(upload, 0);
        for key in self.keys_with(&parts[..9], usize::from(MAX_PART))? {
            if let Some(part) = self.read::<PartRecord>(&key)? {
                self.release(&part.chunks)?;
            }
            self.erase(&key)?;
        }
        self.erase(&keys::upload_attributes(upload))?;
        self.erase(place)
    }
}
