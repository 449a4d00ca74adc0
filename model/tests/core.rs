//! The model's office and the core's own go through the same grants, beats, losses and freezes, and allow
//! force at the same times.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use planaria_core::effect::Effect;
use planaria_core::id::{BootId, ChannelId, HostId, MemberName, Term};
use planaria_core::input::Input;
use planaria_core::message::{Body, Envelope};
use planaria_core::node::{Node, NodeConfig, Role};
use planaria_core::settings::Settings;
use planaria_core::time::Instant;
use planaria_model::election::{LEASE, Office};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

const TICK: Duration = Duration::from_secs(1);
const WALKS: u64 = 300;
const STEPS: usize = 40;

/// The core's machine, with what it sent.
struct Walker {
    node: Node,
    now: Instant,
    /// Beats that did not come back: their numbers, and when they were sent.
    sent: Vec<(u64, Instant)>,
}

impl Walker {
    fn new(seed: u64) -> Self {
        let settings = Settings::default();
        let name = MemberName::new("healer-2").unwrap();
        let config = NodeConfig::from_settings(&settings, name, None, Role::Healer);
        let now = Instant(3_600_000_000_000);
        let mut walker = Self {
            node: Node::new(config, BootId(seed + 10), None, seed, now),
            now,
            sent: Vec::new(),
        };
        walker.feed(Input::EngineConnected {
            host: HostId::from("host-1"),
            since: 0,
        });
        walker.feed(Input::BrokerConnected);
        walker
    }

    fn feed(&mut self, input: Input) -> Vec<Effect> {
        let effects = self.node.handle(self.now, input);
        for effect in &effects {
            if let Effect::PublishBeat {
                body: Body::Beat(beat),
                ..
            } = effect
            {
                self.sent.push((beat.number, self.now));
            }
        }
        effects
    }

    /// One tick; a frozen process is told of nothing meanwhile.
    fn tick(&mut self, frozen: bool) -> Vec<Effect> {
        let end = self.now + TICK;
        let mut effects = Vec::new();
        while !frozen && let Some(at) = self.node.next_deadline().filter(|at| *at <= end) {
            self.now = at.max(self.now);
            effects.extend(self.feed(Input::Tick));
        }
        self.now = end;
        effects
    }

    fn may_force(&self) -> bool {
        // In the middle of the tick: at its border both answers would be right.
        self.node.may_force(self.now + TICK / 2)
    }

    fn hears(&mut self, body: Body) {
        self.feed(Input::Message(Envelope {
            cluster: Settings::default().cluster_name,
            from: MemberName::new("healer-1").unwrap(),
            boot: BootId(1),
            seq: 1,
            body,
        }));
    }
}

#[test]
fn the_models_office_is_the_cores() {
    let settings = Settings::default();
    assert_eq!(settings.leader_beat_interval, TICK);
    assert_eq!(settings.lease, TICK * u32::from(LEASE));
    let (mut allowed, mut ended, mut spared) = (0, 0, 0);
    for seed in 0..WALKS {
        let mut dice = SmallRng::seed_from_u64(seed);
        let mut walker = Walker::new(seed);
        let mut waited = 0;
        while !walker
            .tick(false)
            .iter()
            .any(|effect| matches!(effect, Effect::ConsumeToken { .. }))
        {
            waited += 1;
            assert!(waited < 30, "it never asks for the token");
        }
        let in_order = dice.random_bool(0.3);
        if in_order {
            let boot = BootId(1);
            let term = Term { number: 7, boot };
            walker.hears(Body::Coordinator {
                term,
                token: true,
                why: String::new(),
            });
            walker.hears(Body::Resign { term });
        }
        walker.sent.clear();
        let channel = ChannelId(1);
        walker.feed(Input::TokenGranted { channel });
        let mut office = Office::new(1, in_order);
        for step in 0..STEPS {
            if !walker.sent.is_empty() && dice.random_bool(0.4) {
                // In order, and the ones before it with it.
                let index = dice.random_range(0..walker.sent.len());
                let (number, sent) = walker.sent[index];
                let age = walker.now.since(sent).as_nanos() / TICK.as_nanos();
                walker.sent.drain(..=index);
                walker.feed(Input::BeatReturned { channel, number });
                office.beat_returned(u8::try_from(age).unwrap());
            }
            let (core, model) = (walker.may_force(), office.may_force());
            assert_eq!(core, model, "seed {seed}, step {step}: {office:?}");
            allowed += u32::from(core);
            spared += u32::from(core && in_order && step < usize::from(LEASE));
            let frozen = dice.random_bool(0.1);
            walker.tick(frozen);
            office.tick();
            // Both step down the moment they run or wake, whatever may still come back.
            if office.lease_age >= LEASE {
                assert!(!walker.may_force(), "seed {seed}, step {step}");
                ended += 1;
                break;
            }
        }
    }
    assert!(
        allowed > 100 && ended > 100 && spared > 10,
        "the walks saw little: {allowed} times allowed, {ended} ended, {spared} spared the wait"
    );
}
