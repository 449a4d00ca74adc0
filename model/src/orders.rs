//! What is done with force: orders to the host of a container that hangs, and what its executor makes of
//! them.
//!
//! Authority is taken for granted here as [`crate::election`] proves it: at most one member has it, it may
//! move at any moment ([`Action::Move`]), and who lost it may have orders under way. Of one container the
//! lives are numbered; in each it hangs or is well, and it may recover or die by itself at any time.
//!
//! What is bounded besides faults: three orders in all; four lives; the queue of orders forgets after five ticks;
//! check and call are one step. That last one is not so on a real machine: the window between them is
//! written down in `docs/threats.md`, stands in the simulator's engine, and is [`Sabotage::Window`] here.

use stateright::{Model, Property};

/// How many members; the first is the executor, the only one on the container's host.
pub const MEMBERS: usize = 3;

/// Lives that are told apart.
pub const LIVES: u8 = 4;

/// Orders that are given at most: one by each leader, and one more after one that was lost.
const ORDERS: u8 = 3;

/// `x-message-ttl` of the queue of orders, in ticks of a second.
const ORDER_TTL: u8 = 5;

/// Beats of the executor after which an order is too old (rule 1).
const BEATS_OLD: u8 = 3;

/// How often each fault may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A member is killed, and comes back knowing nothing.
    pub crashes: u8,
    /// A member is frozen for any time.
    pub freezes: u8,
    /// An order is lost.
    pub losses: u8,
    /// An order comes twice.
    pub copies: u8,
    /// Authority moves.
    pub moves: u8,
    /// The container hangs.
    pub hangs: u8,
    /// It recovers without a restart.
    pub recoveries: u8,
    /// It dies and is brought back by somebody else.
    pub deaths: u8,
}

impl Budget {
    /// One of each.
    pub const ONE_OF_EACH: Self = Self {
        crashes: 1,
        freezes: 1,
        losses: 1,
        copies: 1,
        moves: 1,
        hangs: 1,
        recoveries: 1,
        deaths: 1,
    };
}

/// A rule left out on purpose, to show that the exploration notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// The executor does not ask whether it is still the life that was judged.
    AnyLife,
    /// The executor takes orders of any term, and does not look at the life (which refuses them as well).
    AnyTerm,
    /// The executor takes an order however old the beat is that it quotes.
    AnyAge,
    /// The executor forgets which orders it carried out, and does not look at the life.
    NoMemory,
    /// Something may happen between the executor's check and its call.
    Window,
}

/// The model.
#[derive(Clone, Copy, Debug)]
pub struct Orders {
    /// Faults that may happen.
    pub budget: Budget,
    /// What is left out.
    pub sabotage: Option<Sabotage>,
}

/// How a member's process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Life {
    /// It runs.
    Up,
    /// It is frozen.
    Frozen,
    /// It is gone.
    Down,
}

/// An order under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Order {
    /// Its number.
    pub id: u8,
    /// The term of who gave it.
    pub term: u8,
    /// The container's life that was judged.
    pub life: u8,
    /// The executor's boot that was quoted.
    pub boot: u8,
    /// Ticks since the executor's beat that was quoted.
    pub age: u8,
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Harm {
    /// Another life was hit than the one that was judged.
    pub other_life: bool,
    /// An order of an older term was carried out after one of a newer.
    pub old_term: bool,
    /// One on old evidence was carried out.
    pub old_evidence: bool,
    /// One was carried out twice.
    pub twice: bool,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The container's life.
    pub life: u8,
    /// It hangs.
    pub hung: bool,
    /// The members' processes.
    pub members: [Life; MEMBERS],
    /// Who has authority, in which term.
    pub leader: (usize, u8),
    /// Orders given so far.
    pub given: u8,
    /// Orders under way, sorted: their order is anybody's guess.
    pub orders: Vec<Order>,
    /// The executor's boot.
    pub boot: u8,
    /// The highest term that it knows: it is on its disk.
    pub seen: u8,
    /// The orders that it carried out in this boot.
    pub done: Vec<u8>,
    /// The order that it has checked, where something may come between.
    pub checked: Option<Order>,
    /// The highest term and the orders that were ever carried out: for the judge alone.
    pub carried: (u8, Vec<u8>),
    /// What went wrong.
    pub harm: Harm,
    /// Faults that may still happen.
    pub left: Budget,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Time passes.
    Tick,
    /// The container hangs.
    Hang,
    /// It recovers.
    Recover,
    /// It dies and is brought back.
    Die,
    /// The leader finds it hung and gives an order.
    Give,
    /// The executor takes this order.
    Take(usize),
    /// What was checked is done.
    Do,
    /// This order is lost.
    Lose(usize),
    /// It comes twice.
    Copy(usize),
    /// Authority moves to this member.
    Move(usize),
    /// A member is killed.
    Crash(usize),
    /// It comes back.
    Reboot(usize),
    /// A member is frozen.
    Freeze(usize),
    /// It is thawed.
    Thaw(usize),
}

impl Orders {
    fn take(&self, state: &mut State, index: usize) {
        let order = state.orders.remove(index);
        let sabotage = self.sabotage;
        let stale = order.term < state.seen && sabotage != Some(Sabotage::AnyTerm);
        let old = (order.age > BEATS_OLD || order.boot != state.boot)
            && sabotage != Some(Sabotage::AnyAge);
        let careless = matches!(
            sabotage,
            Some(Sabotage::AnyLife | Sabotage::AnyTerm | Sabotage::NoMemory)
        );
        let other = order.life != state.life && !careless;
        let known = state.done.contains(&order.id) && sabotage != Some(Sabotage::NoMemory);
        state.seen = state.seen.max(order.term);
        if stale || old || other || known {
            return;
        }
        state.done.push(order.id);
        state.checked = Some(order);
        if sabotage != Some(Sabotage::Window) {
            Self::carry_out(state);
        }
    }

    fn carry_out(state: &mut State) {
        let Some(order) = state.checked.take() else {
            return;
        };
        let harm = &mut state.harm;
        harm.other_life |= order.life != state.life;
        harm.old_term |= order.term < state.carried.0;
        harm.old_evidence |= order.age > BEATS_OLD;
        harm.twice |= state.carried.1.contains(&order.id);
        state.carried.0 = state.carried.0.max(order.term);
        state.carried.1.push(order.id);
        state.life = (state.life + 1).min(LIVES);
        state.hung = false;
    }

    fn faults(state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        for (index, life) in state.members.iter().enumerate() {
            match life {
                Life::Down => actions.push(Action::Reboot(index)),
                Life::Frozen => actions.push(Action::Thaw(index)),
                Life::Up if left.freezes > 0 => actions.push(Action::Freeze(index)),
                Life::Up => {}
            }
            if *life != Life::Down && left.crashes > 0 {
                actions.push(Action::Crash(index));
            }
            if *life == Life::Up && left.moves > 0 && state.leader.0 != index {
                actions.push(Action::Move(index));
            }
        }
        for index in 0..state.orders.len() {
            if left.losses > 0 {
                actions.push(Action::Lose(index));
            }
            if left.copies > 0 {
                actions.push(Action::Copy(index));
            }
        }
    }
}

impl Model for Orders {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            life: 1,
            hung: false,
            members: [Life::Up; MEMBERS],
            leader: (MEMBERS - 1, 1),
            given: 0,
            orders: Vec::new(),
            boot: 1,
            seen: 1,
            done: Vec::new(),
            checked: None,
            carried: (0, Vec::new()),
            harm: Harm::default(),
            left: self.budget,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let left = state.left;
        if !state.orders.is_empty() || state.checked.is_some() {
            // Else time changes nothing.
            actions.push(Action::Tick);
        }
        if !state.hung && left.hangs > 0 {
            actions.push(Action::Hang);
        }
        if state.hung && left.recoveries > 0 {
            actions.push(Action::Recover);
        }
        if left.deaths > 0 {
            actions.push(Action::Die);
        }
        // One ticket at a time for a container: the leader waits for an answer or its deadline.
        let (leader, term) = state.leader;
        let waits = state.orders.iter().any(|order| order.term == term);
        if state.hung && state.members[leader] == Life::Up && !waits && state.given < ORDERS {
            actions.push(Action::Give);
        }
        if state.members[0] == Life::Up {
            actions.extend((0..state.orders.len()).map(Action::Take));
        }
        if state.checked.is_some() {
            actions.push(Action::Do);
        }
        Self::faults(state, actions);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Tick => {
                for order in &mut state.orders {
                    order.age += 1;
                }
                state.orders.retain(|order| order.age <= ORDER_TTL);
            }
            Action::Hang => {
                state.left.hangs -= 1;
                state.hung = true;
            }
            Action::Recover => {
                state.left.recoveries -= 1;
                state.hung = false;
            }
            Action::Die => {
                state.left.deaths -= 1;
                state.life = (state.life + 1).min(LIVES);
                state.hung = false;
            }
            Action::Give => {
                state.given += 1;
                state.orders.push(Order {
                    id: state.given,
                    term: state.leader.1,
                    life: state.life,
                    boot: state.boot,
                    age: 0,
                });
            }
            Action::Take(index) => self.take(&mut state, index),
            Action::Do => Self::carry_out(&mut state),
            Action::Lose(index) => {
                state.left.losses -= 1;
                state.orders.remove(index);
            }
            Action::Copy(index) => {
                state.left.copies -= 1;
                state.orders.push(state.orders[index]);
            }
            Action::Move(to) => {
                state.left.moves -= 1;
                state.leader = (to, state.leader.1 + 1);
            }
            Action::Crash(index) => {
                state.left.crashes -= 1;
                state.members[index] = Life::Down;
                if index == 0 {
                    state.boot += 1;
                    state.done.clear();
                }
            }
            Action::Reboot(index) | Action::Thaw(index) => state.members[index] = Life::Up,
            Action::Freeze(index) => {
                state.left.freezes -= 1;
                state.members[index] = Life::Frozen;
            }
        }
        state.orders.sort_unstable();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("only the life that was judged is hit", |_, s: &State| {
                !s.harm.other_life
            }),
            Property::always("terms that are obeyed never decrease", |_, s: &State| {
                !s.harm.old_term
            }),
            Property::always("no order on old evidence is obeyed", |_, s: &State| {
                !s.harm.old_evidence
            }),
            Property::always("no order is obeyed twice", |_, s: &State| !s.harm.twice),
            Property::sometimes("an order is obeyed", |_, s: &State| s.carried.0 > 0),
            Property::sometimes("a successor's order is obeyed", |_, s: &State| {
                s.carried.0 > 1
            }),
        ]
    }
}
