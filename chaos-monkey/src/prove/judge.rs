//! Is a history linearizable? Each key alone, by stateright's tester: registers compose.

use super::history::{Entry, History, Op, Ret, Value};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use std::collections::{BTreeMap, BTreeSet};

/// One object under one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Register(Option<Value>);

impl SequentialSpec for Register {
    type Op = Op;
    type Ret = Ret;

    fn invoke(&mut self, op: &Op) -> Ret {
        let (next, ret) = match *op {
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
#[must_use]
pub fn linearizable(entries: &[Entry]) -> bool {
    // A request that was not answered may have done nothing. So those that nobody ever saw are left out
    // first, for each doubles the work; only where that explains nothing do they count too.
    let seen: BTreeSet<Value> = entries.iter().filter_map(saw).collect();
    let plain: Vec<Entry> = entries
        .iter()
        .filter(|it| {
            it.answer.is_some() || it.op.value().is_some_and(|value| seen.contains(&value))
        })
        .copied()
        .collect();
    let relevant: Vec<Entry> = entries
        .iter()
        .filter(|it| it.answer.is_some() || it.op.writes())
        .copied()
        .collect();
    explained(&plain) || (plain.len() < relevant.len() && explained(&relevant))
}

/// The value that an answer shows to have been there.
fn saw(entry: &Entry) -> Option<Value> {
    match (entry.op, entry.answer) {
        (_, Some((_, Ret::Value(value)))) => value,
        (Op::Swap(old, _), Some((_, Ret::Done))) => Some(old),
        _ => None,
    }
}

fn explained(entries: &[Entry]) -> bool {
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
        let heard = match (ends, entry.answer) {
            (1, Some((_, ret))) => tester.on_return(entry.process, ret).map(drop),
            _ => tester.on_invoke(entry.process, entry.op).map(drop),
        };
        // Two requests of one process at once: the history itself is wrong.
        if heard.is_err() {
            return false;
        }
    }
    tester.is_consistent()
}

#[cfg(test)]
mod tests {
    use super::*;

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
