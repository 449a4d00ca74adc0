//! Who asks, and whether they may: the cookie with its CSRF token, or a bearer token.

use super::App;
use super::answer::{Problem, problem};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode};

/// The cookie's name.
pub(super) const COOKIE_NAME: &str = "planaria_session";
/// The header in which a page quotes its session's token.
pub(super) const CSRF: &str = "x-planaria-csrf";

/// Somebody who may act.
#[derive(Clone, Debug)]
pub(super) struct Actor {
    /// For the audit.
    pub(super) who: String,
    /// A person at a page, not a program.
    pub(super) person: bool,
}

/// The session cookie's value.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let line = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (kind, token) = line.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Who asks to act; a page must quote its CSRF token, and come from here.
pub(super) async fn actor(app: &App, headers: &HeaderMap) -> Result<Actor, Problem> {
    who(app, headers, true).await
}

/// Who asks to read what is not for everyone.
pub(super) async fn reader(app: &App, headers: &HeaderMap) -> Result<Actor, Problem> {
    who(app, headers, false).await
}

async fn who(app: &App, headers: &HeaderMap, acts: bool) -> Result<Actor, Problem> {
    let unauthorized = || {
        problem(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Acting needs a login: POST /api/v1/login, or a token in Authorization: Bearer. \
             make console-password prints the password.",
        )
    };
    if let Some(token) = bearer(headers) {
        let name = app.door.token(token).await?.ok_or_else(unauthorized)?;
        return Ok(Actor {
            who: format!("token {name}"),
            person: false,
        });
    }
    let session = match cookie(headers) {
        Some(cookie) => app.door.session(cookie).await?,
        None => None,
    };
    let session = session.ok_or_else(unauthorized)?;
    let quoted = headers
        .get(CSRF)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if acts && (!crate::access::same(quoted, &session.csrf) || !is_from_here(headers)) {
        return Err(problem(
            StatusCode::FORBIDDEN,
            "forbidden",
            "The session is good, but the page's own token is missing (X-Planaria-CSRF); load the page again.",
        ));
    }
    Ok(Actor {
        who: session.who,
        person: true,
    })
}

/// Browsers say where a page came from; programs need not.
pub(super) fn is_from_here(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let (Ok(origin), Some(Ok(host))) =
        (origin.to_str(), headers.get(HOST).map(|host| host.to_str()))
    else {
        return false;
    };
    origin
        .split_once("://")
        .is_some_and(|(_, from)| from.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let all = headers(&[("cookie", "a=b; planaria_session=abc; planaria_session_x=d")]);
        assert_eq!(cookie(&all), Some("abc"));
        assert_eq!(cookie(&headers(&[("cookie", "planaria_sessions=1")])), None);
    }

    #[test]
    fn another_sites_page_is_not_from_here() {
        assert!(is_from_here(&headers(&[("host", "localhost:8080")])));
        assert!(is_from_here(&headers(&[
            ("host", "localhost:8080"),
            ("origin", "http://localhost:8080")
        ])));
        assert!(!is_from_here(&headers(&[
            ("host", "localhost:8080"),
            ("origin", "http://evil.example")
        ])));
        assert!(!is_from_here(&headers(&[
            ("host", "localhost:8080"),
            ("origin", "null")
        ])));
    }
}
