//! Where everything comes together: one task that hears, judges, keeps, and draws.
//!
//! ```text
//! group ([`Source`]) ─┐
//! broker ([`Bus`])  ──┤            ┌▶ book of alerts ─▶ store, routes
//! members' numbers ───┼─▶ [`Desk`] ┤
//! people (orders) ────┘            └▶ a moment ([`Snapshot`]) ─▶ browsers
//! ```

use crate::alerts::book::{Act, Book, Change, Now};
use crate::alerts::cause::{self, Condition};
use crate::alerts::route::Routes;
use crate::alerts::{Record, cut};
use crate::bus::Heard;
use crate::scrape::Scraped;
use crate::snapshot::{
    ATTACKS_SHOWN, Attack, Board, INCIDENTS_SHOWN, Known, Snapshot, age_attacks, hear_attack,
};
use crate::source::Source;
use crate::store::journal::{Entry, Told};
use crate::store::{Store, StoreError, alerts as kept, journal, metrics, now_ms, people};
use crate::vitals::to_f64;
use planaria_core::message::{Alert, AttackTold, MemberState, Severity};
use planaria_core::settings::Settings;
use planaria_core::status::BrokerState;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// No two moments follow each other faster: a browser redraws no more often than a person looks.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Without any news: ages grow, and alerts settle.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often numbers go into the history.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// How often what is old is forgotten and the file made smaller.
const TIDY_EVERY: Duration = Duration::from_secs(600);
/// Pages that a tidying gives back at most: it holds nobody up.
const VACUUM_PAGES: u32 = 500;
/// News that one attack makes at most.
const STAGES_MAX: usize = 4;
/// What a healer said stands at least so long, and at most so long without a sign of its end.
const TOLD_MIN: Duration = Duration::from_secs(5);
const TOLD_MAX: Duration = Duration::from_secs(6 * 3600);
/// What was said longer ago is history when it is read: no pager rings for it.
const TOLD_FRESH_MS: u64 = 10 * 60_000;
/// How long a broker that was not there yet may take: its first start makes its database.
const BROKER_BOOT: Duration = Duration::from_secs(60);
/// Roots that healers speak of at once.
const TOLD_ROOTS_MAX: usize = 500;
/// The two clocks may drift apart by so much between two looks before it is called a jump.
const JUMP_MS: u64 = 5_000;

/// What a person wants of the desk.
#[derive(Debug)]
pub struct Order {
    /// Which alert.
    pub id: u64,
    /// Who wants it.
    pub who: String,
    /// What.
    pub act: Act,
    /// The alert afterwards; nothing where there is none of that number.
    pub reply: oneshot::Sender<Option<Record>>,
}

/// What the desk is made of.
pub struct Parts {
    /// The group.
    pub source: Source,
    /// What must be kept.
    pub store: Store,
    /// Where alerts go.
    pub routes: Routes,
    /// What the broker tells.
    pub heard: mpsc::Receiver<Heard>,
    /// What members' own numbers say.
    pub scraped: mpsc::Receiver<Scraped>,
    /// What people want.
    pub orders: mpsc::Receiver<Order>,
    /// The rules of the group.
    pub settings: Settings,
}

/// The task's state; see [`Desk::run`].
pub struct Desk {
    parts: Parts,
    book: Book,
    board: Board,
    /// What healers said, until it is over.
    told: BTreeMap<String, Said>,
    begun: Instant,
    /// The wall clock minus the other one, to see it jump.
    skew: Option<u64>,
    /// The broker was there in this life.
    had_broker: bool,
    /// A leader was heard in this life.
    had_leader: bool,
    out: watch::Sender<Arc<Snapshot>>,
}

/// Something that was said, and stands for a while.
struct Said {
    one: Condition,
    since: Duration,
    at_most: Duration,
}

impl Desk {
    /// Goes on from what the store has.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn new(
        mut parts: Parts,
    ) -> Result<(Self, watch::Receiver<Arc<Snapshot>>), StoreError> {
        let (records, last, silences) = parts
            .store
            .call(|db| {
                Ok((
                    kept::load(db, 50)?,
                    kept::last_id(db)?,
                    kept::silences(db, now_ms())?,
                ))
            })
            .await?;
        let (incidents, attacks) = parts.store.call(|db| remembered(db)).await?;
        let board = Board {
            incidents,
            attacks,
            interval: parts.settings.heartbeat_interval,
            restart_limit: parts.settings.restart_limit,
            ..Board::default()
        };
        // Numbers go on from the time, so that a browser that returns after a restart of the console
        // never has a number that means another moment.
        let first = Snapshot::new(now_ms(), parts.source.known(), Arc::new(board.clone()));
        let (out, snapshots) = watch::channel(Arc::new(first));
        let desk = Self {
            book: Book::new(records, last, silences),
            board,
            told: BTreeMap::new(),
            begun: Instant::now(),
            skew: None,
            had_broker: false,
            had_leader: false,
            out,
            parts,
        };
        Ok((desk, snapshots))
    }

    /// Runs until the monitor is gone.
    pub async fn run(mut self) {
        let mut aside = self.parts.store.set_aside();
        aside.mark_changed();
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut note = tokio::time::interval(NOTE_EVERY);
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        let mut drawn = Instant::now();
        let mut news = true;
        loop {
            tokio::select! {
                alive = self.parts.source.changed() => {
                    if !alive {
                        return;
                    }
                    news = true;
                }
                Some(heard) = self.parts.heard.recv() => news |= self.hear(heard),
                Some(scraped) = self.parts.scraped.recv() => self.measure(scraped),
                Some(order) = self.parts.orders.recv() => {
                    self.obey(order).await;
                    news = true;
                }
                Ok(()) = aside.changed() => {
                    let path = aside.borrow_and_update().clone();
                    if let Some(path) = path {
                        self.say("database", "database_damaged", Severity::High, format!(
                            "The console's database was damaged. It is kept as {}; incidents come back from the broker's journal, \
                             older ones are only there.", path.display()));
                    }
                }
                _ = look.tick() => news = true,
                _ = note.tick() => self.note().await,
                _ = tidy.tick() => self.tidy().await,
                () = tokio::time::sleep_until(drawn + DRAW_EVERY), if news => {
                    news = false;
                    drawn = Instant::now();
                    self.draw().await;
                }
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            mono: self.begun.elapsed(),
            wall_ms: now_ms(),
        }
    }

    /// Judges, keeps what changed, and shows it.
    async fn draw(&mut self) {
        let known = self.parts.source.known();
        self.remember(&known).await;
        let now = self.now();
        self.watch_the_clock(now);
        let conditions = self.conditions(&known, now);
        let changes = self.book.observe(now, &conditions);
        self.keep(changes).await;
        let alerts = self.book.records();
        if self.board.alerts != alerts {
            self.board.alerts = alerts;
        }
        age_attacks(&mut self.board.attacks, now.wall_ms);
        let board = Arc::new(self.board.clone());
        let next = self.out.borrow().then(known, board);
        self.out.send_replace(Arc::new(next));
    }

    /// What is wrong, with what healers said of it where they did.
    fn conditions(&mut self, known: &Known, now: Now) -> Vec<Condition> {
        let state = |name: &str| {
            let of = known
                .status
                .members
                .iter()
                .find(|member| member.name.as_str() == name);
            of.map(|member| member.state)
        };
        self.told.retain(|_, said| {
            let age = now.mono.saturating_sub(said.since);
            let well = said.one.name.as_deref().is_some_and(|name| {
                matches!(
                    state(name),
                    Some(MemberState::Alive | MemberState::Patient) | None
                )
            });
            age < TOLD_MIN || (!well && age < said.at_most)
        });
        let mut all = cause::conditions(known, &self.board.vitals);
        self.had_broker |= known.status.broker == BrokerState::Connected;
        if !self.had_broker {
            // While a whole stack starts, the broker is the last to be there.
            for one in all.iter_mut().filter(|one| one.root == cause::BROKER) {
                one.settle = BROKER_BOOT;
            }
        }
        self.had_leader |= known.status.leader.is_some();
        if !self.had_leader {
            // And its first election has to wait for the broker, and for a lease of silence.
            for one in all.iter_mut().filter(|one| one.root == cause::LEADER) {
                one.settle = BROKER_BOOT;
            }
        }
        all.retain(|one| !self.told.contains_key(&one.root));
        all.extend(self.told.values().map(|said| said.one.clone()));
        all
    }

    fn watch_the_clock(&mut self, now: Now) {
        let mono = u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX);
        let skew = now.wall_ms.wrapping_sub(mono);
        if let Some(before) = self.skew
            && before.abs_diff(skew) > JUMP_MS
        {
            let (seconds, way) = (
                before.abs_diff(skew) / 1000,
                if skew > before { "forward" } else { "back" },
            );
            self.say("clock", "clock_jumped", Severity::Low, format!(
                "The clock of the console's host jumped {way} by {seconds} s; times shown before that are off by as much. Is time synchronised?"));
        }
        self.skew = Some(skew);
    }

    /// Something that the console itself has to say once.
    fn say(&mut self, root: &str, kind: &str, severity: Severity, text: String) {
        let one = Condition {
            root: root.to_owned(),
            kind: kind.to_owned(),
            severity,
            name: None,
            text,
            settle: Duration::ZERO,
            explained_by: Vec::new(),
        };
        // It is over by itself after a look or two; a grave one then waits for a person.
        let said = Said {
            since: self.begun.elapsed(),
            at_most: TOLD_MIN,
            one,
        };
        self.told.insert(said.one.root.clone(), said);
    }

    /// True where the page shows it.
    fn hear(&mut self, heard: Heard) -> bool {
        let now = self.now();
        match heard {
            Heard::Heartbeat(name, boot, beat) => {
                if let Some(vital) = self.board.vitals.of(name.as_str()) {
                    vital.heard(now.mono, boot.0, beat.pulse_age_ms, beat.up_s);
                }
                false
            }
            Heard::LastWords(name, words) => {
                if let Some(vital) = self.board.vitals.of(name.as_str()) {
                    let text = format!(
                        "{} was {} ms late ({})",
                        words.pulse, words.late_ms, words.reason
                    );
                    vital.last_words = Some((now.wall_ms, cut(&text)));
                }
                true
            }
            Heard::Gap { from, to } => {
                self.say("journal", "journal_gap", Severity::Low, format!(
                    "The broker's journal dropped entries {from} to {} before this console read them.", to.saturating_sub(1)));
                true
            }
            Heard::Entries(entries) => {
                for entry in entries {
                    self.take(&entry, now);
                }
                true
            }
        }
    }

    fn take(&mut self, entry: &Entry, now: Now) {
        match entry.kind.as_str() {
            "incident" => {
                if let Some(told) = journal::incident(entry) {
                    let list = &mut self.board.incidents;
                    list.retain(|old| old.incident.id != told.incident.id);
                    let at = list.partition_point(|old| old.at_ms > told.at_ms);
                    list.insert(at, told);
                    list.truncate(INCIDENTS_SHOWN);
                }
            }
            "attack" => {
                if let Ok(told) = serde_json::from_str::<AttackTold>(&entry.doc) {
                    hear_attack(&mut self.board.attacks, &told);
                }
            }
            "alert" if now.wall_ms.saturating_sub(entry.at_ms) < TOLD_FRESH_MS => {
                if let Ok(alert) = serde_json::from_str::<Alert>(&entry.doc) {
                    let said = Said {
                        one: told(&alert),
                        since: now.mono,
                        at_most: TOLD_MAX,
                    };
                    // Names come from outside; there are never so many at once.
                    if self.told.len() < TOLD_ROOTS_MAX {
                        self.told.insert(said.one.root.clone(), said);
                    }
                }
            }
            _ => {}
        }
    }

    fn measure(&mut self, scraped: Scraped) {
        if let Some(vital) = self.board.vitals.of(&scraped.name) {
            vital.latency_ms = scraped.latency_ms;
            if scraped.latency_ms.is_some() {
                vital.storage = scraped.storage;
            }
        }
    }

    /// Incidents that only the leader's memory has: the journal may be away.
    async fn remember(&mut self, known: &Known) {
        let have = |id: &str| {
            self.board
                .incidents
                .iter()
                .any(|told| told.incident.id == id)
        };
        let fresh: Vec<_> = known
            .status
            .incidents
            .iter()
            .filter(|incident| !have(&incident.id))
            .cloned()
            .collect();
        if fresh.is_empty() {
            return;
        }
        let at_ms = now_ms();
        let entries: Vec<Entry> = fresh
            .iter()
            .filter_map(|incident| {
                let doc = serde_json::to_value(incident).ok()?;
                Some(Entry {
                    key: incident.id.clone(),
                    at_ms: doc["at_ms"].as_u64().filter(|at| *at > 0).unwrap_or(at_ms),
                    kind: "incident".to_owned(),
                    name: incident.name.clone(),
                    doc: doc.to_string(),
                })
            })
            .collect();
        let kept = self
            .parts
            .store
            .call(move |db| journal::keep(db, entries, None))
            .await;
        let now = self.now();
        match kept {
            // Those that are known but older than what the page shows are not shown again.
            Ok(new) => new.iter().for_each(|entry| self.take(entry, now)),
            Err(error) => tracing::warn!(event = "incident_unkept", "{error}"),
        }
    }

    async fn obey(&mut self, order: Order) {
        let changed = self.book.act(self.now(), order.id, &order.who, &order.act);
        let record = changed.as_ref().map(|change| change.record.clone());
        if let (Act::Silence(until), Some(record)) = (&order.act, &record) {
            let (root, until, who) = (record.root.clone(), *until, order.who.clone());
            let kept = self
                .parts
                .store
                .call(move |db| kept::silence(db, &root, until, &who))
                .await;
            if let Err(error) = kept {
                tracing::warn!(event = "silence_unkept", "{error}");
            }
        }
        self.keep(changed.into_iter().collect()).await;
        self.board.alerts = self.book.records();
        // Who asked may have gone.
        let _ = order.reply.send(record);
    }

    async fn keep(&mut self, changes: Vec<Change>) {
        if changes.is_empty() {
            return;
        }
        let now = now_ms();
        let mut deliveries = Vec::new();
        for change in &changes {
            let record = &change.record;
            if let Some(news) = change.news {
                deliveries.extend(self.parts.routes.deliveries(record, news, now));
                tracing::info!(
                    event = "alert",
                    kind = record.kind,
                    state = record.state.word(),
                    active = record.active,
                    "Alert {}{} ({}): {}",
                    record.id,
                    if record.active { "" } else { " is over" },
                    crate::alerts::severity_word(record.severity),
                    record.text
                );
            }
        }
        let kept = self
            .parts
            .store
            .call(move |db| {
                let transaction = db.transaction()?;
                for change in &changes {
                    kept::put(&transaction, &change.record)?;
                }
                for delivery in &deliveries {
                    kept::enqueue(&transaction, delivery, now)?;
                }
                transaction.commit()
            })
            .await;
        if let Err(error) = kept {
            tracing::error!(event = "alert_unkept", "{error}");
        }
    }

    /// Writes this moment's numbers into the history.
    async fn note(&mut self) {
        let snapshot = Arc::clone(&self.out.borrow());
        let status = &snapshot.known.status;
        let members = status.members.iter();
        let well = members.clone().filter(|member| {
            crate::snapshot::Light::of(member.state) == crate::snapshot::Light::Good
        });
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let mut values = vec![
            ("members".to_owned(), count(status.members.len())),
            ("members_well".to_owned(), count(well.count())),
            ("tickets".to_owned(), f64::from(status.tickets)),
            ("copies_owed".to_owned(), to_f64(self.board.vitals.owed())),
        ];
        for (name, vital) in &self.board.vitals.members {
            if let Some(ms) = vital.latency_ms {
                values.push((format!("latency_ms:{name}"), to_f64(ms)));
            }
            if let Some(percent) = vital
                .storage
                .as_ref()
                .and_then(crate::vitals::Storage::full_percent)
            {
                values.push((format!("disk_percent:{name}"), to_f64(percent)));
            }
        }
        let now = now_ms() / 1000;
        if let Err(error) = self
            .parts
            .store
            .call(move |db| metrics::add(db, now, &values))
            .await
        {
            tracing::warn!(event = "metrics_unkept", "{error}");
        }
        let names: std::collections::BTreeSet<String> =
            members.map(|member| member.name.to_string()).collect();
        if !snapshot.known.stale {
            self.board.vitals.keep(|name| names.contains(name));
        }
    }

    async fn tidy(&mut self) {
        let kept_ms =
            u64::try_from(self.parts.settings.console_retention.as_millis()).unwrap_or(u64::MAX);
        let tidied = self
            .parts
            .store
            .call(move |db| {
                let now = now_ms();
                let before = now.saturating_sub(kept_ms);
                let gone = journal::forget(db, before)?
                    + kept::forget(db, before)?
                    + metrics::forget(db, now / 1000)?
                    + people::forget(db)?;
                db.execute_batch(&format!(
                    "PRAGMA incremental_vacuum({VACUUM_PAGES}); PRAGMA optimize;"
                ))?;
                Ok(gone)
            })
            .await;
        match tidied {
            Ok(gone) => tracing::debug!(event = "store_tidied", gone, "What was old is forgotten"),
            Err(error) => tracing::warn!(event = "store_untidy", "{error}"),
        }
    }
}

fn remembered(db: &rusqlite::Connection) -> rusqlite::Result<(Vec<Told>, Vec<Attack>)> {
    let shown = u64::try_from(INCIDENTS_SHOWN).unwrap_or(u64::MAX);
    let incidents = journal::newest(db, "incident", None, i64::MAX.unsigned_abs(), shown)?;
    let news = u64::try_from(ATTACKS_SHOWN * STAGES_MAX).unwrap_or(u64::MAX);
    let news = journal::newest(db, "attack", None, i64::MAX.unsigned_abs(), news)?;
    let mut attacks = Vec::new();
    for entry in news.iter().rev() {
        if let Ok(told) = serde_json::from_str::<AttackTold>(&entry.doc) {
            hear_attack(&mut attacks, &told);
        }
    }
    Ok((
        incidents.iter().filter_map(journal::incident).collect(),
        attacks,
    ))
}

/// A healer's alert as a condition; it needs no settling, the healer has waited already.
fn told(alert: &Alert) -> Condition {
    let name = alert.name.as_ref().map(ToString::to_string);
    Condition {
        root: match &name {
            Some(name) => format!("{}:{name}", alert.kind),
            None => alert.kind.clone(),
        },
        kind: alert.kind.clone(),
        severity: alert.severity,
        name,
        text: alert.text.clone(),
        settle: Duration::ZERO,
        explained_by: Vec::new(),
    }
}
