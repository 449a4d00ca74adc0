//! Asked from outside: a label is all that a container without a health check needs.

use crate::{is_running, monitor};
use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, log, started_at};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::patients::{IMAGE, Patients};
use planaria_e2e::stack::{PROJECT, Stack};

/// Answers 200 until `/tmp/sick` is there, then 500. The file goes with the process that it makes sick.
const SERVER: &str = r#"
use IO::Socket::INET;
unlink "/tmp/sick";
$| = 1;
my $server = IO::Socket::INET->new(LocalPort => 8000, Listen => 8, ReuseAddr => 1) or die $!;
while (my $client = $server->accept) {
    while (my $line = <$client>) { last if $line =~ /^\r?$/ }
    my $status = -e "/tmp/sick" ? "500 Sick" : "200 Fine";
    print $client "HTTP/1.1 $status\r\nContent-Length: 0\r\n\r\n";
    close $client;
    print "asked\n";
}
"#;

#[test]
fn what_fails_its_probe_from_outside_is_healed_and_why_names_the_probe() -> Result<()> {
    let stack = Stack::new()?;
    let leader = stack.settled()?.leader;
    let mut patients = Patients::new();
    let name = "heal-probed";
    // The healers ask through a network that they share with it.
    let network = format!("{PROJECT}_default");
    patients.run(
        name,
        &[
            "--init",
            "--network",
            &network,
            "--label",
            "planaria.probe=http://:8000/health",
            IMAGE,
            "perl",
            "-e",
            SERVER,
        ],
    )?;
    eventually("it answered once", SOON, || {
        ensure!(log(name)?.contains("asked"), "nobody asks it");
        Ok(())
    })?;
    let before = started_at(name)?;
    docker(&["exec", name, "touch", "/tmp/sick"])?;
    eventually("it is another life", SOON, || {
        ensure!(started_at(name)? != before, "the same life");
        is_running(name)
    })?;
    eventually("and why says so", SOON, || {
        let told = monitor(&leader, &["why", name])?;
        ensure!(told.contains("http://:8000/health"), "{told}");
        Ok(())
    })
}
