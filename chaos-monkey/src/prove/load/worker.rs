//! One client of the load.

use super::meaning::{Meaning, listed, read, written};
use super::{BUCKET, Kept, Shared};
use crate::dice::Dice;
use crate::prove::history::{self, Entry, Op, Ret, Value};
use crate::prove::s3::{Answer, Ask, Client, Keys, VALUE_HEADER, element};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Keys that all clients write at the same time.
const HOT_KEYS: u64 = 4;
/// Between two requests of one client: the proof is about faults, not about speed.
const REST: Duration = Duration::from_millis(25);
/// S3's least length of a part that is not the last.
const PART: u64 = 5 << 20;
/// Wrong answers that are kept for the report; the rest is counted by nobody, ten are bad enough.
const WRONG_KEPT: usize = 10;

/// One client, on one node.
pub struct Worker {
    shared: Arc<Shared>,
    client: Client,
    node: usize,
    process: u64,
    dice: Dice,
}

impl Worker {
    /// Makes client `number` for node `node` (from 0) at `host:port`.
    #[must_use]
    pub fn new(shared: Arc<Shared>, host: &str, keys: Keys, node: usize, dice: Dice) -> Self {
        let process = shared.process();
        Self {
            client: Client::new(host, keys),
            shared,
            node,
            process,
            dice,
        }
    }

    /// Works until it is to stop.
    pub fn run(mut self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            match self.dice.below(100) {
                0..=27 => self.keep(),
                28 => self.multipart(),
                _ => self.hot(),
            }
            std::thread::sleep(REST);
        }
    }

    fn length(&mut self) -> u64 {
        // Inline in the log, one chunk, several chunks (see INLINE_LIMIT and CHUNK_SIZE of the store).
        match self.dice.below(20) {
            0..=11 => 16 + self.dice.below(3000),
            12..=18 => 5_000 + self.dice.below(120_000),
            _ => (1 << 20) + self.dice.below(1 << 20),
        }
    }

    /// Writes an object that is never touched again.
    fn keep(&mut self) {
        let length = self.length();
        let value = self.shared.value(length);
        let key = format!("{}/kept/{value:016x}", self.shared.run);
        if self.request("put", &key, Op::Put(value), None) == Some(Ret::Done) {
            self.shared
                .with(|state| state.kept.push(Kept { key, value }));
        }
    }

    /// One request about a key that others use at the same time.
    fn hot(&mut self) {
        let slot = self.dice.below(HOT_KEYS);
        let hot = self.shared.hot(slot);
        let throw = self.dice.below(100);
        let length = if throw < 45 { self.length() } else { 0 };
        let (kind, op) = match (throw, &hot.last) {
            (0..=19, _) => ("put", Op::Put(self.shared.value(length))),
            (20..=29, _) => ("conditional put", Op::Create(self.shared.value(length))),
            (30..=44, Some((old, _))) => {
                ("conditional put", Op::Swap(*old, self.shared.value(length)))
            }
            (30..=44, None) => ("conditional put", Op::Create(self.shared.value(length))),
            (45..=54, _) => ("delete", Op::Delete),
            (55..=64, _) => ("list", Op::List),
            (65..=77, _) => ("range", Op::Get),
            _ => ("get", Op::Get),
        };
        let tag = hot.last.map(|(_, tag)| tag);
        self.request_hot(kind, slot, &hot.key, op, tag.as_deref());
    }

    fn request_hot(&mut self, kind: &'static str, slot: u64, key: &str, op: Op, tag: Option<&str>) {
        let shared = Arc::clone(&self.shared);
        let mut seen = None;
        let asked_ns = shared.now();
        let meaning = self.carry_out(kind, key, op, tag, &mut seen);
        let at = shared.now();
        self.count(kind, asked_ns, at, op, &meaning);
        let answer = match meaning {
            Meaning::Answer(ret) => Some((at, ret)),
            // A read without an answer says nothing, and a write that did nothing is none.
            Meaning::Nothing | Meaning::Wrong(_) => return,
            Meaning::Unknown(_) if !op.writes() => return,
            Meaning::Unknown(_) => None,
        };
        let entry = Entry {
            process: self.process,
            node: self.node,
            op,
            asked_ns,
            answer,
        };
        shared.with(|state| state.history.add(key, entry));
        if answer.is_none() {
            self.process = shared.process();
        }
        match (op, answer) {
            (Op::Delete, Some(_)) => shared.saw(slot, key, None, None),
            (_, Some(_)) => {
                if let Some((value, tag)) = seen {
                    shared.saw(slot, key, Some(value), Some(tag));
                }
            }
            _ => {}
        }
    }

    /// One request outside of the history; what came of it where that is known.
    fn request(&mut self, kind: &'static str, key: &str, op: Op, tag: Option<&str>) -> Option<Ret> {
        let asked = self.shared.now();
        let meaning = self.carry_out(kind, key, op, tag, &mut None);
        let at = self.shared.now();
        self.count(kind, asked, at, op, &meaning);
        match meaning {
            Meaning::Answer(ret) => Some(ret),
            Meaning::Nothing | Meaning::Unknown(_) | Meaning::Wrong(_) => None,
        }
    }

    fn count(&self, kind: &'static str, asked_ns: u64, at: u64, op: Op, meaning: &Meaning) {
        self.shared.with(|state| {
            let tally = &mut state.tally;
            let second = tally.seconds.entry(at / 1_000_000_000).or_default();
            match meaning {
                Meaning::Answer(ret) => {
                    *tally.done.entry(kind).or_default() += 1;
                    second.done += 1;
                    second.ms.push((at - asked_ns) / 1_000_000);
                    if let (Some(value), Ret::Done) = (op.value(), ret) {
                        tally.bytes += u64::try_from(history::length(value)).unwrap_or(0);
                    }
                }
                Meaning::Nothing | Meaning::Unknown(_) => {
                    *tally.failed.entry(kind).or_default() += 1;
                    second.failed += 1;
                }
                Meaning::Wrong(text) => {
                    if tally.wrong.len() < WRONG_KEPT {
                        tally.wrong.push(text.clone());
                    }
                }
            }
        });
    }

    fn carry_out(
        &mut self,
        kind: &str,
        key: &str,
        op: Op,
        tag: Option<&str>,
        seen: &mut Option<(Value, String)>,
    ) -> Meaning {
        let path = format!("/{BUCKET}/{key}");
        let content = op.value().map(history::content).unwrap_or_default();
        let mut ask = Ask {
            method: "GET",
            path: &path,
            body: &content,
            ..Ask::default()
        };
        let mut range = None;
        match op {
            Op::Put(value) | Op::Create(value) | Op::Swap(_, value) => {
                ask.method = "PUT";
                ask.headers.push((VALUE_HEADER, value.to_string()));
                match op {
                    Op::Create(_) => ask.headers.push(("if-none-match", "*".to_owned())),
                    Op::Swap(..) => {
                        ask.headers
                            .push(("if-match", tag.unwrap_or("\"none\"").to_owned()));
                    }
                    _ => {}
                }
            }
            Op::Delete => ask.method = "DELETE",
            Op::List => {
                let path = format!("/{BUCKET}");
                let query = vec![("list-type", "2".to_owned()), ("prefix", key.to_owned())];
                let ask = Ask {
                    method: "GET",
                    path: &path,
                    query,
                    ..Ask::default()
                };
                return listed(&self.client.ask(&ask), key);
            }
            Op::Get if kind == "range" => {
                let (from, length) = (self.dice.below(12), 1 + self.dice.below(2000));
                ask.headers
                    .push(("range", format!("bytes={from}-{}", from + length - 1)));
                range = Some((from, length));
            }
            Op::Get => {}
        }
        let answer = self.client.ask(&ask);
        if let (Ok(answer), Some(value)) = (&answer, op.value())
            && answer.status == 200
        {
            *seen = answer.etag.clone().map(|tag| (value, tag));
        }
        if let (Ok(answer), Op::Get) = (&answer, op)
            && let (Some(value), Some(tag)) = (answer.value, &answer.etag)
        {
            *seen = Some((value, tag.clone()));
        }
        match op {
            Op::Get => read(&answer, key, range),
            _ => written(&answer, key, op),
        }
    }

    /// An object in two parts, kept.
    fn multipart(&mut self) {
        let length = PART + 1 + self.dice.below(100_000);
        let value = self.shared.value(length);
        let key = format!("{}/kept/{value:016x}", self.shared.run);
        let asked = self.shared.now();
        let meaning = self.upload(&key, value);
        let at = self.shared.now();
        self.count("multipart", asked, at, Op::Put(value), &meaning);
        if meaning == Meaning::Answer(Ret::Done) {
            self.shared
                .with(|state| state.kept.push(Kept { key, value }));
        }
    }

    fn upload(&self, key: &str, value: Value) -> Meaning {
        let path = format!("/{BUCKET}/{key}");
        let begin = Ask {
            method: "POST",
            path: &path,
            query: vec![("uploads", String::new())],
            headers: vec![(VALUE_HEADER, value.to_string())],
            body: b"",
        };
        let begun = match self.client.ask(&begin) {
            Ok(answer) if answer.status == 200 => {
                String::from_utf8_lossy(&answer.body).into_owned()
            }
            other => return written(&other, key, Op::Put(value)),
        };
        let Some(upload) = element(&begun, "UploadId") else {
            return Meaning::Wrong(format!("{key}: an upload without an id: {begun}"));
        };
        let content = history::content(value);
        let first = usize::try_from(PART).unwrap_or(usize::MAX);
        let mut list = String::from("<CompleteMultipartUpload>");
        for (number, part) in content.chunks(first).enumerate() {
            let number = number + 1;
            let query = vec![
                ("partNumber", number.to_string()),
                ("uploadId", upload.to_owned()),
            ];
            let ask = Ask {
                method: "PUT",
                path: &path,
                query,
                body: part,
                ..Ask::default()
            };
            match self.client.ask(&ask) {
                Ok(Answer {
                    status: 200,
                    etag: Some(tag),
                    ..
                }) => {
                    list += &format!(
                        "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
                    );
                }
                other => return written(&other, key, Op::Put(value)),
            }
        }
        list += "</CompleteMultipartUpload>";
        let query = vec![("uploadId", upload.to_owned())];
        let ask = Ask {
            method: "POST",
            path: &path,
            query,
            body: list.as_bytes(),
            ..Ask::default()
        };
        match self.client.ask(&ask) {
            // S3 may answer 200 and say in the body that it failed.
            Ok(answer)
                if answer.status == 200 && answer.body.windows(7).any(|w| w == b"<Error>") =>
            {
                Meaning::Unknown(answer.text())
            }
            other => written(&other, key, Op::Put(value)),
        }
    }
}
