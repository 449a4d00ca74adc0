//! The made-up group: a leader that beats, members that say that they live, and the journal of a day.

use crate::{CLUSTER, DAY_MS, INCIDENTS, Options, eventually};
use anyhow::{Context, Result};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use planaria_console::store::now_ms;
use planaria_core::codec::{Codec, Key, Keys};
use planaria_core::id::{BootId, ContainerId, Incarnation, MemberName, Term};
use planaria_core::message::{
    Alert, AttackStage, AttackTold, Beat, Body, Envelope, Heartbeat, Incident, IncidentOutcome,
    KeyRole, MemberState, MemberView, RestartReason, Severity,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Half as many attacks as incidents.
const ATTACKS: u64 = INCIDENTS / 2;
const ALERTS: u64 = 200;
const EXCHANGE: &str = "control_exchange";

pub(crate) fn name(index: u8) -> Result<MemberName> {
    Ok(MemberName::new(format!("127.0.1.{index}"))?)
}

/// The made-up group.
pub(crate) struct Group {
    codec: Codec,
    channel: Channel,
    boot: BootId,
    seq: AtomicU64,
    members: Mutex<Vec<MemberView>>,
    incidents: Mutex<Vec<Incident>>,
}

impl Group {
    pub(crate) async fn new(options: &Options) -> Result<Arc<Self>> {
        let read = |name: &str| -> Result<String> {
            let path = options.secrets.join(name);
            std::fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let mut keys = Keys::new();
        for (role, file) in [
            (KeyRole::Member, "member.key"),
            (KeyRole::Healer, "healer.key"),
            (KeyRole::Operator, "operator.key"),
        ] {
            let secret = read(&format!("volumes/keys_healer/{file}"))?;
            keys = keys.with(role, Key::new(secret.as_bytes())?);
        }
        // One that may say everything: it plays every part.
        let known: serde_json::Value = serde_json::from_str(&read("secrets.json")?)?;
        let password = known["admin_password"]
            .as_str()
            .context("no admin_password")?;
        let url = format!("amqp://admin:{password}@{}/%2f", options.broker);
        let connection = eventually("the broker", || {
            let url = url.clone();
            async move { Ok(Connection::connect(&url, ConnectionProperties::default()).await?) }
        })
        .await?;
        let channel = connection.create_channel().await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await?;
        let members = (1..=options.members)
            .map(|index| {
                Ok(MemberView {
                    name: name(index)?,
                    state: MemberState::Alive,
                    incarnation: Incarnation::from("x"),
                    boot: None,
                    host: None,
                    last_heartbeat_ms: Some(500),
                    restarts: 0,
                    candidate: index <= 5,
                    healer: index <= 5,
                    why: String::new(),
                    held: false,
                    skew_ms: None,
                    pulse_age_ms: Some(40),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Arc::new(Self {
            codec: Codec::new(keys),
            channel,
            boot: BootId(77),
            seq: AtomicU64::new(1),
            members: Mutex::new(members),
            incidents: Mutex::default(),
        }))
    }

    pub(crate) async fn say(&self, from: MemberName, key: &str, body: Body) -> Result<()> {
        let envelope = Envelope {
            cluster: CLUSTER.to_owned(),
            from,
            boot: self.boot,
            seq: self.seq.fetch_add(1, Ordering::Relaxed),
            body,
        };
        let bytes = self.codec.encode(&envelope)?;
        let properties = BasicProperties::default()
            .with_app_id("planaria".into())
            .with_content_type("application/json".into());
        let options = BasicPublishOptions::default();
        // Who confirms is not waited for: the console's own word is.
        // Whether the broker took it shows in what the console tells.
        drop(
            self.channel
                .basic_publish(EXCHANGE.into(), key.into(), options, &bytes, properties)
                .await?,
        );
        Ok(())
    }

    fn members(&self) -> Vec<MemberView> {
        self.members
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set(&self, index: usize, state: MemberState) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(member) = members.get_mut(index) {
            member.state = state;
        }
    }

    pub(crate) async fn beat(&self, number: u64) -> Result<()> {
        let beat = Beat {
            term: Term {
                number: 3,
                boot: self.boot,
            },
            number,
            token: true,
            ranks: (1..=5).map(name).collect::<Result<_>>()?,
            members: self.members(),
            records: Vec::new(),
            holds: Vec::new(),
            resumed: Vec::new(),
            tickets: Vec::new(),
            fences: Vec::new(),
            incidents: Vec::new(),
            interval_ms: 0,
            unix_ms: now_ms(),
        };
        self.say(name(1)?, "control.beat", Body::Beat(Box::new(beat)))
            .await
    }

    /// `/status` as the leader would say it.
    fn status(&self) -> Result<String> {
        let incidents = self
            .incidents
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Ok(serde_json::json!({
            "cluster": CLUSTER, "node": name(1)?, "boot": self.boot, "leader": name(1)?, "leader_why": "the only one", "term": 3,
            "term_id": self.boot, "is_leader": true, "may_force": true, "members": self.members(), "broker": "connected",
            "docker": "connected", "held": [], "incidents": incidents, "alerts": [], "tickets": 0, "elections": 1,
            "restarts_ordered": 0, "heartbeats": 1, "local_health": 0, "blind": false,
        })
        .to_string())
    }

    pub(crate) fn incident(&self, id: &str, whom: u8, at_ms: u64) -> Result<Incident> {
        Ok(Incident {
            id: id.to_owned(),
            name: name(whom)?.to_string(),
            container: ContainerId::from("0123456789abcdef"),
            reason: RestartReason::Killed,
            evidence: "die after signal 9; the container was started by the leader".to_owned(),
            by: name(1)?,
            term: 3,
            detect_ms: Some(31),
            order_ms: Some(2),
            start_ms: Some(168),
            healthy_ms: Some(122),
            outcome: IncidentOutcome::Healed,
            action: "start".to_owned(),
            exit_code: Some(137),
            oom: false,
            restarts: 1,
            at_ms: Some(at_ms),
            notes: BTreeMap::new(),
        })
    }

    /// A day, into the journal.
    pub(crate) async fn tell_a_day(&self, members: u8) -> Result<()> {
        let now = now_ms();
        let whom = |index: u64| u8::try_from(index % u64::from(members)).unwrap_or(0) + 1;
        for index in 0..INCIDENTS {
            let at = now - DAY_MS + index * (DAY_MS / INCIDENTS);
            let incident = self.incident(&format!("day-{index}"), whom(index), at)?;
            self.say(
                name(1)?,
                "report.incident",
                Body::Incident(Box::new(incident)),
            )
            .await?;
        }
        for index in 0..ATTACKS {
            let at = now - DAY_MS + index * (DAY_MS / ATTACKS);
            for (stage, after) in [
                (AttackStage::Begun, 0),
                (AttackStage::Injected, 80),
                (AttackStage::Healed, 400),
            ] {
                let told = AttackTold {
                    id: format!("{index:06x}"),
                    request: None,
                    fault: "kill".to_owned(),
                    target: name(whom(index))?.to_string(),
                    stage,
                    text: "it is out, and back again".to_owned(),
                    at_ms: at + after,
                    within_ms: Some(30_000),
                };
                self.say(name(2)?, "chaos.attack", Body::Attack(Box::new(told)))
                    .await?;
            }
        }
        for index in 0..ALERTS {
            let alert = Alert {
                severity: Severity::Low,
                kind: format!("bench_{}", index % 10),
                name: Some(name(whom(index))?),
                text: "something that somebody should look at in the morning".to_owned(),
            };
            self.say(name(1)?, "alert.bench", Body::Alert(alert))
                .await?;
        }
        Ok(())
    }
}

/// Beats each second, and everyone's heartbeats spread over two.
pub(crate) async fn live(group: Arc<Group>, members: u8) {
    let mut number = 0;
    let mut ticks = tokio::time::interval(Duration::from_millis(2000 / u64::from(members.max(1))));
    let mut next_beat = Instant::now();
    for index in (1..=members).cycle() {
        ticks.tick().await;
        if Instant::now() >= next_beat {
            next_beat += Duration::from_secs(1);
            number += 1;
            drop(group.beat(number).await);
        }
        let Ok(from) = name(index) else { continue };
        let beat = Heartbeat {
            candidate: index <= 5,
            healer: index <= 5,
            pulse_age_ms: 40,
            up_s: number,
            number,
            unix_ms: now_ms(),
            ..Heartbeat::default()
        };
        let key = format!("heartbeat.{from}");
        drop(group.say(from, &key, Body::Heartbeat(beat)).await);
    }
}

/// An event a second: somebody is late, and well again.
pub(crate) async fn stir(group: Arc<Group>) {
    for round in 0_u64.. {
        let state = if round.is_multiple_of(2) {
            MemberState::Late
        } else {
            MemberState::Alive
        };
        group.set(7, state);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Everyone's `/status` and `/metrics`.
pub(crate) async fn answer(group: Arc<Group>, listener: TcpListener) {
    // As long as a storage node's.
    let mut metrics: String = (0..120)
        .map(|index| format!("planaria_bench_numbers{{of=\"{index}\"}} {index}\n"))
        .collect();
    metrics.push_str(
        "planaria_chunks{state=\"stored\"} 1200\nplanaria_chunks{state=\"healthy\"} 1200\nplanaria_disk_free_bytes 900000000\n\
         planaria_disk_chunk_bytes 1000000\nplanaria_storage_in_sync 1\n# EOF\n",
    );
    let metrics = Arc::new(metrics);
    while let Ok((mut stream, _)) = listener.accept().await {
        let (group, metrics) = (Arc::clone(&group), Arc::clone(&metrics));
        tokio::spawn(async move {
            let mut request = [0_u8; 1024];
            let count = stream.read(&mut request).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&request[..count]).into_owned();
            let (kind, body) = if asked.starts_with("GET /status") {
                ("application/json", group.status().unwrap_or_default())
            } else {
                ("application/openmetrics-text", metrics.as_str().to_owned())
            };
            let text = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            // Who asked may have gone.
            drop(stream.write_all(text.as_bytes()).await);
        });
    }
}
