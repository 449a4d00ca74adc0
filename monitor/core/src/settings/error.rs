//! What a person reads when settings are wrong.

use std::fmt;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    File { path: String, line: usize },
    Variable { name: String },
    Default,
}

/// One thing that is wrong, and its mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    place: Place,
    key: String,
    text: String,
}

impl Problem {
    pub(super) fn new(place: &Place, key: &str, text: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            key: key.to_owned(),
            text: text.into(),
        }
    }

    /// The key, empty where the line has none.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The line in the file, when it came from one.
    pub fn line(&self) -> Option<usize> {
        match &self.place {
            Place::File { line, .. } => Some(*line),
            Place::Variable { .. } | Place::Default => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { path, line } => write!(out, "{path}:{line}: ")?,
            Place::Variable { name } if *name == self.key || self.key.is_empty() => {
                return write!(out, "environment: {name} {}", self.text);
            }
            Place::Variable { name } => write!(out, "environment, {name}: ")?,
            Place::Default => {}
        }
        if self.key.is_empty() {
            write!(out, "{}", self.text)
        } else {
            write!(out, "{} {}", self.key, self.text)
        }
    }
}

/// All that is wrong; nothing was changed by the attempt. One line per problem when displayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsErrors(Vec<Problem>);

impl SettingsErrors {
    /// Puts them in the order in which a person walks through the file; what has no line follows.
    pub(super) fn new(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.line().unwrap_or(usize::MAX));
        Self(problems)
    }

    /// The problems, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            write!(out, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsErrors {}

/// The candidate most like `name`, if one is near enough to be what was meant.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_ascii_uppercase();
    // A third of the letters wrong is still a slip; more is another word.
    let limit = (name.len() / 3).clamp(1, 4);
    candidates
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(steps, _)| *steps <= limit)
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, candidate) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *candidate);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}
