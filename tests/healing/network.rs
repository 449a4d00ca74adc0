//! Networks: cut off and connected again, shared with another container.

use crate::is_running;
use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, inspect, started_at};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::patients::{IMAGE, Patients};
use planaria_e2e::stack::Stack;

const NETWORK: &str = "heal-net";
const ADDRESS: &str = "10.213.77.10";

#[test]
fn a_disconnected_container_is_reconnected_with_its_aliases_and_its_address() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let mut patients = Patients::new();
    patients.network(NETWORK, &["--subnet", "10.213.77.0/24"])?;
    let name = "heal-cut";
    let attached = ["--network", NETWORK, "--ip", ADDRESS];
    let mut options = attached.to_vec();
    options.extend(["--network-alias", "ledger", "--network-alias", "books"]);
    patients.idle(name, &options)?;
    patients.stranger("heal-asker", &["--network", NETWORK, IMAGE, "sleep", "600"])?;
    eventually("it is found by its aliases", SOON, found)?;
    let started = started_at(name)?;
    docker(&["network", "disconnect", NETWORK, name])?;
    ensure!(found().is_err(), "the cut took no effect");
    eventually("it is found again by all its names", SOON, found)?;
    ensure!(started_at(name)? == started, "connecting was enough");
    is_running(name)
}

/// Another container on the network finds it by both names, at its address.
fn found() -> Result<()> {
    for alias in ["ledger", "books"] {
        let line = docker(&["exec", "heal-asker", "getent", "hosts", alias])?;
        ensure!(line.starts_with(ADDRESS), "{alias} is {line}");
    }
    Ok(())
}

#[test]
fn what_shares_a_network_follows_its_owner_after_a_restart() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let mut patients = Patients::new();
    patients.idle("heal-vpn", &[])?;
    patients.idle("heal-app", &["--network", "container:heal-vpn"])?;
    same_network()?;
    for act in ["kill", "restart"] {
        let before = started_at("heal-app")?;
        docker(&[act, "heal-vpn"])?;
        eventually("both are in one network again", SOON, || {
            is_running("heal-vpn")?;
            is_running("heal-app")?;
            ensure!(
                started_at("heal-app")? != before,
                "heal-app was not restarted"
            );
            same_network()
        })?;
    }
    Ok(())
}

#[test]
fn what_shares_a_network_is_made_anew_when_its_owner_was() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let mut patients = Patients::new();
    patients.idle("heal-vpn", &[])?;
    let options = ["--network", "container:heal-vpn", "--env", "KEPT=yes"];
    let mut opted_in = options.to_vec();
    opted_in.extend(["--label", "planaria.recreate=true"]);
    patients.idle("heal-app", &opted_in)?;
    same_network()?;
    let old = inspect("heal-app")?["Id"].clone();
    // The id that its network mode names is gone with the old owner.
    patients.idle("heal-vpn", &[])?;
    eventually(
        "it is another container, in the new one's network",
        SOON,
        || {
            is_running("heal-app")?;
            ensure!(inspect("heal-app")?["Id"] != old, "it is still the old one");
            same_network()
        },
    )?;
    let kept = inspect("heal-app")?["Config"]["Env"].to_string();
    ensure!(kept.contains("KEPT=yes"), "made as it was not: {kept}");
    Ok(())
}

/// By the kernel's own word, not by the engine's.
fn same_network() -> Result<()> {
    let network = |name: &str| docker(&["exec", name, "readlink", "/proc/1/ns/net"]);
    let (owner, child) = (network("heal-vpn")?, network("heal-app")?);
    ensure!(
        owner == child,
        "heal-vpn is in {owner}, heal-app in {child}"
    );
    Ok(())
}
