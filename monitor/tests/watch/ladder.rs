//! Each finding, on real containers.

use crate::world::{Receiver, World, wait};

#[test]
fn killed_out_of_memory_and_failed_ones_come_back_and_exit_zero_does_not() {
    let world = World::new("deaths");
    let killed = world.sleeper("killed", &[]);
    let failing = world.run(
        "failing",
        &[],
        &[
            "sh",
            "-c",
            "test -e /ran || { touch /ran; exit 3; }; exec sleep infinity",
        ],
    );
    let hungry = world.run(
        "hungry",
        &["--memory", "16m", "--memory-swap", "16m"],
        &[
            "sh",
            "-c",
            "test -e /ran && exec sleep infinity; touch /ran; exec tail /dev/zero",
        ],
    );
    let done = world.run("done", &[], &["true"]);
    let receiver = Receiver::start();
    let url = receiver.url();
    let _watcher = world.watcher(&[("PLANARIA_WEBHOOK_URL", url.as_str())]);
    let old = world.engine.started(&killed);
    world.engine.docker(&["kill", &killed]);
    world.engine.wait_for_new_life(&killed, &old);
    wait("the failed one runs", || world.engine.runs(&failing));
    wait("the hungry one runs", || world.engine.runs(&hungry));
    assert!(!world.engine.runs(&done));
    let told = receiver.wait_for("the kill", |body| {
        body["container"]["name"] == killed.as_str()
    });
    assert_eq!(told["container"]["exit_code"], 137);
}

#[test]
fn docker_stop_is_respected_until_somebody_starts_it() {
    let world = World::new("stop");
    let stopped = world.sleeper("stopped", &["--restart", "unless-stopped"]);
    let canary = world.sleeper("canary", &[]);
    let watcher = world.watcher(&[]);
    world.engine.docker(&["stop", &stopped]);
    // A whole healing later it is still down.
    let old = world.engine.started(&canary);
    world.engine.docker(&["kill", &canary]);
    world.engine.wait_for_new_life(&canary, &old);
    watcher.wait_for_line(&format!("Peer {canary} came back"));
    assert!(!world.engine.runs(&stopped));
    world.engine.docker(&["start", &stopped]);
    let old = world.engine.started(&stopped);
    world.engine.docker(&["kill", &stopped]);
    world.engine.wait_for_new_life(&stopped, &old);
}

#[test]
fn a_paused_one_and_a_cut_off_one_are_healed_only_where_they_ask() {
    let world = World::new("pause");
    let net = world.name("net");
    world.engine.docker(&["network", "create", &net]);
    let ask = [
        "--network",
        &net,
        "--network-alias",
        "shop",
        "--label",
        "planaria.unpause=true",
    ];
    let asking = world.sleeper("asking", &ask);
    let cut = world.sleeper("cut", &ask);
    let quiet = world.sleeper("quiet", &["--network", &net]);
    let quiet_cut = world.sleeper("quiet-cut", &["--network", &net]);
    let watcher = world.watcher(&[]);
    for name in [&asking, &quiet] {
        world.engine.docker(&["pause", name]);
    }
    for name in [&cut, &quiet_cut] {
        world.engine.docker(&["network", "disconnect", &net, name]);
    }
    let networks = |name: &str| world.engine.inspect(name)["NetworkSettings"]["Networks"].clone();
    wait("it is thawed", || world.engine.runs(&asking));
    wait("it is on its network again", || {
        !networks(&cut)[&net].is_null()
    });
    let aliases = networks(&cut)[&net]["Aliases"].to_string();
    assert!(aliases.contains("shop"), "{aliases}");
    watcher.wait_for_line(&format!("Peer {asking} came back"));
    assert_eq!(world.engine.state(&quiet)["Status"], "paused");
    assert!(networks(&quiet_cut)[&net].is_null());
    world.engine.docker(&["unpause", &quiet]);
    for name in [&asking, &cut, &quiet, &quiet_cut] {
        world.engine.docker(&["rm", "--force", name]);
    }
    world.engine.docker(&["network", "rm", &net]);
}

#[test]
fn a_crash_loop_is_quarantined_with_one_message_and_released_by_hand_or_time() {
    let world = World::new("loop");
    let receiver = Receiver::start();
    let url = receiver.url();
    let watcher = world.watcher(&[
        ("PLANARIA_WEBHOOK_URL", url.as_str()),
        ("PLANARIA_RESTART_LIMIT", "3"),
        ("PLANARIA_BACKOFF_MIN", "100ms"),
        ("PLANARIA_RESTART_WINDOW", "10m"),
        ("PLANARIA_RELEASE_AFTER", "15m"),
    ]);
    world.counted("looping", "echo no; exit 1");
    watcher.wait_for_line("was restarted 3 times");
    let told = receiver.wait_for("the quarantine", |body| {
        body["incident"]["outcome"] == "quarantined"
    });
    assert_eq!(told["container"]["exit_code"], 1);
    // The first start was ours, three were the watcher's, and no more come.
    let canary = world.sleeper("canary", &[]);
    let old = world.engine.started(&canary);
    world.engine.docker(&["kill", &canary]);
    world.engine.wait_for_new_life(&canary, &old);
    assert_eq!(world.starts("looping"), 4);
    let quarantines = receiver
        .all()
        .iter()
        .filter(|body| body["incident"]["outcome"] == "quarantined")
        .count();
    assert_eq!(quarantines, 1);
}

#[test]
fn starts_that_are_due_together_follow_depends_on() {
    let world = World::new("order");
    let net = ["--network", "none"];
    let database = world.sleeper("database", &net);
    let label = format!("planaria.depends-on={database}");
    let shop = world.sleeper("shop", &[&net[..], &["--label", &label]].concat());
    let _watcher = world.watcher(&[]);
    let old = [&shop, &database].map(|name| world.engine.started(name));
    world.engine.docker(&["kill", &shop, &database]);
    world.engine.wait_for_new_life(&shop, &old[0]);
    world.engine.wait_for_new_life(&database, &old[1]);
    assert!(world.engine.started(&database) < world.engine.started(&shop));
}

#[test]
fn who_shares_anothers_network_follows_its_restart() {
    let world = World::new("pair");
    let vpn = world.sleeper("vpn", &[]);
    let mode = format!("container:{vpn}");
    let client = world.sleeper("client", &["--network", &mode]);
    let _watcher = world.watcher(&[]);
    let network = |name: &str| {
        world
            .engine
            .docker(&["exec", name, "readlink", "/proc/self/ns/net"])
    };
    assert_eq!(network(&vpn), network(&client));
    for act in ["kill", "restart"] {
        let old = world.engine.started(&client);
        world.engine.docker(&[act, &vpn]);
        world.engine.wait_for_new_life(&client, &old);
        wait("both are on one network", || {
            world.engine.runs(&vpn)
                && world.engine.runs(&client)
                && network(&vpn) == network(&client)
        });
    }
}

#[test]
fn who_shares_anothers_network_is_made_anew_when_that_one_was() {
    let world = World::new("anew");
    let vpn = world.sleeper("vpn", &[]);
    let mode = format!("container:{vpn}");
    let options = [
        "--network",
        &mode,
        "--label",
        "planaria.recreate=true",
        "--env",
        "KEPT=yes",
    ];
    let client = world.sleeper("client", &options);
    let _watcher = world.watcher(&[]);
    world.engine.docker(&["rm", "--force", &vpn]);
    world.sleeper("vpn", &[]);
    let id = world.engine.inspect(&vpn)["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mode = format!("container:{id}");
    wait("the client shares the new one's network", || {
        let found = world.engine.try_docker(&["inspect", &client]);
        let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap_or_default();
        found[0]["HostConfig"]["NetworkMode"] == mode.as_str()
            && found[0]["State"]["Running"] == true
    });
    let network = |name: &str| {
        world
            .engine
            .docker(&["exec", name, "readlink", "/proc/self/ns/net"])
    };
    assert_eq!(network(&vpn), network(&client));
    let env = world.engine.inspect(&client)["Config"]["Env"].to_string();
    assert!(env.contains("KEPT=yes"), "{env}");
}

/// Answers 200 until `/t/sick` is there, then 500.
const SERVER: &str = r#"
use IO::Socket::INET;
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 8, ReuseAddr => 1) or die $!;
while (my $client = $server->accept) {
    while (my $line = <$client>) { last if $line =~ /^\r?$/ }
    my $status = -e "/t/sick" ? "500 Sick" : "200 Fine";
    print $client "HTTP/1.1 $status\r\nContent-Length: 0\r\n\r\n";
    close $client;
}
"#;

#[test]
fn what_fails_its_probe_from_outside_is_healed() {
    let world = World::new("probe");
    let server = |short: &str, probe: &str| {
        let label = format!("planaria.probe={probe}");
        world.run(
            short,
            &["--init", "--tmpfs", "/t", "--label", &label],
            &["perl", "-e", SERVER],
        )
    };
    let http = server("http", "http://:8000/health");
    let tcp = server("tcp", "tcp:8000");
    let receiver = Receiver::start();
    let url = receiver.url();
    let _watcher = world.watcher(&[
        ("PLANARIA_PROBE_INTERVAL", "1s"),
        ("PLANARIA_WEBHOOK_URL", url.as_str()),
    ]);
    let old = [&http, &tcp].map(|name| world.engine.started(name));
    world.sicken(&http);
    world.sicken(&tcp);
    world.engine.wait_for_new_life(&http, &old[0]);
    let told = receiver.wait_for("the failed probes", |body| {
        body["container"]["name"] == http.as_str() && body["kind"] == "incident"
    });
    assert_eq!(told["incident"]["reason"], "unhealthy");
    assert!(
        told["incident"]["evidence"]
            .as_str()
            .unwrap()
            .contains("http://:8000/health"),
        "{told}"
    );
    // A port that takes connections is all that the other one asked for.
    assert_eq!(world.engine.started(&tcp), old[1]);
}
