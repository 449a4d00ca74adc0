//! How the program is started: whose it is, what it inherits, what it must not see.

use super::{Failure, Options, env_file, user};
use crate::sys::{self, Inherited};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Everything that is the same in each life.
pub(super) struct Launch {
    command: Vec<OsString>,
    user: Option<user::User>,
    variables: Vec<(OsString, OsString)>,
    /// Where we were started; we ourselves stand in `/`, to hold nobody's directory.
    folder: Option<PathBuf>,
    inherited: Inherited,
    pipes: bool,
}

impl Launch {
    pub(super) fn new(options: &Options, inherited: Inherited) -> Result<Self, Failure> {
        let mut variables = Vec::new();
        for path in &options.env_files {
            variables.extend(env_file::read(path).map_err(Failure::Own)?);
        }
        let user = options.user.as_deref().map(user::find).transpose();
        Ok(Self {
            command: options.command.clone(),
            user: user.map_err(Failure::Own)?,
            variables,
            folder: std::env::current_dir().ok(),
            inherited,
            pipes: options.last_lines > 0,
        })
    }

    /// What is run, for people.
    pub(super) fn name(&self) -> String {
        format!("{:?}", self.command)
    }

    /// Whom the program runs as.
    pub(super) fn uid(&self) -> u32 {
        let own = rustix::process::getuid().as_raw();
        self.user.as_ref().map_or(own, |user| user.uid)
    }

    fn prepare(&self, program: &OsStr, arguments: &[OsString]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        let secrets = std::env::vars_os().map(|(name, _)| name);
        for name in secrets.filter(|name| name.as_encoded_bytes().starts_with(b"PLANARIA_")) {
            command.env_remove(name);
        }
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
            if let Some(home) = &user.home {
                command.env("HOME", home);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// The program itself.
    pub(super) fn program(&self) -> Result<Command, Failure> {
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Failure::Own("no command given after --".into()));
        };
        let mut command = self.prepare(program, arguments);
        if self.pipes {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        sys::clean_start(&mut command, self.inherited);
        Ok(command)
    }

    /// A probe's program: as the same user, with nothing to read and nobody who listens.
    pub(super) fn probe(&self, words: &[String]) -> Command {
        let words: Vec<OsString> = words.iter().map(Into::into).collect();
        let (program, arguments) = words
            .split_first()
            .map_or((OsStr::new(""), &[][..]), |(first, rest)| (first, rest));
        let mut command = self.prepare(program, arguments);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}
