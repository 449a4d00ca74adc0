//! Is a history linearizable? Each key alone, for registers compose: Wing and Gong's search with Lowe's memory of
//! what was tried already, as Knossos and Porcupine do it. Without that memory one key of a bad minute took longer
//! than the proof itself.

use super::history::{Entry, History, Op, Ret, Value};
use std::collections::{BTreeSet, HashSet};

/// What a write that nobody can tell from another one would leave behind.
const UNSEEN: Value = Value::MAX;

/// One object under one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Register(Option<Value>);

impl Register {
    fn invoke(&mut self, op: Op) -> Ret {
        let (next, ret) = match op {
            Op::Put(value) => (Some(value), Ret::Done),
            Op::Create(value) if self.0.is_none() => (Some(value), Ret::Done),
            Op::Swap(old, new) if self.0 == Some(old) => (Some(new), Ret::Done),
            Op::Create(_) | Op::Swap(..) => (self.0, Ret::Refused),
            Op::Get => (self.0, Ret::Value(self.0)),
            Op::List => (self.0, Ret::Listed(self.0.is_some())),
            Op::Delete => (None, Ret::Done),
        };
        self.0 = next;
        ret
    }
}

/// What was found of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Findings {
    /// Keys that were judged.
    pub keys: usize,
    /// Requests that were judged.
    pub requests: usize,
    /// Requests without an answer, which may or may not count.
    pub unknown: usize,
    /// Keys for which no order explains the answers.
    pub broken: Vec<String>,
}

/// Judges each key.
#[must_use]
pub fn judge(history: &History) -> Findings {
    let mut findings = Findings::default();
    for (key, entries) in &history.0 {
        findings.keys += 1;
        findings.requests += entries.len();
        findings.unknown += entries.iter().filter(|it| it.answer.is_none()).count();
        if !linearizable(entries) {
            findings.broken.push(key.clone());
        }
    }
    findings
}

/// Whether some order of the requests, each between its begin and its end, explains every answer.
///
/// A request without an answer counts from its begin on, however late, or never.
#[must_use]
pub fn linearizable(entries: &[Entry]) -> bool {
    let mut entries = alike(entries);
    entries.sort_by_key(|entry| entry.asked_ns);
    let start = (Placed::of(entries.len()), Register::default());
    let mut tried = HashSet::new();
    let mut open = vec![start];
    while let Some((placed, register)) = open.pop() {
        let waiting = || (0..).zip(&entries).filter(|(index, _)| !placed.has(*index));
        // Whoever is next had begun before any of those that wait was answered.
        let ends = waiting().filter_map(|(_, entry)| entry.answer.map(|(at, _)| at));
        let Some(end) = ends.min() else {
            return true;
        };
        let mut next = Vec::new();
        let mut unanswered = Vec::new();
        for (index, entry) in waiting().take_while(|(_, entry)| entry.asked_ns <= end) {
            let mut after = register;
            let ret = after.invoke(entry.op);
            match entry.answer {
                Some((_, answer)) if answer != ret => continue,
                // What changes nothing, wherever it stands, forbids nothing: it has its place at once.
                Some((_, answer)) if answer != Ret::Done => {
                    next = vec![(index, after)];
                    break;
                }
                Some(_) => {}
                // That it did nothing, or that its twin which began earlier did it, is the same.
                None if after == register || unanswered.contains(&entry.op) => continue,
                None => unanswered.push(entry.op),
            }
            next.push((index, after));
        }
        for (index, after) in next {
            let state = (placed.with(index), after);
            if tried.insert(state.clone()) {
                open.push(state);
            }
        }
    }
    false
}

/// Which requests have their place in the order already, a bit each.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Placed(Vec<u64>);

impl Placed {
    fn of(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)])
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn with(&self, index: usize) -> Self {
        let mut bits = self.0.clone();
        bits[index / 64] |= 1 << (index % 64);
        Self(bits)
    }
}

/// The requests that say anything; those that were not answered and whose value no other request names are made
/// alike, for it does not matter which of them is tried.
fn alike(entries: &[Entry]) -> Vec<Entry> {
    let named: BTreeSet<Value> = entries.iter().filter_map(names).collect();
    let told = |entry: &&Entry| entry.answer.is_some() || entry.op.writes();
    let same = |entry: &Entry| {
        let unseen = |value| {
            if named.contains(&value) {
                value
            } else {
                UNSEEN
            }
        };
        let op = match (entry.answer, entry.op) {
            (None, Op::Put(value)) => Op::Put(unseen(value)),
            (None, Op::Create(value)) => Op::Create(unseen(value)),
            (None, Op::Swap(old, value)) => Op::Swap(old, unseen(value)),
            (_, op) => op,
        };
        Entry { op, ..*entry }
    };
    entries.iter().filter(told).map(same).collect()
}

/// The value of another request that this one names: it read it, or asked for it to be there.
fn names(entry: &Entry) -> Option<Value> {
    match (entry.op, entry.answer) {
        (Op::Swap(old, _), _) => Some(old),
        (_, Some((_, Ret::Value(value)))) => value,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
    use std::collections::BTreeMap;

    impl SequentialSpec for Register {
        type Op = Op;
        type Ret = Ret;

        fn invoke(&mut self, op: &Op) -> Ret {
            Register::invoke(self, *op)
        }
    }

    /// The same question to stateright's tester, which remembers nothing of what it tried.
    fn stateright(entries: &[Entry]) -> bool {
        let mut moments: BTreeMap<(u64, u8, usize), &Entry> = BTreeMap::new();
        for (index, entry) in entries.iter().enumerate() {
            // At one and the same moment begins come before ends: that forbids less.
            moments.insert((entry.asked_ns, 0, index), entry);
            if let Some((at, _)) = entry.answer {
                moments.insert((at, 1, index), entry);
            }
        }
        let mut tester = LinearizabilityTester::new(Register::default());
        for ((_, ends, _), entry) in moments {
            match (ends, entry.answer) {
                (1, Some((_, ret))) => tester.on_return(entry.process, ret).map(drop),
                _ => tester.on_invoke(entry.process, entry.op).map(drop),
            }
            .unwrap();
        }
        tester.is_consistent()
    }

    /// What clients at a register see that answers as it should, or now and then with a lie.
    fn drawn(seed: u64, count: u64, clients: u64, lies: bool) -> Vec<Entry> {
        let mut dice = Dice::of(seed, count);
        let mut register = Register::default();
        let mut free = vec![0; usize::try_from(clients).unwrap()];
        let mut at = 0;
        let mut entries = Vec::new();
        for number in 0..count {
            let client = dice.below(clients);
            let index = usize::try_from(client).unwrap();
            // Each is carried out later than the one before, and asked at any time since its client is free.
            at = (at + 10).max(free[index] + 1);
            let asked_ns = (free[index] + 1).max(at - dice.below(40).min(at));
            let (old, new) = (register.0.unwrap_or(number), number + 100);
            let op = match dice.below(6) {
                0 => Op::Put(new),
                1 => Op::Create(new),
                2 => Op::Swap(old, new),
                3 => Op::Delete,
                4 => Op::List,
                _ => Op::Get,
            };
            let carried_out = dice.below(8) > 0;
            let mut ret = carried_out.then(|| register.invoke(op));
            if lies && dice.below(12) == 0 {
                ret = Some(Register(Some(100 + dice.below(count))).invoke(op));
            }
            let answered = dice.below(4) > 0;
            let ends = at + dice.below(40);
            free[index] = ends;
            entries.push(Entry {
                // One that was not answered never asks again.
                process: if answered && ret.is_some() {
                    client
                } else {
                    1000 + number
                },
                node: 0,
                op,
                asked_ns,
                answer: ret.filter(|_| answered).map(|ret| (ends, ret)),
            });
        }
        entries
    }

    #[test]
    fn what_happened_is_linearizable_however_little_was_answered() {
        for seed in 0..50 {
            assert!(linearizable(&drawn(seed, 60, 6, false)), "seed {seed}");
        }
    }

    #[test]
    fn both_judges_say_the_same() {
        let mut broken = 0;
        for seed in 0..2000 {
            let entries = drawn(seed, 9, 3, true);
            let holds = linearizable(&entries);
            assert_eq!(holds, stateright(&entries), "seed {seed}: {entries:?}");
            broken += u32::from(!holds);
        }
        assert!((200..1800).contains(&broken), "{broken} are broken");
    }

    #[test]
    fn a_broken_key_of_a_bad_minute_is_found_in_time() {
        // Half of the writes of six clients were not answered, and at the end something else is there.
        let mut lines = Vec::new();
        for number in 0..60_u64 {
            let op = match number % 3 {
                0 => Op::Put(number + 1),
                1 => Op::Create(number + 1),
                _ => Op::Delete,
            };
            let answer = (number % 3 == 0).then_some((number * 10 + 60, Ret::Done));
            lines.push((number, op, number * 10, answer));
        }
        lines.push((99, Op::Get, 2000, Some((2001, read(Some(9999))))));
        assert!(!linearizable(&history(&lines)));
    }

    /// Each line: process, request, begin, end and answer.
    #[allow(clippy::type_complexity)] // a table
    fn history(lines: &[(u64, Op, u64, Option<(u64, Ret)>)]) -> Vec<Entry> {
        let entry = |&(process, op, asked_ns, answer)| Entry {
            process,
            node: 0,
            op,
            asked_ns,
            answer,
        };
        lines.iter().map(entry).collect()
    }

    fn read(value: Option<Value>) -> Ret {
        Ret::Value(value)
    }

    #[test]
    fn a_register_that_behaves_is_linearizable() {
        assert!(linearizable(&history(&[
            (1, Op::Put(1), 0, Some((10, Ret::Done))),
            (2, Op::Get, 5, Some((8, read(None)))),
            (2, Op::Get, 9, Some((12, read(Some(1))))),
            (1, Op::Create(2), 20, Some((30, Ret::Refused))),
            (1, Op::Swap(1, 3), 31, Some((40, Ret::Done))),
            (2, Op::List, 41, Some((42, Ret::Listed(true)))),
            (2, Op::Delete, 43, Some((44, Ret::Done))),
            (1, Op::Get, 45, Some((46, read(None)))),
        ])));
    }

    #[test]
    fn an_acknowledged_write_that_is_gone_is_found() {
        // What a store does that acknowledges before it has written: the sabotage, in a doctored history.
        assert!(!linearizable(&history(&[
            (1, Op::Put(1), 0, Some((10, Ret::Done))),
            (2, Op::Get, 20, Some((30, read(None)))),
        ])));
        assert!(!linearizable(&history(&[
            (1, Op::Put(1), 0, Some((10, Ret::Done))),
            (1, Op::Put(2), 11, Some((20, Ret::Done))),
            (2, Op::Get, 21, Some((30, read(Some(1))))),
        ])));
    }

    #[test]
    fn stale_reads_lost_swaps_and_lying_lists_are_found() {
        let stale = history(&[
            (1, Op::Put(1), 0, Some((10, Ret::Done))),
            (1, Op::Put(2), 11, Some((30, Ret::Done))),
            (2, Op::Get, 12, Some((15, read(Some(2))))),
            (3, Op::Get, 16, Some((20, read(Some(1))))),
        ]);
        let two_winners = history(&[
            (1, Op::Create(1), 0, Some((10, Ret::Done))),
            (2, Op::Create(2), 0, Some((10, Ret::Done))),
        ]);
        let list = history(&[
            (1, Op::Put(1), 0, Some((10, Ret::Done))),
            (2, Op::List, 11, Some((12, Ret::Listed(false)))),
        ]);
        let never_written = history(&[(2, Op::Get, 11, Some((12, read(Some(9)))))]);
        for wrong in [stale, two_winners, list, never_written] {
            assert!(!linearizable(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_write_without_an_answer_may_count_late_or_never() {
        let with = |last| {
            history(&[
                (1, Op::Put(1), 0, Some((10, Ret::Done))),
                (2, Op::Put(2), 11, None),
                (3, Op::Get, 20, Some((30, read(Some(1))))),
                (3, Op::Get, 40, Some((50, last))),
            ])
        };
        assert!(linearizable(&with(read(Some(1)))));
        assert!(linearizable(&with(read(Some(2)))));
        assert!(!linearizable(&with(read(None))));
    }

    #[test]
    fn a_refusal_may_rest_on_a_write_that_nobody_saw() {
        assert!(linearizable(&history(&[
            (1, Op::Put(1), 0, None),
            (2, Op::Create(2), 10, Some((20, Ret::Refused))),
        ])));
    }

    #[test]
    fn many_unanswered_writes_are_judged_in_time() {
        // A bad minute: half of the writes unanswered. Must neither be called broken nor take for ever.
        let mut lines = Vec::new();
        for number in 0..40_u64 {
            let at = number * 10;
            lines.push((
                number,
                Op::Put(number),
                at,
                (number % 2 == 0).then_some((at + 5, Ret::Done)),
            ));
        }
        lines.push((99, Op::Get, 1000, Some((1001, read(Some(37))))));
        assert!(linearizable(&history(&lines)));
    }

    #[test]
    fn findings_name_the_broken_key() {
        let mut all = History::default();
        for entry in history(&[(1, Op::Put(1), 0, Some((10, Ret::Done)))]) {
            all.add("good", entry);
        }
        for entry in history(&[(1, Op::Get, 0, Some((10, read(Some(1)))))]) {
            all.add("bad", entry);
        }
        let findings = judge(&all);
        assert_eq!((findings.keys, findings.requests), (2, 2));
        assert_eq!(findings.broken, ["bad"]);
    }
}
