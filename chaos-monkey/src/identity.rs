//! Who the monkey itself is: it must never hit itself, and its project says who else it may hit.

use crate::engine::{Engine, EngineError};
use crate::target::Policy;

/// Asks the engine who we are and writes it into the policy. Outside a container nothing is written.
///
/// # Errors
/// Where the engine did not answer.
pub async fn identify<E: Engine>(
    engine: &E,
    policy: &mut Policy,
    hostname: Option<&str>,
) -> Result<(), EngineError> {
    // Docker's default host name is the first digits of the id; a name that was set wins.
    let keys = [policy.own_name.clone(), hostname.map(str::to_owned)];
    for key in keys.into_iter().flatten() {
        match engine.inspect(&key).await {
            Ok(found) => {
                policy.own_id = found.id;
                policy.own_name = Some(found.name);
                policy.project = policy.project.take().or(found.project);
                return Ok(());
            }
            Err(EngineError::Gone(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

/// The host name as the kernel has it.
#[must_use]
pub fn hostname() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
