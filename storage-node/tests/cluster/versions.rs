//! Versions, tags, and what tools ask about access, over HTTP.

use crate::client::bytes;
use crate::nodes::Nodes;

fn enable(nodes: &Nodes, status: &str) {
    let body = format!(
        "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{status}</Status></VersioningConfiguration>"
    );
    let put = nodes
        .client(0)
        .send("PUT", "/bucket", "versioning=", &[], body.as_bytes());
    put.ok();
}

fn version(answer: &crate::client::Answer) -> String {
    answer.headers["x-amz-version-id"].clone()
}

#[test]
fn versions_are_kept_listed_restored_and_deleted() {
    let nodes = Nodes::start();
    let client = nodes.client(0);
    client.make_bucket();
    let (zero, one, two) = (bytes(100, 0), bytes(200_000, 1), bytes(300_000, 2));
    let put = client.put("key", &zero).ok();
    assert!(!put.headers.contains_key("x-amz-version-id"));
    enable(&nodes, "Enabled");
    let status = client.send("GET", "/bucket", "versioning=", &[], b"").ok();
    assert_eq!(status.tag("Status").as_deref(), Some("Enabled"));
    let first = version(&client.put("key", &one).ok());
    let second = version(&nodes.client(1).put("key", &two).ok());
    let deleted = client.send("DELETE", "/bucket/key", "", &[], b"").ok();
    assert_eq!(deleted.headers["x-amz-delete-marker"], "true");
    assert_eq!(client.get("key").status, 404);
    let get = |version: &str| {
        let query = format!("versionId={version}");
        nodes.client(2).send("GET", "/bucket/key", &query, &[], b"")
    };
    assert!(get("null").ok().body == zero);
    assert!(get(&first).ok().body == one);
    assert!(get(&second).ok().body == two);
    assert_eq!(get("0000000000000001").status, 404);
    assert_eq!(get(&version(&deleted)).status, 405);
    let listed = client.send("GET", "/bucket", "versions=", &[], b"").ok();
    assert_eq!(listed.text().matches("<Version>").count(), 3);
    assert_eq!(listed.text().matches("<DeleteMarker>").count(), 1);
    // Restored by a copy of the old version over the key.
    let source = format!("/bucket/key?versionId={first}");
    let more = [("x-amz-copy-source", source.as_str())];
    client.send("PUT", "/bucket/key", "", &more, b"").ok();
    assert!(client.get("key").ok().body == one);
    // And by removing what stands before it.
    enable(&nodes, "Suspended");
    client.put("key", b"null again").ok();
    assert_eq!(get("null").ok().body, b"null again");
    let bucket = client.send("DELETE", "/bucket", "", &[], b"");
    assert_eq!(bucket.status, 409);
    loop {
        let listed = client.send("GET", "/bucket", "versions=", &[], b"").ok();
        let Some(id) = listed.tag("VersionId") else {
            break;
        };
        let query = format!("versionId={id}");
        client.send("DELETE", "/bucket/key", &query, &[], b"").ok();
    }
    client.send("DELETE", "/bucket", "", &[], b"").ok();
    nodes.wait("the garbage goes", || {
        nodes.status(0).unwrap()["chunks"] == 0
    });
}

#[test]
fn tags_and_the_answers_about_access() {
    let nodes = Nodes::start();
    let client = nodes.client(0);
    client.make_bucket();
    let tagged = [("x-amz-tagging", "a=1&b=2")];
    client.send("PUT", "/bucket/key", "", &tagged, b"x").ok();
    let got = client.get("key").ok();
    assert_eq!(got.headers["x-amz-tagging-count"], "2");
    let tags = "<Tagging><TagSet><Tag><Key>c</Key><Value>3</Value></Tag></TagSet></Tagging>";
    for path in ["/bucket/key", "/bucket"] {
        client
            .send("PUT", path, "tagging=", &[], tags.as_bytes())
            .ok();
        let read = client.send("GET", path, "tagging=", &[], b"").ok();
        assert_eq!(read.tag("Value").as_deref(), Some("3"), "{path}");
        client.send("DELETE", path, "tagging=", &[], b"").ok();
    }
    for (query, status, code) in [
        ("policy=", 404, "NoSuchBucketPolicy"),
        ("cors=", 404, "NoSuchCORSConfiguration"),
        ("lifecycle=", 404, "NoSuchLifecycleConfiguration"),
        ("tagging=", 404, "NoSuchTagSet"),
        ("acl=", 200, "FULL_CONTROL"),
        ("publicAccessBlock=", 200, "true"),
        ("location=", 200, "LocationConstraint"),
        ("inventory=", 501, "NotImplemented"),
    ] {
        let answer = client.send("GET", "/bucket", query, &[], b"");
        assert_eq!(answer.status, status, "{query} {}", answer.text());
        assert!(answer.text().contains(code), "{query} {}", answer.text());
    }
    for (name, value, status) in [
        ("x-amz-acl", "public-read", 400),
        ("x-amz-acl", "private", 200),
        ("x-amz-storage-class", "GLACIER", 400),
        ("x-amz-server-side-encryption", "AES256", 501),
        ("x-amz-object-lock-legal-hold", "ON", 501),
    ] {
        let answer = client.send("PUT", "/bucket/key", "", &[(name, value)], b"x");
        assert_eq!(answer.status, status, "{name} {value} {}", answer.text());
    }
    let policy = client.send("PUT", "/bucket", "policy=", &[], b"{}");
    assert_eq!(policy.status, 501);
}
