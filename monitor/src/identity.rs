//! Who this process is: its member name, its container, this life of it.

use crate::config::ConfigError;
use planaria_core::id::{BootId, ContainerId, MemberName};
use planaria_core::settings::Settings;

/// An engine's id has so many hexadecimal digits.
const ID_LENGTH: usize = 64;
/// A container's default host name is so many digits of its id.
const SHORT_LENGTH: usize = 12;

/// `CONTAINER_NAME`, else the host name.
pub(crate) fn name(settings: &Settings) -> Result<MemberName, ConfigError> {
    let name = settings.container_name.clone().unwrap_or_else(hostname);
    MemberName::new(name).map_err(|error| ConfigError::Name(error.to_string()))
}

pub(crate) fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// A number that no other life of any member has.
pub(crate) fn boot() -> BootId {
    BootId(rand::random())
}

/// The container this runs in, where the kernel shows it.
pub(crate) fn container() -> Option<ContainerId> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    container_in(&mounts).or_else(|| {
        let host = hostname();
        (host.len() == SHORT_LENGTH && host.bytes().all(|b| b.is_ascii_hexdigit()))
            .then_some(ContainerId(host))
    })
}

/// Which boot of the host this is; it is new with each (`random(4)`).
pub(crate) fn host_boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// The engine mounts `…/containers/<id>/hostname` (and two more) into each container.
fn container_in(mounts: &str) -> Option<ContainerId> {
    mounts
        .split("/containers/")
        .skip(1)
        .filter_map(|rest| rest.get(..ID_LENGTH))
        .find(|id| id.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(ContainerId::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_container_is_read_from_its_mounts() {
        let id = "ab".repeat(32);
        let mounts = format!(
            "612 601 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
        );
        assert_eq!(container_in(&mounts), Some(ContainerId(id)));
        assert_eq!(container_in("1 2 8:1 /containers/short /x rw"), None);
    }
}
