//! The group way: a broker, three healers, and each wrapped service a member with its key and its broker user.
//!
//! The broker and the healers join the networks that the services are in. So the services' own networks stay as they
//! are, and no network joins two services that their owner kept apart.

use super::{Options, completed};
use crate::stack::KEYS_DIR;
use crate::yaml::{Node, list, map};
use serde_json::Value;
use std::collections::BTreeSet;

/// The one-shot service that hands out the keys before any other starts.
pub(super) const FILLER: &str = "planaria-keys";
/// The broker, as a service.
const BROKER: &str = "planaria-rabbitmq";
/// As many as one may lose while the others still have one to look after.
const HEALERS: usize = 3;
/// Where the members' one key is, and where they see it.
pub(super) const MEMBER_KEYS: &str = "planaria-keys-member:/run/planaria:ro";
/// As Compose calls the network of services that name none.
const DEFAULT_NETWORK: &str = "default";

/// Copies each role's keys into its own volume. The members' is for whatever user a service runs as; the healers' and
/// the broker's are for theirs alone. A new file takes the old one's place at once, for `up` runs this again.
const FILL: &str = r#"[ -r /secrets/keys_member/member.key ] || { echo "planaria-keys: the secrets' folder is empty; run planaria-compose adopt again" >&2; exit 78; }
for role in member:0:0444:0555 healer:0:0400:0500 broker:10010:0400:0500; do
    IFS=: read -r name owner file folder <<WORDS
$role
WORDS
    for key in /secrets/keys_$name/*; do
        to=/volumes/$name/${key##*/}
        install --owner="$owner" --group="$owner" --mode="$file" "$key" "$to.new"
        mv "$to.new" "$to"
    done
    chown "$owner:$owner" "/volumes/$name"
    chmod "$folder" "/volumes/$name"
done"#;

/// What the group way depends on.
#[derive(Debug, Clone)]
pub struct Group {
    /// The project's name, which is the cluster's too.
    pub project: String,
    /// What Compose writes between the parts of a container's name: `-`, or `_` of `docker-compose`.
    pub separator: char,
    /// Folder of the secrets, as the override names it.
    pub secrets: String,
    /// The broker's image.
    pub broker_image: String,
}

/// A service as member of the group.
pub(super) struct Member {
    /// Its container's name: by this the healers know which container a heartbeat speaks for.
    pub(super) name: String,
    pub(super) networks: Vec<String>,
    pub(super) env_file: String,
    pub(super) environment: Vec<(&'static str, String)>,
}

/// The services that only the group way adds.
pub(super) fn services() -> impl Iterator<Item = String> {
    let healers = (1..=HEALERS).map(healer);
    [FILLER, BROKER]
        .into_iter()
        .map(str::to_owned)
        .chain(healers)
}

/// The volumes of those.
pub(super) fn volumes() -> impl Iterator<Item = String> {
    let keys = ["member", "healer", "broker"].map(|role| format!("planaria-keys-{role}"));
    let states = (1..=HEALERS).map(healer);
    keys.into_iter().chain([BROKER.to_owned()]).chain(states)
}

fn healer(index: usize) -> String {
    format!("planaria-healer-{index}")
}

impl Group {
    /// By this name the broker is found, and no other stack's in a network that two share.
    #[must_use]
    pub fn broker(&self) -> String {
        format!("{}-{BROKER}", self.project)
    }

    /// The service as a member, or why it can't be one.
    pub(super) fn join(&self, service: &str, file: &Value) -> Result<Member, String> {
        if let Some(mode) = file["network_mode"].as_str() {
            return Err(format!("its network is {mode}"));
        }
        let count = [&file["scale"], &file["deploy"]["replicas"]];
        if count
            .into_iter()
            .filter_map(Value::as_u64)
            .any(|count| count > 1)
        {
            return Err("several containers would have one name".into());
        }
        let mut networks: Vec<String> = match &file["networks"] {
            Value::Object(networks) => networks.keys().cloned().collect(),
            Value::Array(networks) => {
                let names = networks.iter().filter_map(Value::as_str);
                names.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        if networks.is_empty() {
            networks.push(DEFAULT_NETWORK.into());
        }
        let between = self.separator;
        let name = file["container_name"].as_str().map_or_else(
            || format!("{}{between}{service}{between}1", self.project),
            str::to_owned,
        );
        Ok(Member {
            networks,
            env_file: format!("{}/member.env", self.secrets),
            environment: self.environment(&name, &["member"]),
            name,
        })
    }

    /// Not `CONTAINER_NAME`: a program may have a use of its own for that.
    fn environment(&self, name: &str, keys: &[&str]) -> Vec<(&'static str, String)> {
        let mut variables = vec![
            ("PLANARIA_CONTAINER_NAME", name.to_owned()),
            ("PLANARIA_CLUSTER_NAME", self.project.clone()),
        ];
        variables.extend(keys.iter().map(|&role| {
            let variable = match role {
                "healer" => "PLANARIA_HEALER_SECRET_FILE",
                "operator" => "PLANARIA_OPERATOR_SECRET_FILE",
                _ => "PLANARIA_MEMBER_SECRET_FILE",
            };
            (variable, format!("{KEYS_DIR}/{role}.key"))
        }));
        variables
    }

    /// The services of [`services`], in `networks`.
    pub(super) fn nodes(
        &self,
        options: &Options,
        networks: &BTreeSet<String>,
    ) -> Vec<(String, Node)> {
        let alone = [DEFAULT_NETWORK.to_owned()];
        let networks: Vec<String> = if networks.is_empty() {
            alone.to_vec()
        } else {
            networks.iter().cloned().collect()
        };
        let mut nodes = vec![
            (FILLER.to_owned(), self.filler()),
            (BROKER.to_owned(), self.broker_node(&networks)),
        ];
        nodes.extend((1..=HEALERS).map(|index| {
            let service = healer(index);
            let node = self.healer_node(&service, options, &networks);
            (service, node)
        }));
        nodes
    }

    fn filler(&self) -> Node {
        let volumes = ["member", "healer", "broker"]
            .map(|role| format!("planaria-keys-{role}:/volumes/{role}"));
        let secrets = format!("{}/volumes:/secrets:ro", self.secrets);
        map([
            ("image", Node::from(self.broker_image.as_str())),
            ("user", "0:0".into()),
            ("entrypoint", list(["/bin/sh", "-euc"])),
            ("command", list([FILL])),
            ("restart", "no".into()),
            ("network_mode", "none".into()),
            ("read_only", Node::Flag(true)),
            ("cap_drop", list(["ALL"])),
            // The folder is its owner's, the volumes become others'.
            ("cap_add", list(["CHOWN", "DAC_OVERRIDE", "FOWNER"])),
            ("security_opt", list(["no-new-privileges:true"])),
            ("tmpfs", list(["/tmp"])),
            ("volumes", list([secrets].into_iter().chain(volumes))),
            ("labels", map([("planaria.enable", "false")])),
        ])
    }

    fn broker_node(&self, networks: &[String]) -> Node {
        let volumes = [
            format!("{BROKER}:/var/lib/rabbitmq"),
            format!("planaria-keys-broker:{KEYS_DIR}:ro"),
        ];
        let mut pairs = vec![
            ("image", Node::from(self.broker_image.as_str())),
            ("container_name", self.broker().into()),
            // Its data is under the host name.
            ("hostname", BROKER.into()),
        ];
        pairs.extend(restrained());
        pairs.extend([
            ("tmpfs", list(["/tmp"])),
            ("volumes", list(volumes)),
            ("networks", list(networks.iter().cloned())),
            ("depends_on", completed([FILLER])),
            ("labels", self.labels("broker")),
        ]);
        map(pairs)
    }

    fn healer_node(&self, service: &str, options: &Options, networks: &[String]) -> Node {
        let name = format!("{}-{service}", self.project);
        let mut environment = self.environment(&name, &["member", "healer", "operator"]);
        environment.push(("PLANARIA_STATE_DIR", "/state".into()));
        let volumes = [
            format!("{}:/var/run/docker.sock", options.socket),
            format!("{service}:/state"),
            format!("planaria-keys-healer:{KEYS_DIR}:ro"),
        ];
        let mut pairs = vec![
            ("image", Node::from(options.monitor_image.as_str())),
            ("container_name", name.into()),
            ("entrypoint", list(["/monitor"])),
            ("command", list(["watch", "--group"])),
        ];
        pairs.extend(restrained());
        pairs.extend([
            ("env_file", list([format!("{}/healer.env", self.secrets)])),
            ("environment", map(environment)),
            ("volumes", list(volumes)),
            ("networks", list(networks.iter().cloned())),
            ("depends_on", completed([FILLER])),
            ("labels", self.labels("healer")),
        ]);
        map(pairs)
    }

    fn labels(&self, role: &str) -> Node {
        let mut labels = vec![
            ("planaria.enable", "true"),
            ("planaria.group", self.project.as_str()),
            ("planaria.role", role),
        ];
        if role == "healer" {
            labels.push(("planaria.healer", "true"));
        }
        map(labels)
    }
}

fn restrained() -> [(&'static str, Node); 4] {
    [
        ("restart", "unless-stopped".into()),
        ("read_only", Node::Flag(true)),
        ("cap_drop", list(["ALL"])),
        ("security_opt", list(["no-new-privileges:true"])),
    ]
}
