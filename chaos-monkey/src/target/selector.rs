//! Which containers a text means: a name, `re2:PATTERN`, `label:KEY[=VALUE]`, or `group:ROLE`.

use super::Candidate;
use regex::Regex;
use std::fmt;
use std::str::FromStr;

/// The label by which the generated stack tells what a container is; a group for [`Selector::Group`].
pub const ROLE_LABEL: &str = "planaria.role";

/// Which containers are meant.
#[derive(Clone, Debug)]
pub enum Selector {
    /// The one with this name.
    Name(String),
    /// Those whose whole name matches. `re2:` as Pumba writes it; the dialect is that of RE2.
    Pattern(Regex),
    /// Those with this label, and with this value where one is given.
    Label(String, Option<String>),
    /// Those of this role (`planaria.role`), or of this Compose service.
    Group(String),
}

impl PartialEq for Selector {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}
impl Eq for Selector {}

/// A text means no containers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} names no containers: {why}; write a name, re2:PATTERN, label:KEY=VALUE or group:ROLE"
)]
pub struct NoSelector {
    text: String,
    why: String,
}

impl FromStr for Selector {
    type Err = NoSelector;

    fn from_str(text: &str) -> Result<Self, NoSelector> {
        let wrong = |why: &str| NoSelector {
            text: text.to_owned(),
            why: why.to_owned(),
        };
        let selector = if let Some(pattern) = text.strip_prefix("re2:") {
            // The whole name, else `worker-1` would mean `worker-10` too.
            let whole = format!("^(?:{pattern})$");
            Self::Pattern(Regex::new(&whole).map_err(|error| wrong(&error.to_string()))?)
        } else if let Some(label) = text.strip_prefix("label:") {
            match label.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(label.to_owned(), None),
            }
        } else if let Some(group) = text.strip_prefix("group:") {
            Self::Group(group.to_owned())
        } else {
            Self::Name(text.to_owned())
        };
        match &selector {
            Self::Name(name) | Self::Group(name) | Self::Label(name, _) if name.is_empty() => {
                Err(wrong("it is empty"))
            }
            _ => Ok(selector),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Pattern(pattern) => {
                let text = pattern.as_str();
                write!(
                    f,
                    "re2:{}",
                    text.strip_prefix("^(?:")
                        .and_then(|it| it.strip_suffix(")$"))
                        .unwrap_or(text)
                )
            }
            Self::Label(key, Some(value)) => write!(f, "label:{key}={value}"),
            Self::Label(key, None) => write!(f, "label:{key}"),
            Self::Group(group) => write!(f, "group:{group}"),
        }
    }
}

impl Selector {
    /// Whether it means this one.
    #[must_use]
    pub fn means(&self, candidate: &Candidate) -> bool {
        match self {
            Self::Name(name) => candidate.name == *name,
            Self::Pattern(pattern) => pattern.is_match(&candidate.name),
            Self::Label(key, value) => candidate
                .label(key)
                .is_some_and(|it| value.as_deref().is_none_or(|value| value == it)),
            Self::Group(group) => candidate.group() == Some(group),
        }
    }

    /// Whether it means this one by its own name, which is what infrastructure wants.
    #[must_use]
    pub fn names(&self, candidate: &Candidate) -> bool {
        matches!(self, Self::Name(name) if *name == candidate.name)
    }
}

/// Reads a list.
///
/// # Errors
/// The first that means nothing.
pub fn parse_all(texts: &[String]) -> Result<Vec<Selector>, NoSelector> {
    texts.iter().map(|text| text.parse()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::candidate;
    use super::*;

    fn means(text: &str, name: &str) -> bool {
        let mut it = candidate(name);
        it.labels.insert(ROLE_LABEL.to_owned(), "worker".to_owned());
        it.labels.insert("tier".to_owned(), "web".to_owned());
        text.parse::<Selector>().unwrap().means(&it)
    }

    #[test]
    fn each_way_of_meaning_a_container() {
        for (text, expected) in [
            ("worker-1", true),
            ("worker-10", false),
            ("re2:worker-[0-9]", true),
            ("re2:worker", false),
            ("re2:(?i)WORKER.*", true),
            ("label:tier", true),
            ("label:tier=web", true),
            ("label:tier=db", false),
            ("label:nothing", false),
            ("group:worker", true),
            ("group:storage", false),
        ] {
            assert_eq!(means(text, "worker-1"), expected, "{text}");
            assert_eq!(text.parse::<Selector>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for text in ["", "re2:(", "label:", "group:"] {
            let error = text.parse::<Selector>().unwrap_err().to_string();
            assert!(error.contains("write a name"), "{error}");
        }
    }
}
