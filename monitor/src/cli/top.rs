//! `monitor top` is drawn by the console's program: this one sits in every container and stays small.

use super::exit;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

pub(super) fn top(args: &[OsString]) -> u8 {
    // Returns only where it cannot be started.
    let error = Command::new("console").arg("top").args(args).exec();
    if error.kind() == io::ErrorKind::NotFound {
        eprintln!(
            "monitor: top is in the console's image, so that this program stays small: docker exec -it console monitor top"
        );
        return exit::UNAVAILABLE;
    }
    eprintln!("monitor: console top: {error}");
    exit::FAILURE
}
