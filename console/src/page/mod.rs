//! The pages as pure functions of what is known. Their regions are replaced live, one by one.

pub mod account;
pub mod alerts;
pub mod chaos;
pub mod head;
pub mod incidents;
pub mod member;
pub mod members;
pub mod plots;
pub mod ring;
pub mod storage;
pub mod verdict;

#[cfg(test)]
pub(crate) mod fixture;

use crate::assets::address;
use crate::snapshot::{Board, Known, Snapshot, sentence};
use crate::store::journal::Told;
use crate::store::people::{Line, Token};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::BTreeMap;

/// What a browser looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// Everything at a glance.
    Overview,
    /// The timeline of incidents.
    Incidents,
    /// The book of alerts.
    Alerts,
    /// The object store.
    Storage,
    /// The chaos monkey.
    Chaos,
    /// One member.
    Member(String),
    /// Nothing that changes.
    Still,
}

impl View {
    /// The view of that name, as the page's script sends it.
    #[must_use]
    pub fn parse(view: &str, member: Option<String>) -> Self {
        match (view, member) {
            ("incidents", _) => Self::Incidents,
            ("alerts", _) => Self::Alerts,
            ("storage", _) => Self::Storage,
            ("chaos", _) => Self::Chaos,
            ("member", Some(name)) => Self::Member(name),
            ("still", _) => Self::Still,
            _ => Self::Overview,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::Incidents => "incidents",
            Self::Alerts => "alerts",
            Self::Storage => "storage",
            Self::Chaos => "chaos",
            Self::Member(_) => "member",
            Self::Still => "still",
        }
    }

    /// Whether a region is on it.
    #[must_use]
    pub fn shows(&self, region: &str) -> bool {
        let own: &[&str] = match self {
            Self::Overview => &["verdict", "facts", "ring", "alerts", "incidents", "members"],
            Self::Incidents => &["timeline", "plots"],
            Self::Alerts => &["alertbook"],
            Self::Storage => &["storage"],
            Self::Chaos => &["chaos"],
            Self::Member(_) | Self::Still => &[],
        };
        ["freshness", "announce", "badge"].contains(&region) || own.contains(&region)
    }
}

/// Renders every region that all browsers share.
#[must_use]
pub fn regions(known: &Known, board: &Board) -> BTreeMap<&'static str, String> {
    let all = [
        ("verdict", verdict::verdict(known, board)),
        ("facts", head::facts(known, board)),
        ("ring", ring::ring(known, board)),
        ("alerts", alerts::short(board)),
        ("alertbook", alerts::book(board)),
        ("badge", alerts::badge(board)),
        ("incidents", incidents::short(board)),
        ("timeline", incidents::timeline(board)),
        ("plots", plots::plots(board)),
        ("members", members::members(known, board)),
        ("storage", storage::storage(known, board)),
        ("chaos", chaos::chaos(board)),
        ("announce", html! { (sentence(known)) }),
        ("freshness", head::freshness(known)),
    ];
    all.into_iter()
        .map(|(name, markup)| (name, markup.into_string()))
        .collect()
}

/// What surrounds every view.
pub struct Frame<'a> {
    /// The moment.
    pub snapshot: &'a Snapshot,
    /// Who is logged in, and the token that acts must quote.
    pub session: Option<(&'a str, &'a str)>,
}

impl Frame<'_> {
    fn region(&self, name: &str) -> PreEscaped<&str> {
        PreEscaped(
            self.snapshot
                .regions
                .get(name)
                .map_or("", |region| &region.html),
        )
    }

    fn wrap(&self, view: &View, title: &str, main: &Markup) -> Markup {
        const TABS: [(&str, &str, View); 5] = [
            ("/", "Overview", View::Overview),
            ("/incidents", "Incidents", View::Incidents),
            ("/alerts", "Alerts", View::Alerts),
            ("/storage", "Storage", View::Storage),
            ("/chaos", "Chaos", View::Chaos),
        ];
        let cluster = &self.snapshot.known.status.cluster;
        let member = match view {
            View::Member(name) => name.as_str(),
            _ => "",
        };
        html! {
            (DOCTYPE)
            html lang="en" data-seq=(self.snapshot.seq) data-view=(view.name()) data-member=(member)
                data-csrf=(self.session.map_or("", |(_, csrf)| csrf)) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="dark light";
                    title { (title) " · Planaria " (cluster) }
                    link rel="icon" href=(address("icon.svg")) type="image/svg+xml";
                    link rel="stylesheet" href=(address("app.css"));
                    script src=(address("theme.js")) {}
                    script src=(address("app.js")) defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        a.brand href="/" aria-label="Planaria, overview" { (head::logo()) span.wordmark { "Planaria" } span.cluster { (cluster) } }
                        nav aria-label="Views" { ul { @for (href, name, of) in &TABS {
                            li { a href=(href) aria-current=[(of == view).then_some("page")] { (name) @if *of == View::Alerts { " " span #badge { (self.region("badge")) } } } }
                        } } }
                        div.tools {
                            p #freshness .freshness { (self.region("freshness")) }
                            button #theme .quiet type="button" { "Light theme" }
                            @match self.session {
                                Some((who, _)) => a.button href="/account" { (who) },
                                None => a.button href="/account" { "Log in" },
                            }
                        }
                    }
                    p #announce .visually-hidden role="status" aria-live="polite" { (self.region("announce")) }
                    main #main tabindex="-1" { (main) }
                    footer { p {
                        "Planaria " (env!("CARGO_PKG_VERSION"))
                        " · " a href="/api/v1/status" { "status as JSON" }
                        " · " a href="/api/v1/openapi.json" { "API" }
                        " · " a href="/metrics" { "metrics" }
                    } }
                    (dialog())
                }
            }
        }
    }

    /// The page of a view whose parts are regions.
    #[must_use]
    pub fn view(&self, view: &View) -> Markup {
        let title = match view {
            View::Overview | View::Still => "Overview".to_owned(),
            View::Incidents => "Incidents".to_owned(),
            View::Alerts => "Alerts".to_owned(),
            View::Storage => "Storage".to_owned(),
            View::Chaos => "Chaos".to_owned(),
            View::Member(name) => name.clone(),
        };
        let main = match view {
            View::Overview | View::Still => self.overview(),
            View::Incidents => html! {
                h1.title { "Incidents" }
                section.panel aria-labelledby="plots-title" { h2 #plots-title { "How fast it is seen, and healed" } div #plots { (self.region("plots")) } }
                section.panel aria-labelledby="timeline-title" { h2 #timeline-title { "Timeline" } (incidents::filter()) div #timeline { (self.region("timeline")) } }
            },
            View::Alerts => {
                html! { h1.title { "Alerts" } div #alertbook { (self.region("alertbook")) } }
            }
            View::Storage => {
                html! { h1.title { "Storage" } div #storage { (self.region("storage")) } }
            }
            View::Chaos => {
                html! { h1.title { "Chaos" } div.chaos { div.side { (chaos::form(&self.snapshot.known)) } div #chaos .side { (self.region("chaos")) } } }
            }
            View::Member(name) => html! {
                p.crumbs { a href="/" { "Overview" } " / " (name) }
                h1.title { (name) }
                div #member { (member::panel(&self.snapshot.known, &self.snapshot.board, name)) }
            },
        };
        self.wrap(view, &title, &main)
    }

    fn overview(&self) -> Markup {
        html! {
            h1.visually-hidden { "Overview" }
            section #verdict .verdict aria-label="In short" { (self.region("verdict")) }
            section #facts .facts aria-label="Facts" { (self.region("facts")) }
            div.columns {
                section.panel.ring-panel aria-labelledby="ring-title" { h2 #ring-title { "Ring" } div #ring { (self.region("ring")) } }
                div.side {
                    section.panel aria-labelledby="alerts-title" { h2 #alerts-title { "Alerts" } div #alerts { (self.region("alerts")) } }
                    section.panel aria-labelledby="incidents-title" { h2 #incidents-title { "Incidents" } div #incidents { (self.region("incidents")) } }
                }
            }
            section.panel aria-labelledby="members-title" { h2 #members-title { "Members" } div #members { (self.region("members")) } }
        }
    }

    /// The page of one incident.
    #[must_use]
    pub fn incident(&self, told: &Told) -> Markup {
        let main = html! {
            p.crumbs { a href="/incidents" { "Incidents" } " / " (told.incident.id) }
            h1.title { (told.incident.name) }
            section.panel { (incidents::whole(told)) }
        };
        self.wrap(
            &View::Still,
            &format!("Incident of {}", told.incident.name),
            &main,
        )
    }

    /// Login, or what the one who is logged in may see.
    #[must_use]
    pub fn account(&self, tokens: &[Token], audit: &[Line]) -> Markup {
        self.wrap(
            &View::Still,
            "Account",
            &account::account(self.session, tokens, audit),
        )
    }

    /// What a browser gets for a path that is not there.
    #[must_use]
    pub fn lost(&self, path: &str) -> Markup {
        let main = html! {
            div.lost {
                h1 { "Nothing grows here" }
                p { "There is no page at " code { (path) } "." }
                p { a href="/" { "Back to the ring" } }
            }
        };
        self.wrap(&View::Still, "Not here", &main)
    }
}

/// What asks before anything is done; the script fills it with what the dry run says, and with the reason where
/// nothing is done.
fn dialog() -> Markup {
    html! {
        dialog #ask aria-labelledby="ask-title" {
            form method="dialog" {
                h2 #ask-title {}
                p #ask-text aria-live="polite" {}
                div #ask-refusal .refusal role="alert" hidden { p { strong #ask-refused {} } p #ask-why {} }
                p #ask-more .field hidden { label for="ask-input" {} input #ask-input type="text" maxlength="500" autocomplete="off"; }
                div.row {
                    button #ask-no .quiet value="no" { "Leave it" }
                    button #ask-again type="button" hidden { "Look again" }
                    button #ask-yes .primary type="button" { "Do it" }
                }
            }
        }
        div #toast role="status" aria-live="polite" {}
    }
}

/// A moment: UTC for those without a script, the reader's own zone with one, the exact one on hover.
#[must_use]
pub fn time(ms: u64) -> Markup {
    html! { time data-ms=(ms) title=(iso(ms)) { (clock(ms)) } }
}

/// `13:05:10 UTC`.
#[must_use]
pub fn clock(ms: u64) -> String {
    let seconds = ms / 1000 % 86_400;
    format!(
        "{:02}:{:02}:{:02} UTC",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// `2026-11-21T13:05:10.123Z`.
#[must_use]
pub fn iso(ms: u64) -> String {
    // Civil date from days since 1970 (Howard Hinnant's algorithm), for the years that matter here.
    let days = i64::try_from(ms / 86_400_000).unwrap_or(0) + 719_468;
    let era = days / 146_097;
    let day_of_era = days - era * 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let seconds = ms / 1000 % 86_400;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        ms % 1000
    )
}

/// `254 ms`, `1.43 s`, `2 min`, `3 h`.
#[must_use]
pub fn span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{:02} s", ms / 1000, ms % 1000 / 10),
        60_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

/// `12 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{} KiB", count / 1024),
        1_048_576..1_073_741_824 => format!("{} MiB", count / 1_048_576),
        _ => format!(
            "{}.{} GiB",
            count / 1_073_741_824,
            count % 1_073_741_824 * 10 / 1_073_741_824
        ),
    }
}

/// A button that asks before it acts: the script reads the address and the body from it.
#[must_use]
pub fn act(label: &str, about: &str, url: &str, body: &serde_json::Value) -> Markup {
    html! {
        button.act type="button" data-url=(url) data-body=(body.to_string()) aria-label=(format!("{label} {about}")) { (label) }
    }
}

/// A path segment as it may stand in an address.
#[must_use]
pub fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests;
