//! The verbs of `storage-node`, and the line protocol.

use crate::client::bytes;
use crate::nodes::Nodes;

#[test]
fn keys_buckets_workers_and_metrics() {
    let nodes = Nodes::start();
    nodes.verb(1, &["bucket", "create", "bucket"]).unwrap();
    nodes.verb(1, &["bucket", "versioning", "bucket"]).unwrap();
    let listed = nodes.verb(2, &["bucket", "list"]).unwrap();
    assert_eq!(listed["buckets"][0]["versioning"], "enabled");
    assert!(nodes.verb(0, &["bucket", "create", "A_B"]).is_err());
    let key = nodes.verb(0, &["key", "create", "reader", "--read", "bucket"]);
    let key = key.unwrap();
    let text = |name: &str| key[name].as_str().unwrap().to_owned();
    nodes.client(0).put("key", b"value").ok();
    // Through another node at once: one that is behind asks.
    let reader = nodes
        .client(2)
        .with_key(&text("access_key"), &text("secret_key"));
    assert_eq!(reader.get("key").ok().body, b"value");
    assert_eq!(reader.put("key", b"no").status, 403);
    assert_eq!(reader.send("GET", "/", "", &[], b"").status, 403);
    let id = text("id");
    nodes.verb(1, &["key", "delete", &id]).unwrap();
    nodes.wait("the key is gone", || reader.get("key").status == 403);
    let status = nodes.status(0).unwrap();
    let workers = status["workers"].as_array().unwrap();
    for name in [
        "repair",
        "compare",
        "scrub",
        "rebalance",
        "garbage",
        "presence",
    ] {
        assert!(
            workers.iter().any(|worker| worker["name"] == name),
            "{name}"
        );
    }
    nodes.client(0).put("big", &bytes(100_000, 1)).ok();
    nodes.wait("metrics", || {
        let page = nodes.page(0, "/metrics");
        page.contains("planaria_s3_request_duration_seconds_count{method=\"PUT\",status=\"2xx\"}")
            && page.contains("planaria_chunks{state=\"healthy\"} 1")
            && page.contains("planaria_buckets 1\n")
            && page.contains("planaria_scrub_at_chunks ")
    });
    // The console shows how far it is by these; a round of one chunk takes seconds.
    nodes.wait("a scrub has ended", || {
        let page = nodes.page(0, "/metrics");
        let ended = |name: &str| page.contains(name) && !page.contains(&format!("{name} 0\n"));
        ended("planaria_scrubs_total") && ended("planaria_scrubbed_chunks_total")
    });
    nodes.verb(0, &["repair"]).unwrap();
}

/// Two of three disks are lost for good: with a person's word the third goes on alone, and the
/// others join it as new ones.
#[test]
fn what_one_disk_still_has_is_made_a_cluster_by_a_persons_word() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let body = bytes(2_000_000, 3);
    nodes.client(0).put("key", &body).ok();
    nodes.client(1).put("small", b"value").ok();
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
    let disk = nodes.status(2).unwrap()["disk"]
        .as_str()
        .unwrap()
        .to_owned();
    let running = nodes
        .verb(2, &["repair", "--force-from", &disk])
        .unwrap_err();
    assert!(running.contains("still runs"), "{running}");
    for n in 0..3 {
        nodes.kill(n);
    }
    nodes.wipe(0);
    nodes.wipe(1);
    let wrong = nodes
        .verb(2, &["repair", "--force-from", "12"])
        .unwrap_err();
    assert!(wrong.contains(&disk), "{wrong}");
    nodes.verb(2, &["repair", "--force-from", &disk]).unwrap();
    nodes.run(2);
    nodes.wait("alone", || nodes.client(2).get("small").status == 200);
    assert!(nodes.client(2).get("key").ok().body == body);
    nodes.run(0);
    nodes.run(1);
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
    nodes.kill(2);
    nodes.wait("from the new ones", || {
        nodes.client(0).get("key").body == body
    });
}

#[test]
fn the_metadata_is_written_into_a_file() {
    let nodes = Nodes::start();
    nodes.client(0).make_bucket();
    nodes.client(0).put("key", b"value").ok();
    let file = nodes.all[0].data.join("copy.snapshot");
    let path = file.to_str().unwrap();
    let told = nodes.verb(1, &["snapshot", path]).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    assert_eq!(told["length"].as_u64(), Some(bytes.len() as u64));
    assert!(bytes.starts_with(b"PLS1"));
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("value"), "the object in the log is there");
}

/// The metadata of all three is lost and their chunks are not: that of a file is put back on one
/// node, the others bring their copies, and everything is as it was when the file was written.
#[test]
fn the_metadata_of_a_file_is_put_back() {
    let mut nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let (big, small) = (bytes(3_000_000, 5), bytes(100, 6));
    nodes.client(0).put("big", &big).ok();
    nodes.client(1).put("small", &small).ok();
    for n in 0..3 {
        nodes.wait_in_sync(n);
    }
    let file = nodes.all[0].data.join("../copy.snapshot");
    let path = file.to_str().unwrap().to_owned();
    nodes.verb(1, &["snapshot", &path]).unwrap();
    let later = bytes(2_000_000, 7);
    nodes.client(0).put("later", &later).ok();
    nodes.client(0).put("small", b"overwritten").ok();
    let restore = ["snapshot", path.as_str(), "--restore"];
    let running = nodes.verb(0, &restore).unwrap_err();
    assert!(running.contains("still runs"), "{running}");
    for n in 0..3 {
        nodes.kill(n);
    }
    let there = nodes.verb(0, &restore).unwrap_err();
    assert!(there.contains("move it away"), "{there}");
    for n in 0..3 {
        std::fs::remove_dir_all(nodes.all[n].data.join("meta")).unwrap();
        std::fs::remove_file(nodes.all[n].data.join("identity.json")).unwrap();
    }
    // A damaged file is refused, and leaves no half of itself.
    let mut bad = std::fs::read(&file).unwrap();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    let worse = format!("{path}.bad");
    std::fs::write(&worse, bad).unwrap();
    assert!(nodes.verb(0, &["snapshot", &worse, "--restore"]).is_err());
    assert!(!nodes.all[0].data.join("meta").exists());
    nodes.verb(0, &restore).unwrap();
    nodes.run(0);
    nodes.wait("alone", || nodes.client(0).get("small").status == 200);
    assert!(nodes.client(0).get("small").ok().body == small);
    nodes.run(1);
    nodes.run(2);
    for n in 0..3 {
        nodes.wait_in_sync(n);
        assert!(nodes.client(n).get("big").ok().body == big, "node {n}");
        assert_eq!(nodes.client(n).get("later").status, 404);
    }
    // It goes on: also with the very chunks that the lost metadata had named.
    nodes.client(2).put("later", &later).ok();
    nodes.kill(0);
    nodes.wait("from the others", || {
        nodes.client(1).get("later").body == later
    });
    assert!(nodes.client(2).get("big").ok().body == big);
}

/// A person with a plain socket: proves who it is, and moves bytes of any kind.
#[test]
fn files_go_in_and_out_by_lines() {
    use hmac::{Hmac, Mac};
    use std::io::{BufRead, BufReader, Read, Write};
    let nodes = Nodes::start();
    nodes.client(0).make_bucket();
    let mut socket = std::net::TcpStream::connect(&nodes.all[1].line).unwrap();
    let patience = std::time::Duration::from_secs(30);
    socket.set_read_timeout(Some(patience)).unwrap();
    let mut input = BufReader::new(socket.try_clone().unwrap());
    let mut say = |bytes: &[u8]| socket.write_all(bytes).unwrap();
    let hear = |input: &mut BufReader<_>| {
        let mut line = String::new();
        input.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    say(b"FILE LIST bucket\n");
    assert!(hear(&mut input).starts_with("ERR this needs authentication"));
    say(b"AUTH AKIATEST 00\n");
    assert!(hear(&mut input).starts_with("ERR"));
    say(b"AUTH\n");
    let nonce = hear(&mut input);
    let nonce = nonce.strip_prefix("NONCE ").unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(crate::client::SECRET.as_bytes()).unwrap();
    mac.update(nonce.as_bytes());
    let proof: String = mac
        .finalize()
        .into_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    say(format!("AUTH {} {proof}\n", crate::client::ACCESS).as_bytes());
    assert_eq!(hear(&mut input), "OK");
    let whole = bytes(2_500_000, 8);
    say(format!("FILE PUSH bucket a%20b {}\n", whole.len()).as_bytes());
    say(&whole);
    assert!(hear(&mut input).starts_with("OK "));
    assert!(nodes.client(0).get("a%20b").ok().body == whole);
    say(b"TOPOLOGY SET x\n");
    assert!(hear(&mut input).starts_with("ERR membership is agreed"));
    say(b"FILE LIST bucket\n");
    assert_eq!(hear(&mut input), "OK 14");
    assert_eq!(hear(&mut input), "2500000 a%20b");
    for ask in [&b"NODE INFO\n"[..], b"TOPOLOGY WALK\n", b"NETMAP GET\n"] {
        say(ask);
        let length: usize = hear(&mut input)
            .strip_prefix("OK ")
            .unwrap()
            .parse()
            .unwrap();
        let mut text = vec![0; length];
        input.read_exact(&mut text).unwrap();
        assert!(String::from_utf8(text).unwrap().contains("node-2"));
    }
}
