//! Stands in until the core's node is there.
use planaria_core::effect::Effect;
use planaria_core::id::{BootId, ContainerId, MemberName};
use planaria_core::input::Input;
use planaria_core::settings::Settings;
use planaria_core::status::{BrokerState, EngineState, Saved, Status};
use planaria_core::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Member,
    Healer,
    Solo,
}
pub(crate) struct NodeConfig(String, MemberName);
impl NodeConfig {
    pub(crate) fn from_settings(
        s: &Settings,
        name: MemberName,
        _: Option<ContainerId>,
        _: Role,
    ) -> Self {
        Self(s.cluster_name.clone(), name)
    }
}
pub(crate) struct Node(NodeConfig, BootId);
impl Node {
    pub(crate) fn new(c: NodeConfig, b: BootId, _: Option<Saved>, _: u64, _: Instant) -> Self {
        Self(c, b)
    }
    pub(crate) fn handle(&mut self, _: Instant, input: Input) -> Vec<Effect> {
        if input == Input::Shutdown {
            vec![Effect::Bye]
        } else {
            Vec::new()
        }
    }
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        None
    }
    pub(crate) fn status(&self, _: Instant) -> Status {
        Status {
            cluster: self.0.0.clone(),
            node: self.0.1.clone(),
            boot: self.1,
            leader: None,
            leader_why: String::new(),
            term: 0,
            term_id: None,
            is_leader: false,
            may_force: false,
            members: Vec::new(),
            broker: BrokerState::Down,
            docker: EngineState::None,
            held: Vec::new(),
            incidents: Vec::new(),
            alerts: Vec::new(),
            tickets: 0,
            elections: 0,
            restarts_ordered: 0,
            heartbeats: 0,
            local_health: 0,
            blind: false,
        }
    }
}
