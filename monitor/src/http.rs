//! A few lines of HTTP/1.0 for the command line and the probes: no runtime, no keep-alive, bounded.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// A status of 200 members takes about 80 KB.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// An answer in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Connects within the time; each of a name's addresses is tried.
pub(crate) fn connect(address: &str, within: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + within;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match connect_one(address, deadline) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect_one(address: SocketAddr, deadline: Instant) -> io::Result<TcpStream> {
    TcpStream::connect_timeout(&address, left(deadline)?)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// A probe wants the status only; heads are shorter than this.
const HEAD_MAX: usize = 16 * 1024;

/// The status of a GET. The body is not waited for: a server that never ends it has answered all the same.
pub(crate) fn status(address: &str, path: &str, within: Duration) -> io::Result<u16> {
    let deadline = Instant::now() + within;
    let mut stream = ask("GET", address, path, b"", deadline)?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.contains(&b'\n') && head.len() < HEAD_MAX {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => head.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
    }
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    status_of(line).ok_or_else(|| io::Error::other("this is no HTTP answer"))
}

/// `HTTP/1.1 200 OK`, and what is near it.
fn status_of(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let status = line
        .strip_prefix("HTTP/1.")?
        .split_ascii_whitespace()
        .nth(1)?;
    status
        .parse()
        .ok()
        .filter(|status| (100..1000).contains(status))
}

/// Connects and sends a request.
fn ask(
    method: &str,
    address: &str,
    path: &str,
    body: &[u8],
    deadline: Instant,
) -> io::Result<TcpStream> {
    let mut stream = connect(address, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: planaria\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    Ok(stream)
}

/// One request; the whole exchange within the time.
pub(crate) fn request(
    method: &str,
    address: &str,
    path: &str,
    body: &[u8],
    within: Duration,
) -> io::Result<Answer> {
    let deadline = Instant::now() + within;
    let mut stream = ask(method, address, path, body, deadline)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        let length = match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            // Some servers hang up hard after the last byte.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !answer.is_empty() => {
                break;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        };
        answer.extend_from_slice(&piece[..length]);
        if answer.len() as u64 > ANSWER_MAX {
            return Err(io::Error::other("the answer does not end"));
        }
    }
    parse(&answer).ok_or_else(|| io::Error::other("this is no HTTP answer"))
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let line = answer[..head_end].split(|byte| *byte == b'\r').next()?;
    Some(Answer {
        status: status_of(line)?,
        body: answer[head_end + 4..].to_vec(),
    })
}

/// `http://host:port/path` → (`host:port`, `/path`); the host may be left out and is then this one.
pub(crate) fn split_url(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("http://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let clean = |text: &str| !text.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
    if !clean(authority) || !clean(path) {
        return None;
    }
    Some((with_host(authority, Some(80))?, path.to_owned()))
}

/// `:80`, `80`, `host:80` → an address; a host alone takes the default port.
pub(crate) fn with_host(authority: &str, default_port: Option<u16>) -> Option<String> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok()?),
        None => match (authority.parse::<u16>(), default_port) {
            (Ok(port), _) => ("", port),
            (Err(_), Some(port)) => (authority, port),
            (Err(_), None) => return None,
        },
    };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Some(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_leave_the_host_out() {
        let split = |url: &str| split_url(url);
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(split("http://:80/health"), pair("127.0.0.1:80", "/health"));
        assert_eq!(split("http://web:8080"), pair("web:8080", "/"));
        assert_eq!(split("http://web/x"), pair("web:80", "/x"));
        assert_eq!(split("https://web/x"), None);
        assert_eq!(split("http://web:99999/"), None);
        assert_eq!(split("http://web/ HTTP/1.1\r\nX: y"), None);
        assert_eq!(with_host("6379", None).as_deref(), Some("127.0.0.1:6379"));
        assert_eq!(with_host("db", None), None);
    }

    #[test]
    fn hostile_answers_are_none() {
        for bad in [
            &b""[..],
            b"\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 abc\r\n\r\n",
            b"\xff\r\n\r\n",
        ] {
            assert!(parse(bad).is_none());
        }
        let good = parse(b"HTTP/1.1 503 Nope\r\nA: b\r\n\r\nbody").unwrap();
        assert_eq!((good.status, good.body.as_slice()), (503, &b"body"[..]));
    }

    #[test]
    fn a_body_without_an_end_is_an_answer_all_the_same() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let flood = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 65536]).is_ok() {}
        });
        let answer = status(&address, "/", Duration::from_secs(30)).unwrap();
        assert_eq!(answer, 200);
        flood.join().unwrap();
    }

    #[test]
    fn garbage_without_an_end_is_no_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let flood = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[0xff; 65536]).is_ok() {}
        });
        assert!(status(&address, "/", Duration::from_secs(30)).is_err());
        flood.join().unwrap();
    }

    #[test]
    fn a_mute_server_costs_the_time_given() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let error = request("GET", &address, "/", b"", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
