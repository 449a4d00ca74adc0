//! Answers as JSON, and what went wrong as one shape of it.

use crate::access::AccessError;
use crate::store::StoreError;
use axum::body::Bytes;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

/// What went wrong, for people and programs.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    error: &'static str,
    text: String,
    wait_s: Option<u64>,
}

pub(super) fn problem(status: StatusCode, error: &'static str, text: impl Into<String>) -> Problem {
    Problem {
        status,
        error,
        text: text.into(),
        wait_s: None,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = axum::Json(json!({"error": self.error, "text": self.text}));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"planaria\""),
            );
        }
        if let Some(wait) = self.wait_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "database",
            error.to_string(),
        )
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let (status, name, wait_s) = match &error {
            AccessError::Wrong => (StatusCode::UNAUTHORIZED, "wrong_password", None),
            AccessError::TooMany(wait) => (StatusCode::TOO_MANY_REQUESTS, "too_many", Some(*wait)),
            AccessError::NoLogin => (StatusCode::UNAUTHORIZED, "no_login", None),
            AccessError::Store(_) | AccessError::NoRandom => {
                (StatusCode::INTERNAL_SERVER_ERROR, "database", None)
            }
        };
        Self {
            wait_s,
            ..problem(status, name, error.to_string())
        }
    }
}

/// The body as what it should be: JSON by its type, nothing unknown in it. An empty one is `{}`.
pub(super) fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, Problem> {
    let kind = headers
        .get(axum::http::header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    // A form of another site cannot send this type without being asked first (CORS).
    if !body.is_empty() && !kind.to_ascii_lowercase().starts_with("application/json") {
        return Err(problem(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send JSON: Content-Type: application/json.",
        ));
    }
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(text).map_err(|error| {
        problem(
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!("The body is not what is asked for: {error}."),
        )
    })
}
