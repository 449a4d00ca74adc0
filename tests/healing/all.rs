//! The original way: `ELECTION_CANDIDATES = all`, every container with the socket, no healers apart.

use anyhow::{Result, ensure};
use planaria_e2e::docker::{docker, ensure_well, started_at};
use planaria_e2e::patience::{SOON, eventually};
use planaria_e2e::stack::Stack;

#[test]
fn where_all_are_candidates_the_highest_name_leads_and_is_healed_when_killed() -> Result<()> {
    let stack = Stack::start("tests/all.ini", "planaria-test-all")?;
    let highest = stack.name("worker-2");
    // Whoever was up first led until the highest had proven to be stable.
    let first = eventually("the highest name leads", 2 * SOON, || {
        let settled = stack.settled()?;
        ensure!(settled.leader == highest, "{} leads", settled.leader);
        Ok(settled)
    })?;
    let before = started_at(&first.leader)?;
    docker(&["kill", &first.leader])?;
    eventually("the old leader runs again", SOON, || {
        ensure!(started_at(&first.leader)? != before, "the same life");
        ensure_well(&first.leader)
    })?;
    let second = stack.settled()?;
    ensure!(
        second.term > first.term,
        "term {} after {}",
        second.term,
        first.term
    );
    // And those that the new leader heals are all the others, too.
    let plain = stack.name("plain-1");
    let before = started_at(&plain)?;
    docker(&["kill", &plain])?;
    eventually("it runs again", SOON, || {
        ensure!(started_at(&plain)? != before, "the same life");
        ensure_well(&plain)
    })
}
