//! `--dry-run`: what would change, line by line.

/// Longer texts than this are shown as all old, all new: the table below is their product.
const LINES_MAX: usize = 2000;

/// The lines that go (`-`), come (`+`) and stay (` `).
#[must_use]
pub fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut text = String::new();
    let mut line = |sign: char, line: &str| {
        text.push(sign);
        text.push_str(line);
        text.push('\n');
    };
    if old.len() > LINES_MAX || new.len() > LINES_MAX {
        old.iter().for_each(|gone| line('-', gone));
        new.iter().for_each(|come| line('+', come));
        return text;
    }
    // Of the longest common subsequence: its length from each pair of places on.
    let width = new.len() + 1;
    let mut common = vec![0_u16; (old.len() + 1) * width];
    for (i, gone) in old.iter().enumerate().rev() {
        for (j, come) in new.iter().enumerate().rev() {
            common[i * width + j] = if gone == come {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (Some(gone), Some(come)) if gone == come => {
                line(' ', gone);
                i += 1;
                j += 1;
            }
            (Some(gone), come)
                if come.is_none() || common[(i + 1) * width + j] >= common[i * width + j + 1] =>
            {
                line('-', gone);
                i += 1;
            }
            (_, Some(come)) => {
                line('+', come);
                j += 1;
            }
            (_, None) => break,
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_come_and_stay() {
        assert_eq!(difference("", "a\nb\n"), "+a\n+b\n");
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), " a\n-b\n+x\n c\n");
        assert_eq!(difference("a\n", "a\n"), " a\n");
        assert_eq!(difference("a\n", ""), "-a\n");
    }
}
