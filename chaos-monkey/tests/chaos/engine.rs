//! An engine in memory that does as it is told, and can be told to disobey.

use planaria_chaos::engine::{Engine, EngineError, Found, HelperLook, HelperWish};
use planaria_chaos::fault::Saved;
use planaria_chaos::helper::Line;
use planaria_chaos::target::{Candidate, Life, PROJECT_LABEL};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// One container.
#[derive(Clone, Debug)]
pub(crate) struct Box_ {
    /// How many of its name there were before; it is in the id.
    pub(crate) made: u32,
    pub(crate) life: Life,
    /// 0: created and never started.
    pub(crate) lives: u32,
    /// In the networks that it should be in.
    pub(crate) whole: bool,
    pub(crate) stopped: bool,
    pub(crate) cut_off: bool,
    pub(crate) nano_cpus: i64,
}

/// The engine; clones share their containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake {
    boxes: Arc<Mutex<BTreeMap<String, Box_>>>,
    helpers: Arc<Mutex<BTreeMap<String, HelperLook>>>,
    /// Every call that changes something.
    calls: Arc<Mutex<Vec<String>>>,
    /// Whose namespaces helpers joined, by id.
    joined: Arc<Mutex<Vec<String>>>,
    /// When each of them was made.
    moments: Arc<Mutex<Vec<Instant>>>,
    /// A look at a container takes so long.
    slow: Duration,
    /// Faults do nothing, as under a broken engine.
    deaf: bool,
    /// All of them are of one role.
    stores: bool,
}

/// The container with that id, `NAME.MADE`, or with that name.
fn find<'a>(boxes: &'a mut BTreeMap<String, Box_>, id: &str) -> Option<(String, &'a mut Box_)> {
    let by_id = id.rsplit_once('.');
    let (name, made) = by_id.map_or((id, None), |(name, made)| (name, made.parse::<u32>().ok()));
    let found = boxes.get_mut(name)?;
    made.is_none_or(|made| made == found.made)
        .then(|| (name.to_owned(), found))
}

impl Fake {
    pub(crate) fn with(names: &[&str]) -> Self {
        let fake = Self::default();
        for name in names {
            let new = Box_ {
                made: 0,
                life: Life::Well,
                lives: 1,
                whole: true,
                stopped: false,
                cut_off: false,
                nano_cpus: 0,
            };
            fake.boxes.lock().unwrap().insert((*name).to_owned(), new);
        }
        fake
    }

    pub(crate) fn deaf(self) -> Self {
        Self { deaf: true, ..self }
    }

    pub(crate) fn stores(self) -> Self {
        Self {
            stores: true,
            ..self
        }
    }

    pub(crate) fn slow(self, slow: Duration) -> Self {
        Self { slow, ..self }
    }

    pub(crate) fn moments(&self) -> Vec<Instant> {
        self.moments.lock().unwrap().clone()
    }

    pub(crate) fn joined(&self) -> Vec<String> {
        self.joined.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn life(&self, name: &str) -> Life {
        self.boxes.lock().unwrap()[name].life
    }

    /// Somebody heals it.
    pub(crate) fn heal(&self, name: &str) {
        self.change(name, "heal", |it| {
            it.lives += 1;
            it.life = Life::Well;
            it.stopped = false;
        })
        .unwrap();
    }

    pub(crate) fn forget(&self, name: &str) {
        self.boxes.lock().unwrap().remove(name);
    }

    /// Somebody makes it anew, under its name.
    pub(crate) fn anew(&self, name: &str) {
        let mut boxes = self.boxes.lock().unwrap();
        let old = boxes.get_mut(name).unwrap();
        old.made += 1;
        old.life = Life::Well;
    }

    /// Somebody creates it, and does not start it.
    pub(crate) fn create(&self, name: &str, whole: bool) {
        let new = Box_ {
            made: 1,
            life: Life::Down,
            lives: 0,
            whole,
            ..Self::with(&[name]).boxes.lock().unwrap()[name].clone()
        };
        self.boxes.lock().unwrap().insert(name.to_owned(), new);
    }

    fn change(
        &self,
        id: &str,
        call: &str,
        change: impl FnOnce(&mut Box_),
    ) -> Result<(), EngineError> {
        let mut boxes = self.boxes.lock().unwrap();
        let (name, found) = find(&mut boxes, id).ok_or_else(|| EngineError::Gone(id.to_owned()))?;
        self.calls.lock().unwrap().push(format!("{call} {name}"));
        self.moments.lock().unwrap().push(Instant::now());
        if !self.deaf {
            change(found);
        }
        Ok(())
    }
}

impl Engine for Fake {
    async fn list(&self) -> Result<Vec<Candidate>, EngineError> {
        let role = ("planaria.role".to_owned(), "storage".to_owned());
        let role = self.stores.then_some(role);
        let candidate = |(name, it): (&String, &Box_)| Candidate {
            id: format!("{name}.{}", it.made),
            name: name.clone(),
            image: "planaria/worker".to_owned(),
            labels: [
                (PROJECT_LABEL.to_owned(), "planaria".to_owned()),
                ("planaria.recreate".to_owned(), "true".to_owned()),
            ]
            .into_iter()
            .chain(role.clone())
            .collect(),
            life: it.life,
            age: None,
        };
        Ok(self.boxes.lock().unwrap().iter().map(candidate).collect())
    }

    async fn inspect(&self, id: &str) -> Result<Found, EngineError> {
        tokio::time::sleep(self.slow).await;
        let mut boxes = self.boxes.lock().unwrap();
        let (name, it) = find(&mut boxes, id).ok_or_else(|| EngineError::Gone(id.to_owned()))?;
        Ok(Found {
            id: format!("{name}.{}", it.made),
            name,
            project: Some("planaria".to_owned()),
            life: it.life,
            started_at: match it.lives {
                0 => "0001-01-01T00:00:00Z".to_owned(),
                lives => format!("life {lives}"),
            },
            addresses: Vec::new(),
        })
    }

    async fn kill(&self, id: &str, signal: &str) -> Result<(), EngineError> {
        if let Some(helper) = self.helpers.lock().unwrap().get_mut(id) {
            self.calls.lock().unwrap().push(format!("{signal} {id}"));
            helper.exit = Some(if signal == "SIGTERM" { 0 } else { 137 });
            return Ok(());
        }
        self.change(id, signal, |it| match signal {
            "SIGSTOP" => it.stopped = true,
            "SIGCONT" => it.stopped = false,
            _ => it.life = Life::Down,
        })
    }

    async fn stop(&self, id: &str) -> Result<(), EngineError> {
        self.change(id, "stop", |it| it.life = Life::Down)
    }

    async fn start(&self, id: &str) -> Result<(), EngineError> {
        self.change(id, "start", |it| {
            it.lives += 1;
            it.life = Life::Well;
        })
    }

    async fn restart(&self, id: &str) -> Result<(), EngineError> {
        self.change(id, "restart", |it| it.lives += 1)
    }

    async fn networks(&self, id: &str) -> Result<Vec<Saved>, EngineError> {
        let on = find(&mut self.boxes.lock().unwrap(), id).is_some_and(|(_, it)| !it.cut_off);
        let network = Saved::Network {
            network: "net".to_owned(),
            aliases: vec![id.to_owned()],
            address: None,
        };
        Ok(if on { vec![network] } else { Vec::new() })
    }

    async fn disconnect(&self, id: &str, network: &str) -> Result<(), EngineError> {
        self.change(id, &format!("disconnect {network}"), |it| it.cut_off = true)
    }

    async fn connect(&self, id: &str, _saved: &Saved) -> Result<(), EngineError> {
        self.change(id, "connect", |it| it.cut_off = false)
    }

    async fn limits(&self, id: &str) -> Result<Saved, EngineError> {
        let nano_cpus = find(&mut self.boxes.lock().unwrap(), id).map_or(0, |(_, it)| it.nano_cpus);
        Ok(Saved::Limits { nano_cpus })
    }

    async fn set_limits(&self, id: &str, limits: &Saved) -> Result<(), EngineError> {
        let Saved::Limits { nano_cpus } = limits else {
            return Ok(());
        };
        self.change(id, &format!("limit {nano_cpus}"), |it| {
            it.nano_cpus = *nano_cpus;
        })
    }

    async fn start_helper(&self, wish: &HelperWish) -> Result<(), EngineError> {
        let took = Line::Took {
            proof: "measured".to_owned(),
        };
        let revert = wish.task.contains("\"revert\":true");
        let looks = wish.task.contains("\"look\":true");
        let lines = match (self.deaf, looks) {
            (true, _) => Vec::new(),
            (false, true) => vec![Line::Saved {
                saved: "what was there".to_owned(),
            }],
            (false, false) => vec![took],
        };
        let exit = (revert || looks).then_some(0);
        let look = HelperLook { exit, lines };
        self.calls
            .lock()
            .unwrap()
            .push(format!("helper {}", wish.name));
        self.joined.lock().unwrap().push(wish.target.clone());
        self.helpers.lock().unwrap().insert(wish.name.clone(), look);
        Ok(())
    }

    async fn look_at_helper(&self, name: &str) -> Result<HelperLook, EngineError> {
        let helpers = self.helpers.lock().unwrap();
        helpers
            .get(name)
            .cloned()
            .ok_or_else(|| EngineError::Gone(name.to_owned()))
    }

    async fn remove_helper(&self, name: &str) -> Result<(), EngineError> {
        if self.helpers.lock().unwrap().remove(name).is_some() {
            self.calls.lock().unwrap().push(format!("remove {name}"));
        }
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<(), EngineError> {
        self.change(id, "remove", |_| {})?;
        if !self.deaf {
            let found = find(&mut self.boxes.lock().unwrap(), id).map(|(name, _)| name);
            self.boxes.lock().unwrap().remove(&found.unwrap());
        }
        Ok(())
    }

    async fn how_made(&self, id: &str) -> Result<String, EngineError> {
        let found = find(&mut self.boxes.lock().unwrap(), id).map(|(name, _)| name);
        Ok(format!("as {} was made", found.unwrap()))
    }

    async fn has_networks(&self, id: &str, how: &str) -> Result<bool, EngineError> {
        let found = find(&mut self.boxes.lock().unwrap(), id).map(|(name, it)| (name, it.whole));
        let (name, whole) = found.ok_or_else(|| EngineError::Gone(id.to_owned()))?;
        assert_eq!(how, format!("as {name} was made"));
        Ok(whole)
    }

    async fn make(&self, name: &str, aside: &str, how: &str) -> Result<(), EngineError> {
        assert_eq!(how, format!("as {name} was made"));
        assert!(aside.ends_with("-anew"));
        self.calls.lock().unwrap().push(format!("make {name}"));
        let new = Box_ {
            made: 1,
            ..Self::with(&[name]).boxes.lock().unwrap()[name].clone()
        };
        self.boxes.lock().unwrap().insert(name.to_owned(), new);
        Ok(())
    }

    async fn pause(&self, id: &str) -> Result<(), EngineError> {
        self.change(id, "pause", |it| it.life = Life::Paused)
    }

    async fn unpause(&self, id: &str) -> Result<(), EngineError> {
        self.change(id, "unpause", |it| it.life = Life::Well)
    }

    async fn process_states(&self, id: &str) -> Result<Vec<String>, EngineError> {
        let stopped = find(&mut self.boxes.lock().unwrap(), id).is_some_and(|(_, it)| it.stopped);
        Ok(vec![
            if stopped { "Ts" } else { "Ss" }.to_owned(),
            "S".to_owned(),
        ])
    }
}
