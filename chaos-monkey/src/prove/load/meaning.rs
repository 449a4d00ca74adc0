//! What an answer of the store means for the history.

use crate::prove::history::{self, Op, Ret, Value};
use crate::prove::s3::{Answer, Silence};

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::prove) enum Meaning {
    /// This.
    Answer(Ret),
    /// It did nothing.
    Nothing,
    /// It may have done it; what came instead of an answer.
    Unknown(String),
    /// The store should never say that.
    Wrong(String),
}

pub(in crate::prove) fn written(answer: &Result<Answer, Silence>, key: &str, op: Op) -> Meaning {
    match answer {
        Err(Silence::Unsent(_)) => Meaning::Nothing,
        Err(Silence::Unknown(why)) => Meaning::Unknown(why.clone()),
        Ok(answer) => match (answer.status, op) {
            (200 | 204, _) => Meaning::Answer(Ret::Done),
            (412, Op::Create(_) | Op::Swap(..)) | (404, Op::Swap(..)) => {
                Meaning::Answer(Ret::Refused)
            }
            // Another conditional write was under way: nothing was done.
            (409, Op::Create(_) | Op::Swap(..)) => Meaning::Nothing,
            (500..=599, _) => Meaning::Unknown(answer.text()),
            (status, _) => Meaning::Wrong(format!(
                "{key}: {op:?} answered {status} {}",
                String::from_utf8_lossy(&answer.body)
            )),
        },
    }
}

/// What a read shows, checked byte for byte.
pub(in crate::prove) fn read(
    answer: &Result<Answer, Silence>,
    key: &str,
    range: Option<(u64, u64)>,
) -> Meaning {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Silence::Unsent(why) | Silence::Unknown(why)) => return Meaning::Unknown(why.clone()),
    };
    match (answer.status, range, answer.value) {
        (404, ..) => Meaning::Answer(Ret::Value(None)),
        (500..=599, ..) => Meaning::Unknown(answer.text()),
        (200, None, Some(value)) if answer.body == history::content(value) => {
            Meaning::Answer(Ret::Value(Some(value)))
        }
        (206, Some((from, length)), Some(value)) if answer.body == piece(value, from, length) => {
            Meaning::Answer(Ret::Value(Some(value)))
        }
        (status, ..) => Meaning::Wrong(format!(
            "{key}: a read (range {range:?}) answered {status}, value {:?}, with {} bytes that are not its own",
            answer.value,
            answer.body.len()
        )),
    }
}

fn piece(value: Value, from: u64, length: u64) -> Vec<u8> {
    let skip = usize::try_from(from).unwrap_or(usize::MAX);
    let take = usize::try_from(length).unwrap_or(usize::MAX);
    history::content(value)
        .into_iter()
        .skip(skip)
        .take(take)
        .collect()
}

pub(in crate::prove) fn listed(answer: &Result<Answer, Silence>, key: &str) -> Meaning {
    match answer {
        Ok(answer) if answer.status == 200 => {
            let text = String::from_utf8_lossy(&answer.body);
            Meaning::Answer(Ret::Listed(text.contains(&format!("<Key>{key}</Key>"))))
        }
        Ok(answer) if answer.status < 500 => {
            Meaning::Wrong(format!("{key}: a list answered {}", answer.status))
        }
        Ok(answer) => Meaning::Unknown(answer.text()),
        Err(Silence::Unsent(why) | Silence::Unknown(why)) => Meaning::Unknown(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, value: Option<Value>, body: Vec<u8>) -> Result<Answer, Silence> {
        Ok(Answer {
            status,
            value,
            etag: None,
            body,
        })
    }

    #[test]
    fn reads_are_checked_byte_for_byte() {
        let value = history::value(3, 100);
        let mut bytes = history::content(value);
        let good = read(&answer(200, Some(value), bytes.clone()), "k", None);
        assert_eq!(good, Meaning::Answer(Ret::Value(Some(value))));
        let range = read(
            &answer(206, Some(value), bytes[10..15].to_vec()),
            "k",
            Some((10, 5)),
        );
        assert_eq!(range, Meaning::Answer(Ret::Value(Some(value))));
        bytes[99] ^= 1;
        for wrong in [
            answer(200, Some(value), bytes),
            answer(200, Some(value), Vec::new()),
            answer(200, None, Vec::new()),
            answer(403, None, Vec::new()),
        ] {
            assert!(
                matches!(read(&wrong, "k", None), Meaning::Wrong(_)),
                "{wrong:?}"
            );
        }
        assert_eq!(
            read(&answer(503, None, Vec::new()), "k", None),
            Meaning::Unknown("503 ".to_owned())
        );
        assert_eq!(
            read(&answer(404, None, Vec::new()), "k", None),
            Meaning::Answer(Ret::Value(None))
        );
    }

    #[test]
    fn only_what_cannot_have_been_done_counts_as_nothing() {
        let (put, create) = (Op::Put(1), Op::Create(1));
        assert_eq!(
            written(&Err(Silence::Unsent(String::new())), "k", put),
            Meaning::Nothing
        );
        assert_eq!(
            written(&Err(Silence::Unknown("cut off".to_owned())), "k", put),
            Meaning::Unknown("cut off".to_owned())
        );
        assert_eq!(
            written(&answer(503, None, Vec::new()), "k", put),
            Meaning::Unknown("503 ".to_owned())
        );
        assert_eq!(
            written(&answer(412, None, Vec::new()), "k", create),
            Meaning::Answer(Ret::Refused)
        );
        assert!(matches!(
            written(&answer(412, None, Vec::new()), "k", put),
            Meaning::Wrong(_)
        ));
    }
}
