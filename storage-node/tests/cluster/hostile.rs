//! Requests that nobody should send: each gets a clear refusal, and the node goes on.

use crate::client::bytes;
use crate::nodes::Nodes;
use std::io::Write;
use std::net::TcpStream;

#[test]
fn what_makes_no_sense_is_refused_and_not_answered_with_a_failure() {
    let nodes = Nodes::start();
    let client = nodes.client(0);
    client.make_bucket();
    client.put("key", &bytes(100_000, 1)).ok();
    let long = format!("/bucket/{}", "k".repeat(1025));
    let many: String = (0..1001)
        .map(|n| format!("<Object><Key>{n}</Key></Object>"))
        .collect();
    let many = format!("<Delete>{many}</Delete>");
    let upload = client.create_upload("parts");
    let part = |number: i64| format!("partNumber={number}&uploadId={upload}");
    let tags = "<Tagging><TagSet><Tag><Key></Key><Value>x</Value></Tag></TagSet></Tagging>";
    let versions = "<VersioningConfiguration><Status>Perhaps</Status></VersioningConfiguration>";
    let asked: Vec<(&str, &str, String, &[u8])> = vec![
        ("PUT", &long, String::new(), b"x"),
        ("PUT", "/bucket/a%00b", String::new(), b"x"),
        ("PUT", "/bucket/%ff%fe", String::new(), b"x"),
        ("PUT", "/no-such-bucket/key", String::new(), b"x"),
        ("PUT", "/UPPER", String::new(), b""),
        ("PUT", "/bucket/parts", part(0), b"x"),
        ("PUT", "/bucket/parts", part(10_001), b"x"),
        (
            "PUT",
            "/bucket/parts",
            "partNumber=1&uploadId=zz".into(),
            b"x",
        ),
        ("GET", "/bucket", "list-type=2&max-keys=-1".into(), b""),
        (
            "GET",
            "/bucket",
            "continuation-token=zz&list-type=2".into(),
            b"",
        ),
        (
            "GET",
            "/bucket",
            "encoding-type=base64&list-type=2".into(),
            b"",
        ),
        ("GET", "/bucket/key", "versionId=zz".into(), b""),
        (
            "GET",
            "/bucket/key",
            "versionId=ffffffffffffffff".into(),
            b"",
        ),
        ("POST", "/bucket", "delete=".into(), many.as_bytes()),
        ("POST", "/bucket", "delete=".into(), b"<Delete><Object>"),
        (
            "POST",
            "/bucket/parts",
            format!("uploadId={upload}"),
            b"\xff\0<a>",
        ),
        ("PUT", "/bucket", "versioning=".into(), versions.as_bytes()),
        ("PUT", "/bucket/key", "tagging=".into(), tags.as_bytes()),
    ];
    for (method, path, query, body) in &asked {
        let answer = client.send(method, path, query, &[], body);
        assert!(
            (400..500).contains(&answer.status),
            "{method} {path}?{query}: {} {}",
            answer.status,
            answer.text()
        );
    }
    for (name, value) in [
        ("range", "bytes=100000-"),
        ("x-amz-copy-source", "%zz"),
        ("x-amz-copy-source", "/bucket/nothing"),
        ("x-amz-tagging", "a=1&a=2"),
        ("content-md5", "AAAA"),
        ("x-amz-checksum-sha256", "AAAA"),
    ] {
        let method = if name == "range" { "GET" } else { "PUT" };
        let answer = client.send(method, "/bucket/key", "", &[(name, value)], b"");
        assert!(
            (400..500).contains(&answer.status),
            "{name}: {value}: {} {}",
            answer.status,
            answer.text()
        );
    }
    assert!(client.get("key").ok().body == bytes(100_000, 1));
}

/// Clients that begin and say no more, or go in the middle, take nobody's place for good.
#[test]
fn slow_and_vanished_clients_hold_nothing_up() {
    let nodes = Nodes::start();
    nodes.client(0).make_bucket();
    nodes.client(0).put("big", &bytes(5 << 20, 1)).ok();
    let mut slow = Vec::new();
    for n in 0..100 {
        let mut socket = TcpStream::connect(&nodes.all[0].s3).unwrap();
        let head = format!("PUT /bucket/slow-{n} HTTP/1.1\r\nhost: x\r\ncontent-len");
        socket.write_all(head.as_bytes()).unwrap();
        slow.push(socket);
    }
    for _ in 0..20 {
        // Downloads that are asked for and not read, and broken off.
        let socket = TcpStream::connect(&nodes.all[0].s3).unwrap();
        drop(socket);
    }
    for n in 0..20 {
        let body = bytes(200_000, n);
        nodes.client(0).put(&format!("k{n}"), &body).ok();
        assert!(nodes.client(0).get(&format!("k{n}")).ok().body == body);
    }
    drop(slow);
    assert!(nodes.client(0).get("big").ok().body.len() == 5 << 20);
}

/// At the cap it is taken; a byte more is refused, whether it comes at once or in parts.
#[test]
fn no_object_is_larger_than_the_cap() {
    const CAP: usize = 6 << 20;
    let nodes = Nodes::start_with(3, &[("PLANARIA_MAX_OBJECT_SIZE", "6MiB")]);
    let client = nodes.client(0);
    client.make_bucket();
    let body = bytes(CAP + 1, 1);
    client.put("key", &body[..CAP]).ok();
    let refused = client.put("key", &body);
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("EntityTooLarge"),
        "{}",
        refused.text()
    );
    assert!(client.get("key").ok().body == body[..CAP]);
    let upload = client.create_upload("parts");
    let first = client.put_part("parts", &upload, 1, &body[..5 << 20]);
    let rest = client.put_part("parts", &upload, 2, &body[5 << 20..]);
    let refused = client.complete("parts", &upload, &[first.clone(), rest]);
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("EntityTooLarge"),
        "{}",
        refused.text()
    );
    let rest = client.put_part("parts", &upload, 2, &body[5 << 20..CAP]);
    client.complete("parts", &upload, &[first, rest]).ok();
    assert!(client.get("parts").ok().body == body[..CAP]);
}

#[test]
fn a_bucket_may_stand_before_the_domain() {
    let nodes = Nodes::start_with(3, &[("PLANARIA_S3_DOMAIN", "s3.test")]);
    nodes.client(0).make_bucket();
    nodes.client(0).put("key", b"value").ok();
    let before = nodes.client(1).with_host("bucket.s3.test");
    let got = before.send("GET", "/key", "", &[], b"");
    assert_eq!((got.status, got.text()), (200, "value".to_owned()));
    let plain = nodes.client(1).with_host("s3.test");
    assert_eq!(plain.get("key").ok().body, b"value");
}
