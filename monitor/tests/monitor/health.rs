//! The health server against good and hostile clients.

use crate::support::{exchange, free_port, get, monitor, start, wait_for};

#[test]
fn pages_are_served_and_nonsense_is_survived() {
    let port = free_port();
    let mut running = start(monitor(port).args(["run", "--", "sleep", "600"]));
    wait_for("the health server", || {
        get(port, "/livez").contains(" 200 ")
    });
    let metrics = get(port, "/metrics");
    for name in [
        "planaria_build_info",
        "planaria_is_leader",
        "planaria_pulse_age_seconds",
    ] {
        assert!(metrics.contains(name), "{name} is missing:\n{metrics}");
    }
    assert!(get(port, "/status").contains("\"node\":\"test-1\""));
    assert!(get(port, "/nonsense").contains(" 404 "));
    let hostile: [&[u8]; 6] = [
        b"",
        b"\r\n\r\n\r\n",
        &[0xff; 4096],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /request HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nabc",
        b"GET /livez HTTP/1.1\r\nX: \xff\xfe\r\nContent-Length: -1\r\n\r\n",
    ];
    for bytes in hostile {
        exchange(port, bytes);
    }
    let long = [b"GET /".as_slice(), &[b'a'; 100_000], b" HTTP/1.1\r\n\r\n"].concat();
    exchange(port, &long);
    let unsigned =
        b"POST /request HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}";
    let answer = String::from_utf8_lossy(&exchange(port, unsigned)).into_owned();
    assert!(answer.contains(" 403 "), "{answer}");
    assert!(get(port, "/livez").contains(" 200 "), "it still lives");
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
}

#[test]
fn a_taken_port_is_no_reason_to_end() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut running = start(monitor(port).args(["run", "--", "sh", "-c", "echo up; exit 3"]));
    assert_eq!(running.line(), "up");
    assert_eq!(running.end().code(), Some(3));
}
