//! S3 as clients use it.

use crate::client::bytes;
use crate::nodes::Nodes;

#[test]
fn the_usual_verbs() {
    let nodes = Nodes::start();
    let client = nodes.client(0);
    client.make_bucket();
    assert_eq!(client.send("PUT", "/bucket", "", &[], b"").status, 409);
    assert_eq!(client.send("HEAD", "/bucket", "", &[], b"").status, 200);
    assert_eq!(client.send("HEAD", "/missing", "", &[], b"").status, 404);
    assert!(
        client
            .send("GET", "/", "", &[], b"")
            .ok()
            .text()
            .contains("<Name>bucket</Name>")
    );

    let body = bytes(2_500_000, 7);
    let meta = [("content-type", "text/x"), ("x-amz-meta-colour", "red")];
    let put = client.send("PUT", "/bucket/dir/a", "", &meta, &body).ok();
    let head = client.send("HEAD", "/bucket/dir/a", "", &[], b"").ok();
    assert_eq!(head.headers["etag"], put.headers["etag"]);
    assert_eq!(head.headers["content-length"], "2500000");
    assert_eq!(head.headers["content-type"], "text/x");
    assert_eq!(head.headers["x-amz-meta-colour"], "red");

    let range = |range: &str| client.send("GET", "/bucket/dir/a", "", &[("range", range)], b"");
    let part = range("bytes=1048570-1048590");
    assert_eq!(part.status, 206);
    assert_eq!(part.body, body[1_048_570..=1_048_590]);
    assert_eq!(
        part.headers["content-range"],
        "bytes 1048570-1048590/2500000"
    );
    assert_eq!(range("bytes=-5").body, body[2_499_995..]);
    assert_eq!(range("bytes=2500000-").status, 416);

    let etag = put.headers["etag"].clone();
    let get = |name: &str| {
        client
            .send("GET", "/bucket/dir/a", "", &[(name, &etag)], b"")
            .status
    };
    assert_eq!((get("if-match"), get("if-none-match")), (200, 304));
    let cas = |etag: &str| {
        client
            .send("PUT", "/bucket/dir/a", "", &[("if-match", etag)], b"n")
            .status
    };
    assert_eq!((cas("\"other\""), cas(&etag), cas(&etag)), (412, 200, 412));

    let copy = [("x-amz-copy-source", "/bucket/dir/a")];
    client.send("PUT", "/bucket/dir/b", "", &copy, b"").ok();
    client.put("top", b"t").ok();
    let list = client
        .send("GET", "/bucket", "delimiter=%2F&list-type=2", &[], b"")
        .ok();
    assert_eq!(list.tag("KeyCount").as_deref(), Some("2"));
    assert!(
        list.text().contains("<Prefix>dir/</Prefix>"),
        "{}",
        list.text()
    );
    let page = client
        .send("GET", "/bucket", "list-type=2&max-keys=1", &[], b"")
        .ok();
    assert_eq!(page.tag("IsTruncated").as_deref(), Some("true"));
    let token = page.tag("NextContinuationToken").unwrap();
    let query = format!("continuation-token={token}&list-type=2&max-keys=5");
    let rest = client.send("GET", "/bucket", &query, &[], b"").ok();
    assert_eq!(rest.tag("Key").as_deref(), Some("dir/b"));

    assert_eq!(client.send("DELETE", "/bucket", "", &[], b"").status, 409);
    let xml =
        b"<Delete><Object><Key>dir/a</Key></Object><Object><Key>dir/b</Key></Object></Delete>";
    client
        .send(
            "POST",
            "/bucket",
            "delete=",
            &[("content-md5", &md5(xml))],
            xml,
        )
        .ok();
    assert_eq!(
        client.send("DELETE", "/bucket/top", "", &[], b"").status,
        204
    );
    assert_eq!(client.get("top").status, 404);
    assert_eq!(client.send("DELETE", "/bucket", "", &[], b"").status, 204);
    // What is not there says so.
    client.make_bucket();
    assert_eq!(
        client.send("GET", "/bucket", "inventory=", &[], b"").status,
        501
    );
    // Nobody names the chunks any more: they are condemned, removed, and nothing is owed.
    nodes.wait("the garbage is gone", || {
        (0..3).all(|n| nodes.status(n).is_some_and(|status| status["chunks"] == 0))
    });
}

fn md5(bytes: &[u8]) -> String {
    use base64::Engine;
    use s3s::crypto::{Checksum, Md5};
    base64::engine::general_purpose::STANDARD.encode(Md5::checksum(bytes))
}

#[test]
fn uploads_in_parts() {
    let nodes = Nodes::start();
    let client = nodes.client(1);
    client.make_bucket();
    let upload = client.create_upload("file");
    let (one, two) = (bytes(5 << 20, 1), bytes(100_000, 2));
    let etags = vec![
        client.put_part("file", &upload, 1, &one),
        client.put_part("file", &upload, 2, &two),
    ];
    let parts = client
        .send(
            "GET",
            "/bucket/file",
            &format!("uploadId={upload}"),
            &[],
            b"",
        )
        .ok();
    assert_eq!(parts.text().matches("<Part>").count(), 2);
    let uploads = client.send("GET", "/bucket", "uploads=", &[], b"").ok();
    assert_eq!(uploads.tag("UploadId").as_deref(), Some(upload.as_str()));
    let wrong = vec![etags[1].clone(), etags[1].clone()];
    assert_eq!(
        client
            .complete("file", &upload, &wrong)
            .tag("Code")
            .as_deref(),
        Some("InvalidPart")
    );
    let done = nodes.client(2).complete("file", &upload, &etags).ok();
    assert!(done.tag("ETag").unwrap().contains("-2"), "{}", done.text());
    assert_eq!(client.complete("file", &upload, &etags).status, 404);
    assert!(nodes.client(0).get("file").ok().body == [one, two].concat());

    let small = client.create_upload("small");
    let etags = vec![
        client.put_part("small", &small, 1, b"x"),
        client.put_part("small", &small, 2, b"y"),
    ];
    assert_eq!(
        client
            .complete("small", &small, &etags)
            .tag("Code")
            .as_deref(),
        Some("EntityTooSmall")
    );
    let query = format!("uploadId={small}");
    assert_eq!(
        client
            .send("DELETE", "/bucket/small", &query, &[], b"")
            .status,
        204
    );
    assert_eq!(
        client
            .send("DELETE", "/bucket/small", &query, &[], b"")
            .status,
        404
    );
}
