//! A small S3 client that signs for itself, so that it can also sign wrongly.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const ACCESS: &str = "AKIATEST";
pub(crate) const SECRET: &str = "secret-for-tests";

pub(crate) struct Client {
    addr: String,
    host: String,
    access: String,
    secret: String,
    agent: ureq::Agent,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The text between two tags.
    pub(crate) fn tag(&self, name: &str) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        let (value, _) = rest.split_once(&format!("</{name}>"))?;
        Some(value.to_owned())
    }

    pub(crate) fn ok(self) -> Self {
        assert!(self.status < 300, "{} {}", self.status, self.text());
        self
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Date and time as S3 wants them: civil-from-days, by Howard Hinnant's method.
fn now() -> (String, String) {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    let date = format!("{year:04}{month:02}{day:02}");
    let time = format!(
        "{date}T{:02}{:02}{:02}Z",
        rest / 3600,
        rest / 60 % 60,
        rest % 60
    );
    (date, time)
}

impl Client {
    pub(crate) fn new(addr: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)));
        Self {
            addr: addr.to_owned(),
            host: addr.to_owned(),
            access: ACCESS.to_owned(),
            secret: SECRET.to_owned(),
            agent: config.build().into(),
        }
    }

    pub(crate) fn with_secret(mut self, secret: &str) -> Self {
        secret.clone_into(&mut self.secret);
        self
    }

    /// Says that the node has this name.
    pub(crate) fn with_host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn with_key(mut self, access: &str, secret: &str) -> Self {
        access.clone_into(&mut self.access);
        self.with_secret(secret)
    }

    /// A signed request. `query` must be sorted and encoded.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        query: &str,
        more: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.send_hashed(method, path, query, more, body, &hex(&Sha256::digest(body)))
    }

    /// The same with a payload hash of the caller's choice.
    pub(crate) fn send_hashed(
        &self,
        method: &str,
        path: &str,
        query: &str,
        more: &[(&str, &str)],
        body: &[u8],
        payload: &str,
    ) -> Answer {
        let (date, time) = now();
        let mut headers: BTreeMap<String, String> = BTreeMap::new();
        headers.insert("host".into(), self.host.clone());
        headers.insert("x-amz-content-sha256".into(), payload.to_owned());
        headers.insert("x-amz-date".into(), time.clone());
        for (name, value) in more {
            headers.insert(name.to_lowercase(), (*value).to_owned());
        }
        let names: Vec<&str> = headers.keys().map(String::as_str).collect();
        let names = names.join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let canonical = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}");
        let scope = format!("{date}/us-east-1/s3/aws4_request");
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for piece in [date.as_str(), "us-east-1", "s3", "aws4_request"] {
            key = hmac(&key, piece);
        }
        let signature = hex(&hmac(&key, &to_sign));
        headers.insert(
            "authorization".into(),
            format!(
                "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
                self.access
            ),
        );
        self.send_plain(method, path, query, &headers, body)
    }

    /// A request just as it is.
    pub(crate) fn send_plain(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Answer {
        let question = if query.is_empty() { "" } else { "?" };
        let uri = format!("http://{}{path}{question}{query}", self.addr);
        let mut request = ureq::http::Request::builder().method(method).uri(uri);
        let own = |name: &str| name != "host" || self.host != self.addr;
        for (name, value) in headers.iter().filter(|(name, _)| own(name)) {
            request = request.header(name, value);
        }
        let result = if body.is_empty() && matches!(method, "GET" | "HEAD" | "DELETE") {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        let mut response = match result {
            Ok(response) => response,
            Err(error) => {
                return Answer {
                    status: 599,
                    headers: BTreeMap::new(),
                    body: error.to_string().into_bytes(),
                };
            }
        };
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
            .collect();
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(1 << 30)
            .read_to_vec();
        match body {
            Ok(body) => Answer {
                status,
                headers,
                body,
            },
            Err(error) => Answer {
                status: 598,
                headers,
                body: error.to_string().into_bytes(),
            },
        }
    }

    pub(crate) fn make_bucket(&self) {
        self.send("PUT", "/bucket", "", &[], b"").ok();
    }

    pub(crate) fn put(&self, key: &str, body: &[u8]) -> Answer {
        self.send("PUT", &format!("/bucket/{key}"), "", &[], body)
    }

    pub(crate) fn get(&self, key: &str) -> Answer {
        self.send("GET", &format!("/bucket/{key}"), "", &[], b"")
    }

    pub(crate) fn create_upload(&self, key: &str) -> String {
        let answer = self
            .send("POST", &format!("/bucket/{key}"), "uploads=", &[], b"")
            .ok();
        answer.tag("UploadId").unwrap()
    }

    pub(crate) fn put_part(&self, key: &str, upload: &str, number: usize, body: &[u8]) -> String {
        let query = format!("partNumber={number}&uploadId={upload}");
        let answer = self
            .send("PUT", &format!("/bucket/{key}"), &query, &[], body)
            .ok();
        answer.headers["etag"].clone()
    }

    pub(crate) fn complete(&self, key: &str, upload: &str, etags: &[String]) -> Answer {
        let parts: String = etags
            .iter()
            .enumerate()
            .map(|(n, etag)| {
                format!(
                    "<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>",
                    n + 1
                )
            })
            .collect();
        let body = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let query = format!("uploadId={upload}");
        self.send(
            "POST",
            &format!("/bucket/{key}"),
            &query,
            &[],
            body.as_bytes(),
        )
    }
}

/// Bytes that no two places share, and that are the same for the same seed.
pub(crate) fn bytes(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}
