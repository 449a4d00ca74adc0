//! The other end of `sd_notify`: every word of it, nonsense, strangers, and probes that misbehave.

use crate::support::{free_port, get, lives, monitor, start, wait_for};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;

/// A perl program with `n("…")` to notify, which obeys lines of standard input: each is sent as it is, `\n` for
/// new lines in it.
const SPEAKER: &str = r#"
    use Socket; $| = 1;
    my $name = $ENV{NOTIFY_SOCKET}; $name =~ s/^@/\0/;
    socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die;
    my $to = pack_sockaddr_un($name);
    print "$$\n";
    while (my $line = <STDIN>) {
        chomp $line; $line =~ s/\\n/\n/g;
        if ($line =~ /^!fork$/) {
            my $pid = fork();
            # sd_notify(3): who ends right after its message may not be heard; it stays for a moment.
            if ($pid) { send($s, "MAINPID=$pid", 0, $to); select(undef, undef, undef, 1); exit 0 }
            print "$$\n"; next;
        }
        defined send($s, $line, 0, $to) or print "refused\n";
        print "sent\n";
    }
    sleep 600;
"#;

fn speaker(port: u16, options: &[&str]) -> Command {
    let mut command = monitor(port);
    command
        .arg("run")
        .args(options)
        .args(["--", "perl", "-e", SPEAKER]);
    command.stdin(std::process::Stdio::piped());
    command
}

#[test]
fn the_phases_of_a_program_are_its_readiness() {
    let port = free_port();
    let mut running = start(&mut speaker(port, &[]));
    running.line();
    wait_for("ready: it may not know the protocol", || {
        get(port, "/readyz").contains(" 200 ")
    });
    for (words, answer) in [
        ("STATUS=loading", "READY=1"),
        ("READY=1", " 200 "),
        ("RELOADING=1\\nMONOTONIC_USEC=1", "reloading"),
        ("READY=1\\nSTATUS=there", " 200 "),
        ("STOPPING=1", "stopping"),
    ] {
        running.say(&format!("{words}\n"));
        assert_eq!(running.line(), "sent");
        wait_for(words, || get(port, "/readyz").contains(answer));
    }
}

#[test]
fn nonsense_is_survived_and_said() {
    let port = free_port();
    let mut running = start(&mut speaker(port, &[]));
    running.line();
    let long = format!("STATUS={}", "x".repeat(5000));
    for words in [
        "READY=2",
        "WATCHDOG_USEC=-1",
        "MAINPID=1e3",
        "MAINPID=1",
        "=",
        "\u{1b}[31mREADY",
        "FDSTORE=1",
        "X_OTHER=1",
        "\\n\\n\\n",
        "EXTEND_TIMEOUT_USEC=99999999999999999999999",
        &long,
    ] {
        running.say(&format!("{words}\n"));
        assert_eq!(running.line(), "sent");
    }
    running.say("READY=1\n");
    running.line();
    wait_for("it listens on", || get(port, "/readyz").contains(" 200 "));
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
    let errors = running.errors();
    for said in [
        "malformed",
        "MAINPID=1 is no process",
        "FDSTORE=1: descriptors are not kept",
        "longer than 4096",
    ] {
        assert!(errors.contains(said), "{said}: {errors}");
    }
    assert!(!errors.contains('\u{1b}'), "nothing that a terminal obeys");
}

#[test]
fn a_pulse_that_stays_away_is_the_end_and_a_trigger_too() {
    let mut running = start(&mut speaker(free_port(), &["--pulse-timeout", "1s"]));
    running.line();
    running.say("WATCHDOG=1\n");
    assert_eq!(running.end().code(), Some(70));
    let mut triggered = start(&mut speaker(free_port(), &[]));
    triggered.line();
    triggered.say("WATCHDOG=trigger\n");
    assert_eq!(triggered.end().code(), Some(70));
    assert!(triggered.errors().contains("WATCHDOG=trigger"));
}

#[test]
fn a_program_may_choose_its_deadline_and_announce_long_work() {
    // An hour by default: only what it says itself can end it in time for this test.
    let mut running = start(&mut speaker(free_port(), &["--pulse-timeout", "1h"]));
    running.line();
    running.say("WATCHDOG_USEC=1000000\nWATCHDOG=1\n");
    assert_eq!(running.end().code(), Some(70));
    let mut busy = start(&mut speaker(free_port(), &["--pulse-timeout", "1s"]));
    let program: i32 = busy.line().parse().unwrap();
    busy.say("WATCHDOG=1\\nEXTEND_TIMEOUT_USEC=3600000000\n");
    busy.line();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(lives(program), "it was announced");
    busy.say("WATCHDOG_USEC=0\n");
    busy.line();
    busy.signal(15);
    assert_eq!(busy.end().code(), Some(143));
}

#[test]
fn the_main_process_may_be_another() {
    let mut running = start(&mut speaker(free_port(), &[]));
    let first: i32 = running.line().parse().unwrap();
    running.say("!fork\n");
    let second: i32 = running.line().parse().unwrap();
    wait_for("the first has gone", || !lives(first));
    running.say("READY=1\n");
    assert_eq!(running.line(), "sent", "the second goes on");
    assert!(lives(second));
    running.signal(15);
    assert_eq!(running.end().code(), Some(143), "the end of the second");
}

#[test]
fn a_stranger_who_knows_the_name_is_not_heard() {
    let port = free_port();
    let mut command = monitor(port);
    command.args([
        "run",
        "--",
        "sh",
        "-c",
        "echo $NOTIFY_SOCKET; exec sleep 600",
    ]);
    let mut running = start(&mut command);
    let name = running.line().strip_prefix('@').unwrap().to_owned();
    let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
    // This very test is no descendant of the monitor, but its parent.
    let stranger = UnixDatagram::unbound().unwrap();
    stranger
        .send_to_addr(b"WATCHDOG=trigger", &address)
        .unwrap();
    stranger.send_to_addr(b"STATUS=hello", &address).unwrap();
    running.complains("no process of this program");
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
}

#[test]
fn a_flood_of_notifications_starves_nobody() {
    let script = "use Socket; my $n = $ENV{NOTIFY_SOCKET}; $n =~ s/^@/\\0/; socket(my $s, AF_UNIX, SOCK_DGRAM, 0);
        my $to = pack_sockaddr_un($n); $| = 1; print \"flood\\n\";
        send($s, \"STATUS=\" . $i++ . \"\\nWATCHDOG=1\\n\\xff\\xfe\", 0, $to) while 1;";
    let port = free_port();
    let mut command = monitor(port);
    command.args(["run", "--", "perl", "-e", script]);
    let mut running = start(&mut command);
    running.line();
    wait_for("it answers", || get(port, "/livez").contains(" 200 "));
    running.signal(15);
    assert_eq!(running.end().code(), Some(143));
    assert!(running.errors().len() < 1024 * 1024);
}

// Probes, in Kubernetes' words.

fn probed(port: u16, options: &[&str]) -> Command {
    let mut command = monitor(port);
    command
        .arg("run")
        .args(options)
        .args(["--", "sleep", "600"]);
    command
}

#[test]
fn liveness_waits_for_startup_and_readiness_ends_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let quick = "periodSeconds=50ms,timeoutSeconds=30,";
    let startup = format!(
        "{quick}failureThreshold=100000,exec:test -e {}",
        path("started")
    );
    let liveness = format!("{quick}failureThreshold=1,exec:test -e {}", path("alive"));
    let readiness = format!("{quick}successThreshold=2,exec:test -e {}", path("ready"));
    let port = free_port();
    let options = [
        "--startup",
        &startup,
        "--liveness",
        &liveness,
        "--readiness",
        &readiness,
    ];
    let mut running = start(&mut probed(port, &options));
    wait_for("unready while it starts", || {
        get(port, "/readyz").contains("startup")
    });
    std::fs::write(path("alive"), "").unwrap();
    std::fs::write(path("started"), "").unwrap();
    wait_for("only readiness fails", || {
        let answer = get(port, "/readyz");
        answer.contains("readiness") && !answer.contains("startup")
    });
    std::fs::write(path("ready"), "").unwrap();
    wait_for("ready", || get(port, "/readyz").contains(" 200 "));
    std::fs::remove_file(path("ready")).unwrap();
    wait_for("unready again", || get(port, "/readyz").contains(" 503 "));
    std::fs::remove_file(path("alive")).unwrap();
    assert_eq!(running.end().code(), Some(70));
    assert!(running.errors().contains("liveness probe"));
}

#[test]
fn a_startup_probe_that_never_passes_is_the_end() {
    let options = [
        "--startup",
        "periodSeconds=20ms,failureThreshold=3,exec:false",
    ];
    let mut running = start(&mut probed(free_port(), &options));
    assert_eq!(running.end().code(), Some(70));
}

/// A server that does what it likes with each connection.
fn server(behave: impl Fn(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            behave(stream);
        }
    });
    port
}

#[test]
fn probes_that_hang_flood_or_answer_garbage_are_bounded() {
    let mute = server(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
        std::thread::park_timeout(std::time::Duration::from_secs(600));
    });
    let garbage = server(|mut stream| while stream.write_all(&[0xff; 4096]).is_ok() {});
    let endless = server(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let times = "periodSeconds=20ms,timeoutSeconds=200ms,failureThreshold=2,";
    for (probe, says) in [
        (format!("{times}http://:{mute}/"), "timed out"),
        (format!("{times}http://:{garbage}/"), "no HTTP answer"),
        (format!("{times}exec:sleep 600"), "not end in time"),
        (format!("{times}exec:/nonexistent"), "No such file"),
        (format!("{times}file-age:1s:/nonexistent"), "No such file"),
    ] {
        let mut running = start(&mut probed(free_port(), &["--liveness", &probe]));
        assert_eq!(running.end().code(), Some(70), "{probe}");
        let errors = running.errors();
        assert!(errors.contains(says), "{probe}: {errors}");
    }
    let port = free_port();
    let flood = format!("{times}exec:timeout 20 yes");
    let well = format!("http://:{endless}/");
    let running = start(&mut probed(
        port,
        &["--readiness", &flood, "--readiness", &well],
    ));
    wait_for("the endless answer is one, the flood is none", || {
        let answer = get(port, "/readyz");
        answer.contains("not end in time") && !answer.contains("http://")
    });
    drop(running);
}

#[test]
fn a_program_that_is_told_to_end_is_probed_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let alive = folder.path().join("alive");
    std::fs::write(&alive, "").unwrap();
    let liveness = format!(
        "periodSeconds=20ms,timeoutSeconds=30,failureThreshold=1,exec:test -e {}",
        alive.display()
    );
    let mut command = monitor(free_port());
    // Takes its time after TERM, with its liveness gone.
    let script =
        "trap 'rm $0; echo going; sleep 1; exit 4' TERM; echo ready; while :; do sleep 0.05; done";
    command
        .args(["run", "--liveness", &liveness, "--", "sh", "-c", script])
        .arg(&alive);
    let mut running = start(&mut command);
    assert_eq!(running.line(), "ready");
    running.signal(15);
    assert_eq!(running.line(), "going");
    assert_eq!(running.end().code(), Some(4), "its own end");
}
