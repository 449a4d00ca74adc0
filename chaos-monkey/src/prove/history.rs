//! What was asked of the store and what it answered, per key, with times; and the same as EDN.

use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The number of a value: in its low bits its length.
pub type Value = u64;
const LENGTH_BITS: u32 = 26;

/// Makes the number of a value: unique by `number`, and its length can be read off it.
#[must_use]
pub fn value(number: u64, length: u64) -> Value {
    number << LENGTH_BITS | length & ((1 << LENGTH_BITS) - 1)
}

/// How many bytes a value has.
#[must_use]
pub fn length(value: Value) -> usize {
    usize::try_from(value & ((1 << LENGTH_BITS) - 1)).unwrap_or(0)
}

/// The bytes of a value: they follow from its number, so that nothing has to be kept.
#[must_use]
pub fn content(value: Value) -> Vec<u8> {
    let length = length(value);
    let mut dice = crate::dice::Dice::of(value, 0);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.throw().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// What is asked about one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Write it, whatever is there.
    Put(Value),
    /// Write it where nothing is there.
    Create(Value),
    /// Write the second where the first is there.
    Swap(Value, Value),
    /// Read it.
    Get,
    /// Is it in the list?
    List,
    /// Remove it.
    Delete,
}

impl Op {
    /// It may change what is there.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List)
    }

    /// What it would write.
    #[must_use]
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Put(value) | Self::Create(value) | Self::Swap(_, value) => Some(value),
            Self::Get | Self::List | Self::Delete => None,
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ret {
    /// Acknowledged.
    Done,
    /// The condition did not hold.
    Refused,
    /// This is there.
    Value(Option<Value>),
    /// It is in the list, or not.
    Listed(bool),
}

/// One request and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Who asked; one that got no answer asks never again under this number.
    pub process: u64,
    /// Through which node (from 0).
    pub node: usize,
    /// What.
    pub op: Op,
    /// When, in nanoseconds from the start.
    pub asked_ns: u64,
    /// The answer and when it came; `None`: it may have been carried out, or will be, or never.
    pub answer: Option<(u64, Ret)>,
}

/// All requests, by key.
#[derive(Clone, Debug, Default, Serialize)]
pub struct History(pub BTreeMap<String, Vec<Entry>>);

impl History {
    /// Adds one.
    pub fn add(&mut self, key: &str, entry: Entry) {
        if let Some(entries) = self.0.get_mut(key) {
            entries.push(entry);
        } else {
            self.0.insert(key.to_owned(), vec![entry]);
        }
    }

    /// One operation a line, as Knossos and Elle read them: `{:index 0, :type :invoke, …}`, by time.
    #[must_use]
    pub fn edn(&self) -> String {
        let mut lines: Vec<(u64, u8, String)> = Vec::new();
        for (key, entries) in &self.0 {
            for entry in entries {
                let (f, asked) = asked(entry.op);
                let tail = |time: u64| {
                    format!(
                        ":process {}, :time {time}, :node {}",
                        entry.process, entry.node
                    )
                };
                let line = |kind: &str, value: &str, time| {
                    format!(
                        ":type :{kind}, :f :{f}, :value [\"{key}\" {value}], {}",
                        tail(time)
                    )
                };
                lines.push((entry.asked_ns, 1, line("invoke", &asked, entry.asked_ns)));
                match entry.answer {
                    Some((at, ret)) => {
                        let (kind, value) = answered(ret, &asked);
                        lines.push((at, 0, line(kind, &value, at)));
                    }
                    None => lines.push((u64::MAX, 2, line("info", &asked, entry.asked_ns))),
                }
            }
        }
        lines.sort();
        let mut out = String::new();
        for (index, (_, _, line)) in lines.iter().enumerate() {
            let _ = writeln!(out, "{{:index {index}, {line}}}");
        }
        out
    }
}

fn asked(op: Op) -> (&'static str, String) {
    match op {
        Op::Put(value) => ("write", value.to_string()),
        Op::Create(value) => ("create", value.to_string()),
        Op::Swap(old, new) => ("cas", format!("[{old} {new}]")),
        Op::Get => ("read", "nil".to_owned()),
        Op::List => ("list", "nil".to_owned()),
        Op::Delete => ("delete", "nil".to_owned()),
    }
}

fn answered(ret: Ret, asked: &str) -> (&'static str, String) {
    match ret {
        Ret::Done => ("ok", asked.to_owned()),
        Ret::Refused => ("fail", asked.to_owned()),
        Ret::Value(None) => ("ok", "nil".to_owned()),
        Ret::Value(Some(value)) => ("ok", value.to_string()),
        Ret::Listed(is) => ("ok", is.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_length_and_its_bytes() {
        let one = value(7, 100_001);
        assert_eq!(length(one), 100_001);
        assert_eq!(content(one).len(), 100_001);
        assert_eq!(content(one), content(one));
        assert_ne!(content(one), content(value(8, 100_001)));
    }

    #[test]
    fn edn_has_a_line_for_each_begin_and_end_in_order() {
        let mut history = History::default();
        let entry = |process, op, asked_ns, answer| Entry {
            process,
            node: 0,
            op,
            asked_ns,
            answer,
        };
        history.add("k", entry(1, Op::Put(5), 10, Some((30, Ret::Done))));
        history.add("k", entry(2, Op::Get, 20, Some((40, Ret::Value(Some(5))))));
        history.add("k", entry(3, Op::Swap(5, 6), 50, None));
        let edn = history.edn();
        let lines: Vec<&str> = edn.lines().collect();
        assert_eq!(lines.len(), 6);
        assert_eq!(
            lines[0],
            "{:index 0, :type :invoke, :f :write, :value [\"k\" 5], :process 1, :time 10, :node 0}"
        );
        assert_eq!(
            lines[3],
            "{:index 3, :type :ok, :f :read, :value [\"k\" 5], :process 2, :time 40, :node 0}"
        );
        assert!(
            lines[5].contains(":type :info, :f :cas, :value [\"k\" [5 6]]"),
            "{edn}"
        );
    }
}
