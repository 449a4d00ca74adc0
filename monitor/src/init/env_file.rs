//! `--env-file`: the format of `docker run --env-file`.

use std::ffi::OsString;
use std::path::Path;

/// A larger file is another one.
const FILE_MAX: u64 = 1024 * 1024;

/// Reads the file: `NAME=value` lines, nothing is quoted or expanded; `NAME` alone takes the value that we have.
pub(super) fn read(path: &Path) -> Result<Vec<(OsString, OsString)>, String> {
    let fail = |reason: String| format!("--env-file {}: {reason}", path.display());
    let length = std::fs::metadata(path)
        .map_err(|error| fail(error.to_string()))?
        .len();
    if length > FILE_MAX {
        return Err(fail(format!("{length} bytes are no list of variables")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    parse(&text, |name| std::env::var_os(name)).map_err(fail)
}

fn parse(
    text: &str,
    inherited: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<(OsString, OsString)>, String> {
    let mut variables = Vec::new();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = match line.split_once('=') {
            Some((name, value)) => (name, Some(value.into())),
            None => (line.trim_end(), inherited(line.trim_end())),
        };
        let wrong = name.is_empty() || name.contains(char::is_whitespace) || line.contains('\0');
        if wrong {
            return Err(format!("line {} is no NAME=value: {line:?}", index + 1));
        }
        variables.extend(value.map(|value| (name.into(), value)));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_values() {
        let text = "\u{feff}# comment\n\nA=1\n  B=two words # kept\nC=\nD==x\nHAVE\nMISS\r\n";
        let found = parse(text, |name| (name == "HAVE").then(|| "ours".into())).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words # kept"),
            ("C", ""),
            ("D", "=x"),
            ("HAVE", "ours"),
        ];
        let expected: Vec<(OsString, OsString)> = expected
            .map(|(name, value)| (name.into(), value.into()))
            .into();
        assert_eq!(found, expected);
        for bad in ["=x", "a b=c", "export A=1", "A=\0"] {
            assert!(parse(bad, |_| None).is_err(), "{bad:?}");
        }
    }
}
