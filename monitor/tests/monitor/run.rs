//! `monitor run`: what the first process of a container owes its program.

use crate::support::{free_port, get, lives, monitor, send, start, wait_for};
use std::os::unix::process::ExitStatusExt;

fn shell(script: &str) -> std::process::Command {
    let mut command = monitor(free_port());
    command.args(["run", "--", "sh", "-c", script]);
    command
}

#[test]
fn the_exit_code_is_the_programs() {
    for code in [0, 1, 42, 255] {
        let status = start(&mut shell(&format!("exit {code}"))).end();
        assert_eq!(status.code(), Some(code));
    }
}

#[test]
fn an_end_by_signal_is_128_and_more() {
    let status = start(&mut shell("kill -9 $$")).end();
    assert_eq!(status.code(), Some(137));
    assert_eq!(status.signal(), None, "it is an exit code, not a signal");
}

#[test]
fn what_cannot_be_run_has_the_shells_codes() {
    let mut missing = monitor(free_port());
    missing.args(["run", "--", "/nonexistent/program"]);
    assert_eq!(start(&mut missing).end().code(), Some(127));
    let mut directory = monitor(free_port());
    directory.args(["run", "--", "/etc"]);
    assert_eq!(start(&mut directory).end().code(), Some(126));
}

#[test]
fn signals_reach_the_program() {
    let script = "trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; echo ready; \
                  while :; do sleep 0.05; done";
    let mut running = start(&mut shell(script));
    assert_eq!(running.line(), "ready");
    running.signal(10);
    assert_eq!(running.line(), "usr1");
    running.signal(15);
    assert_eq!(running.line(), "term");
    assert_eq!(running.end().code(), Some(5));
}

#[test]
fn orphans_are_reaped() {
    // The inner shell ends at once; its child becomes ours, and ends as nobody else's.
    let script = "(sh -c 'echo $$; exec sleep 0.2' &) ; exec sleep 60";
    let mut running = start(&mut shell(script));
    let orphan: i32 = running.line().parse().unwrap();
    wait_for("the orphan to be reaped", || {
        !std::path::Path::new(&format!("/proc/{orphan}")).exists()
    });
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
}

#[test]
fn secrets_stay_with_the_monitor() {
    let mut command = shell("env; grep -c SigBlk /proc/self/status; grep SigBlk /proc/self/status");
    command.env("PLANARIA_AMQP_URLS", "").env("KEPT", "yes");
    let mut running = start(&mut command);
    let mut lines = Vec::new();
    loop {
        let line = running.line();
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    assert_eq!(running.end().code(), Some(0));
    assert!(
        !lines.iter().any(|line| line.starts_with("PLANARIA_")),
        "{lines:?}"
    );
    assert!(lines.contains(&"KEPT=yes".to_owned()));
    assert!(lines.iter().any(|line| line.starts_with("NOTIFY_SOCKET=@")));
    let mask = lines.last().unwrap().rsplit('\t').next().unwrap();
    assert_eq!(u64::from_str_radix(mask, 16), Ok(0), "no signal is blocked");
}

#[test]
fn a_stopped_program_is_ended_with_70() {
    let mut command = monitor(free_port());
    command.args(["run", "--pulse-timeout", "1s", "--", "sh", "-c"]);
    command.arg("echo $$; exec sleep 300");
    let mut running = start(&mut command);
    let child: i32 = running.line().parse().unwrap();
    send(child, 19);
    assert_eq!(running.end().code(), Some(70));
    // Killed with it, and gone as soon as the host has taken note of it.
    wait_for("the program is gone", || !lives(child));
    assert!(running.errors().contains("Apoptosis"), "last words");
}

#[test]
fn a_program_that_goes_on_in_time_is_left_alone() {
    let mut command = monitor(free_port());
    command.args(["run", "--pulse-timeout", "60s", "--", "sh", "-c"]);
    command.arg("trap 'echo term; exit 0' TERM; echo $$; while :; do sleep 0.05; done");
    let mut running = start(&mut command);
    let child: i32 = running.line().parse().unwrap();
    send(child, 19);
    wait_for("the stop", || {
        std::fs::read_to_string(format!("/proc/{child}/stat"))
            .is_ok_and(|stat| stat.contains(") T "))
    });
    send(child, 18);
    running.signal(15);
    assert_eq!(running.line(), "term");
    assert_eq!(running.end().code(), Some(0));
}

#[test]
fn a_failed_probe_ends_with_70_or_the_code_of_choice() {
    let closed = free_port();
    let mut command = monitor(free_port());
    command.args(["run", "--probe", &format!("tcp:{closed}")]);
    command.args(["--probe-interval", "50ms", "--start-period", "0"]);
    command.args(["--apoptosis-exit-code", "99", "--", "sleep", "600"]);
    let mut running = start(&mut command);
    assert_eq!(running.end().code(), Some(99));
    assert!(
        running
            .errors()
            .contains(&format!("tcp:127.0.0.1:{closed}"))
    );
}

#[test]
fn a_probe_says_when_the_program_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ready");
    let port = free_port();
    let mut command = monitor(port);
    command.args([
        "run",
        "--probe",
        &format!("exec:test -e {}", file.display()),
    ]);
    command.args(["--probe-interval", "20ms", "--start-period", "600s"]);
    command.args(["--", "sleep", "600"]);
    let running = start(&mut command);
    wait_for("503", || get(port, "/readyz").contains(" 503 "));
    std::fs::write(&file, "").unwrap();
    wait_for("200", || get(port, "/readyz").contains(" 200 "));
    assert!(get(port, "/livez").contains(" 200 "));
    drop(running);
}

#[test]
fn a_program_that_stops_pulsing_is_ended() {
    // Speaks sd_notify once, with the means of the base system, and never again.
    let script = "perl -MSocket -e '
        my $n = $ENV{NOTIFY_SOCKET}; $n =~ s/^@/\\0/;
        socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die;
        defined send($s, \"WATCHDOG=1\\n\", 0, pack_sockaddr_un($n)) or die;
        print \"pulsed\\n\"; $| = 1; sleep 300'";
    let mut command = monitor(free_port());
    command.args(["run", "--pulse-timeout", "1s", "--", "sh", "-c", script]);
    let mut running = start(&mut command);
    assert_eq!(running.end().code(), Some(70));
    assert!(running.errors().contains("child"));
}
