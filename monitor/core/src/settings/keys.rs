//! The table of keys. It is the struct, the defaults, the parser's list and the reference in one.

use super::value::{Bytes, ElectionCandidates, ElectionOrder, Fsync, LogFormat, LogLevel, Value};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Reads one text into its field.
type Setter = fn(&mut Settings, &str) -> Result<(), String>;

/// One key of `config.ini`.
pub struct Key {
    /// The name, upper case; `PLANARIA_` before it makes the environment variable.
    pub name: &'static str,
    /// The heading it stands under in `config.ini`; a key means the same under any.
    pub section: &'static str,
    /// What kind of value is expected, for people.
    pub kind: &'static str,
    /// The default as one would write it; empty is "none".
    pub default: &'static str,
    /// What it does, how to choose it, and how it relates to others. Lines end with a line feed.
    pub doc: &'static str,
    pub(super) set: Setter,
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Key")
            .field("name", &self.name)
            .field("default", &self.default)
            .finish_non_exhaustive()
    }
}

fn default_value<T: Value>(text: &'static str) -> T {
    let Ok(value) = T::parse(text) else {
        unreachable!("the table's defaults are read by a test")
    };
    value
}

macro_rules! settings {
    ($([$section:ident] $($(#[doc = $doc:literal])+ $key:ident $field:ident : $type:ty = $default:literal;)+)+) => {
        /// All settings, complete and checked. `Default` is what an empty `config.ini` gives.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings {
            $($($(#[doc = $doc])+ pub $field: $type,)+)+
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($($field: default_value::<$type>($default),)+)+ }
            }
        }

        /// Every key there is, in the order of `config.ini`.
        pub static KEYS: &[Key] = &[$($(Key {
            name: stringify!($key),
            section: stringify!($section),
            kind: <$type as Value>::KIND,
            default: $default,
            doc: concat!($($doc, "\n"),+),
            set: |settings, text| {
                settings.$field = <$type as Value>::parse(text)?;
                Ok(())
            },
        },)+)+];
    };
}

settings! {
    [cluster]
    /// Name of the group. One broker vhost holds one cluster.
    CLUSTER_NAME cluster_name: String = "planaria";
    /// Order of names in the election: natural (worker-9 below worker-10) or lexicographic.
    ELECTION_ORDER election_order: ElectionOrder = "natural";
    /// Who stands in the election: healers, or all (every member that has the Docker socket).
    ELECTION_CANDIDATES election_candidates: ElectionCandidates = "healers";
    /// Probe peers over UDP as a second witness, and elect over it while the broker is down.
    DIRECT_CHANNEL direct_channel: bool = "true";

    [timing]
    /// How often a member says that it lives.
    /// Of HEARTBEAT_INTERVAL, DEAD_THRESHOLD and HEARTBEAT_TIMEOUT any two give the third.
    HEARTBEAT_INTERVAL heartbeat_interval: Duration = "2s";
    /// How many missed heartbeats make a member a suspect whose silence counts; at least 3.
    DEAD_THRESHOLD dead_threshold: u32 = "3";
    /// How long a silence is taken for death: HEARTBEAT_INTERVAL times DEAD_THRESHOLD.
    HEARTBEAT_TIMEOUT heartbeat_timeout: Duration = "6s";
    /// Heartbeat of the AMQP connections, whole seconds: bounds how long a frozen leader keeps its token.
    AMQP_HEARTBEAT amqp_heartbeat: Duration = "2s";
    /// How often the leader sends its beat with term, ranks and member table; at most half of LEASE.
    LEADER_BEAT_INTERVAL leader_beat_interval: Duration = "1s";
    /// How long after its newest returned beat a leader may still use force.
    /// Default 1.5 times AMQP_HEARTBEAT; must stay below 2 times.
    LEASE lease: Duration = "3s";
    /// How long a returning higher candidate is healthy before it challenges the leader.
    STABLE_BEFORE_CHALLENGE stable_before_challenge: Duration = "30s";
    /// How long a candidate waits for answers in an election without the broker.
    ELECTION_TIMEOUT election_timeout: Duration = "5s";
    /// How often peers are probed directly.
    PROBE_INTERVAL probe_interval: Duration = "5s";
    /// How late a pulse may be before the watchdog ends the process.
    PULSE_TIMEOUT pulse_timeout: Duration = "10s";
    /// How long a pause or a cut-off network is left alone (docker commit pauses too).
    PAUSE_GRACE pause_grace: Duration = "5s";
    /// Clock difference between members that is worth a warning; nothing is ever decided by it.
    CLOCK_SKEW_WARN clock_skew_warn: Duration = "5s";

    [healing]
    /// Restarts allowed in RESTART_WINDOW; one more quarantines the container.
    RESTART_LIMIT restart_limit: u32 = "5";
    /// The window in which restarts are counted.
    RESTART_WINDOW restart_window: Duration = "60s";
    /// How long a quarantine lasts before one more try.
    RELEASE_AFTER release_after: Duration = "15m";
    /// Delay before the second restart in a row (the first waits for nothing); doubles from there.
    BACKOFF_MIN backoff_min: Duration = "1s";
    /// The longest such delay.
    BACKOFF_MAX backoff_max: Duration = "60s";
    /// Running, and not unhealthy, for so long puts the delay back to nothing.
    BACKOFF_RESET backoff_reset: Duration = "10s";
    /// Order nothing; say of each finding what would be done, and why.
    DRY_RUN dry_run: bool = "false";
    /// Where each healing and each alert is sent as a JSON object (monitor watch); http:// or https://.
    WEBHOOK_URL webhook_url: Option<String> = "";

    [storage]
    /// Number of storage nodes in the generated stack.
    STORAGE_NODES storage_nodes: u32 = "3";
    /// Copies of each chunk; at most STORAGE_NODES.
    REPLICATION_FACTOR replication_factor: u32 = "3";
    /// Disks that have a chunk before a write succeeds; at most REPLICATION_FACTOR.
    WRITE_QUORUM write_quorum: u32 = "2";
    /// Tries per further copy before it is left to repair.
    REPLICA_WRITE_RETRIES replica_write_retries: u32 = "3";
    /// Size of the pieces that objects are cut into, 64KiB to 16MiB.
    CHUNK_SIZE chunk_size: Bytes = "1MiB";
    /// The largest object taken.
    MAX_OBJECT_SIZE max_object_size: Bytes = "50GiB";
    /// What is forced to disk before a write counts: off, data or full.
    FSYNC fsync: Fsync = "data";
    /// How long a disk is away before another takes the copies that are still owed; what it holds stays counted.
    REMOVAL_GRACE_PERIOD removal_grace_period: Duration = "30s";
    /// The only S3 region accepted; none accepts any.
    S3_REGION s3_region: Option<String> = "";
    /// The domain of the S3 ports, for clients that put the bucket before it (bucket.DOMAIN).
    S3_DOMAIN s3_domain: Option<String> = "";

    [chaos]
    /// Attack on a timer. SIGUSR1 to the chaos monkey attacks at once either way.
    CHAOS_ENABLED chaos_enabled: bool = "false";
    /// Time between attacks.
    CHAOS_INTERVAL chaos_interval: Duration = "30s";
    /// Least and greatest time between attacks, where both are set; instead of CHAOS_INTERVAL give or take a fifth.
    CHAOS_INTERVAL_MIN chaos_interval_min: Option<Duration> = "";
    /// The greatest; see CHAOS_INTERVAL_MIN.
    CHAOS_INTERVAL_MAX chaos_interval_max: Option<Duration> = "";
    /// Hours in which the timer attacks, in UTC, as 09:00-17:30; none is all day.
    CHAOS_WINDOWS chaos_windows: Vec<String> = "";
    /// Days on which the timer does not attack, in UTC, as Sat or Dec24.
    CHAOS_EXCLUDED_DAYS chaos_excluded_days: Vec<String> = "";
    /// Faults to draw from.
    CHAOS_FAULTS chaos_faults: Vec<String> = "kill";
    /// Seed of the plan; none draws one and logs it.
    CHAOS_SEED chaos_seed: Option<u64> = "";
    /// Containers that are never attacked: names, re2:PATTERN, label:KEY=VALUE, group:ROLE.
    CHAOS_EXCLUDE chaos_exclude: Vec<String> = "";
    /// The only containers that are attacked, as in CHAOS_EXCLUDE; none is all but infrastructure, which is attacked only by name.
    CHAOS_TARGETS chaos_targets: Vec<String> = "";
    /// Attacks on the timer before it stops; 0 never stops.
    CHAOS_MAX_KILLS chaos_max_kills: u32 = "0";
    /// Containers that may be sick at once, those sick by themselves included.
    CHAOS_MAX_AT_ONCE chaos_max_at_once: u32 = "1";
    /// Percent of a group (of one role) that may be sick at once; one always may.
    CHAOS_MAX_PERCENT chaos_max_percent: u32 = "50";
    /// Age below which a container is not attacked.
    CHAOS_MIN_AGE chaos_min_age: Duration = "10s";
    /// Rest for a target after an attack; at least RESTART_WINDOW divided by RESTART_LIMIT.
    CHAOS_COOLDOWN chaos_cooldown: Duration = "12s";

    [console]
    /// URL that every alert is posted to as JSON; none sends nowhere.
    ALERT_WEBHOOK alert_webhook: Option<String> = "";
    /// The same in the shape of Slack's (and Mattermost's) incoming webhooks.
    ALERT_SLACK alert_slack: Option<String> = "";
    /// The same in the shape of Apprise's notify API.
    ALERT_APPRISE alert_apprise: Option<String> = "";
    /// A program that is run with each alert as JSON on its standard input; blanks separate its arguments.
    ALERT_COMMAND alert_command: Option<String> = "";
    /// What is sent at least: low, medium, high or critical.
    ALERT_SEVERITY alert_severity: String = "medium";
    /// URL that is asked while all is watched; when the asking stops, whoever is behind it raises the alarm.
    ALERT_HEARTBEAT_URL alert_heartbeat_url: Option<String> = "";
    /// How often it is asked.
    ALERT_HEARTBEAT_INTERVAL alert_heartbeat_interval: Duration = "60s";
    /// How long incidents, resolved alerts and metrics are kept.
    CONSOLE_RETENTION console_retention: Duration = "720h";

    [log]
    /// error, warn, info, debug or trace. RUST_LOG overrides it.
    LOG_LEVEL log_level: LogLevel = "info";
    /// text for people, json for machines.
    LOG_FORMAT log_format: LogFormat = "text";

    [stack]
    /// Healers (containers with the Docker socket, candidates for leader) in the generated stack.
    HEALERS healers: u32 = "3";
    /// Wrapped nginx containers in the generated stack.
    WORKERS workers: u32 = "2";
    /// Text before each container's name.
    CONTAINER_PREFIX container_prefix: String = "";
    /// Published port of the console, on 127.0.0.1 as all of these.
    CONSOLE_PORT console_port: u16 = "8080";
    /// Storage node i publishes S3 on this plus i.
    S3_PORT_BASE s3_port_base: u16 = "3900";
    /// Storage node i publishes the line protocol on this plus i.
    LINE_PORT_BASE line_port_base: u16 = "7000";
    /// worker-i publishes HTTP on this plus i.
    WORKER_PORT_BASE worker_port_base: u16 = "8080";
    /// plain-i publishes HTTP on this plus i.
    PLAIN_PORT_BASE plain_port_base: u16 = "8089";
    /// Published port of RabbitMQ.
    AMQP_PORT amqp_port: u16 = "5672";
    /// Published port of RabbitMQ's management page.
    MANAGEMENT_PORT management_port: u16 = "15672";

    [process]
    /// Name of this member; none takes the container's name, else the host name.
    CONTAINER_NAME container_name: Option<String> = "";
    /// Name of this host; none takes the Docker engine's id.
    HOST_ID host_id: Option<String> = "";
    /// The Docker engine: unix:///path, tcp://host:port, tcps://host:port with TLS; none takes the usual socket.
    DOCKER_HOST docker_host: Option<String> = "";
    /// The authority that signed the engine's certificate; given, tcp:// means TLS too.
    DOCKER_CA_FILE docker_ca_file: Option<PathBuf> = "";
    /// The certificate that is shown to the engine.
    DOCKER_CERT_FILE docker_cert_file: Option<PathBuf> = "";
    /// The key of that certificate.
    DOCKER_KEY_FILE docker_key_file: Option<PathBuf> = "";
    /// Brokers, tried in order; none means no group.
    AMQP_URLS amqp_urls: Vec<String> = "";
    /// Key that signs heartbeats, in every member.
    MEMBER_SECRET_FILE member_secret_file: Option<PathBuf> = "";
    /// The member key before the newest change; still believed.
    MEMBER_SECRET_PREVIOUS_FILE member_secret_previous_file: Option<PathBuf> = "";
    /// Key that signs orders, only in healers.
    HEALER_SECRET_FILE healer_secret_file: Option<PathBuf> = "";
    /// The healer key before the newest change; still believed.
    HEALER_SECRET_PREVIOUS_FILE healer_secret_previous_file: Option<PathBuf> = "";
    /// Key that signs requests of people, in healers, console and chaos monkey.
    OPERATOR_SECRET_FILE operator_secret_file: Option<PathBuf> = "";
    /// The operator key before the newest change; still believed.
    OPERATOR_SECRET_PREVIOUS_FILE operator_secret_previous_file: Option<PathBuf> = "";
    /// File with the hash (argon2id) of the console's password; none: nobody can log in.
    CONSOLE_LOGIN_FILE console_login_file: Option<PathBuf> = "";
    /// Folder for what must outlive the process; none keeps it in memory.
    STATE_DIR state_dir: Option<PathBuf> = "";
    /// Where health, metrics and status are served.
    HEALTH_ADDR health_addr: SocketAddr = "0.0.0.0:9747";
    /// UDP address of the direct channel.
    DIRECT_ADDR direct_addr: SocketAddr = "0.0.0.0:9748";
    /// The storage nodes that make up a new cluster, as name:port of the peer address.
    STORAGE_PEERS storage_peers: Vec<String> = "";
    /// JSON file with access_key, secret_key and peer_secret.
    STORAGE_SECRETS_FILE storage_secrets_file: Option<PathBuf> = "";
    /// Folder of a storage node's disk.
    STORAGE_DATA_DIR storage_data_dir: PathBuf = "/data";
    /// Where a storage node serves S3.
    S3_ADDR s3_addr: SocketAddr = "0.0.0.0:3900";
    /// Where a storage node serves the line protocol.
    LINE_ADDR line_addr: SocketAddr = "0.0.0.0:7000";
    /// Where storage nodes talk to each other.
    PEER_ADDR peer_addr: SocketAddr = "0.0.0.0:7100";
}
