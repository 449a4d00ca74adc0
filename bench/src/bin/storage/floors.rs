//! What the machine can do without the store, measured in the same run.

use crate::client::Client;
use crate::{MIB, SMALL};
use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use planaria_bench::figures::Spread;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

pub(crate) struct Floors {
    /// 64 MiB objects a second: hashes and three synced writes.
    pub(crate) put: f64,
    /// 64 MiB a second from a bare server, one client and four.
    pub(crate) get: [f64; 2],
    /// 4 KiB answers a second from a bare server, 32 clients.
    pub(crate) small_get: f64,
    /// Appended 4 KiB, synced, a second.
    pub(crate) syncs: f64,
    /// MiB a second of one copy, synced every 4 MiB.
    pub(crate) disk: f64,
}

/// One process: MD5 and BLAKE3 of each MiB, three files, each synced at the end.
fn put_floor(dir: &Path) -> Result<f64> {
    use md5::Digest as _;
    use std::io::Write;
    let body = vec![7_u8; 64 * MIB];
    let rounds = 3;
    let begun = Instant::now();
    for round in 0..rounds {
        let mut files = Vec::new();
        for copy in 0..3 {
            files.push(std::fs::File::create(
                dir.join(format!("floor-{round}-{copy}")),
            )?);
        }
        let mut md5 = md5::Md5::new();
        let mut names = Vec::new();
        for chunk in body.chunks(MIB) {
            md5.update(chunk);
            names.push(blake3::hash(chunk));
            for file in &mut files {
                file.write_all(chunk)?;
            }
        }
        for file in &files {
            file.sync_data()?;
        }
        ensure!(names.len() == 64 && md5.finalize().len() == 16, "no hashes");
    }
    let took = begun.elapsed();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            std::fs::remove_file(path)?;
        }
    }
    Ok(f64::from(rounds) / took.as_secs_f64())
}

fn sync_floor(dir: &Path) -> Result<f64> {
    use std::io::Write;
    let path = dir.join("syncs");
    let mut file = std::fs::File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let begun = Instant::now();
        file.write_all(&[7; SMALL])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    std::fs::remove_file(path)?;
    Ok(1000.0 / Spread::of(&times)?.median)
}

/// MiB a second of one file that is synced every four chunks.
fn disk_floor(dir: &Path) -> Result<f64> {
    use std::io::Write;
    let path = dir.join("disk");
    let mut file = std::fs::File::create(&path)?;
    let chunk = vec![7; MIB];
    let begun = Instant::now();
    for n in 1..=256 {
        file.write_all(&chunk)?;
        if n % 4 == 0 {
            file.sync_data()?;
        }
    }
    let took = begun.elapsed();
    std::fs::remove_file(path)?;
    Ok(256.0 / took.as_secs_f64())
}

/// A bare server: `/64` sends a file of 64 MiB piece by piece, `/4` 4 KiB of it.
async fn bare_server(file: PathBuf) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let file = file.clone();
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request: Request<_>| {
                    bare_answer(file.clone(), request)
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(addr)
}

type Piecewise = http_body_util::combinators::BoxBody<Bytes, std::io::Error>;

async fn bare_answer(
    path: PathBuf,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Piecewise>, std::io::Error> {
    use std::os::unix::fs::FileExt;
    let file = Arc::new(std::fs::File::open(path)?);
    let length = if request.uri().path().ends_with("64") {
        64 * MIB
    } else {
        SMALL
    };
    let pieces = (0..length.div_ceil(MIB)).map(move |n| {
        let file = Arc::clone(&file);
        async move {
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; length.min(MIB)];
                file.read_exact_at(&mut piece, (n * MIB) as u64)?;
                Ok::<_, std::io::Error>(piece)
            });
            let piece = read.await.map_err(std::io::Error::other)??;
            Ok(hyper::body::Frame::data(Bytes::from(piece)))
        }
    });
    let stream = futures::StreamExt::buffered(futures::stream::iter(pieces), 2);
    let body = http_body_util::StreamBody::new(stream);
    let response = Response::builder().header("content-length", length);
    response
        .body(BodyExt::boxed(body))
        .map_err(std::io::Error::other)
}

async fn bare(addr: &str, clients: usize, time: Duration, path: &'static str) -> Result<f64> {
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..clients {
        let mut client = Client::connect(addr).await?;
        tasks.push(tokio::spawn(async move {
            let mut count = 0_u32;
            while begun.elapsed() < time {
                let request = Request::get(path).body(Full::new(Bytes::new()))?;
                client.send(request).await?;
                count += 1;
            }
            anyhow::Ok(count)
        }));
    }
    let mut count = 0;
    for task in tasks {
        count += task.await??;
    }
    Ok(f64::from(count) / begun.elapsed().as_secs_f64())
}

pub(crate) async fn floors(dir: &Path, time: Duration) -> Result<Floors> {
    std::fs::create_dir_all(dir)?;
    let put = put_floor(dir)?;
    let syncs = sync_floor(dir)?;
    let disk = disk_floor(dir)?;
    let file = dir.join("whole");
    std::fs::write(&file, vec![7; 64 * MIB])?;
    let addr = bare_server(file.clone()).await?;
    let floors = Floors {
        put,
        get: [
            bare(&addr, 1, time, "/64").await?,
            bare(&addr, 4, time, "/64").await?,
        ],
        small_get: bare(&addr, 32, time, "/4").await?,
        syncs,
        disk,
    };
    std::fs::remove_file(file)?;
    Ok(floors)
}
