//! Files of the target have other bytes than were written.
//!
//! In two steps: [`Rot::look`] chooses the places and changes nothing, so that they can stand in the ledger
//! before [`Rot::begin`] flips what is there.

use super::inside;
use crate::dice::Dice;
use crate::fault::CHUNKS;
use crate::helper::{Deed, Task};
use crate::plan::attack_seed;
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};

/// So many files rot at once …
const FILES: usize = 3;
/// … each in so many places.
const PLACES: u64 = 3;
/// Bytes of one place. So many that nobody else writes just the flipped ones there by chance.
const RUN: usize = 8;
/// Files that are chosen from; a store has one for each 128 MiB.
const FILES_MAX: usize = 10_000;
/// Folders below folders that are looked into.
const DEPTH_MAX: usize = 6;
/// A longer name would not leave room for the others in a line of the ledger.
const NAME_MAX: usize = 160;
/// All places together, as text: the ledger's line has 4,096 bytes, quotes are escaped there, and the rest of
/// the line wants room too.
const TEXT_MAX: usize = 2048;

/// Where bytes are flipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    file: String,
    /// Tells the file from a later one of that name.
    inode: u64,
    at: u64,
    /// The bytes as they were found, in hexadecimal digits.
    was: String,
}

impl Place {
    fn was(&self) -> Result<[u8; RUN], String> {
        u64::from_str_radix(&self.was, 16)
            .ok()
            .filter(|_| self.was.len() == 2 * RUN && !self.was.starts_with('+'))
            .map(u64::to_be_bytes)
            .ok_or_else(|| format!("{:?} are no saved bytes", self.was))
    }

    /// The file, where it is still the one that was looked at.
    fn open(&self) -> Result<Option<File>, String> {
        let file = match open(&self.file, OFlags::RDWR) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", self.file)),
        };
        let inode = file
            .metadata()
            .map_err(|error| format!("{}: {error}", self.file))?
            .ino();
        Ok((inode == self.inode).then_some(file))
    }

    /// What is there now; `None`: the file is another one, or shorter.
    fn now(&self) -> Result<Option<[u8; RUN]>, String> {
        let Some(file) = self.open()? else {
            return Ok(None);
        };
        let mut bytes = [0; RUN];
        Ok(file
            .read_exact_at(&mut bytes, self.at)
            .is_ok()
            .then_some(bytes))
    }

    /// Writes `to` where `from` is; whether it was.
    fn change(&self, from: [u8; RUN], to: [u8; RUN]) -> Result<bool, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", self.file);
        let Some(file) = self.open()? else {
            return Ok(false);
        };
        let mut bytes = [0; RUN];
        if file.read_exact_at(&mut bytes, self.at).is_err() || bytes != from {
            return Ok(false);
        }
        file.write_all_at(&to, self.at).map_err(failed)?;
        // On the disk too: after a power cut rot is still there, and so is its end.
        file.sync_data().map_err(failed)?;
        Ok(true)
    }
}

fn flipped(bytes: [u8; RUN]) -> [u8; RUN] {
    bytes.map(|byte| !byte)
}

/// Files of the target have other bytes than were written.
pub struct Rot {
    places: Vec<Place>,
}

impl Rot {
    /// Chooses where, and reads what is there. Changes nothing.
    ///
    /// # Errors
    /// Where there is no file to flip bytes in.
    pub fn look(task: &Task) -> Result<String, String> {
        let folder = task.dose.path.as_deref().unwrap_or(CHUNKS);
        let device = device_of(&inside(folder)?)?;
        let mut files = Vec::new();
        gather(folder, device, 0, &mut files)?;
        files.sort();
        let mut dice = Dice::of(attack_seed(&task.attack), 0);
        let mut places = Vec::new();
        let mut rotting = 0;
        while rotting < FILES && !files.is_empty() {
            let count = u64::try_from(files.len()).unwrap_or(0);
            let drawn = files.swap_remove(usize::try_from(dice.below(count)).unwrap_or(0));
            let found = places_in(&drawn, device, &mut dice)?;
            rotting += usize::from(!found.is_empty());
            places.extend(found);
        }
        if places.is_empty() {
            return Err(format!(
                "{folder} of the target has no file with {RUN} bytes"
            ));
        }
        let mut text = said(&places)?;
        while text.len() > TEXT_MAX {
            places.pop();
            text = said(&places)?;
        }
        Ok(text)
    }

    /// Flips what was looked at, where it is still so.
    ///
    /// # Errors
    /// What the file system refused, or that all of it was changed meanwhile.
    pub fn begin(task: &Task) -> Result<Self, String> {
        let mut places = read(task.saved.as_deref())?;
        let mut done = Vec::new();
        for place in places.drain(..) {
            let was = place.was()?;
            if place.change(was, flipped(was))? {
                done.push(place);
            }
        }
        if done.is_empty() {
            return Err("the files are not those that were looked at".to_owned());
        }
        Ok(Self { places: done })
    }

    /// Flips back what is still flipped. What the target wrote anew, or removed, is its own.
    ///
    /// # Errors
    /// What the file system refused; the other places are mended all the same.
    pub fn mend(saved: Option<&str>) -> Result<(), String> {
        mend(&read(saved)?)
    }
}

fn mend(places: &[Place]) -> Result<(), String> {
    let tried: Vec<String> = places
        .iter()
        .filter_map(|place| {
            let was = match place.was() {
                Ok(was) => was,
                Err(why) => return Some(why),
            };
            place.change(flipped(was), was).err()
        })
        .collect();
    if tried.is_empty() {
        Ok(())
    } else {
        Err(tried.join("; "))
    }
}

impl Deed for Rot {
    fn prove(&mut self) -> Result<String, String> {
        let mut rotten = 0;
        for place in &self.places {
            rotten += usize::from(place.now()? == Some(flipped(place.was()?)));
        }
        let mut files: Vec<&str> = self.places.iter().map(|it| it.file.as_str()).collect();
        files.dedup();
        if rotten == 0 {
            return Err("the bytes are as they were".to_owned());
        }
        Ok(format!(
            "{} bytes read back otherwise, in {}",
            rotten * RUN,
            files.join(", ")
        ))
    }

    fn revert(&mut self) -> Result<(), String> {
        mend(&self.places)
    }
}

fn said(places: &[Place]) -> Result<String, String> {
    serde_json::to_string(places).map_err(|error| error.to_string())
}

fn read(saved: Option<&str>) -> Result<Vec<Place>, String> {
    let Some(saved) = saved else {
        return Ok(Vec::new());
    };
    serde_json::from_str(saved)
        .map_err(|error| format!("what was saved is not understood: {error}"))
}

/// Finds it as the target does: no link leads out, and the last part may be none.
fn open(path: &str, how: OFlags) -> Result<OwnedFd, Errno> {
    let root = inside("/").map_err(|_| Errno::NOENT)?;
    rustix::fs::openat2(
        &root,
        path,
        how | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    )
}

/// The files in and below a folder, on its own file system: what else is mounted there may be the kernel's.
fn gather(folder: &str, device: u64, depth: usize, files: &mut Vec<String>) -> Result<(), String> {
    let opened = inside(folder)?;
    if device_of(&opened)? != device {
        return Ok(());
    }
    let entries = Dir::read_from(&opened).map_err(|error| format!("{folder}: {error}"))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("{folder}: {error}"))?;
        let Ok(name) = entry.file_name().to_str() else {
            continue;
        };
        let path = format!("{}/{name}", folder.trim_end_matches('/'));
        if name == "." || name == ".." || path.len() > NAME_MAX || files.len() >= FILES_MAX {
            continue;
        }
        match entry.file_type() {
            // One that went away meanwhile is none.
            FileType::Directory if depth < DEPTH_MAX => {
                drop(gather(&path, device, depth + 1, files));
            }
            FileType::RegularFile => files.push(path),
            _ => {}
        }
    }
    Ok(())
}

fn device_of(folder: &OwnedFd) -> Result<u64, String> {
    rustix::fs::fstat(folder)
        .map(|stat| stat.st_dev)
        .map_err(|error| error.to_string())
}

/// Places in one file; none where it is too short or cannot be opened.
fn places_in(path: &str, device: u64, dice: &mut Dice) -> Result<Vec<Place>, String> {
    let failed = |error: std::io::Error| format!("{path}: {error}");
    let Ok(file) = open(path, OFlags::RDONLY) else {
        return Ok(Vec::new());
    };
    let file = File::from(file);
    let metadata = file.metadata().map_err(failed)?;
    let run = u64::try_from(RUN).unwrap_or(1);
    if metadata.dev() != device || metadata.len() < run {
        return Ok(Vec::new());
    }
    let mut places: Vec<Place> = Vec::new();
    for _ in 0..PLACES {
        // In steps of a run, so that two places never overlap and undo each other.
        let at = run * dice.below(metadata.len() / run);
        let mut bytes = [0; RUN];
        if places.iter().any(|it| it.at == at) || file.read_exact_at(&mut bytes, at).is_err() {
            continue;
        }
        places.push(Place {
            file: path.to_owned(),
            inode: metadata.ino(),
            at,
            was: format!("{:016x}", u64::from_be_bytes(bytes)),
        });
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(was: &str) -> Place {
        Place {
            file: "/x".to_owned(),
            inode: 1,
            at: 8,
            was: was.to_owned(),
        }
    }

    #[test]
    fn what_was_saved_and_is_none_is_refused() {
        assert!(Rot::mend(Some("nonsense")).is_err());
        assert!(place("zz").was().is_err());
        assert!(place("+123456789abcdef").was().is_err());
        assert!(Rot::mend(None).is_ok());
    }

    #[test]
    fn flipped_twice_is_as_it_was() {
        let was = place("00ff0123456789ab").was().unwrap();
        assert_eq!(was, [0, 0xff, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab]);
        assert_eq!(flipped(was)[..2], [0xff, 0]);
        assert_eq!(flipped(flipped(was)), was);
    }

    #[test]
    fn all_places_fit_into_a_line_of_the_ledger() {
        let long = "x".repeat(NAME_MAX);
        let places: Vec<Place> = (0..9)
            .map(|number| Place {
                file: long.clone(),
                inode: u64::MAX,
                at: u64::MAX - number,
                was: "0123456789abcdef".to_owned(),
            })
            .collect();
        let text = said(&places).unwrap();
        assert_eq!(read(Some(&text)).unwrap(), places);
        // More than that is left out; what is left has room with its quotes escaped.
        let most = serde_json::to_string(&text[..TEXT_MAX.min(text.len())]).unwrap();
        assert!(most.len() < 3500, "{}", most.len());
    }
}
