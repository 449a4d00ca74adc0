//! The few calls that no safe wrapper offers. All `unsafe` of this crate is here.
#![allow(unsafe_code)]

/// Ends the process at once: no destructor, no exit handler that could wait for a lock that the hung
/// thread holds.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any value, touches no memory of ours and does not return.
    unsafe { libc::_exit(code) }
}

#[cfg(feature = "cli")]
pub(crate) use process::{
    Inherited, Received, SignalSet, clean_start, give_back_memory, kill, kill_group, receive,
    take_signals,
};

/// What the first process of a container needs.
#[cfg(feature = "cli")]
mod process {
    use std::io;
    use std::mem::MaybeUninit;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;
    use std::os::unix::process::CommandExt;
    use std::process::Command;
    use std::time::Duration;

    /// The kernel numbers signals up to here.
    const SIGNAL_MAX: i32 = 64;

    /// Sends a signal by its number, real-time ones included; false where the process is gone.
    pub(crate) fn kill(pid: i32, signal: i32) -> bool {
        // SAFETY: `kill` takes any numbers and touches no memory.
        pid > 0 && unsafe { libc::kill(pid, signal) } == 0
    }

    /// The same to all of a process group.
    pub(crate) fn kill_group(group: i32, signal: i32) -> bool {
        // SAFETY: as `kill`; 1 and less would mean "everybody" or "our own".
        group > 1 && unsafe { libc::kill(-group, signal) } == 0
    }

    /// A set of signals that are taken one by one instead of being delivered.
    #[derive(Clone, Copy)]
    pub(crate) struct SignalSet(libc::sigset_t);

    impl SignalSet {
        fn empty() -> Self {
            let mut set = MaybeUninit::uninit();
            // SAFETY: `sigemptyset` initialises the whole set.
            unsafe {
                libc::sigemptyset(set.as_mut_ptr());
                Self(set.assume_init())
            }
        }

        fn add(&mut self, signal: i32) {
            // SAFETY: the set is initialised; a number that is none is refused by the call.
            unsafe { libc::sigaddset(&raw mut self.0, signal) };
        }

        /// The next signal of the set; none after the time, or when something else woke us.
        pub(crate) fn next(&self, within: Duration) -> Option<i32> {
            let timeout = libc::timespec {
                tv_sec: libc::time_t::try_from(within.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: within.subsec_nanos().into(),
            };
            // SAFETY: both pointers are to initialised values that outlive the call; no information is asked for.
            let signal = unsafe {
                libc::sigtimedwait(&raw const self.0, std::ptr::null_mut(), &raw const timeout)
            };
            (signal > 0).then_some(signal)
        }
    }

    /// Gives back what only the start needed: freed memory that the allocator keeps, and program code.
    pub(crate) fn give_back_memory() {
        // SAFETY: it takes no pointer, and may be called at any time.
        unsafe { libc::malloc_trim(0) };
        forget_code();
    }

    /// Gives back the memory of program code that only the start needed; what is used again is read again, mostly from
    /// the page cache. A sidecar sits idle in every container, so this is most of its resident size.
    fn forget_code() {
        let Ok(maps) = std::fs::read_to_string("/proc/self/smaps") else {
            return;
        };
        for (start, length) in clean_code(&maps) {
            // SAFETY: the range is a whole mapping of a file, not writable and without a page of our own, so that each
            // of its pages comes back from the file when it is touched.
            unsafe { libc::madvise(start as *mut libc::c_void, length, libc::MADV_DONTNEED) };
        }
    }

    /// Start and length of the mappings of files that are not writable and hold no private page.
    fn clean_code(smaps: &str) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut candidate = None;
        for line in smaps.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next()) {
                (Some("Private_Dirty:" | "Anonymous:" | "Swap:"), Some(size)) if size != "0" => {
                    candidate = None;
                }
                (Some("VmFlags:"), _) => found.extend(candidate.take()),
                (Some(range), Some("r-xp" | "r--p")) if line.contains('/') => {
                    candidate = range.split_once('-').and_then(|(start, end)| {
                        let start = usize::from_str_radix(start, 16).ok()?;
                        let end = usize::from_str_radix(end, 16).ok()?;
                        Some((start, end.checked_sub(start)?))
                    });
                }
                _ => {}
            }
        }
        found
    }

    /// How signals stood when this process began: what it owes its child.
    #[derive(Clone, Copy)]
    pub(crate) struct Inherited {
        blocked: libc::sigset_t,
        /// Bit n-1 for signal n.
        ignored: u64,
    }

    /// Blocks these signals for this and all later threads, so that [`SignalSet::next`] gets each of them, queued ones
    /// too. To be called while there is one thread.
    pub(crate) fn take_signals(signals: impl Iterator<Item = i32>) -> (SignalSet, Inherited) {
        let mut set = SignalSet::empty();
        for signal in signals {
            set.add(signal);
        }
        let mut blocked = SignalSet::empty().0;
        // SAFETY: both sets are initialised.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set.0, &raw mut blocked) };
        let mut ignored = 0;
        for signal in 1..=SIGNAL_MAX {
            let mut action = MaybeUninit::<libc::sigaction>::uninit();
            // SAFETY: the call fills `action` where it gives 0; it changes nothing.
            let is_ignored = unsafe {
                libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
                    && action.assume_init().sa_sigaction == libc::SIG_IGN
            };
            // The runtime of this program ignores SIGPIPE itself; nobody else is meant by it.
            if is_ignored && signal != libc::SIGPIPE && signal != libc::SIGCHLD {
                ignored |= 1 << (signal - 1);
            }
        }
        // Where SIGCHLD was ignored, the kernel would reap the child before we know how it ended.
        // SAFETY: the default action is no function of ours.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        (set, Inherited { blocked, ignored })
    }

    /// Gives the child what this process was given: the mask of signals and those that are ignored (nohup), the
    /// terminal where there is one, and an end with us, should we be killed.
    pub(crate) fn clean_start(command: &mut Command, inherited: Inherited) {
        let parent = i32::try_from(std::process::id()).unwrap_or(0);
        // SAFETY: between fork and exec only async-signal-safe functions are called (signal-safety(7)
        // lists sigprocmask, signal, tcsetpgrp, getpid, getppid; isatty is a lone ioctl, prctl a lone
        // system call), and no memory is allocated.
        unsafe {
            command.pre_exec(move || {
                if libc::isatty(0) == 1 {
                    // A process that is not in the foreground is stopped by SIGTTOU for asking.
                    libc::signal(libc::SIGTTOU, libc::SIG_IGN);
                    libc::tcsetpgrp(0, libc::getpid());
                    libc::signal(libc::SIGTTOU, libc::SIG_DFL);
                }
                for signal in 1..=SIGNAL_MAX {
                    if inherited.ignored & (1 << (signal - 1)) != 0 {
                        libc::signal(signal, libc::SIG_IGN);
                    }
                }
                // Refused only by kernels that do not know it.
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                if libc::getppid() != parent {
                    return Err(io::Error::from_raw_os_error(libc::ESRCH));
                }
                let mask = &raw const inherited.blocked;
                if libc::sigprocmask(libc::SIG_SETMASK, mask, std::ptr::null_mut()) != 0 {
                    return Err(io::Error::last_os_error());
                }
                Ok(())
            });
        }
    }

    /// One datagram with what the kernel says of its sender.
    #[derive(Debug)]
    pub(crate) struct Received {
        pub(crate) length: usize,
        /// It was longer than the buffer.
        pub(crate) truncated: bool,
        /// Process and user; process 0 is one outside our process namespace.
        pub(crate) sender: Option<(i32, u32)>,
        /// Descriptors that came along; they are closed already.
        pub(crate) descriptors: usize,
    }

    /// Room for the credentials and more descriptors than one message may carry (253).
    #[repr(C, align(8))]
    struct Control([u8; 2048]);

    /// Takes one datagram; `SO_PASSCRED` must be set. Descriptors that came along are closed at once, which is what
    /// `BARRIER=1` waits for.
    pub(crate) fn receive(socket: &UnixDatagram, buffer: &mut [u8]) -> io::Result<Received> {
        let mut control = Control([0; 2048]);
        let mut piece = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: all-zero is a valid value of this plain structure; its pointers are set below and outlive the call.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &raw mut piece;
        header.msg_iovlen = 1;
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = control.0.len();
        // SAFETY: the header describes memory of ours with its true lengths.
        let length =
            unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        let mut received = Received {
            length,
            truncated: header.msg_flags & libc::MSG_TRUNC != 0,
            sender: None,
            descriptors: 0,
        };
        // SAFETY: the CMSG macros walk the control memory that the kernel has just filled, within
        // `msg_controllen`; reads are unaligned-safe, and each descriptor is closed exactly once.
        unsafe {
            let mut message = libc::CMSG_FIRSTHDR(&raw const header);
            while !message.is_null() {
                let data = libc::CMSG_DATA(message);
                match ((*message).cmsg_level, (*message).cmsg_type) {
                    (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => {
                        let sender = data.cast::<libc::ucred>().read_unaligned();
                        received.sender = Some((sender.pid, sender.uid));
                    }
                    (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                        let head = data.offset_from(message.cast::<u8>());
                        let bytes = (*message).cmsg_len - usize::try_from(head).unwrap_or(0);
                        for at in 0..bytes / size_of::<i32>() {
                            libc::close(data.cast::<i32>().add(at).read_unaligned());
                            received.descriptors += 1;
                        }
                    }
                    _ => {}
                }
                message = libc::CMSG_NXTHDR(&raw const header, message);
            }
        }
        Ok(received)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_clean_code_is_forgotten() {
            let smaps = "1000-3000 r-xp 00000000 00:1 5 /monitor\nRss: 8 kB\nPrivate_Dirty: 0 kB\nAnonymous: 0 kB\nVmFlags: rd ex\n\
                         3000-4000 r--p 00002000 00:1 5 /monitor\nPrivate_Dirty: 4 kB\nAnonymous: 4 kB\nVmFlags: rd\n\
                         4000-5000 rw-p 00003000 00:1 5 /monitor\nPrivate_Dirty: 0 kB\nVmFlags: rd wr\n\
                         5000-6000 r--p 00000000 00:0 0\nPrivate_Dirty: 0 kB\nVmFlags: rd\n";
            assert_eq!(clean_code(smaps), [(0x1000, 0x2000)]);
        }

        #[test]
        fn one_that_forgot_its_code_goes_on() {
            forget_code();
            assert_eq!(format!("{:?}", Some(1)), "Some(1)");
        }
    }
}
