//! The few calls that no safe wrapper offers. All `unsafe` of this crate is here.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Ends the process at once: no destructor, no exit handler that could wait for a lock that the hung
/// thread holds.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any value, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

/// Sends a signal by its number, real-time ones included; false where the process is gone.
pub(crate) fn kill(pid: i32, signal: i32) -> bool {
    // SAFETY: `kill` takes any numbers and touches no memory.
    pid > 0 && unsafe { libc::kill(pid, signal) } == 0
}

/// Gives the child a clean start: an empty signal mask (a mask is inherited over exec, and a program
/// that starts with SIGTERM blocked cannot be stopped), and the terminal where there is one.
pub(crate) fn clean_start(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe functions are called (signal-safety(7)
    // lists sigemptyset, sigprocmask, signal, tcsetpgrp, getpid; isatty is a lone ioctl), and no
    // memory is allocated. An all-zero `sigset_t` is a valid value of that plain structure.
    unsafe {
        command.pre_exec(|| {
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut none);
            if libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) != 0 {
                return Err(std::io::Error::last_os_error());
            }
            if libc::isatty(0) == 1 {
                // A process that is not in the foreground is stopped by SIGTTOU for asking.
                libc::signal(libc::SIGTTOU, libc::SIG_IGN);
                libc::tcsetpgrp(0, libc::getpid());
                libc::signal(libc::SIGTTOU, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}
