//! The clients that people have: HTTP, and the AWS command line.

use crate::docker::run;
use crate::stack::Stack;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A page: its status and its text. An error status is an answer, not an error.
///
/// # Errors
/// Where nobody answers.
pub fn get(url: &str) -> Result<(u16, String)> {
    let mut response = agent().get(url).call()?;
    Ok((
        response.status().as_u16(),
        response.body_mut().read_to_string()?,
    ))
}

/// The same for a POST without a body.
///
/// # Errors
/// Where nobody answers.
pub fn post(url: &str) -> Result<(u16, String)> {
    let mut response = agent().post(url).send_empty()?;
    Ok((
        response.status().as_u16(),
        response.body_mut().read_to_string()?,
    ))
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into()
}

/// Somebody who is logged in on the console's page.
pub struct Console {
    base: String,
    cookie: String,
    csrf: String,
}

impl Console {
    /// With the password of `make console-password`.
    ///
    /// # Errors
    /// Where the console does not answer, or refuses.
    pub fn log_in(stack: &Stack) -> Result<Self> {
        let base = format!("http://127.0.0.1:{}", stack.settings().console_port);
        let password = run(Command::new(stack.root().join("scripts/console-password"))
            .current_dir(stack.root())
            .env("PLANARIA_CONFIG", stack.config()))?;
        let login = serde_json::json!({"password": password.trim()}).to_string();
        let mut response = agent()
            .post(format!("{base}/api/v1/login"))
            .content_type("application/json")
            .send(login)?;
        let cookie = response.headers().get("set-cookie");
        let cookie = cookie.and_then(|value| value.to_str().ok()?.split(';').next());
        let cookie = cookie.map(str::to_owned);
        let answer = response.body_mut().read_to_string()?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        Ok(Self {
            base,
            cookie: cookie.with_context(|| format!("no login: {answer}"))?,
            csrf: answer["csrf"].as_str().context("no token")?.to_owned(),
        })
    }

    /// Does something, as the page would. The answer.
    ///
    /// # Errors
    /// Where it is refused.
    pub fn act(&self, path: &str, json: &str) -> Result<String> {
        let mut response = agent()
            .post(format!("{}{path}", self.base))
            .content_type("application/json")
            .header("cookie", &self.cookie)
            .header("x-planaria-csrf", &self.csrf)
            .send(json)?;
        let text = response.body_mut().read_to_string()?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
        Ok(text)
    }
}

/// The AWS command line against one node of the store.
pub struct Aws {
    program: PathBuf,
    endpoint: String,
    access_key: String,
    secret_key: String,
}

impl Aws {
    /// For storage node `node` (from 1), with the keys of `make s3-credentials`.
    ///
    /// # Errors
    /// Where the client or the keys are not there.
    pub fn new(stack: &Stack, node: u16) -> Result<Self> {
        let credentials = run(Command::new(stack.root().join("scripts/s3-credentials"))
            .current_dir(stack.root())
            .env("PLANARIA_CONFIG", stack.config()))?;
        let value = |key: &str| {
            credentials
                .lines()
                .find_map(|line| {
                    line.trim_start_matches("export ")
                        .strip_prefix(key)?
                        .strip_prefix('=')
                })
                .map(str::to_owned)
                .with_context(|| format!("scripts/s3-credentials printed no {key}"))
        };
        Ok(Self {
            program: stack.root().join("target/clients/bin/aws"),
            endpoint: format!("http://127.0.0.1:{}", stack.settings().s3_port_base + node),
            access_key: value("AWS_ACCESS_KEY_ID")?,
            secret_key: value("AWS_SECRET_ACCESS_KEY")?,
        })
    }

    /// Runs it.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        run(Command::new(&self.program)
            .args(["--endpoint-url", &self.endpoint, "--region", "us-east-1"])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", &self.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret_key)
            .env("AWS_MAX_ATTEMPTS", "8")
            .env("AWS_EC2_METADATA_DISABLED", "true"))
    }

    /// Copies one file up or down.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn copy(&self, from: &str, to: &str) -> Result<()> {
        self.run(&["s3", "cp", "--only-show-errors", from, to])
            .map(drop)
    }
}

impl Aws {
    /// Copies what is new in a folder, up or down.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn sync(&self, from: &str, to: &str) -> Result<()> {
        self.run(&["s3", "sync", "--only-show-errors", from, to])
            .map(drop)
    }
}

/// A file of random bytes.
///
/// # Errors
/// Where it cannot be written.
pub fn random_file(path: &Path, megabytes: u64) -> Result<()> {
    let mut source = std::io::Read::take(
        std::fs::File::open("/dev/urandom")?,
        megabytes * 1024 * 1024,
    );
    std::io::copy(&mut source, &mut std::fs::File::create(path)?)?;
    Ok(())
}
