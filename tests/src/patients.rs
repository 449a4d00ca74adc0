//! Containers of a test's own, healed by the stack's healers: patients by their labels, members of nothing.

use crate::docker::docker;
use crate::stack::PROJECT;
use anyhow::Result;

/// What every machine that can build the stack has: a shell and the basic tools.
pub const IMAGE: &str = "debian:trixie-slim";

/// Runs until it is told to end, and ends at once by SIGTERM (a bare `sleep` as PID 1 would ignore it).
pub const IDLE: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

/// Containers and networks that are removed again, whatever comes of the test.
#[derive(Default)]
pub struct Patients {
    containers: Vec<String>,
    networks: Vec<String>,
}

impl Patients {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// `docker run --detach --name NAME ARGUMENTS…`, as a patient of the test stack's healers. What an
    /// interrupted run left under that name is removed first.
    ///
    /// # Errors
    /// Where the engine refuses, with what it said.
    pub fn run(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let group = format!("planaria.group={PROJECT}");
        let mut with_labels = vec!["--label", "planaria.enable=true", "--label", &group];
        with_labels.extend(arguments);
        self.stranger(name, &with_labels)
    }

    /// The same without the labels that make it anybody's patient.
    ///
    /// # Errors
    /// Where the engine refuses, with what it said.
    pub fn stranger(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        // Nothing to remove is the rule.
        let _ = docker(&["rm", "--force", "--volumes", name]);
        let project = format!("com.docker.compose.project={PROJECT}");
        let mut command = vec!["run", "--detach", "--name", name, "--label", &project];
        command.extend(arguments);
        self.containers.push(name.to_owned());
        docker(&command).map(drop)
    }

    /// A shell that idles, with these options before the image.
    ///
    /// # Errors
    /// Where the engine refuses, with what it said.
    pub fn idle(&mut self, name: &str, options: &[&str]) -> Result<()> {
        let mut command = options.to_vec();
        command.extend([IMAGE, "sh", "-c", IDLE]);
        self.run(name, &command)
    }

    /// A network of the test's own.
    ///
    /// # Errors
    /// Where the engine refuses, with what it said.
    pub fn network(&mut self, name: &str, options: &[&str]) -> Result<()> {
        let _ = docker(&["network", "rm", name]);
        let project = format!("com.docker.compose.project={PROJECT}");
        let mut command = vec!["network", "create", "--label", &project];
        command.extend(options);
        command.push(name);
        self.networks.push(name.to_owned());
        docker(&command).map(drop)
    }
}

impl Drop for Patients {
    fn drop(&mut self) {
        // Removing is all that is left to do; a failure shows in the stack's own clean-up.
        for name in &self.containers {
            let _ = docker(&["rm", "--force", "--volumes", name]);
        }
        for name in &self.networks {
            let _ = docker(&["network", "rm", name]);
        }
    }
}
