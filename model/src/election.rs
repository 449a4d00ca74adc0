//! Who may use force: the token at the broker, the lease of its holder, the wait of its successor.
//!
//! ```text
//!  waiting ──grant──▶ office ──own beat back, wait over──▶ may use force
//!     ▲                 │
//!     └── channel lost · lease past · higher term · resigned
//! ```
//!
//! What is bounded besides faults: a message to a member that runs arrives before the next tick (one
//! that is frozen finds it when it wakes); who has no channel asks for the token within a tick; one own beat at a time is under way (a later one could only prolong a lease
//! that this one prolongs as well); a term is announced once, not with each beat (so members know less
//! than real ones do). What is wider than the core: a member asks for the token at once, however unwell it was.

use stateright::{Model, Property};

/// How many members.
pub const MEMBERS: usize = 3;

/// `LEASE` in ticks.
pub const LEASE: u8 = 3;

/// Terms that are told apart: more than all faults together can bring about.
const TERMS: u8 = 12;

/// The broker closes a silent connection after more than so many ticks (twice `AMQP_HEARTBEAT`) …
const SILENCE_MIN: u8 = 4;

/// … and after this many at the latest.
const SILENCE_MAX: u8 = 6;

/// How often each fault may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A member is killed (and perhaps comes back, knowing nothing).
    pub crashes: u8,
    /// A member is frozen for any time.
    pub freezes: u8,
    /// A message is lost.
    pub losses: u8,
    /// The broker closes a channel at once.
    pub closes: u8,
    /// A leader is asked to hand over in order.
    pub resignations: u8,
}

impl Budget {
    /// Nothing happens.
    pub const NONE: Self = Self {
        crashes: 0,
        freezes: 0,
        losses: 0,
        closes: 0,
        resignations: 0,
    };
    /// A crash, a freeze and a lost message.
    pub const CRASH_FREEZE_LOSS: Self = Self {
        crashes: 1,
        freezes: 1,
        losses: 1,
        ..Self::NONE
    };
    /// A freeze, a channel that the broker closes, and a hand-over in order: two successions at once.
    pub const FREEZE_CLOSE_RESIGN: Self = Self {
        freezes: 1,
        closes: 1,
        resignations: 1,
        ..Self::NONE
    };
    /// A lost message, a channel that the broker closes, and a hand-over in order.
    pub const LOSS_CLOSE_RESIGN: Self = Self {
        losses: 1,
        closes: 1,
        resignations: 1,
        ..Self::NONE
    };
    /// All mixes that are explored. All five at once are more than 5 million states.
    pub const EXPLORED: [Self; 3] = [
        Self::CRASH_FREEZE_LOSS,
        Self::FREEZE_CLOSE_RESIGN,
        Self::LOSS_CLOSE_RESIGN,
    ];
}

/// A rule left out on purpose, to show that the exploration notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A successor does not wait for its predecessor's lease.
    NoWait,
    /// The lease runs from the return of a beat, not from its sending.
    LeaseFromReturn,
    /// A RESIGN of any age, and of any term, spares its hearer the wait.
    StaleWaiver,
    /// The lease never ends by itself.
    EndlessLease,
    /// Who has not waited itself resigns with a RESIGN all the same.
    EarlyResign,
}

/// The model: its faults, and what is broken in it.
#[derive(Clone, Copy, Debug)]
pub struct Election {
    /// Faults that may happen.
    pub budget: Budget,
    /// What is left out.
    pub sabotage: Option<Sabotage>,
}

/// How a member's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Life {
    /// It runs.
    Up,
    /// It is frozen: its clock goes on, it does not.
    Frozen,
    /// It is gone.
    Down,
}

/// A member in office.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Office {
    /// The number of its term.
    pub term: u8,
    /// Ticks since the newest beat that came back was sent, or since it took office.
    pub lease_age: u8,
    /// A beat came back.
    pub returned: bool,
    /// Ticks still to wait before force.
    pub wait: u8,
}

impl Office {
    /// One that was just taken; `in_order`: after its predecessor's own RESIGN.
    #[must_use]
    pub fn new(term: u8, in_order: bool) -> Self {
        Self {
            term,
            lease_age: 0,
            returned: false,
            wait: if in_order { 0 } else { LEASE },
        }
    }

    /// Whether force is allowed now.
    #[must_use]
    pub fn may_force(&self) -> bool {
        self.returned && self.wait == 0 && self.lease_age < LEASE
    }

    /// One tick.
    pub fn tick(&mut self) {
        self.lease_age = (self.lease_age + 1).min(LEASE);
        self.wait = self.wait.saturating_sub(1);
    }

    /// A beat that was sent so many ticks ago came back.
    pub fn beat_returned(&mut self, age: u8) {
        // The first counts whatever its age: without one there is no force at all.
        self.lease_age = if self.returned {
            self.lease_age.min(age)
        } else {
            age
        };
        self.returned = true;
    }
}

/// The channel on which a member consumes the token queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    /// None.
    Closed,
    /// It waits for the token, or holds it.
    Open,
    /// It was closed here; the broker does not know it yet.
    Closing,
}

/// What is under way to a member, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// The token.
    Grant,
    /// The channel was closed.
    Lost,
    /// Its own beat, sent so many ticks ago.
    Beat(u8),
    /// Somebody took office.
    Coordinator(u8),
    /// Somebody gave it up.
    Resign(u8),
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// Whether it runs.
    pub life: Life,
    /// The highest term that it knows of.
    pub seen: u8,
    /// Its office.
    pub office: Option<Office>,
    /// Its channel.
    pub channel: Channel,
    /// The term of a RESIGN heard within this tick.
    pub resigned: Option<u8>,
    /// Ticks since it woke, up to a lease and one.
    pub awake: u8,
    /// Its beat on the way to the broker: sent so many ticks ago.
    pub beat: Option<u8>,
    /// What is under way to it.
    pub inbox: Vec<Message>,
}

impl Member {
    fn new() -> Self {
        Self {
            life: Life::Up,
            seen: 0,
            office: None,
            channel: Channel::Closed,
            resigned: None,
            awake: LEASE + 1,
            beat: None,
            inbox: Vec::new(),
        }
    }

    fn step_down(&mut self) {
        if self.office.take().is_some() {
            self.channel = Channel::Closing;
            self.beat = None;
        }
    }

    fn check_lease(&mut self) {
        if self.office.is_some_and(|office| office.lease_age >= LEASE) {
            self.step_down();
        }
    }
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The members; a higher index is a higher rank.
    pub members: [Member; MEMBERS],
    /// Who has the token, as the broker sees it.
    pub holder: Option<usize>,
    /// Whose channel the broker has.
    pub open: [bool; MEMBERS],
    /// For so many ticks nothing came from it.
    pub silent: [u8; MEMBERS],
    /// Faults that may still happen.
    pub left: Budget,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Time passes.
    Tick,
    /// A member asks for the token.
    Consume(usize),
    /// The broker notices that a member closed its channel.
    Close(usize),
    /// The broker gives a member's beat back to it.
    Return(usize),
    /// A member takes what is first in its inbox.
    Deliver(usize),
    /// It is lost instead.
    Lose(usize),
    /// The broker notices that a process is gone, or has been silent for too long.
    Reap(usize),
    /// The broker closes a channel.
    Reset(usize),
    /// A member is killed.
    Crash(usize),
    /// It comes back.
    Reboot(usize),
    /// A member is frozen.
    Freeze(usize),
    /// It is thawed.
    Thaw(usize),
    /// A leader hands over in order.
    Resign(usize),
}

impl State {
    fn send(&mut self, to: usize, message: Message) {
        if self.members[to].life != Life::Down {
            self.members[to].inbox.push(message);
        }
    }

    /// What a member says goes to all others.
    fn tell(&mut self, from: usize, message: Message) {
        for to in 0..MEMBERS {
            if to != from {
                self.send(to, message);
            }
        }
    }

    /// The broker gives the token to the highest that waits.
    fn hand_out(&mut self) {
        if self.holder.is_none()
            && let Some(highest) = (0..MEMBERS).rev().find(|m| self.open[*m])
        {
            self.holder = Some(highest);
            self.send(highest, Message::Grant);
        }
    }

    fn close(&mut self, member: usize) {
        self.open[member] = false;
        if self.holder == Some(member) {
            self.holder = None;
        }
        self.hand_out();
    }

    /// Who may use force, the frozen included: one of them may just be between its look and its call.
    #[must_use]
    pub fn forcing(&self) -> usize {
        self.members
            .iter()
            .filter(|member| member.life != Life::Down)
            .filter(|member| member.office.is_some_and(|office| office.may_force()))
            .count()
    }
}

impl Election {
    fn grant(&self, state: &mut State, index: usize) {
        let member = &mut state.members[index];
        if member.channel != Channel::Open || member.office.is_some() {
            return;
        }
        let in_order = match self.sabotage {
            Some(Sabotage::NoWait) => true,
            Some(Sabotage::StaleWaiver) => member.resigned.is_some(),
            _ => member.resigned.is_some_and(|term| term >= member.seen),
        };
        member.seen += 1;
        let office = Office::new(member.seen, in_order);
        member.office = Some(office);
        member.resigned = None;
        // The first beat goes out at once, behind the announcement.
        member.beat = Some(0);
        state.tell(index, Message::Coordinator(office.term));
    }

    fn deliver(&self, state: &mut State, index: usize) {
        let member = &mut state.members[index];
        member.check_lease();
        let message = member.inbox.remove(0);
        match message {
            Message::Grant => self.grant(state, index),
            Message::Lost => {
                member.office = None;
                member.beat = None;
                if member.channel == Channel::Open {
                    member.channel = Channel::Closed;
                }
            }
            Message::Beat(age) => {
                let age = match self.sabotage {
                    Some(Sabotage::LeaseFromReturn) => 0,
                    _ => age,
                };
                if let (Some(office), Channel::Open) = (&mut member.office, member.channel) {
                    office.beat_returned(age);
                    member.check_lease();
                }
            }
            Message::Coordinator(term) => {
                if member.office.is_some_and(|office| term > office.term) {
                    member.step_down();
                }
                member.seen = member.seen.max(term);
            }
            Message::Resign(term) => {
                // What waited while it was frozen is of unknown age.
                let dated = member.awake > LEASE || self.sabotage == Some(Sabotage::StaleWaiver);
                // Of a leader that it knows; of anybody, where that is sabotaged.
                let stale = self.sabotage == Some(Sabotage::StaleWaiver);
                if dated && (term == member.seen || stale) {
                    member.resigned = Some(term);
                }
            }
        }
    }

    fn tick(&self, state: &mut State) {
        for index in 0..MEMBERS {
            let member = &mut state.members[index];
            if member.life == Life::Down {
                continue;
            }
            if member.life == Life::Frozen {
                state.silent[index] = (state.silent[index] + 1).min(SILENCE_MAX);
            }
            if let Some(office) = &mut member.office {
                office.tick();
                if self.sabotage == Some(Sabotage::EndlessLease) {
                    office.lease_age = 0;
                }
            }
            for message in &mut member.inbox {
                if let Message::Beat(age) = message {
                    *age = (*age + 1).min(LEASE);
                }
            }
            member.beat = member.beat.map(|age| (age + 1).min(LEASE));
            if self.sabotage != Some(Sabotage::StaleWaiver) {
                member.resigned = None;
            }
            if member.life == Life::Up {
                member.awake = (member.awake + 1).min(LEASE + 1);
                member.check_lease();
                if member.office.is_some() {
                    member.beat = Some(0);
                }
            }
        }
    }

    /// Nothing that is overdue is still under way.
    fn may_tick(state: &State) -> bool {
        (0..MEMBERS).all(|index| {
            let member = &state.members[index];
            match member.life {
                Life::Up => {
                    member.inbox.is_empty()
                        && member.channel == Channel::Open
                        && member.beat.is_none()
                }
                Life::Frozen => state.silent[index] < SILENCE_MAX || !state.open[index],
                Life::Down => !state.open[index],
            }
        })
    }
}

impl Model for Election {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            members: std::array::from_fn(|_| Member::new()),
            holder: None,
            open: [false; MEMBERS],
            silent: [0; MEMBERS],
            left: self.budget,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if Self::may_tick(state) {
            actions.push(Action::Tick);
        }
        let left = state.left;
        for (index, member) in state.members.iter().enumerate() {
            let up = member.life == Life::Up;
            let open = state.open[index];
            if up && member.channel == Channel::Closed && !open {
                actions.push(Action::Consume(index));
            }
            if member.life != Life::Down && member.channel == Channel::Closing {
                actions.push(Action::Close(index));
            }
            if member.life != Life::Down && member.beat.is_some() {
                actions.push(Action::Return(index));
            }
            if let (true, Some(first)) = (up, member.inbox.first()) {
                actions.push(Action::Deliver(index));
                // The broker itself loses neither the token nor the end of a channel.
                if left.losses > 0 && !matches!(first, Message::Grant | Message::Lost) {
                    actions.push(Action::Lose(index));
                }
            }
            let silent = member.life == Life::Frozen && state.silent[index] > SILENCE_MIN;
            if open && (silent || member.life == Life::Down) {
                actions.push(Action::Reap(index));
            }
            if open && left.closes > 0 && member.life != Life::Down {
                actions.push(Action::Reset(index));
            }
            if left.crashes > 0 && member.life != Life::Down {
                actions.push(Action::Crash(index));
            }
            if member.life == Life::Down && !open {
                actions.push(Action::Reboot(index));
            }
            if up && left.freezes > 0 {
                actions.push(Action::Freeze(index));
            }
            if member.life == Life::Frozen {
                actions.push(Action::Thaw(index));
            }
            if up && left.resignations > 0 && member.office.is_some() {
                actions.push(Action::Resign(index));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => self.tick(&mut state),
            Action::Consume(index) => {
                state.members[index].channel = Channel::Open;
                state.open[index] = true;
                state.hand_out();
            }
            Action::Close(index) => {
                state.members[index].channel = Channel::Closed;
                // What was under way on that channel belongs to none any more.
                state.members[index].inbox.retain(|message| {
                    !matches!(message, Message::Grant | Message::Beat(_) | Message::Lost)
                });
                state.close(index);
            }
            Action::Return(index) => {
                let age = state.members[index].beat.take()?;
                // It comes back on the channel that holds the token, or not at all.
                if state.holder == Some(index) {
                    let office = state.members[index].office;
                    if let Some(office) = office.filter(|office| !office.returned) {
                        state.tell(index, Message::Coordinator(office.term));
                    }
                    state.send(index, Message::Beat(age));
                }
            }
            Action::Deliver(index) => self.deliver(&mut state, index),
            Action::Lose(index) => {
                state.left.losses -= 1;
                state.members[index].inbox.remove(0);
            }
            Action::Reap(index) => {
                state.silent[index] = 0;
                state.send(index, Message::Lost);
                state.close(index);
            }
            Action::Reset(index) => {
                state.left.closes -= 1;
                state.send(index, Message::Lost);
                state.close(index);
            }
            Action::Crash(index) => {
                state.left.crashes -= 1;
                let member = Member {
                    life: Life::Down,
                    ..Member::new()
                };
                state.members[index] = member;
                state.silent[index] = 0;
            }
            Action::Reboot(index) => state.members[index].life = Life::Up,
            Action::Freeze(index) => {
                state.left.freezes -= 1;
                state.members[index].life = Life::Frozen;
            }
            Action::Thaw(index) => {
                let member = &mut state.members[index];
                member.life = Life::Up;
                if self.budget.resignations > 0 {
                    member.awake = 0;
                }
                member.resigned = None;
                member.check_lease();
                state.silent[index] = 0;
            }
            Action::Resign(index) => {
                state.left.resignations -= 1;
                let office = state.members[index].office?;
                state.members[index].step_down();
                // Who still waits for its predecessor's lease cannot spare anybody that wait.
                if office.wait == 0 || self.sabotage == Some(Sabotage::EarlyResign) {
                    state.tell(index, Message::Resign(office.term));
                }
            }
        }
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.members.iter().all(|member| member.seen <= TERMS)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one may use force", |_, state: &State| {
                state.forcing() <= 1
            }),
            Property::sometimes("somebody may use force", |_, state: &State| {
                state.forcing() == 1
            }),
            Property::sometimes("a successor may use force", |_, state: &State| {
                state.members.iter().any(|member| {
                    member
                        .office
                        .is_some_and(|office| office.may_force() && office.term > 1)
                })
            }),
        ]
    }
}
