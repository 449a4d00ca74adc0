//! The write-ahead ledger: what the monkey is about to do stands on disk before it is done, so that
//! the next monkey can undo what a killed one left behind.
//!
//! One JSON object per line, synced. A torn last line (the machine lost power) is skipped.

use crate::clock;
use crate::fault::{Dose, Fault, Saved, Undo};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The version of the lines that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// The ledger's name in `STATE_DIR`.
pub const FILE: &str = "chaos-ledger.jsonl";
/// Attacks that survive when the ledger is cut at the start: a day at one each 90 s.
pub const ATTACKS_KEPT: usize = 1000;
/// No line is longer; one that is was not written by us.
const LINE_MAX: usize = 4096;
/// No ledger is read beyond this: [`ATTACKS_KEPT`] attacks with all their lines, several times over.
const READ_MAX: u64 = 16 << 20;

/// One attack, as it is written before it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attack {
    /// Its short name.
    pub id: String,
    /// What is done.
    pub fault: Fault,
    /// The victim's name.
    pub target: String,
    /// The victim's container id.
    pub container: String,
    /// The life that is attacked, in the engine's words.
    pub started_at: String,
    /// What set it off.
    pub trigger: String,
    /// Whom somebody asked for, in the words of `--target`; empty: anybody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wish: String,
    /// The seed of the plan.
    pub seed: u64,
    /// The attack's number in the plan.
    pub number: u64,
    /// How much of it.
    #[serde(default, skip_serializing_if = "Dose::is_default")]
    pub dose: Dose,
    /// What must be known to undo it, as it was found before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
}

/// What happened to an attack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
// One of each attack is large, and there are few attacks.
#[allow(clippy::large_enum_variant)]
pub enum Event {
    /// It is about to be done.
    Intended {
        /// All of it.
        attack: Attack,
    },
    /// What only a look from inside could tell, and is needed to undo it; nothing was changed yet.
    Found {
        /// In place of what was saved before.
        saved: Saved,
    },
    /// It was proven to have taken effect.
    Injected {
        /// Milliseconds from the trigger.
        after_ms: u64,
    },
    /// It was not done, or did nothing.
    Failed {
        /// Why.
        why: String,
    },
    /// The victim is back without the monkey's help.
    Healed {
        /// Milliseconds from the injection until its processes ran.
        running_ms: u64,
        /// Milliseconds from the injection until it was healthy too.
        after_ms: u64,
    },
    /// The monkey took it back.
    Reverted {
        /// Why: patience ran out, a signal, a new start.
        why: String,
    },
    /// Its container does not exist any more.
    Gone,
}

impl Event {
    fn closes(&self) -> bool {
        !matches!(
            self,
            Self::Intended { .. } | Self::Found { .. } | Self::Injected { .. }
        )
    }
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// [`VERSION`].
    pub v: u32,
    /// Milliseconds since 1970, for people.
    pub at_ms: u64,
    /// Which attack.
    pub id: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// An attack with all that happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Story {
    /// When it was intended, in milliseconds since 1970.
    pub at_ms: u64,
    /// What it was.
    #[serde(flatten)]
    pub attack: Attack,
    /// It was proven to have taken effect.
    pub injected: bool,
    /// When that was, in milliseconds since 1970.
    pub injected_ms: Option<u64>,
    /// When it ended, in milliseconds since 1970.
    pub end_ms: Option<u64>,
    /// How it ended; `None`: it is under way, or its monkey was killed.
    pub end: Option<Event>,
}

impl Story {
    /// How to take it back, where that may be needed.
    #[must_use]
    pub fn undo(&self) -> Option<Undo> {
        self.end.is_none().then(|| self.attack.fault.about().undo)
    }
}

/// The ledger could not be used.
#[derive(Debug, thiserror::Error)]
#[error("the ledger {} cannot be {doing}: {source}; check STATE_DIR and its rights", path.display())]
pub struct LedgerError {
    path: PathBuf,
    doing: &'static str,
    source: io::Error,
}

/// The ledger, open for writing.
#[derive(Debug)]
pub struct Ledger {
    /// Where it is and the open file; `None`: no `STATE_DIR`, nothing outlives the monkey.
    file: Option<(PathBuf, File)>,
}

impl Ledger {
    /// One that remembers nothing, for a monkey without `STATE_DIR`.
    #[must_use]
    pub fn forgetful() -> Self {
        Self { file: None }
    }

    /// Opens the ledger in `dir`, which is made where it is missing.
    ///
    /// # Errors
    /// Where it cannot be made or opened for writing.
    pub fn open(dir: &Path) -> Result<Self, LedgerError> {
        let path = dir.join(FILE);
        let opened = std::fs::create_dir_all(dir)
            .and_then(|()| OpenOptions::new().create(true).append(true).open(&path));
        match opened {
            Ok(file) => Ok(Self {
                file: Some((path, file)),
            }),
            Err(source) => Err(LedgerError {
                path,
                doing: "opened",
                source,
            }),
        }
    }

    /// Keeps what is needed to undo an attack and has no room in a line, until the attack has ended; where it is.
    ///
    /// # Errors
    /// Where it is not on disk, or there is no folder to keep it in: the attack must not be done then.
    pub fn keep(&self, id: &str, text: &str) -> Result<PathBuf, LedgerError> {
        let fail = |path: PathBuf, source| LedgerError {
            path,
            doing: "written",
            source,
        };
        let Some((path, _)) = &self.file else {
            let source =
                io::Error::other("STATE_DIR is not set, so nothing could be undone from it");
            return Err(fail(kept(Path::new(""), id), source));
        };
        let file = kept(path, id);
        let written = || {
            let mut options = OpenOptions::new();
            let mut open = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&file)?;
            open.write_all(text.as_bytes())?;
            open.sync_all()?;
            // Its name too.
            File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
        };
        match written() {
            Ok(()) => Ok(file),
            Err(source) => Err(fail(file, source)),
        }
    }

    /// Writes a line and waits until it is on disk. What was kept for the attack goes with its end.
    ///
    /// # Errors
    /// Where it is not: the attack must not be done then.
    pub fn write(&mut self, id: &str, event: Event) -> Result<(), LedgerError> {
        let closes = event.closes();
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        let line = Line {
            v: VERSION,
            at_ms: clock::now_ms(),
            id: id.to_owned(),
            event,
        };
        let written = serde_json::to_vec(&line)
            .map_err(io::Error::from)
            .and_then(|mut bytes| {
                // The reader would pass it over, and what it is about would never be undone.
                if bytes.len() > LINE_MAX {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!(
                            "a line of {} bytes; no more than {LINE_MAX} are read",
                            bytes.len()
                        ),
                    ));
                }
                bytes.push(b'\n');
                // One call, so that two processes that append never mix their lines.
                file.write_all(&bytes)?;
                file.sync_data()
            });
        written.map_err(|source| LedgerError {
            path: path.clone(),
            doing: "written",
            source,
        })?;
        if closes {
            // Most attacks keep nothing.
            drop(std::fs::remove_file(kept(path, id)));
        }
        Ok(())
    }

    /// All that stands in it, oldest first; nothing where nothing outlives the monkey.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn stories(&self) -> Result<Vec<Story>, LedgerError> {
        let dir = self.file.as_ref().and_then(|(path, _)| path.parent());
        dir.map_or_else(|| Ok(Vec::new()), read)
    }

    /// Cuts the ledger to the newest [`ATTACKS_KEPT`] attacks. Only for the one monkey that runs.
    ///
    /// # Errors
    /// Where the shorter one cannot be written; the longer one stays then.
    pub fn cut(&mut self) -> Result<(), LedgerError> {
        let Some((path, _)) = &self.file else {
            return Ok(());
        };
        let path = path.clone();
        let fail = |doing, source| LedgerError {
            path: path.clone(),
            doing,
            source,
        };
        let lines = lines(&path)?;
        let mut order: Vec<&str> = Vec::new();
        for line in &lines {
            if matches!(line.event, Event::Intended { .. }) {
                order.push(&line.id);
            }
        }
        if order.len() <= ATTACKS_KEPT {
            return Ok(());
        }
        let kept: std::collections::BTreeSet<&str> = order
            .split_off(order.len() - ATTACKS_KEPT)
            .into_iter()
            .collect();
        let mut text = Vec::new();
        for line in lines.iter().filter(|line| kept.contains(line.id.as_str())) {
            text.extend(serde_json::to_vec(line).map_err(|e| fail("written", e.into()))?);
            text.push(b'\n');
        }
        let beside = path.with_extension("new");
        let file = replace(&path, &beside, &text).map_err(|source| fail("cut", source))?;
        self.file = Some((path, file));
        Ok(())
    }
}

/// Where something is kept beside the ledger.
fn kept(ledger: &Path, id: &str) -> PathBuf {
    ledger.with_file_name(format!("chaos-kept-{id}.json"))
}

fn replace(path: &Path, beside: &Path, text: &[u8]) -> io::Result<File> {
    let mut file = File::create(beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(beside, path)?;
    OpenOptions::new().append(true).open(path)
}

fn lines(path: &Path) -> Result<Vec<Line>, LedgerError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(LedgerError {
                path: path.to_owned(),
                doing: "read",
                source,
            });
        }
    };
    let mut lines = Vec::new();
    for bytes in BufReader::new(file.take(READ_MAX)).split(b'\n') {
        let bytes = bytes.map_err(|source| LedgerError {
            path: path.to_owned(),
            doing: "read",
            source,
        })?;
        if bytes.len() > LINE_MAX {
            continue;
        }
        if let Ok(line) = serde_json::from_slice::<Line>(&bytes)
            && line.v == VERSION
        {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// All attacks in the ledger of `dir`, oldest first. No ledger is an empty one.
///
/// # Errors
/// Where it is there and cannot be read.
pub fn read(dir: &Path) -> Result<Vec<Story>, LedgerError> {
    let mut stories: Vec<Story> = Vec::new();
    let mut by_id: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines(&dir.join(FILE))? {
        if let Event::Intended { attack } = line.event {
            by_id.insert(line.id, stories.len());
            stories.push(Story {
                at_ms: line.at_ms,
                attack,
                injected: false,
                injected_ms: None,
                end_ms: None,
                end: None,
            });
            continue;
        }
        let Some(story) = by_id
            .get(&line.id)
            .and_then(|index| stories.get_mut(*index))
        else {
            continue;
        };
        match line.event {
            Event::Found { saved } => story.attack.saved = Some(saved),
            event if event.closes() => {
                story.end_ms = Some(line.at_ms);
                story.end = Some(event);
            }
            _ => {
                story.injected = true;
                story.injected_ms = Some(line.at_ms);
            }
        }
    }
    Ok(stories)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn attack(id: &str) -> Attack {
        Attack {
            id: id.to_owned(),
            fault: Fault::Pause,
            target: "worker-1".to_owned(),
            container: "c0ffee".to_owned(),
            started_at: "2026-11-21T13:05:10Z".to_owned(),
            trigger: "SIGUSR1".to_owned(),
            wish: String::new(),
            seed: 7,
            number: 1,
            dose: Dose::default(),
            saved: None,
        }
    }

    /// An attack that took effect and ended so.
    pub(crate) fn story(fault: Fault, end: Option<Event>) -> Story {
        Story {
            at_ms: 0,
            attack: Attack {
                fault,
                ..attack("a1b2c3")
            },
            injected: true,
            injected_ms: None,
            end_ms: None,
            end,
        }
    }

    fn intend(ledger: &mut Ledger, id: &str) {
        ledger
            .write(id, Event::Intended { attack: attack(id) })
            .unwrap();
    }

    #[test]
    fn what_was_begun_and_not_ended_is_to_be_undone() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        intend(&mut ledger, "a");
        ledger.write("a", Event::Injected { after_ms: 9 }).unwrap();
        ledger
            .write(
                "a",
                Event::Healed {
                    running_ms: 200,
                    after_ms: 300,
                },
            )
            .unwrap();
        intend(&mut ledger, "b");
        let stories = read(dir.path()).unwrap();
        assert_eq!(
            stories.iter().map(Story::undo).collect::<Vec<_>>(),
            [None, Some(Undo::Unpause)]
        );
        assert!(stories[0].injected && !stories[1].injected);
    }

    #[test]
    fn what_a_look_found_is_known_to_the_next_monkey() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        intend(&mut ledger, "a");
        let saved = Saved::Helper {
            image: "planaria/chaos-monkey".to_owned(),
            found: Some("[{\"file\":\"/data/x\"}]".to_owned()),
        };
        let found = Event::Found {
            saved: saved.clone(),
        };
        ledger.write("a", found).unwrap();
        let stories = read(dir.path()).unwrap();
        assert_eq!(stories[0].attack.saved, Some(saved));
        assert!(!stories[0].injected && stories[0].undo().is_some());
    }

    #[test]
    fn what_is_kept_is_the_owners_and_goes_with_the_attack() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        intend(&mut ledger, "a");
        let file = ledger.keep("a", "how it was made").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "how it was made");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        ledger.write("a", Event::Injected { after_ms: 1 }).unwrap();
        assert!(file.exists());
        ledger.write("a", Event::Gone).unwrap();
        assert!(!file.exists());
        let error = Ledger::forgetful().keep("a", "x").unwrap_err().to_string();
        assert!(error.contains("STATE_DIR is not set"), "{error}");
    }

    #[test]
    fn a_line_that_nobody_would_read_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        let saved = Saved::Helper {
            image: "i".to_owned(),
            found: Some("x".repeat(LINE_MAX)),
        };
        assert!(ledger.write("a", Event::Found { saved }).is_err());
        assert_eq!(read(dir.path()).unwrap(), []);
    }

    #[test]
    fn a_torn_line_and_other_versions_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        intend(&mut ledger, "a");
        let path = dir.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        let other = text.replace("\"v\":1", "\"v\":2");
        std::fs::write(&path, format!("\u{0}\n{other}{text}{}", &text[..40])).unwrap();
        assert_eq!(read(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_line_written_by_this_version_is_read_by_later_ones() {
        let golden = r#"{"v":1,"at_ms":5,"id":"a","event":"intended","attack":{"id":"a","fault":"pause","target":"worker-1","container":"c0ffee","started_at":"2026-11-21T13:05:10Z","trigger":"SIGUSR1","seed":7,"number":1}}"#;
        let line: Line = serde_json::from_str(golden).unwrap();
        assert_eq!(
            line.event,
            Event::Intended {
                attack: attack("a")
            }
        );
        assert_eq!(serde_json::to_string(&line).unwrap(), golden);
    }

    #[test]
    fn the_ledger_is_cut_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let line = |id: usize| {
            let id = id.to_string();
            let event = Event::Intended {
                attack: attack(&id),
            };
            serde_json::to_string(&Line {
                v: VERSION,
                at_ms: 0,
                id,
                event,
            })
            .unwrap()
                + "\n"
        };
        let text: String = (0..ATTACKS_KEPT + 5).map(line).collect();
        std::fs::write(dir.path().join(FILE), text).unwrap();
        let mut ledger = Ledger::open(dir.path()).unwrap();
        ledger.cut().unwrap();
        intend(&mut ledger, "last");
        let stories = read(dir.path()).unwrap();
        assert_eq!(stories.len(), ATTACKS_KEPT + 1);
        assert_eq!(stories[0].attack.id, "5");
        assert_eq!(stories[ATTACKS_KEPT].attack.id, "last");
    }

    #[test]
    fn no_ledger_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), []);
    }
}
