//! `docker-compose down` is a person's will, for everyone at once.

use anyhow::{Result, ensure};
use planaria_e2e::stack::Stack;

#[test]
fn taking_the_stack_down_makes_nobody_heal() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let events = stack.events()?;
    stack.compose(&["down", "--timeout", "5"])?;
    let started: Vec<String> = events
        .all()
        .into_iter()
        .filter(|event| event.action == "start")
        .map(|event| event.container)
        .collect();
    // The tests after this one want it back, whatever came of it.
    stack.compose(&["up", "--detach", "--no-build"])?;
    stack.settled()?;
    ensure!(
        started.is_empty(),
        "started while all went down: {started:?}"
    );
    Ok(())
}
