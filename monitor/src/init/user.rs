//! `--user name`, `uid`, `name:group`, `uid:gid`, as `docker run --user` reads them.

use std::path::Path;

/// Databases of users are small; a larger file is something else.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Whom the program runs as.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Where the image knows one: many programs write there.
    pub(super) home: Option<String>,
}

/// The numbers behind a user; the group is the user's own where none is named.
pub(super) fn find(text: &str) -> Result<User, String> {
    find_in(text, &read("/etc/passwd"), &read("/etc/group"))
}

fn read(path: &str) -> String {
    let small = std::fs::metadata(Path::new(path)).is_ok_and(|data| data.len() <= FILE_MAX);
    // An image without the file has only numbers for users.
    if small {
        std::fs::read_to_string(path).unwrap_or_default()
    } else {
        String::new()
    }
}

fn find_in(text: &str, passwd: &str, group: &str) -> Result<User, String> {
    let (user, named_group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let entry = line(passwd, user, 2);
    let (uid, own_group) = match (&entry, user.parse::<u32>()) {
        (Some(fields), _) => (number(fields, 2)?, number(fields, 3)?),
        // A number without an entry: the engine takes group 0 then; nothing less is safe to guess.
        (None, Ok(uid)) => (uid, uid),
        (None, Err(_)) => return Err(format!("--user: no user {user:?} in /etc/passwd")),
    };
    let gid = match named_group {
        None => own_group,
        Some(name) => match (line(group, name, 2), name.parse::<u32>()) {
            (Some(fields), _) => number(&fields, 2)?,
            (None, Ok(gid)) => gid,
            (None, Err(_)) => return Err(format!("--user: no group {name:?} in /etc/group")),
        },
    };
    let home = entry.as_ref().and_then(|fields| fields.get(5));
    let home = home.filter(|home| home.starts_with('/'));
    Ok(User {
        uid,
        gid,
        home: home.map(|home| (*home).to_owned()),
    })
}

/// The line whose name, or whose number in that field, is the key.
fn line<'a>(text: &'a str, key: &str, number_at: usize) -> Option<Vec<&'a str>> {
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| {
            fields.first() == Some(&key) || fields.get(number_at).is_some_and(|it| *it == key)
        })
}

fn number(fields: &[&str], at: usize) -> Result<u32, String> {
    fields
        .get(at)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("--user: a malformed line {:?}", fields.join(":")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:34::/var/www:/bin/false\nbad:x:y\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let find = |text| find_in(text, PASSWD, GROUP).map(|user| (user.uid, user.gid));
        assert_eq!(find("www-data"), Ok((33, 34)));
        assert_eq!(find("33"), Ok((33, 34)));
        assert_eq!(find("33:adm"), Ok((33, 4)));
        assert_eq!(find("1000"), Ok((1000, 1000)));
        assert_eq!(find("1000:2000"), Ok((1000, 2000)));
        for wrong in ["nobody", "root:nogroup", "bad", "", ":"] {
            assert!(find(wrong).is_err(), "{wrong:?}");
        }
        let home = find_in("root", PASSWD, GROUP).unwrap().home;
        assert_eq!(home.as_deref(), Some("/root"));
        assert_eq!(find_in("1000", PASSWD, GROUP).unwrap().home, None);
    }
}
