//! What a log entry says, and what it answers.

use crate::{
    AccessKey, Attributes, ChunkId, DiskId, ObjectHeaders, ObjectRecord, Stored, Tags, UploadId,
    VersionId, Versioning,
};
use serde::{Deserialize, Serialize};

/// A command with the name of its asker, so that a retry finds its own first answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The session of the node that asks: opened by [`Command::OpenSession`], drawn at random at
    /// each start. Zero asks without a session: the command must be harmless when repeated.
    pub session: u64,
    /// The number of the request in its session.
    pub number: u64,
    /// Below this number the asker has all its answers: they can be forgotten.
    pub answered_below: u64,
    /// What is asked.
    pub command: Command,
}

/// Under which condition a write takes place, judged when the entry is applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// Only when there is no object under the key (`If-None-Match: *`).
    Absent,
    /// Only when there is one (`If-Match: *`).
    Present,
    /// Only when the object there has this entity tag (`If-Match`).
    Matches(String),
    /// Only when the object there, if any, has another entity tag (`If-None-Match`).
    Differs(String),
}

/// How often a chunk is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// How many copies are wanted in the end.
    pub wanted: u8,
    /// On how many disks a copy must be when a manifest names it.
    pub quorum: u8,
}

/// What a log entry asks of the state machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Nothing: a barrier that proves leadership.
    Nothing,
    /// Opens the session that the request names.
    OpenSession,
    /// Makes a bucket.
    CreateBucket {
        /// Its name.
        bucket: String,
        /// The asker's clock.
        now_ms: u64,
    },
    /// Removes an empty bucket.
    DeleteBucket {
        /// Its name.
        bucket: String,
    },
    /// Puts an object whose chunks are durable.
    PutObject {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// The object.
        object: ObjectRecord,
        /// Where its chunks are; one for each distinct chunk or more.
        stored: Vec<Stored>,
        /// How many copies are wanted and needed.
        copies: Copies,
        /// When to refuse.
        condition: Condition,
    },
    /// Copies an object by naming its chunks again.
    CopyObject {
        /// Bucket and key of the source.
        source: (String, String),
        /// Bucket and key of the copy.
        target: (String, String),
        /// Headers that replace the source's.
        headers: Option<ObjectHeaders>,
        /// The asker's clock.
        now_ms: u64,
        /// What must hold of the source.
        source_condition: Condition,
        /// What must hold of what lies under the target's key.
        condition: Condition,
    },
    /// Removes an object; no object is no error.
    DeleteObject {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// When to refuse.
        condition: Condition,
    },
    /// Opens a multipart upload.
    CreateUpload {
        /// Bucket of the object to be.
        bucket: String,
        /// Key of the object to be.
        key: String,
        /// Headers of the object to be.
        headers: ObjectHeaders,
        /// The asker's clock.
        now_ms: u64,
    },
    /// Puts a part; an older part of the same number is replaced.
    PutPart {
        /// Bucket of the upload.
        bucket: String,
        /// Key of the upload.
        key: String,
        /// The upload.
        upload: UploadId,
        /// 1 to 10,000.
        number: u16,
        /// Its length in bytes.
        size: u64,
        /// Its MD5.
        md5: [u8; 16],
        /// Its chunks in order, each with the disks that hold it.
        stored: Vec<Stored>,
        /// How many copies are wanted and needed.
        copies: Copies,
        /// The asker's clock.
        now_ms: u64,
    },
    /// Checks the list of parts, makes the object and closes the upload, all in one.
    CompleteUpload {
        /// Bucket of the upload.
        bucket: String,
        /// Key of the upload.
        key: String,
        /// The upload.
        upload: UploadId,
        /// Number and MD5 of each part, ascending.
        parts: Vec<(u16, [u8; 16])>,
        /// The entity tag of the whole, which the asker made from the MD5s.
        etag: String,
        /// The asker's clock.
        now_ms: u64,
        /// When to refuse.
        condition: Condition,
        /// The least length of each part but the last, in bytes.
        least_part: u64,
    },
    /// Throws an upload away.
    AbortUpload {
        /// Bucket of the upload.
        bucket: String,
        /// Key of the upload.
        key: String,
        /// The upload.
        upload: UploadId,
    },
    /// A disk reports durable copies that it made or found.
    Placed {
        /// The disk.
        disk: DiskId,
        /// The chunks, each with the generation of the copy.
        chunks: Vec<(ChunkId, u64)>,
    },
    /// A disk reports that copies named as its own are missing or rotten.
    Lost {
        /// The disk.
        disk: DiskId,
        /// The chunks.
        chunks: Vec<ChunkId>,
    },
    /// Condemns chunks that nobody names; those that somebody does are left alone.
    Condemn {
        /// The chunks.
        chunks: Vec<ChunkId>,
    },
    /// A disk reports that it removed its copies of condemned chunks.
    Reaped {
        /// The disk.
        disk: DiskId,
        /// The chunks, each with the index of the condemnation that it obeyed.
        chunks: Vec<(ChunkId, u64)>,
    },
    // New ones only at the end: logs hold the numbers of these.
    /// As [`Command::PutObject`], with tags and a checksum.
    Put {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// The object.
        object: ObjectRecord,
        /// Tags and checksum; the version is the state machine's to give.
        attributes: Attributes,
        /// Where its chunks are; one for each distinct chunk or more.
        stored: Vec<Stored>,
        /// How many copies are wanted and needed.
        copies: Copies,
        /// When to refuse.
        condition: Condition,
    },
    /// As [`Command::CopyObject`], of any version and with tags.
    Copy {
        /// What is copied.
        source: CopySource,
        /// Bucket and key of the copy.
        target: (String, String),
        /// Headers that replace the source's.
        headers: Option<ObjectHeaders>,
        /// Tags that replace the source's.
        tags: Option<Tags>,
        /// The asker's clock.
        now_ms: u64,
        /// What must hold of what lies under the target's key.
        condition: Condition,
    },
    /// Removes an object, or leaves a delete marker where the bucket keeps versions; with a
    /// version, removes that one for good.
    Delete {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// Which version, for good.
        version: Option<VersionId>,
        /// The asker's clock.
        now_ms: u64,
        /// When to refuse.
        condition: Condition,
    },
    /// As [`Command::CreateUpload`], with tags.
    OpenUpload {
        /// Bucket of the object to be.
        bucket: String,
        /// Key of the object to be.
        key: String,
        /// Headers of the object to be.
        headers: ObjectHeaders,
        /// Tags of the object to be.
        tags: Tags,
        /// The asker's clock.
        now_ms: u64,
    },
    /// Sets or clears the tags of an object.
    TagObject {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// Which version; none: the current one.
        version: Option<VersionId>,
        /// All its tags from now on.
        tags: Tags,
    },
    /// Tells a bucket something.
    SetBucket {
        /// The bucket.
        bucket: String,
        /// What.
        change: BucketChange,
    },
    /// Makes or replaces a pair of keys.
    PutKey {
        /// The access key.
        id: String,
        /// The rest.
        key: AccessKey,
    },
    /// Takes a pair of keys away.
    DeleteKey {
        /// The access key.
        id: String,
    },
    /// Decides something about a disk.
    Assign {
        /// The disk.
        disk: DiskId,
        /// What.
        change: RoleChange,
    },
    /// A disk was taken out by a person: it is not to be taken in again under its name.
    Retire {
        /// The disk.
        disk: DiskId,
    },
    /// Goes on with counting what a change of the disks has left owed; begins it where nothing
    /// was ever counted.
    Recount,
    /// A disk asks to be rid of copies whose chunks have enough others, which it has just seen
    /// verified under this layout.
    Surplus {
        /// The disk.
        disk: DiskId,
        /// The layout.
        layout: u64,
        /// The chunks, each with the disks whose copies were verified.
        chunks: Vec<(ChunkId, Vec<DiskId>)>,
    },
}

/// What is copied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopySource {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Which version; none: the current one.
    pub version: Option<VersionId>,
    /// What must hold of it.
    pub condition: Condition,
    /// It must have been modified later than this, in milliseconds since 1970.
    pub modified_after_ms: Option<u64>,
    /// It must not have been modified later than this, in milliseconds since 1970.
    pub unmodified_after_ms: Option<u64>,
}

/// What a bucket is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BucketChange {
    /// Whether to keep versions. It never goes back to [`Versioning::Off`].
    Versioning(Versioning),
    /// All its tags from now on.
    Tags(Tags),
}

/// What is decided about a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RoleChange {
    /// Its zone.
    Zone(String),
    /// Whether it is to be emptied.
    Draining(bool),
    /// Whether it is placed around.
    Away(bool),
}

/// What a command was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Done,
    /// The upload was opened.
    Upload(UploadId),
    /// The object is there: its entity tag and time.
    Object {
        /// The entity tag, without quotes.
        etag: String,
        /// Milliseconds since 1970.
        modified_ms: u64,
    },
    /// Nothing was changed, and why.
    Refused(Refusal),
    // New ones only at the end: the store remembers answers.
    /// The object is there, in a bucket that may keep versions.
    Written {
        /// The entity tag, without quotes.
        etag: String,
        /// Milliseconds since 1970.
        modified_ms: u64,
        /// Its version, where the bucket keeps or kept versions.
        version: Option<VersionId>,
    },
    /// The object is gone.
    Deleted {
        /// The version that was removed, or that the delete marker has.
        version: Option<VersionId>,
        /// Whether a delete marker was made or removed.
        marker: bool,
    },
    /// There is more to be counted.
    More,
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such bucket.
    #[error("there is no such bucket")]
    NoSuchBucket,
    /// The bucket is there already.
    #[error("the bucket exists already")]
    BucketExists,
    /// The bucket holds objects or open uploads.
    #[error("the bucket is not empty")]
    BucketNotEmpty,
    /// More buckets than [`crate::machine::MAX_BUCKETS`].
    #[error("too many buckets")]
    TooManyBuckets,
    /// There is no such object.
    #[error("there is no such object")]
    NoSuchKey,
    /// There is no such upload: it was completed, aborted or never opened.
    #[error("there is no such upload")]
    NoSuchUpload,
    /// A part is missing, or is another than the one meant.
    #[error("part {0} is missing or has another entity tag")]
    InvalidPart(u16),
    /// The parts are not in ascending order.
    #[error("the parts are not in ascending order")]
    InvalidPartOrder,
    /// A part that is not the last is too small.
    #[error("part {0} is too small")]
    PartTooSmall(u16),
    /// The condition does not hold.
    #[error("the condition does not hold")]
    ConditionFailed,
    /// These chunks were condemned after they were found: they have to be written again.
    #[error("{} chunks have to be written again", .0.len())]
    StaleChunks(Vec<ChunkId>),
    /// The session was forgotten: whether an earlier try of this request took place is unknown.
    #[error("the session was retired")]
    SessionRetired,
    // New ones only at the end: the store remembers answers.
    /// The layout is another one by now.
    #[error("the layout has changed meanwhile")]
    LayoutChanged,
    /// There is no such disk in the cluster.
    #[error("there is no such disk")]
    NoSuchDisk,
    /// There is no such version of the object.
    #[error("there is no such version")]
    NoSuchVersion,
    /// What is meant is a delete marker.
    #[error("this is a delete marker")]
    DeleteMarker,
    /// There is no such access key.
    #[error("there is no such access key")]
    NoSuchAccessKey,
    /// More access keys than [`crate::machine::MAX_KEYS`].
    #[error("too many access keys")]
    TooManyKeys,
}
