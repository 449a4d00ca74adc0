//! What a hung program leaves behind: what the kernel says of it, and what it wrote last. For standard error only.

use super::tail::plain;
use crate::apoptosis::name_and_state;
use std::fmt::Write as _;
use std::path::Path;

/// All of it; a container's log driver takes it as a few lines.
pub(super) const BYTES_MAX: usize = 4096;
/// Threads and frames that are shown at most.
const THREADS_SHOWN: usize = 16;
const FRAMES_SHOWN: usize = 12;
/// No file of /proc that is read here is longer.
const FILE_MAX: usize = 16 * 1024;

fn read(path: &Path) -> Option<String> {
    let bytes = std::fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes[..bytes.len().min(FILE_MAX)]).into_owned())
}

/// The report on a process: its state, what it waits in, its threads, kernel stacks where this process may see them.
pub(super) fn report(pid: i32, status: &str, lines: &[String]) -> String {
    let folder = Path::new("/proc").join(pid.to_string());
    let mut text = format!("Post-mortem of process {pid}");
    match read(&folder.join("stat"))
        .as_deref()
        .and_then(name_and_state)
    {
        Some((name, state)) => {
            let name = plain(name.as_bytes());
            let _ = writeln!(text, " ({name}), state {state}:");
        }
        None => {
            let _ = writeln!(text, ": it is gone.");
        }
    }
    if !status.is_empty() {
        let _ = writeln!(text, "  its last STATUS=: {status}");
    }
    for (key, value) in read(&folder.join("status"))
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(':'))
    {
        if matches!(
            key,
            "Threads"
                | "VmRSS"
                | "SigQ"
                | "SigBlk"
                | "voluntary_ctxt_switches"
                | "nonvoluntary_ctxt_switches"
        ) {
            let _ = writeln!(text, "  {key}: {}", value.trim());
        }
    }
    threads(&folder, &mut text);
    if let Some(stack) = read(&folder.join("stack")).filter(|stack| !stack.trim().is_empty()) {
        text.push_str("  kernel stack:\n");
        for frame in stack.lines().take(FRAMES_SHOWN) {
            let _ = writeln!(text, "    {}", frame.rsplit("] ").next().unwrap_or(frame));
        }
    }
    let mut last = String::new();
    if !lines.is_empty() {
        last.push_str("  its last lines:\n");
    }
    for line in lines {
        let _ = writeln!(last, "  | {line}");
    }
    // The newest lines say most: those are kept, whatever else must go.
    cut(
        &mut text,
        BYTES_MAX.saturating_sub(last.len()).max(BYTES_MAX / 2),
    );
    let over = (text.len() + last.len()).saturating_sub(BYTES_MAX);
    let from = (over..last.len()).find(|at| last.is_char_boundary(*at));
    text.push_str(from.map_or("", |from| &last[from..]));
    text
}

fn threads(folder: &Path, text: &mut String) {
    let Ok(tasks) = std::fs::read_dir(folder.join("task")) else {
        return;
    };
    for task in tasks.flatten().take(THREADS_SHOWN) {
        let Some(stat) = read(&task.path().join("stat")) else {
            continue;
        };
        let Some((name, state)) = name_and_state(&stat) else {
            continue;
        };
        let name = plain(name.as_bytes());
        let waits = match read(&task.path().join("wchan")) {
            Some(wchan) if wchan.trim() == "0" => "runs or waits in user space".to_owned(),
            Some(wchan) => format!("waits in {}", wchan.trim()),
            None => "what it waits in may not be seen".to_owned(),
        };
        let call = read(&task.path().join("syscall"));
        let call = call
            .as_deref()
            .and_then(|call| call.split_whitespace().next());
        let call = call.map_or(String::new(), |call| format!(", system call {call}"));
        let _ = writeln!(text, "  thread {name}: {state}, {waits}{call}");
    }
}

fn cut(text: &mut String, length: usize) {
    let mut at = length.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    text.truncate(at);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_state_and_stays_within_its_bytes() {
        let own = i32::try_from(std::process::id()).unwrap();
        let lines: Vec<String> = (0..500).map(|n| format!("line {n} ä")).collect();
        let text = report(own, "working", &lines);
        assert!(text.len() <= BYTES_MAX, "{}", text.len());
        assert!(text.contains("thread ") && text.contains("working"));
        assert!(text.ends_with("| line 499 ä\n"));
        assert!(report(own, "", &[]).len() <= BYTES_MAX);
    }

    #[test]
    fn one_that_is_gone_is_said_to_be() {
        assert!(report(i32::MAX, "", &[]).contains("gone"));
    }
}
