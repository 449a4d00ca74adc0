//! The page: there for everyone to read, for nobody to act without a login.

use anyhow::{Result, ensure};
use planaria_e2e::clients::{get, post};
use planaria_e2e::stack::Stack;

#[test]
fn the_page_shows_the_leader_and_refuses_to_act() -> Result<()> {
    let stack = Stack::new()?;
    let settled = stack.settled()?;
    let console = format!("http://127.0.0.1:{}", stack.settings().console_port);
    let (status, page) = get(&format!("{console}/"))?;
    ensure!(status == 200 && page.contains("<html"), "{status}: {page}");
    let (status, facts) = get(&format!("{console}/api/v1/status"))?;
    ensure!(
        status == 200 && facts.contains(&settled.leader),
        "{status}: {facts}"
    );
    let (status, _) = post(&format!("{console}/api/v1/chaos/attack"))?;
    ensure!(
        status == 401,
        "acting without a login was answered with {status}"
    );
    let (status, _) = get(&format!("{console}/no/such/page"))?;
    ensure!(
        status == 404,
        "a page that is not there was answered with {status}"
    );
    Ok(())
}
