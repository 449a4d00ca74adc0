//! The stack under test: its containers by name, its ports, what its members say.

use crate::docker::{self, Events, docker};
use crate::patience::{SOON, eventually};
use anyhow::{Context, Result, ensure};
use planaria_core::settings::{Settings, Sources};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The stack that `scripts/test-stack` started, or one of a test's own.
pub struct Stack {
    root: PathBuf,
    config: PathBuf,
    project: String,
    settings: Settings,
    /// Started by the test, and taken away with it.
    own: bool,
}

/// The Compose project of everything that the tests start.
pub const PROJECT: &str = "planaria-test";

impl Stack {
    /// Reads `tests/config.ini`, whose prefix and ports the running stack has.
    ///
    /// # Errors
    /// Where that file is wrong.
    pub fn new() -> Result<Self> {
        Self::read("tests/config.ini", PROJECT, false)
    }

    /// Starts a stack of the test's own beside it, from the images that are there; it goes with the value.
    ///
    /// # Errors
    /// Where the file is wrong, or the stack does not become ready.
    pub fn start(config: &str, project: &str) -> Result<Self> {
        let stack = Self::read(config, project, true)?;
        stack.remove();
        docker::run(
            Command::new(stack.root.join("scripts/up"))
                .current_dir(&stack.root)
                .env("STACK_PROJECT", project)
                .env("STACK_FILE", stack.compose_file()?)
                .env("PLANARIA_CONFIG", &stack.config)
                .env("SKIP_BUILD", "1")
                .env("KEEP", "1")
                // The tests' own variable is none of the program's.
                .env_remove("PLANARIA_COMPOSE_FILE"),
        )?;
        Ok(stack)
    }

    fn read(config: &str, project: &str, own: bool) -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the crate has no parent")?
            .to_path_buf();
        let config = root.join(config);
        let text = std::fs::read_to_string(&config)?;
        let sources = Sources {
            ini: Some((config.display().to_string(), text)),
            env: Vec::new(),
        };
        let settings = Settings::parse(&sources).map_err(|errors| anyhow::anyhow!("{errors}"))?;
        Ok(Self {
            root,
            config,
            project: project.to_owned(),
            settings,
            own,
        })
    }

    fn compose_file(&self) -> Result<PathBuf> {
        if self.own {
            let file = format!("target/{}/docker-compose.yml", self.project);
            return Ok(self.root.join(file));
        }
        let file = std::env::var("PLANARIA_COMPOSE_FILE");
        Ok(file
            .context("PLANARIA_COMPOSE_FILE: scripts/test-stack sets it")?
            .into())
    }

    /// Containers, networks and volumes, whatever state they are in.
    fn remove(&self) {
        let label = format!("label=com.docker.compose.project={}", self.project);
        for (list, remove) in [
            (
                &["ps", "--all", "--quiet"][..],
                &["rm", "--force", "--volumes"][..],
            ),
            (&["network", "ls", "--quiet"], &["network", "rm"]),
            (&["volume", "ls", "--quiet"], &["volume", "rm", "--force"]),
        ] {
            let mut list = list.to_vec();
            list.extend(["--filter", &label]);
            let found = docker(&list).unwrap_or_default();
            if !found.is_empty() {
                let mut remove = remove.to_vec();
                remove.extend(found.lines());
                // What cannot be removed shows in the next run, which needs its names.
                let _ = docker(&remove);
            }
        }
    }

    /// The repository's top.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The configuration that the stack was made from.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.config.clone()
    }

    /// What that configuration says.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A container's full name.
    #[must_use]
    pub fn name(&self, short: &str) -> String {
        format!("{}{short}", self.settings.container_prefix)
    }

    /// All containers of the stack, stopped ones too.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub fn containers(&self) -> Result<Vec<String>> {
        let filter = format!("label=com.docker.compose.project={}", self.project);
        let names = docker(&["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"])?;
        let mut names: Vec<String> = names
            .lines()
            .map(str::to_owned)
            .filter(|name| name.starts_with(&self.settings.container_prefix))
            .collect();
        names.sort();
        Ok(names)
    }

    /// What a member says of the group.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn status_of(&self, container: &str) -> Result<Value> {
        let text = docker(&["exec", container, "/monitor", "status", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("{container} answered {text:?}"))
    }

    /// The members that embed or wrap a monitor.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub fn monitors(&self) -> Result<Vec<String>> {
        let unwatched = ["rabbitmq", "plain-"];
        let prefix = &self.settings.container_prefix;
        let mut names = self.containers()?;
        names.retain(|name| {
            let short = name.strip_prefix(prefix.as_str()).unwrap_or(name);
            !unwatched.iter().any(|start| short.starts_with(start))
        });
        Ok(names)
    }

    /// Waits until everyone is well and everyone who can say so names the same living leader, in office with force.
    ///
    /// # Errors
    /// Where that does not come true in time.
    pub fn settled(&self) -> Result<Settled> {
        eventually(
            "every container well, and one leader in everybody's eyes",
            2 * SOON,
            || self.look(),
        )
    }

    fn look(&self) -> Result<Settled> {
        for container in self.containers()? {
            docker::ensure_well(&container)?;
        }
        let mut seen: Option<Settled> = None;
        for container in self.monitors()? {
            let status = self.status_of(&container)?;
            let leader = status["leader"]
                .as_str()
                .with_context(|| format!("{container} knows no leader"))?;
            let term = status["term"].as_u64().unwrap_or_default();
            let now = Settled {
                leader: leader.to_owned(),
                term,
            };
            if let Some(before) = &seen {
                ensure!(
                    *before == now,
                    "{container} sees {now:?}, others {before:?}"
                );
            }
            seen = Some(now);
        }
        let settled = seen.context("no member is there")?;
        let own = self.status_of(&settled.leader)?;
        ensure!(
            own["is_leader"] == true,
            "{} does not say that it leads",
            settled.leader
        );
        ensure!(
            own["may_force"] == true,
            "{} leads without force",
            settled.leader
        );
        let members = own["members"].as_array().cloned().unwrap_or_default();
        for member in &members {
            let state = member["state"].as_str().unwrap_or_default();
            ensure!(
                matches!(state, "alive" | "patient"),
                "{} is {state} to the leader",
                member["name"]
            );
        }
        ensure!(own["tickets"] == 0, "healing is under way");
        Ok(settled)
    }

    /// Runs Compose on this stack: the plugin of today or the tool of yesterday, whichever is there.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn compose(&self, arguments: &[&str]) -> Result<String> {
        let file = self.compose_file()?.display().to_string();
        let plugin = Command::new("docker")
            .args(["compose", "version"])
            .output()
            .is_ok_and(|output| output.status.success());
        let mut command = if plugin {
            let mut command = Command::new("docker");
            command.arg("compose");
            command
        } else {
            Command::new("docker-compose")
        };
        docker::run(
            command
                .args(["--project-name", &self.project, "--file", &file])
                .args(arguments)
                .current_dir(&self.root),
        )
    }

    /// Listens to all that happens to this stack's containers.
    ///
    /// # Errors
    /// Where the engine does not answer.
    pub fn events(&self) -> Result<Events> {
        let label = format!("label=com.docker.compose.project={}", self.project);
        Events::listen(&label)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.own {
            self.remove();
        }
    }
}

/// Whom everybody names as leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its name.
    pub leader: String,
    /// Its term.
    pub term: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_stack_s_configuration_is_right() {
        let stack = Stack::new().unwrap();
        assert_eq!(stack.name("worker-1"), "pt-worker-1");
        assert_eq!(stack.settings().worker_port_base + 1, 18081);
    }
}
