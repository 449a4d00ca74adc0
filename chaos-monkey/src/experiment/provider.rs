//! Carrying out an activity: a call over HTTP, or a program. As Chaos Toolkit does it
//! (`chaoslib/provider/http.py`, `process.py`).

use super::values::Values;
use crate::percent;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// More of a program's output or an answer's body is cut off.
const OUTPUT_MAX: u64 = 1 << 20;
/// The original has no limit where none is given; a person waits at most so long.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Carries it out and gives its result.
///
/// # Errors
/// A sentence: it failed, which is something else than a result that nobody likes.
pub fn run(activity: &Value, values: &Values) -> Result<Value, String> {
    let provider = activity.get("provider").ok_or("it has no provider")?;
    match provider.get("type").and_then(Value::as_str) {
        Some("http") => http(&values.put_in(provider)),
        Some("process") => process(provider, values),
        other => Err(format!("there is no provider of type {other:?}")),
    }
}

fn seconds(value: Option<&Value>) -> Option<Duration> {
    let number = match value? {
        // [to connect, to read]: the longer one is the whole.
        Value::Array(all) => all.iter().filter_map(Value::as_f64).fold(0.0, f64::max),
        Value::String(text) => text.parse().ok()?,
        other => other.as_f64()?,
    };
    Duration::try_from_secs_f64(number)
        .ok()
        .filter(|it| !it.is_zero())
}

fn http(provider: &Value) -> Result<Value, String> {
    let text = |key: &str| provider.get(key).and_then(Value::as_str);
    let url = text("url").ok_or("it has no url")?;
    let method = text("method").unwrap_or("GET").to_uppercase();
    let arguments = provider.get("arguments").filter(|it| !it.is_null());
    let headers = provider
        .get("headers")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let is_json = headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type") && value.as_str() == Some("application/json")
    });
    let (mut url, mut body) = (url.to_owned(), String::new());
    let mut form = false;
    match arguments {
        Some(Value::Object(pairs)) if method == "GET" => {
            let mark = if url.contains('?') { '&' } else { '?' };
            url = format!("{url}{mark}{}", encoded(pairs));
        }
        Some(given) if is_json => body = given.to_string(),
        Some(Value::Object(pairs)) => {
            body = encoded(pairs);
            form = true;
        }
        Some(Value::String(given)) => given.clone_into(&mut body),
        Some(_) | None => {}
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(seconds(provider.get("timeout")).unwrap_or(PATIENCE)))
        .build()
        .into();
    let mut request = ureq::http::Request::builder()
        .method(method.as_str())
        .uri(&url);
    for (name, value) in &headers {
        request = request.header(
            name,
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned),
        );
    }
    if form {
        request = request.header("content-type", "application/x-www-form-urlencoded");
    }
    let sent = if body.is_empty() {
        agent.run(request.body(()).map_err(|error| error.to_string())?)
    } else {
        agent.run(request.body(body).map_err(|error| error.to_string())?)
    };
    let response = sent.map_err(|error| match error {
        ureq::Error::Timeout(_) => "activity took too long to complete".to_owned(),
        other => format!("failed to connect to {url}: {other}"),
    })?;
    let headers: Map<String, Value> = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.as_str().to_owned(),
                json!(String::from_utf8_lossy(value.as_bytes())),
            )
        })
        .collect();
    let status = response.status().as_u16();
    let bytes = response
        .into_body()
        .into_with_config()
        .limit(OUTPUT_MAX)
        .read_to_vec()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let says_json = headers.get("content-type").and_then(Value::as_str) == Some("application/json");
    let body = if says_json {
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())?
    } else {
        json!(text)
    };
    Ok(json!({ "status": status, "headers": headers, "body": body }))
}

fn encoded(pairs: &Map<String, Value>) -> String {
    let each: Vec<String> = pairs
        .iter()
        .map(|(key, value)| {
            format!(
                "{}={}",
                percent::encode(key),
                percent::encode(&plain(value))
            )
        })
        .collect();
    each.join("&")
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn process(provider: &Value, values: &Values) -> Result<Value, String> {
    let path = provider
        .get("path")
        .map(|path| values.put_in(path))
        .map(|path| plain(&path))
        .unwrap_or_default();
    let program = which(&path).ok_or_else(|| format!("there is no program {path:?}"))?;
    let mut command = match provider
        .get("arguments")
        .map(|arguments| values.put_in(arguments))
    {
        // One text goes through a shell, as in the original.
        Some(Value::String(arguments)) => {
            let mut shell = Command::new("/bin/sh");
            shell
                .arg("-c")
                .arg(format!("{} {arguments}", program.display()));
            shell
        }
        Some(Value::Array(all)) => {
            let mut command = Command::new(&program);
            command.args(
                all.iter()
                    .filter(|it| !it.is_null())
                    .map(plain)
                    .filter(|it| !it.is_empty()),
            );
            command
        }
        Some(Value::Object(pairs)) => {
            let mut command = Command::new(&program);
            for (key, value) in &pairs {
                command.args(
                    [key.clone(), plain(value)]
                        .iter()
                        .filter(|it| !it.is_empty() && *it != "null"),
                );
            }
            command
        }
        _ => Command::new(&program),
    };
    let limit =
        seconds(provider.get("timeout").map(|it| values.put_in(it)).as_ref()).unwrap_or(PATIENCE);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let out = child.stdout.take().map(reader);
    let err = child.stderr.take().map(reader);
    let until = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
            Ok(None) => {
                drop(child.kill());
                drop(child.wait());
                return Err("process activity took too long to complete".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        }
    };
    let text = |it: Option<std::thread::JoinHandle<String>>| {
        it.and_then(|it| it.join().ok()).unwrap_or_default()
    };
    // A signal is a negative number to Python.
    let code = status
        .code()
        .or_else(|| std::os::unix::process::ExitStatusExt::signal(&status).map(|signal| -signal));
    Ok(json!({ "status": code, "stdout": text(out), "stderr": text(err) }))
}

fn reader(stream: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut stream = stream;
        let mut bytes = Vec::new();
        // What is cut off is read all the same, so that the program does not stand still.
        drop(stream.by_ref().take(OUTPUT_MAX).read_to_end(&mut bytes));
        drop(std::io::copy(&mut stream, &mut std::io::sink()));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The program that a name means: as it is with a slash in it, else along `PATH`.
#[must_use]
pub fn which(name: &str) -> Option<PathBuf> {
    let runs = |path: &PathBuf| {
        rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
    };
    if name.is_empty() {
        return None;
    }
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(runs);
    }
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::needless_pass_by_value)] // written where it is called
    fn process(provider: Value) -> Result<Value, String> {
        run(&json!({ "provider": provider }), &Values::default())
    }

    #[test]
    fn a_program_gives_its_code_and_both_streams() {
        let all = process(
            json!({"type": "process", "path": "sh", "arguments": ["-c", "echo out; echo err >&2; exit 3"]}),
        );
        assert_eq!(
            all.unwrap(),
            json!({"status": 3, "stdout": "out\n", "stderr": "err\n"})
        );
        let shell = process(json!({"type": "process", "path": "echo", "arguments": "a | tr a b"}));
        assert_eq!(shell.unwrap()["stdout"], "b\n");
        let slow = process(
            json!({"type": "process", "path": "sleep", "arguments": ["30"], "timeout": 0.2}),
        );
        assert_eq!(
            slow.unwrap_err(),
            "process activity took too long to complete"
        );
    }

    #[test]
    fn a_server_that_is_not_there_is_a_failure() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let failed = process(json!({"type": "http", "url": format!("http://127.0.0.1:{port}/")}));
        assert!(failed.unwrap_err().contains("failed to connect"));
    }
}
