//! Those who should not get in, and those who send nonsense.

use crate::client::bytes;
use crate::nodes::Nodes;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

fn talk(addr: &str, words: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    // The node may close at once: that is an answer too.
    let _ = stream.write_all(words);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

#[test]
fn strangers_are_refused_and_nothing_is_kept_of_what_they_send() {
    let nodes = Nodes::start();
    let client = nodes.client(0);
    client.make_bucket();
    client.put("key", b"value").ok();
    let stranger = nodes.client(0).with_secret("guessed");
    assert_eq!(
        stranger.get("key").tag("Code").as_deref(),
        Some("SignatureDoesNotMatch")
    );
    assert_eq!(stranger.put("key", b"other").status, 403);
    let unsigned = client.send_plain("GET", "/bucket/key", "", &BTreeMap::new(), b"");
    assert_eq!(unsigned.status, 403);
    // Signed for other bytes than came: seen at the body's end, and nothing is committed.
    let body = bytes(100_000, 1);
    let wrong = client.send_hashed("PUT", "/bucket/key", "", &[], &body, &"0".repeat(64));
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    let md5 = [("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==")];
    let wrong = client.send("PUT", "/bucket/key", "", &md5, &body);
    assert_eq!(wrong.tag("Code").as_deref(), Some("BadDigest"));
    let crc = [("x-amz-checksum-crc32", "AAAAAA==")];
    let wrong = client.send("PUT", "/bucket/key", "", &crc, &body);
    assert_eq!(wrong.tag("Code").as_deref(), Some("BadDigest"));
    assert_eq!(client.get("key").ok().body, b"value");
}

#[test]
fn garbage_on_every_port_changes_nothing() {
    let nodes = Nodes::start();
    let client = nodes.client(0);
    client.make_bucket();
    let node = &nodes.all[0];
    assert_eq!(
        talk(&node.line, b"NODE PING\nnode ping\r\n"),
        b"PONG\nPONG\n"
    );
    assert!(talk(&node.line, b"HELP\n").starts_with(b"NODE PING"));
    assert!(talk(&node.line, b"FILE LIST bucket\n").starts_with(b"ERR this needs"));
    assert!(talk(&node.line, &vec![b'x'; 5000]).starts_with(b"ERR a line"));
    for seed in 0..8 {
        let noise = bytes(5000, seed);
        for addr in [&node.line, &node.peer, &node.s3] {
            talk(addr, &noise);
        }
        let mut hello = b"PLNP\x02".to_vec();
        hello.extend_from_slice(&noise);
        talk(&node.peer, &hello);
        // A node of another version is told ours, and nothing else.
        hello[4] = 1;
        assert_eq!(talk(&node.peer, &hello), b"PLNP\x02");
        talk(
            &node.s3,
            &[
                b"PUT /bucket/k HTTP/1.1\r\ncontent-length: 99\r\n\r\n",
                &noise[..50],
            ]
            .concat(),
        );
    }
    for (method, path, query) in [
        ("GET", "/bucket/%00", ""),
        ("GET", "/bucket/%FF", ""),
        ("PUT", "/bucket/k", "partNumber=0&uploadId=1"),
        ("PUT", "/bucket/k", "partNumber=1&uploadId=zz"),
        ("PUT", "/b", ""),
        ("POST", "/bucket/k", "uploadId=1"),
        ("GET", "/bucket", "continuation-token=x&list-type=2"),
    ] {
        // A connection of its own: one that is answered before its body was read is closed.
        let status = nodes
            .client(0)
            .send(method, path, query, &[], b"<x>")
            .status;
        assert!(
            (400..500).contains(&status),
            "{method} {path}?{query}: {status}"
        );
    }
    let long = format!("/bucket/{}", "k".repeat(1025));
    assert_eq!(client.send("PUT", &long, "", &[], b"x").status, 400);
    client.put("key", b"value").ok();
    assert_eq!(client.get("key").ok().body, b"value");
}
