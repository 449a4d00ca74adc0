//! The file format: `KEY = value` or `KEY: value` under `[sections]`, `#` and `;` comments.
//!
//! Sections are headings for people: a key means the same under any of them. Why this is our own parser is
//! in `docs/decisions/0001-configuration-parser.md` (line numbers).

/// One key with its value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) value: String,
}

/// A line that is none of section, comment, pair.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The longest name shown back in a message.
const SHOWN: usize = 40;

/// All pairs and all faults, in file order. Lines count from 1.
pub(super) fn parse(text: &str) -> (Vec<Entry>, Vec<Fault>) {
    let mut entries = Vec::new();
    let mut faults = Vec::new();
    for (index, raw) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = index + 1;
        match parse_line(raw.trim()) {
            Ok(Some((key, value))) => entries.push(Entry { line, key, value }),
            Ok(None) => {}
            Err(text) => faults.push(Fault { line, text }),
        }
    }
    (entries, faults)
}

fn parse_line(line: &str) -> Result<Option<(String, String)>, String> {
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(None);
    }
    if let Some(rest) = line.strip_prefix('[') {
        let Some((_, after)) = rest.split_once(']') else {
            return Err("the section's ']' is missing".to_owned());
        };
        let after = after.trim();
        if after.is_empty() || after.starts_with(['#', ';']) {
            return Ok(None);
        }
        return Err("something follows the section; put it on a line of its own".to_owned());
    }
    let shown: String = line.chars().take(SHOWN).collect();
    let Some((key, value)) = line.split_once(['=', ':']) else {
        return Err(format!("'{shown}' is neither a section nor KEY = value"));
    };
    let key = key.trim();
    if key.is_empty()
        || !key
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    {
        return Err(format!(
            "'{shown}' has no key before its sign; write KEY = value"
        ));
    }
    Ok(Some((key.to_owned(), unquote(value.trim())?)))
}

/// A quoted value is taken as it stands; otherwise a comment may follow after white space.
fn unquote(value: &str) -> Result<String, String> {
    if let Some(rest) = value.strip_prefix('"') {
        let Some((inner, after)) = rest.split_once('"') else {
            return Err("the closing quote is missing".to_owned());
        };
        let after = after.trim();
        if !after.is_empty() && !after.starts_with(['#', ';']) {
            return Err("something follows the closing quote; remove it".to_owned());
        }
        return Ok(inner.to_owned());
    }
    if value.starts_with(['#', ';']) {
        return Ok(String::new());
    }
    let mut after_space = false;
    for (index, letter) in value.char_indices() {
        if after_space && matches!(letter, '#' | ';') {
            return Ok(value[..index].trim_end().to_owned());
        }
        after_space = letter.is_whitespace();
    }
    Ok(value.to_owned())
}
