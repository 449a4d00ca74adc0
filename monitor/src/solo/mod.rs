//! What belongs to `monitor watch` alone: docker-autoheal's variables, hooks, and the duty of one
//! watcher among several.

mod evidence;
mod hooks;
mod post;
mod script;
mod standby;
mod text;
mod variables;

pub(crate) use evidence::Evidence;
pub(crate) use hooks::Hooks;
pub(crate) use standby::{Duty, Own, WATCHER_LABEL, own_scope, stand};
pub(crate) use variables::Variables;
#[cfg(feature = "cli")]
pub(crate) use variables::{Form, Target};

#[cfg(test)]
mod tests;
