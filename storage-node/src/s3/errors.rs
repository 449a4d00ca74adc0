//! Our errors in S3's words.

use crate::data::DataError;
use crate::meta::MetaError;
use hyper::StatusCode;
use planaria_storage_core::Refusal;
use s3s::{S3Error, S3ErrorCode, s3_error};

pub(super) fn meta(error: MetaError) -> S3Error {
    match error {
        MetaError::Refused(refusal) => refused(&refusal),
        MetaError::NoQuorum(reason) => {
            tracing::warn!(event = "no_quorum", %reason, "a request was refused for want of a quorum");
            s3_error!(
                ServiceUnavailable,
                "there is no quorum of storage nodes now; try again"
            )
        }
        MetaError::Store(error) => {
            tracing::error!(event = "metadata_failed", %error, "the metadata store failed");
            s3_error!(InternalError, "the metadata store failed")
        }
    }
}

pub(super) fn too_large() -> S3Error {
    s3_error!(EntityTooLarge, "larger than MAX_OBJECT_SIZE")
}

fn refused(refusal: &Refusal) -> S3Error {
    let code = match refusal {
        Refusal::NoSuchBucket => S3ErrorCode::NoSuchBucket,
        Refusal::BucketExists => S3ErrorCode::BucketAlreadyOwnedByYou,
        Refusal::BucketNotEmpty => S3ErrorCode::BucketNotEmpty,
        Refusal::TooManyBuckets => S3ErrorCode::TooManyBuckets,
        Refusal::NoSuchKey => S3ErrorCode::NoSuchKey,
        Refusal::NoSuchUpload => S3ErrorCode::NoSuchUpload,
        Refusal::InvalidPart(_) => S3ErrorCode::InvalidPart,
        Refusal::InvalidPartOrder => S3ErrorCode::InvalidPartOrder,
        Refusal::PartTooSmall(_) => S3ErrorCode::EntityTooSmall,
        Refusal::ConditionFailed => S3ErrorCode::PreconditionFailed,
        Refusal::StaleChunks(_) => S3ErrorCode::SlowDown,
        Refusal::NoSuchVersion => S3ErrorCode::NoSuchVersion,
        Refusal::DeleteMarker => S3ErrorCode::MethodNotAllowed,
        _ => S3ErrorCode::InternalError,
    };
    S3Error::with_message(code, refusal.to_string())
}

pub(super) fn data(error: &DataError) -> S3Error {
    match error {
        DataError::Full => {
            let mut full = S3Error::with_message(
                S3ErrorCode::Custom("InsufficientStorage".into()),
                "the disks are full; delete something",
            );
            full.set_status_code(StatusCode::INSUFFICIENT_STORAGE);
            full
        }
        DataError::Quorum { .. } => {
            tracing::warn!(event = "no_quorum", %error, "a write was refused for want of disks");
            s3_error!(
                ServiceUnavailable,
                "too few storage nodes can take data now; try again"
            )
        }
        DataError::Metadata(_) => {
            tracing::error!(event = "metadata_failed", %error, "the metadata store failed");
            s3_error!(InternalError, "the metadata store failed")
        }
        DataError::NoCopy(_) => {
            tracing::error!(event = "chunk_unreadable", %error, "a chunk could not be read");
            s3_error!(
                ServiceUnavailable,
                "no copy of the data can be read now; try again"
            )
        }
    }
}
