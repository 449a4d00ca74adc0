//! Which containers there are, and what each may do.

use crate::Places;
use crate::yaml::{Node, list, map};
use planaria_core::settings::{ElectionCandidates, KEYS, Settings};
use std::collections::BTreeMap;

type Given = BTreeMap<&'static str, String>;

/// Where keys are mounted in every container.
pub(crate) const KEYS_DIR: &str = "/run/planaria";

/// What a wrapped or plain nginx needs as root; everything else is dropped.
/// KILL is for the monitor, which ends a child that changed its user.
const NGINX_CAPABILITIES: [&str; 4] = ["CHOWN", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// The sections whose settings a container gets.
const SHARED_SECTIONS: [&str; 4] = ["cluster", "timing", "healing", "log"];

/// What the monkey needs to find the healers by name.
const GROUP_KEYS: [&str; 2] = ["HEALERS", "CONTAINER_PREFIX"];

/// What a container is, as the label `planaria.role` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Broker,
    Healer,
    Storage,
    Worker,
    Plain,
    Console,
    Chaos,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Healer => "healer",
            Self::Storage => "storage",
            Self::Worker => "worker",
            Self::Plain => "plain",
            Self::Console => "console",
            Self::Chaos => "chaos",
        }
    }

    fn image(self) -> &'static str {
        match self {
            Self::Broker => "planaria/rabbitmq",
            Self::Healer => "planaria/monitor",
            Self::Storage => "planaria/storage-node",
            Self::Worker => "planaria/worker",
            Self::Plain => "planaria/plain",
            Self::Console => "planaria/console",
            Self::Chaos => "planaria/chaos-monkey",
        }
    }

    /// Volume with this role's keys; owned by the user the role runs as.
    fn keys(self) -> Option<&'static str> {
        match self {
            Self::Broker => Some("keys_broker"),
            Self::Healer => Some("keys_healer"),
            Self::Storage => Some("keys_storage"),
            Self::Worker => Some("keys_member"),
            Self::Plain => None,
            Self::Console => Some("keys_operator"),
            Self::Chaos => Some("keys_chaos"),
        }
    }

    /// The file with the broker's address, user and password.
    fn env_file(self) -> Option<&'static str> {
        match self {
            Self::Healer => Some("healer.env"),
            Self::Storage | Self::Worker => Some("member.env"),
            Self::Console | Self::Chaos => Some("operator.env"),
            Self::Broker | Self::Plain => None,
        }
    }

    fn secret_files(self) -> &'static [(&'static str, &'static str)] {
        const MEMBER: (&str, &str) = ("MEMBER_SECRET_FILE", "member.key");
        const HEALER: (&str, &str) = ("HEALER_SECRET_FILE", "healer.key");
        const OPERATOR: (&str, &str) = ("OPERATOR_SECRET_FILE", "operator.key");
        const LOGIN: (&str, &str) = ("CONSOLE_LOGIN_FILE", "console.login");
        const STORAGE: (&str, &str) = ("STORAGE_SECRETS_FILE", "storage.json");
        match self {
            Self::Healer => &[MEMBER, HEALER, OPERATOR],
            Self::Storage => &[MEMBER, STORAGE],
            Self::Worker => &[MEMBER],
            Self::Console => &[MEMBER, OPERATOR, LOGIN],
            Self::Chaos => &[MEMBER, OPERATOR],
            Self::Broker | Self::Plain => &[],
        }
    }

    fn own_section(self) -> Option<&'static str> {
        match self {
            Self::Storage => Some("storage"),
            Self::Chaos => Some("chaos"),
            Self::Console => Some("console"),
            Self::Broker | Self::Healer | Self::Worker | Self::Plain => None,
        }
    }
}

/// One service, as far as it differs from the others of its role.
struct Service {
    name: String,
    role: Role,
    /// It stands for election although its role alone would not (`ELECTION_CANDIDATES = all`): it holds
    /// the socket and every key.
    stands: bool,
    volumes: Vec<String>,
    ports: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Service {
    fn new(name: impl Into<String>, role: Role) -> Self {
        Self {
            name: name.into(),
            role,
            stands: false,
            volumes: Vec::new(),
            ports: Vec::new(),
            environment: Vec::new(),
        }
    }

    fn keys(&self) -> Option<&'static str> {
        if self.stands {
            return Some("keys_all");
        }
        self.role.keys()
    }

    fn env_file(&self) -> Option<&'static str> {
        if self.stands {
            return Role::Healer.env_file();
        }
        self.role.env_file()
    }

    fn secret_files(&self) -> Vec<(&'static str, &'static str)> {
        let mut files = self.role.secret_files().to_vec();
        if self.stands {
            files.extend(Role::Healer.secret_files());
            files.sort_unstable();
            files.dedup();
        }
        files
    }

    fn volume(mut self, name: impl Into<String>, path: &str) -> Self {
        self.volumes.push(format!("{}:{path}", name.into()));
        self
    }

    fn port(mut self, host: u32, container: u16) -> Self {
        self.ports.push(format!("127.0.0.1:{host}:{container}"));
        self
    }

    fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment
            .push((format!("PLANARIA_{key}"), value.into()));
        self
    }
}

/// The whole compose file.
pub(crate) fn stack(settings: &Settings, given: &Given, places: &Places) -> Node {
    let services = services(settings, places);
    let mut volumes: Vec<String> = services
        .iter()
        .flat_map(|service| {
            let named = service
                .volumes
                .iter()
                .filter(|volume| !volume.starts_with('/'));
            let named = named.filter_map(|volume| volume.split(':').next());
            named
                .chain(service.keys())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    volumes.sort_unstable();
    volumes.dedup();
    let nodes = services
        .iter()
        .map(|service| (service.name.clone(), node(service, settings, given, places)));
    map([
        ("services", map(nodes.collect::<Vec<_>>())),
        (
            "volumes",
            map(volumes
                .into_iter()
                .map(|name| (name, map::<String, Node>([])))),
        ),
    ])
}

fn services(settings: &Settings, places: &Places) -> Vec<Service> {
    let socket = |service: Service| {
        let path = &places.socket;
        service.volume(path.clone(), "/var/run/docker.sock")
    };
    let mut all = vec![
        Service::new("rabbitmq", Role::Broker)
            .volume("rabbitmq", "/var/lib/rabbitmq")
            .port(settings.amqp_port.into(), 5672)
            .port(settings.management_port.into(), 15672),
    ];
    for index in 1..=settings.healers {
        let healer = Service::new(format!("healer-{index}"), Role::Healer)
            .volume(format!("healer_{index}"), "/state")
            .env("STATE_DIR", "/state");
        all.push(socket(healer));
    }
    let storage_name = |index: u32| format!("{}storage-node-{index}", settings.container_prefix);
    let peers: Vec<String> = (1..=settings.storage_nodes)
        .map(|index| format!("{}:7100", storage_name(index)))
        .collect();
    for index in 1..=settings.storage_nodes {
        all.push(
            Service::new(format!("storage-node-{index}"), Role::Storage)
                .volume(format!("storage_{index}"), "/data")
                .port(u32::from(settings.s3_port_base) + index, 3900)
                .port(u32::from(settings.line_port_base) + index, 7000)
                .env("STORAGE_PEERS", peers.join(",")),
        );
    }
    for index in 1..=settings.workers {
        let port = u32::from(settings.worker_port_base) + index;
        all.push(Service::new(format!("worker-{index}"), Role::Worker).port(port, 80));
    }
    all.push(
        Service::new("plain-1", Role::Plain).port(u32::from(settings.plain_port_base) + 1, 80),
    );
    all.push(
        Service::new("console", Role::Console)
            .volume("console", "/state")
            .env("STATE_DIR", "/state")
            .port(settings.console_port.into(), 8080),
    );
    if settings.election_candidates == ElectionCandidates::All {
        let roles = [Role::Storage, Role::Worker, Role::Console];
        all = all
            .into_iter()
            .map(|mut service| {
                service.stands = roles.contains(&service.role);
                if service.stands {
                    socket(service)
                } else {
                    service
                }
            })
            .collect();
    }
    let chaos = Service::new("chaos_monkey", Role::Chaos)
        .volume("chaos_monkey", "/state")
        .env("STATE_DIR", "/state");
    all.push(socket(chaos));
    all
}

fn node(service: &Service, settings: &Settings, given: &Given, places: &Places) -> Node {
    let role = service.role;
    let name = format!("{}{}", settings.container_prefix, service.name);
    let mut pairs: Vec<(&str, Node)> = vec![
        ("image", role.image().into()),
        ("container_name", name.clone().into()),
        ("hostname", name.clone().into()),
    ];
    if role == Role::Healer {
        pairs.push(("command", list(["watch", "--group"])));
    }
    pairs.push(("restart", "unless-stopped".into()));
    pairs.push(("read_only", Node::Flag(true)));
    pairs.push(("cap_drop", list(["ALL"])));
    match role {
        Role::Worker => pairs.push((
            "cap_add",
            list(NGINX_CAPABILITIES.into_iter().chain(["KILL"])),
        )),
        Role::Plain => pairs.push(("cap_add", list(NGINX_CAPABILITIES))),
        // The socket and the keys are root's; the volumes are the image's own user's.
        Role::Storage | Role::Console if service.stands => {
            pairs.push(("user", "0:0".into()));
            pairs.push(("cap_add", list(["DAC_OVERRIDE"])));
        }
        Role::Broker | Role::Healer | Role::Storage | Role::Console | Role::Chaos => {}
    }
    pairs.push(("security_opt", list(["no-new-privileges:true"])));
    match role {
        Role::Worker | Role::Plain => pairs.push(("tmpfs", list(["/run", "/tmp"]))),
        Role::Broker => pairs.push(("tmpfs", list(["/tmp"]))),
        Role::Healer | Role::Storage | Role::Console | Role::Chaos => {}
    }
    if let Some(file) = service.env_file() {
        pairs.push(("env_file", list([format!("{}/{file}", places.secrets)])));
    }
    let environment = environment(service, &name, settings, given);
    if !environment.is_empty() {
        pairs.push(("environment", map(environment)));
    }
    let mut volumes = service.volumes.clone();
    volumes.extend(service.keys().map(|keys| format!("{keys}:{KEYS_DIR}:ro")));
    if !volumes.is_empty() {
        pairs.push(("volumes", list(volumes)));
    }
    if !service.ports.is_empty() {
        pairs.push(("ports", list(service.ports.clone())));
    }
    pairs.push(("labels", map(labels(role, settings))));
    pairs.push((
        "logging",
        map([
            ("driver", Node::from("json-file")),
            ("options", map([("max-size", "10m"), ("max-file", "3")])),
        ]),
    ));
    map(pairs)
}

/// What the container is told: its name, its files, and what config.ini gives for its sections.
fn environment(
    service: &Service,
    name: &str,
    settings: &Settings,
    given: &Given,
) -> Vec<(String, String)> {
    let role = service.role;
    if role.env_file().is_none() {
        return Vec::new();
    }
    let mut variables = vec![
        ("CONTAINER_NAME".to_owned(), name.to_owned()),
        (
            "PLANARIA_CLUSTER_NAME".to_owned(),
            settings.cluster_name.clone(),
        ),
    ];
    variables.extend(service.environment.iter().cloned());
    for (key, file) in service.secret_files() {
        variables.push((format!("PLANARIA_{key}"), format!("{KEYS_DIR}/{file}")));
    }
    for key in KEYS {
        let told = SHARED_SECTIONS.contains(&key.section)
            || role.own_section() == Some(key.section)
            || role == Role::Chaos && GROUP_KEYS.contains(&key.name);
        if let Some(text) = given
            .get(key.name)
            .filter(|_| told && key.name != "CLUSTER_NAME")
        {
            variables.push((format!("PLANARIA_{}", key.name), text.clone()));
        }
    }
    variables
}

fn labels(role: Role, settings: &Settings) -> Vec<(&'static str, String)> {
    let mut labels = vec![
        ("planaria.enable", "true".to_owned()),
        ("planaria.group", settings.cluster_name.clone()),
        ("planaria.role", role.as_str().to_owned()),
    ];
    let everyone = settings.election_candidates == ElectionCandidates::All;
    match role {
        Role::Healer => labels.push(("planaria.healer", "true".to_owned())),
        // Where everyone counts as a healer, the one that breaks things does not.
        Role::Chaos if everyone => labels.extend([
            ("planaria.chaos", "false".to_owned()),
            ("planaria.healer", "false".to_owned()),
        ]),
        Role::Chaos => labels.push(("planaria.chaos", "false".to_owned())),
        Role::Broker | Role::Storage | Role::Worker | Role::Plain | Role::Console => {}
    }
    // The console and the workers run without a broker, but there is no use in hurrying them before it.
    if role.env_file().is_some() && role != Role::Healer {
        labels.push((
            "planaria.depends-on",
            format!("{}rabbitmq", settings.container_prefix),
        ));
    }
    labels
}
