//! A small S3 client of our own: Signature V4, no retries, and it says whether an unanswered request may
//! have been carried out. Ready-made clients retry and hide exactly that.

use crate::{clock, percent};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::io;
use std::time::Duration;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

/// The store holds a request through a change of its leader for up to 15 s; then it says 503.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// The largest body that is read: one multipart object of ours, several times over.
const BODY_MAX: u64 = 64 << 20;
/// Of an answer that is shown to people.
const TEXT_MAX: usize = 300;
const REGION: &str = "us-east-1";
/// The header that carries the number of a value.
pub const VALUE_HEADER: &str = "x-amz-meta-value";

/// The keys of the store.
#[derive(Clone)]
pub struct Keys {
    /// The access key.
    pub access: String,
    /// The secret key.
    pub secret: String,
}

/// One node of the store.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    /// `host:port`.
    host: String,
    keys: Keys,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The number of the value, where the answer has one.
    pub value: Option<u64>,
    /// The entity tag, where there is one.
    pub etag: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The status and the beginning of the body, for people.
    #[must_use]
    pub fn text(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let body: String = body.chars().take(TEXT_MAX).collect();
        format!("{} {body}", self.status)
    }
}

/// No answer came; with the reason, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Silence {
    /// The request never left: nothing can have come of it.
    #[error("{0}")]
    Unsent(String),
    /// It may have been carried out, now or later.
    #[error("{0}")]
    Unknown(String),
}

/// A request, in the words of S3.
#[derive(Clone, Debug, Default)]
pub struct Ask<'a> {
    /// `GET`, `PUT`, `POST`, `DELETE`.
    pub method: &'a str,
    /// `/bucket/key`, made of characters that need no escape.
    pub path: &'a str,
    /// Sorted by name; values that need no escape.
    pub query: Vec<(&'a str, String)>,
    /// Sent as they are, and not signed: names in small letters.
    pub headers: Vec<(&'a str, String)>,
    /// The body.
    pub body: &'a [u8],
}

impl Client {
    /// For the node at `host:port`.
    #[must_use]
    pub fn new(host: &str, keys: Keys) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_WITHIN))
            .timeout_global(Some(ANSWER_WITHIN))
            .max_redirects(0)
            .build();
        Self {
            agent: config.into(),
            host: host.to_owned(),
            keys,
        }
    }

    /// The same with none of its connections.
    #[must_use]
    pub fn anew(&self) -> Self {
        Self::new(&self.host, self.keys.clone())
    }

    /// Asks once.
    ///
    /// # Errors
    /// [`Silence`] where no whole answer came.
    pub fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Silence> {
        let now = clock::text(clock::now_ms()).replace(['-', ':'], "");
        let digest = hex(&Sha256::digest(ask.body));
        let query = query(&ask.query);
        let authorization = authorize(&self.keys, &self.host, ask, &query, &now, &digest);
        let uri = if query.is_empty() {
            format!("http://{}{}", self.host, ask.path)
        } else {
            format!("http://{}{}?{query}", self.host, ask.path)
        };
        let mut request = Request::builder()
            .method(ask.method)
            .uri(uri)
            .header("x-amz-date", &now)
            .header("x-amz-content-sha256", &digest)
            .header("authorization", authorization);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        let has_body = matches!(ask.method, "PUT" | "POST");
        let sent = if has_body {
            let request = request
                .body(ask.body)
                .map_err(|error| Silence::Unsent(error.to_string()))?;
            self.agent.run(request)
        } else {
            let request = request
                .body(())
                .map_err(|error| Silence::Unsent(error.to_string()))?;
            self.agent.run(request)
        };
        answer(sent.map_err(|error| silence(&error))?)
    }
}

fn answer(response: Response<Body>) -> Result<Answer, Silence> {
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let (value, etag) = (header(VALUE_HEADER), header("etag"));
    let status = response.status().as_u16();
    let body = response
        .into_body()
        .into_with_config()
        .limit(BODY_MAX)
        .read_to_vec()
        .map_err(|error| Silence::Unknown(format!("{status}, then the body broke off: {error}")))?;
    Ok(Answer {
        status,
        value: value.and_then(|text| text.parse().ok()),
        etag,
        body,
    })
}

fn silence(error: &ureq::Error) -> Silence {
    match error {
        ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Silence::Unsent(error.to_string())
        }
        ureq::Error::ConnectionFailed
        | ureq::Error::HostNotFound
        | ureq::Error::Timeout(ureq::Timeout::Connect) => Silence::Unsent(error.to_string()),
        _ => Silence::Unknown(error.to_string()),
    }
}

fn query(pairs: &[(&str, String)]) -> String {
    let each: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", percent::encode(value)))
        .collect();
    each.join("&")
}

/// The `Authorization` of Signature V4; `now` as `20261121T130510Z`.
fn authorize(
    keys: &Keys,
    host: &str,
    ask: &Ask<'_>,
    query: &str,
    now: &str,
    digest: &str,
) -> String {
    let day = now.get(..8).unwrap_or(now);
    let signed = "host;x-amz-content-sha256;x-amz-date";
    let canonical = format!(
        "{}\n{}\n{query}\nhost:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n\n{signed}\n{digest}",
        ask.method, ask.path
    );
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{now}\n{scope}\n{}",
        hex(&Sha256::digest(canonical))
    );
    let mut key = format!("AWS4{}", keys.secret).into_bytes();
    for part in [day, REGION, "s3", "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex(&mac(&key, &text));
    format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
        keys.access
    )
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length is fine for HMAC; the type cannot say so.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The text of the first element of that name, as in `<UploadId>…</UploadId>`.
#[must_use]
pub fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_published_one() {
        // "Example: GET Bucket Lifecycle" of Amazon's Signature V4 page, with its three signed headers.
        let keys = Keys {
            access: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        };
        let ask = Ask {
            method: "GET",
            path: "/",
            query: vec![("lifecycle", String::new())],
            ..Ask::default()
        };
        let said = authorize(
            &keys,
            "examplebucket.s3.amazonaws.com",
            &ask,
            &query(&ask.query),
            "20130524T000000Z",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        );
        assert!(
            said.ends_with("fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            "{said}"
        );
    }

    #[test]
    fn queries_are_escaped_and_elements_found() {
        let pairs = [
            ("list-type", "2".to_owned()),
            ("prefix", "a/b c".to_owned()),
        ];
        assert_eq!(query(&pairs), "list-type=2&prefix=a%2Fb%20c");
        assert_eq!(
            element("<a><UploadId>x1</UploadId></a>", "UploadId"),
            Some("x1")
        );
        assert_eq!(element("<a/>", "UploadId"), None);
    }

    #[test]
    fn what_never_left_is_known_to_have_done_nothing() {
        // Nobody listens on the port of a listener that is gone.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let keys = Keys {
            access: "a".to_owned(),
            secret: "s".to_owned(),
        };
        let client = Client::new(&format!("127.0.0.1:{port}"), keys);
        let ask = Ask {
            method: "PUT",
            path: "/b/k",
            body: b"x",
            ..Ask::default()
        };
        assert!(matches!(client.ask(&ask), Err(Silence::Unsent(_))));
    }
}
