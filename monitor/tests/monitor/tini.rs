//! The cases of tini's own test suite (krallin/tini, `test/` and `ci/run_build.sh`) and of dumb-init's documented
//! behaviour (Yelp/dumb-init, `tests/`), rebuilt for `monitor run`. `docs/run.md` has them as a table.

use crate::support::{Running, free_port, lives, monitor, send, start, wait_for};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

fn run(options: &[&str], script: &str) -> Command {
    let mut command = monitor(free_port());
    command
        .arg("run")
        .args(options)
        .args(["--", "sh", "-c", script]);
    command
}

fn code(command: &mut Command) -> Option<i32> {
    start(command).end().code()
}

/// The processes below one, over all depths.
fn descendants(pid: i32) -> Vec<i32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let mut all = Vec::new();
    for child in children.unwrap_or_default().split_whitespace() {
        let child: i32 = child.parse().unwrap();
        all.push(child);
        all.extend(descendants(child));
    }
    all
}

/// Whether whoever runs the tests ignores a signal (nohup, a background job): it is handed down, as it should be.
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let set = u64::from_str_radix(set.unwrap().trim(), 16).unwrap();
    set & (1 << (signal - 1)) != 0
}

fn state(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next())
        .unwrap_or('-')
}

// tini: exit codes

#[test]
fn every_exit_code_comes_through_and_a_named_one_becomes_0() {
    for value in [0, 1, 2, 69, 70, 126, 127, 128, 137, 143, 254, 255] {
        assert_eq!(code(&mut run(&[], &format!("exit {value}"))), Some(value));
        let named = value.to_string();
        let script = format!("exit {value}");
        assert_eq!(code(&mut run(&["-e", &named], &script)), Some(0), "{value}");
        let others = ["-e", "3", "--success-code", "4"];
        assert_eq!(code(&mut run(&others, &script)), Some(value));
    }
    assert_eq!(code(&mut run(&["-e", "256"], "true")), Some(2), "usage");
    assert_eq!(code(&mut run(&["-e", "x"], "true")), Some(2), "usage");
}

#[test]
fn an_end_by_any_signal_is_128_and_more() {
    for signal in [1, 2, 3, 6, 9, 14, 15].into_iter().filter(|n| !ignored(*n)) {
        assert_eq!(
            code(&mut run(&[], &format!("kill -{signal} $$"))),
            Some(128 + signal)
        );
    }
    // And the code of a signal is a code like any other.
    assert_eq!(code(&mut run(&["-e", "143"], "kill -15 $$")), Some(0));
}

#[test]
fn what_cannot_be_run_is_126_or_127_and_said() {
    for (program, expected) in [
        ("foobar123", 127),
        ("/nonexistent/x", 127),
        ("/etc", 126),
        ("/etc/passwd", 126),
    ] {
        let mut command = monitor(free_port());
        command.args(["run", "--", program]);
        let mut running = start(&mut command);
        assert_eq!(running.end().code(), Some(expected), "{program}");
        assert!(running.errors().contains(program));
    }
}

#[test]
fn the_command_line_is_read_as_tinis() {
    let plain = |words: &[&str]| {
        let mut command = monitor(free_port());
        command.args(words);
        code(&mut command)
    };
    assert_eq!(plain(&["--version"]), Some(0));
    assert_eq!(plain(&["run", "--help"]), Some(0));
    assert_ne!(plain(&[]), Some(0), "usage");
    assert_ne!(plain(&["run"]), Some(0), "no command");
    assert_ne!(plain(&["run", "--yolo", "--", "true"]), Some(0));
    assert_eq!(
        plain(&["run", "--", "--", "true"]),
        Some(127),
        "a command of that name"
    );
    for rewrite in ["", "15", "TERM:", "KILL:TERM", "15:99"] {
        assert_eq!(
            plain(&["run", "--rewrite", rewrite, "--", "true"]),
            Some(2),
            "{rewrite}"
        );
    }
}

// tini: pipes, reaping, subreaper

#[test]
fn standard_input_and_output_are_the_programs() {
    let mut command = monitor(free_port());
    command.args(["run", "--", "sh"]).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"echo heard; exit 3\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.stdout, b"heard\n");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_hundred_orphans_are_adopted_and_reaped() {
    let script = "sh -c 'i=0; while [ $i -lt 100 ]; do sleep 0.2 & i=$((i+1)); done'; echo spawned; exec sleep 600";
    let mut running = start(&mut run(&[], script));
    assert_eq!(running.line(), "spawned");
    // Not the first process, so only as subreaper: they are ours, and then gone, zombies too.
    let program = descendants(running.pid())[0];
    wait_for("only the program is left", || {
        descendants(running.pid()) == [program]
    });
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
}

#[test]
fn reaped_orphans_are_shown_to_who_asks() {
    let mut command = run(&[], "(sleep 0.05 &) ; sleep 0.5");
    command.env("RUST_LOG", "planaria_monitor=debug");
    let mut running = start(&mut command);
    assert_eq!(running.end().code(), Some(0));
    assert!(running.errors().contains("left behind"));
}

// tini, dumb-init: signals

#[test]
fn every_signal_that_can_be_passed_on_is() {
    // Of the classic ones all but those that are about the receiver itself (and CHLD, which is for the parent).
    let classic = (1..=31).filter(|n| ![4, 5, 7, 8, 9, 11, 13, 17, 19, 31].contains(n));
    let script = "
        $| = 1;
        use POSIX;
        for my $n (1..64) {
            next if grep { $_ == $n } (4, 5, 7, 8, 9, 11, 13, 17, 19, 31, 32, 33);
            POSIX::sigaction($n, POSIX::SigAction->new(sub { syswrite(STDOUT, \"$n\\n\") })) or next;
        }
        print \"ready\\n\";
        sleep 1 while 1;";
    let mut command = monitor(free_port());
    command.args(["run", "--", "perl", "-e", script]);
    let mut running = start(&mut command);
    assert_eq!(running.line(), "ready");
    for signal in classic.chain([34, 35, 50, 64]) {
        running.signal(signal);
        assert_eq!(running.line(), signal.to_string());
    }
}

#[test]
fn a_program_without_handlers_ends_by_what_was_sent() {
    let all = [(15, 143), (10, 138), (12, 140), (2, 130), (34, 162)];
    for (signal, expected) in all.into_iter().filter(|(n, _)| !ignored(*n)) {
        let mut running = start(&mut run(&[], "echo ready; exec sleep 600"));
        assert_eq!(running.line(), "ready");
        running.signal(signal);
        assert_eq!(running.end().code(), Some(expected));
    }
}

#[test]
fn stop_signals_are_passed_on_and_no_hang() {
    for signal in [20, 21, 22] {
        let mut running = start(&mut run(
            &["--pulse-timeout", "400ms"],
            "echo $$; exec sleep 600",
        ));
        let program: i32 = running.line().parse().unwrap();
        running.signal(signal);
        wait_for("the stop", || state(program) == 'T');
        // Five times the time after which a stop that nobody asked for is a hang.
        std::thread::sleep(std::time::Duration::from_secs(2));
        assert_eq!(
            state(program),
            'T',
            "signal {signal}: somebody asked for it"
        );
        running.signal(18);
        wait_for("it goes on", || state(program) == 'S');
        running.signal(15);
        assert_eq!(running.end().code(), Some(143));
    }
}

#[test]
fn signals_are_rewritten_or_dropped() {
    let script = "trap 'echo usr2' USR2; trap 'echo winch' WINCH; trap 'echo usr1' USR1; echo ready; \
                  while :; do sleep 0.05; done";
    let mut running = start(&mut run(
        &["-r", "TERM:USR2", "--rewrite", "2:0", "-r", "TSTP:WINCH"],
        script,
    ));
    assert_eq!(running.line(), "ready");
    running.signal(15);
    assert_eq!(running.line(), "usr2");
    running.signal(20);
    assert_eq!(running.line(), "winch");
    running.signal(2);
    running.signal(10);
    assert_eq!(running.line(), "usr1", "nothing came of INT");
}

#[test]
fn mask_and_ignored_signals_are_handed_down() {
    // As tini's sigconf-test: some ignored, some blocked, then we are run.
    let script = "use POSIX;
        $SIG{TTOU} = 'IGNORE'; $SIG{SEGV} = 'IGNORE'; $SIG{INT} = 'IGNORE';
        POSIX::sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTTIN, SIGILL, SIGTERM));
        exec @ARGV;";
    let template = monitor(free_port());
    let mut outer = Command::new("perl");
    outer
        .args(["-e", script])
        .arg(template.get_program())
        .args(["run", "--", "cat", "/proc/self/status"]);
    outer.env_clear();
    for (name, value) in template.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    outer
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = start(&mut outer);
    let mut sets = [0_u64; 2];
    loop {
        let line = running.line();
        if line.is_empty() {
            break;
        }
        for (set, name) in sets.iter_mut().zip(["SigBlk:", "SigIgn:"]) {
            if let Some(value) = line.strip_prefix(name) {
                *set = u64::from_str_radix(value.trim(), 16).unwrap();
            }
        }
    }
    assert_eq!(running.end().code(), Some(0));
    let has = |set: u64, signal: i32| set & (1 << (signal - 1)) != 0;
    for blocked in [21, 4, 15] {
        assert!(has(sets[0], blocked), "{blocked} is blocked: {:x}", sets[0]);
    }
    for ignored in [22, 11, 2] {
        assert!(has(sets[1], ignored), "{ignored} is ignored: {:x}", sets[1]);
    }
}

#[test]
fn an_ignored_sigchld_does_not_lose_the_exit_code() {
    let script = "$SIG{CHLD} = 'IGNORE'; exec @ARGV;";
    let template = monitor(free_port());
    let mut outer = Command::new("perl");
    outer.args(["-e", script]).arg(template.get_program());
    outer.args(["run", "--", "sh", "-c", "exit 9"]).env_clear();
    for (name, value) in template.get_envs() {
        outer.env(name, value.unwrap_or_default());
    }
    outer.stdout(Stdio::piped());
    assert_eq!(code(&mut outer), Some(9));
}

// tini, dumb-init: process group

/// A program that survives USR1, with a child that would not, and waits for it.
const GROUP: &str = "trap : USR1; sh -c 'echo $$; exec sleep 600' & wait; wait; wait";

#[test]
fn by_option_signals_reach_the_whole_group() {
    let script =
        "trap '' USR1; perl -e '$SIG{USR1}=\"DEFAULT\"; $|=1; print \"$$\\n\"; sleep 600'; exit 7";
    let mut running = start(&mut run(&["-g"], script));
    let grandchild: i32 = running.line().parse().unwrap();
    running.signal(10);
    assert_eq!(
        running.end().code(),
        Some(7),
        "the grandchild ended, then the program"
    );
    assert!(!lives(grandchild));
}

#[test]
fn without_it_only_the_program_gets_them() {
    let mut running = start(&mut run(&[], GROUP));
    let grandchild: i32 = running.line().parse().unwrap();
    running.signal(10);
    running.signal(28);
    assert!(lives(grandchild));
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
    assert!(lives(grandchild), "it was not the program");
    send(grandchild, 9);
}

#[test]
fn by_option_what_is_left_of_the_group_gets_term_at_the_end() {
    let script = "perl -e '$SIG{TERM}=sub { open(F, \">\", $ARGV[0]); exit }; $|=1; print \"$$\\n\"; sleep 600' $0 & \
                  read line; exit 0";
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let mut command = run(&["--group"], script);
    command.arg(&told).stdin(Stdio::piped());
    let mut running = start(&mut command);
    let left: i32 = running.line().parse().unwrap();
    running.say("go\n");
    assert_eq!(running.end().code(), Some(0));
    wait_for("it was told", || told.exists() && !lives(left));
}

#[test]
fn the_program_leads_a_group_of_its_own() {
    let mut running = start(&mut run(&[], "cut -d' ' -f1,5 /proc/self/stat; echo $$"));
    let line = running.line();
    let group = line.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(running.line(), group);
    assert_ne!(group, running.pid().to_string());
}

// tini: parent death; dumb-init: working directory

#[test]
fn the_death_of_our_parent_is_passed_on() {
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let template = monitor(free_port());
    // The program ends our parent; then we get USR1, and it does.
    let script = format!(
        "trap 'echo ok > {}; exit 0' USR1; kill -9 $PARENT; while :; do sleep 0.05; done",
        told.display()
    );
    let mut parent = Command::new("sh");
    parent.args(["-c", "PARENT=$$; export PARENT; \"$@\"; exit 0", "sh"]);
    parent
        .arg(template.get_program())
        .args(["run", "-p", "SIGUSR1", "--", "sh", "-c", &script]);
    for (name, value) in template.get_envs() {
        parent.env(name, value.unwrap_or_default());
    }
    parent.stdout(Stdio::null()).stderr(Stdio::null());
    let mut parent = parent.spawn().unwrap();
    assert!(!parent.wait().unwrap().success(), "it was killed");
    wait_for("the program was told", || {
        std::fs::read_to_string(&told).is_ok_and(|text| text == "ok\n")
    });
}

#[test]
fn a_program_does_not_outlive_its_killed_watchdog() {
    let mut running = start(&mut run(&[], "echo $$; exec sleep 600"));
    let program: i32 = running.line().parse().unwrap();
    running.signal(9);
    running.end();
    wait_for("the program is gone", || !lives(program));
}

#[test]
fn the_program_has_our_directory_and_we_hold_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = run(&[], "pwd; exec sleep 600");
    command.current_dir(folder.path());
    let mut running = start(&mut command);
    assert_eq!(
        running.line(),
        folder.path().canonicalize().unwrap().display().to_string()
    );
    let ours = std::fs::read_link(format!("/proc/{}/cwd", running.pid()));
    // Unreadable for whom we are not dumpable; else it is the root.
    assert!(ours.is_err() || ours.unwrap() == std::path::Path::new("/"));
}

// The rest of what a first process owes.

#[test]
fn one_that_ignores_term_is_killed_after_its_grace() {
    let mut running = start(&mut run(
        &["--grace", "300ms"],
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 0.05; done' & wait; while :; do sleep 0.05; done",
    ));
    let other: i32 = running.line().parse().unwrap();
    running.signal(15);
    assert_eq!(running.end().code(), Some(137));
    wait_for("its child is gone too", || !lives(other));
    assert!(running.errors().contains("--grace"));
}

#[test]
fn one_that_forks_away_and_says_nothing_has_ended() {
    let mut running = start(&mut run(&[], "setsid sleep 600 & echo $!; exit 0"));
    let left: i32 = running.line().parse().unwrap();
    assert_eq!(running.end().code(), Some(0));
    send(left, 9);
}

#[test]
fn one_that_closes_its_outputs_is_watched_all_the_same() {
    let mut running = start(&mut run(
        &["--pulse-timeout", "1s", "--last-lines", "5"],
        "echo $$; exec >&- 2>&-; exec sleep 600",
    ));
    let program: i32 = running.line().parse().unwrap();
    send(program, 19);
    assert_eq!(running.end().code(), Some(70));
    wait_for("it was ended too", || !lives(program));
}

#[test]
fn a_gigabyte_of_output_goes_through_and_is_not_kept() {
    let script = "head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo the end";
    let mut command = run(&["--last-lines", "3"], script);
    command.stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut total = 0_u64;
    let mut piece = vec![0; 1 << 20];
    let mut most = 0;
    while let Ok(length @ 1..) = std::io::Read::read(&mut output, &mut piece) {
        total += length as u64;
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes =
            resident.and_then(|text| text.trim().split(' ').next()?.parse::<u64>().ok());
        most = most.max(kilobytes.unwrap_or(0));
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(total, 1_000_000_000 + 1 + 8);
    assert!(most < 64 * 1024, "{most} KiB");
}

#[test]
fn variables_come_from_files_and_the_user_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("env");
    std::fs::write(&file, "# a comment\nA=1 2\nB=x=y\nGIVEN\n").unwrap();
    let mut command = run(
        &["--env-file", file.to_str().unwrap(), "--user", "nobody"],
        "echo \"$A|$B|$GIVEN|$HOME\"; id -u; id -g; id -G",
    );
    command.env("GIVEN", "ours");
    let mut running = start(&mut command);
    assert!(running.line().starts_with("1 2|x=y|ours|/"));
    assert_eq!(running.line(), "65534");
    assert_eq!(running.line(), "65534");
    assert_eq!(running.line(), "65534", "no group of ours is kept");
    let mut missing = run(&["--env-file", "/nonexistent"], "true");
    assert_eq!(code(&mut missing), Some(1));
    let mut stranger = run(&["--user", "no-such-user"], "true");
    assert_eq!(code(&mut stranger), Some(1));
}

#[test]
fn respawn_follows_otps_intensity() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script = format!("echo x >> {0}; exit 3", count.display());
    let lives_of = |path: &std::path::Path| std::fs::read_to_string(path).unwrap().lines().count();
    let options = [
        "--respawn=transient",
        "--respawn-limit",
        "2",
        "--respawn-window",
        "1m",
    ];
    assert_eq!(
        code(&mut run(&options, &script)),
        Some(3),
        "the last one's code"
    );
    assert_eq!(lives_of(&count), 3, "the first and two restarts");
    std::fs::remove_file(&count).unwrap();
    let well = format!("echo x >> {0}; exit 0", count.display());
    assert_eq!(code(&mut run(&options, &well)), Some(0));
    assert_eq!(lives_of(&count), 1, "transient: 0 is an end");
    std::fs::remove_file(&count).unwrap();
    assert_eq!(
        code(&mut run(&["--respawn", "--respawn-limit", "1"], &well)),
        Some(0)
    );
    assert_eq!(lives_of(&count), 2, "permanent: however it ended");
}

#[test]
fn a_hung_program_is_started_again_in_place() {
    let mut running: Running = start(&mut run(
        &["--respawn=transient", "--pulse-timeout", "1s"],
        "echo $$; exec sleep 600",
    ));
    let first: i32 = running.line().parse().unwrap();
    send(first, 19);
    let second: i32 = running.line().parse().unwrap();
    assert!(first != second && !lives(first));
    running.signal(15);
    assert_eq!(running.end().code(), Some(143), "an asked end is one");
    let errors = running.errors();
    assert!(
        errors.contains("Apoptosis") && errors.contains("Post-mortem"),
        "{errors}"
    );
}

#[test]
fn the_evidence_has_state_threads_and_last_lines_and_four_kibibytes() {
    let script = "i=0; while [ $i -lt 200 ]; do echo \"line $i of what it said\"; i=$((i+1)); done; echo $$ >&2; kill -STOP $$";
    let mut command = run(&["--pulse-timeout", "1s", "--last-lines", "100"], script);
    command.process_group(0);
    let mut running = start(&mut command);
    while running.line() != "line 199 of what it said" {}
    assert_eq!(running.end().code(), Some(70));
    let errors = running.errors();
    let report = &errors[errors.find("Post-mortem").unwrap()..];
    assert!(report.contains("state T") && report.contains("thread ") && report.contains("VmRSS"));
    assert!(report.contains("| line 199 of what it said"), "{report}");
    assert!(report.len() <= 4096, "{}", report.len());
}
