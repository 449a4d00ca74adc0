//! Text that Compose cuts into words, as a shell would.

/// The words of a command; none where a quote is not closed.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            special @ ('"' | '\\') => word.push(special),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            blank if blank.is_whitespace() => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_shells() {
        let cut = |text| split(text).unwrap();
        assert_eq!(
            cut("nginx -g 'daemon off;'"),
            ["nginx", "-g", "daemon off;"]
        );
        assert_eq!(
            cut(r#"sh -c "a \"b\" \$c" d\ e"#),
            ["sh", "-c", r#"a "b" \$c"#, "d e"]
        );
        assert_eq!(cut("a''b \"\" '' "), ["ab", "", ""]);
        assert_eq!(cut("  "), Vec::<String>::new());
        for open in ["'", "\"", "a 'b", "a\\"] {
            assert_eq!(split(open), None, "{open}");
        }
    }
}
