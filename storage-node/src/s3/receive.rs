//! Receiving bodies: cut into chunks, hashed, spread, and only then named.

use super::{Front, errors};
use crate::config::INLINE_LIMIT;
use crate::data::{DataError, Placing};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{Checksum, StreamingBlob};
use s3s::{S3Error, S3Result, TrailingHeaders, s3_error};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How many chunks of one body are under way at once.
const IN_FLIGHT: usize = 3;
/// How long a body may stand still.
const IDLE: Duration = Duration::from_secs(60);
/// What a client says a body must be.
#[derive(Default)]
pub(super) struct Expected {
    pub(super) length: Option<i64>,
    pub(super) md5: Option<String>,
    pub(super) checksum: Checksum,
    pub(super) trailers: Option<TrailingHeaders>,
    pub(super) announced: Option<String>,
}

/// What a request says its body must be: both inputs that have these fields have them under the
/// same names, and no trait.
macro_rules! given {
    ($input:ident, $trailers:expr, $announced:expr) => {
        $crate::s3::receive::Expected {
            length: $input.content_length,
            md5: $input.content_md5,
            checksum: s3s::dto::Checksum {
                checksum_crc32: $input.checksum_crc32,
                checksum_crc32c: $input.checksum_crc32c,
                checksum_crc64nvme: $input.checksum_crc64nvme,
                checksum_sha1: $input.checksum_sha1,
                checksum_sha256: $input.checksum_sha256,
                ..s3s::dto::Checksum::default()
            },
            trailers: $trailers,
            announced: $announced,
        }
    };
}
pub(super) use given;

/// A body that was received, verified and made durable, but is named by nothing yet.
pub(super) struct Received {
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
    pub(super) checksum: Checksum,
    pub(super) inline: Option<Vec<u8>>,
    pub(super) placings: Vec<Placing>,
}

struct Hashes {
    md5: Md5,
    more: ChecksumHasher,
}

impl Front {
    /// Receives a body. `may_inline`: a small one may stay in memory for the log entry.
    pub(super) async fn receive(
        &self,
        body: Option<StreamingBlob>,
        expected: Expected,
        may_inline: bool,
    ) -> S3Result<Received> {
        if self.data.is_slow() {
            return Err(s3_error!(
                SlowDown,
                "the disk of this node is slow; try again"
            ));
        }
        if self.data.store().is_full() {
            return Err(errors::data(&DataError::Full));
        }
        let _place = super::place(&self.uploads, 1).await?;
        let mut hashing = Hashing::new(expected.hasher());
        let announced_length = expected
            .length
            .map_or(0, |length| u64::try_from(length).unwrap_or(0));
        let mut size = 0_u64;
        let mut buffer = BytesMut::new();
        let mut placings = Vec::new();
        let mut under_way: FuturesOrdered<BoxFuture<'_, Result<Placing, DataError>>> =
            FuturesOrdered::new();
        let mut body = body;
        let mut ended = body.is_none();
        while !ended || !buffer.is_empty() {
            // All of a chunk's room at once, where it is known to be needed: growing copies.
            let left = announced_length.saturating_sub(size);
            buffer.reserve(usize::try_from(left).map_or(0, |left| left.min(self.chunk_size)));
            while !ended && buffer.len() < self.chunk_size {
                match next(&mut body).await? {
                    Some(piece) => {
                        size += piece.len() as u64;
                        buffer.extend_from_slice(&piece);
                    }
                    None => ended = true,
                }
                if size > self.max_object_size {
                    return Err(errors::too_large());
                }
            }
            let cut = buffer.len().min(self.chunk_size);
            if cut == 0 {
                break;
            }
            let bytes = buffer.split_to(cut).freeze();
            let small = may_inline && ended && placings.is_empty() && under_way.is_empty();
            if small && buffer.is_empty() && bytes.len() <= INLINE_LIMIT {
                hashing.add(bytes.clone()).await?;
                let hashes = hashing.take().await?;
                return expected.verify(size, hashes, Some(bytes.to_vec()), Vec::new());
            }
            hashing.add(bytes.clone()).await?;
            let cost = super::cost(bytes.len(), super::WRITE_BUDGET_KIB);
            under_way.push_back(Box::pin(async move {
                // What waits here is bounded by the bodies that are received at once.
                let _part = self.writing.acquire_many(cost).await;
                self.data.write(bytes, false).await
            }));
            while under_way.len() >= IN_FLIGHT
                && let Some(placed) = under_way.next().await
            {
                placings.push(placed.map_err(|e| errors::data(&e))?);
            }
        }
        while let Some(placed) = under_way.next().await {
            placings.push(placed.map_err(|e| errors::data(&e))?);
        }
        self.data.last_call(&placings).await;
        let hashes = hashing.take().await?;
        let inline = (size == 0 && may_inline).then(Vec::new);
        expected.verify(size, hashes, inline, placings)
    }
}

/// The checksum trailer that a request announces.
pub(super) fn announced(headers: &hyper::HeaderMap) -> Option<String> {
    let value = headers.get("x-amz-trailer")?.to_str().ok()?;
    Some(value.to_ascii_lowercase())
}

async fn next(body: &mut Option<StreamingBlob>) -> S3Result<Option<Bytes>> {
    let Some(stream) = body else { return Ok(None) };
    match timeout(IDLE, stream.next()).await {
        Err(_) => Err(s3_error!(
            RequestTimeout,
            "the body stood still for too long"
        )),
        Ok(None) => Ok(None),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => Err(broken_body(error.as_ref())),
    }
}

/// A body that broke off, or whose signature is wrong at its end.
fn broken_body(error: &(dyn std::error::Error + Send + Sync + 'static)) -> S3Error {
    let text = format!("{error:?} {error}");
    if text.contains("SignatureMismatch") {
        s3_error!(
            SignatureDoesNotMatch,
            "the signature of a piece of the body is wrong"
        )
    } else if text.to_ascii_lowercase().contains("mismatch") {
        let mut error = S3Error::with_message(
            s3s::S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()),
            "the body is not the one that was signed",
        );
        error.set_status_code(hyper::StatusCode::BAD_REQUEST);
        error
    } else {
        s3_error!(IncompleteBody, "the body broke off or is malformed")
    }
}

/// The hashes of a body. One piece is hashed while the next is received.
struct Hashing {
    idle: Option<Hashes>,
    busy: Option<JoinHandle<Hashes>>,
}

impl Hashing {
    fn new(more: ChecksumHasher) -> Self {
        let md5 = Md5::new();
        Self {
            idle: Some(Hashes { md5, more }),
            busy: None,
        }
    }

    /// Takes the next piece, once the one before is done.
    async fn add(&mut self, bytes: Bytes) -> S3Result<()> {
        let mut hashes = self.take().await?;
        if bytes.len() <= INLINE_LIMIT {
            hashes.update(&bytes);
            self.idle = Some(hashes);
        } else {
            // On a thread that may take its time.
            self.busy = Some(tokio::task::spawn_blocking(move || {
                hashes.update(&bytes);
                hashes
            }));
        }
        Ok(())
    }

    async fn take(&mut self) -> S3Result<Hashes> {
        match (self.idle.take(), self.busy.take()) {
            (Some(hashes), _) => Ok(hashes),
            (None, Some(busy)) => busy.await.map_err(S3Error::internal_error),
            (None, None) => Err(s3_error!(InternalError, "the hashes are gone")),
        }
    }
}

impl Hashes {
    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.more.update(bytes);
    }
}

impl Expected {
    fn hasher(&self) -> ChecksumHasher {
        let trailer = self.announced.as_deref().unwrap_or("");
        let wants = |field: &Option<String>, name: &str| field.is_some() || trailer.contains(name);
        let given = &self.checksum;
        let mut hasher = ChecksumHasher::default();
        if wants(&given.checksum_crc32, "x-amz-checksum-crc32") {
            hasher.crc32 = Some(s3s::crypto::Crc32::new());
        }
        if wants(&given.checksum_crc32c, "x-amz-checksum-crc32c") {
            hasher.crc32c = Some(s3s::crypto::Crc32c::new());
        }
        if wants(&given.checksum_crc64nvme, "x-amz-checksum-crc64nvme") {
            hasher.crc64nvme = Some(s3s::crypto::Crc64Nvme::new());
        }
        if wants(&given.checksum_sha1, "x-amz-checksum-sha1") {
            hasher.sha1 = Some(s3s::crypto::Sha1::new());
        }
        if wants(&given.checksum_sha256, "x-amz-checksum-sha256") {
            hasher.sha256 = Some(s3s::crypto::Sha256::new());
        }
        hasher
    }

    /// Compares what came with what was said, in the header or in the trailer.
    fn verify(
        self,
        size: u64,
        hashes: Hashes,
        inline: Option<Vec<u8>>,
        placings: Vec<Placing>,
    ) -> S3Result<Received> {
        let md5: [u8; 16] = hashes.md5.finalize();
        if self
            .length
            .is_some_and(|length| u64::try_from(length) != Ok(size))
        {
            return Err(s3_error!(
                IncompleteBody,
                "the body has another length than it was said"
            ));
        }
        if let Some(said) = &self.md5 {
            let ours = STANDARD.encode(md5);
            if *said != ours {
                return Err(s3_error!(BadDigest, "Content-MD5 is not that of the body"));
            }
        }
        let found = hashes.more.finalize();
        let checksum = self.compare(found)?;
        Ok(Received {
            size,
            md5,
            checksum,
            inline,
            placings,
        })
    }

    /// The checksums that were said, in the header or in the trailer, and are right.
    fn compare(self, found: Checksum) -> S3Result<Checksum> {
        let trailers = self
            .trailers
            .as_ref()
            .and_then(TrailingHeaders::take)
            .unwrap_or_default();
        let said = |header: Option<String>, name: &str| {
            let trailer = trailers.get(name).and_then(|value| value.to_str().ok());
            header.or_else(|| trailer.map(str::to_owned))
        };
        let given = self.checksum;
        let mut checksum = Checksum::default();
        for (slot, header, name, ours) in [
            (
                &mut checksum.checksum_crc32,
                given.checksum_crc32,
                "x-amz-checksum-crc32",
                found.checksum_crc32,
            ),
            (
                &mut checksum.checksum_crc32c,
                given.checksum_crc32c,
                "x-amz-checksum-crc32c",
                found.checksum_crc32c,
            ),
            (
                &mut checksum.checksum_crc64nvme,
                given.checksum_crc64nvme,
                "x-amz-checksum-crc64nvme",
                found.checksum_crc64nvme,
            ),
            (
                &mut checksum.checksum_sha1,
                given.checksum_sha1,
                "x-amz-checksum-sha1",
                found.checksum_sha1,
            ),
            (
                &mut checksum.checksum_sha256,
                given.checksum_sha256,
                "x-amz-checksum-sha256",
                found.checksum_sha256,
            ),
        ] {
            let announced = self.announced.as_deref() == Some(name);
            match (said(header, name), ours) {
                (Some(said), Some(ours)) if said == ours => *slot = Some(ours),
                (Some(_), _) => {
                    return Err(s3_error!(BadDigest, "a checksum is not that of the body"));
                }
                (None, _) if announced => {
                    return Err(s3_error!(
                        InvalidRequest,
                        "an announced checksum did not come"
                    ));
                }
                (None, _) => {}
            }
        }
        Ok(checksum)
    }
}
