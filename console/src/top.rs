//! `monitor top`: the group in a terminal. The same facts and words as the pages.
//!
//! It lives here and not in the monitor, whose program must stay small: `monitor top` starts it.

use crate::page::incidents::total;
use crate::page::span;
use crate::snapshot::{Light, word};
use clap::Args;
use planaria_core::codec::Codec;
use planaria_core::id::{BootId, MemberName, RequestId};
use planaria_core::message::{Body, Envelope, MemberView, Outcome, Verb};
use planaria_core::settings::Settings;
use planaria_core::status::{BrokerState, EngineState, Status};
use planaria_monitor::ask;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, TableState};
use ratatui::{Frame, Terminal};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often the group is asked.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// What was asked of the group is answered by then.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);
/// How long a hold from here lasts.
const HOLD_S: u64 = 1800;
/// Width of the picture where there is no terminal.
const WIDTH: u16 = 100;

const OK: u8 = 0;
const FAILED: u8 = 1;
const UNAVAILABLE: u8 = 69;

/// How it is shown.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Ask this monitor (host:port) instead of the one in this container.
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Print one picture and end; without a terminal that is what happens anyway.
    #[arg(long)]
    once: bool,
}

/// Shows it until `q`; the exit code.
#[must_use]
pub fn run(settings: &Settings, args: &TopArgs) -> u8 {
    let address = args
        .address
        .clone()
        .unwrap_or_else(|| format!("127.0.0.1:{}", settings.health_addr.port()));
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    else {
        return FAILED;
    };
    let fetch = || runtime.block_on(newest(&address, settings.health_addr.port()));
    let Some(first) = fetch() else {
        complain(&format!(
            "no monitor answers at {address}; is it running in this container (HEALTH_ADDR)?"
        ));
        return UNAVAILABLE;
    };
    let mut screen = Screen::new(
        first,
        std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    );
    if args.once || !std::io::stdout().is_terminal() {
        screen.colour = false;
        let text = picture(&mut screen);
        // Whoever reads it may hang up.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
        return OK;
    }
    let mut terminal = ratatui::init();
    let ended = watch(&mut terminal, &mut screen, fetch, |verb| {
        request(settings, &address, verb)
    });
    ratatui::restore();
    match ended {
        Ok(()) => OK,
        Err(error) => {
            complain(&error.to_string());
            FAILED
        }
    }
}

fn complain(text: &str) {
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("monitor: {text}\n"));
}

/// The leader's own words where they can be had: incidents are remembered by who acted.
async fn newest(address: &str, port: u16) -> Option<Status> {
    let own = ask::status(address).await.ok()?;
    let leader = own.leader.clone().filter(|leader| *leader != own.node);
    match leader {
        Some(leader) => Some(
            ask::status(&format!("{leader}:{port}"))
                .await
                .unwrap_or(own),
        ),
        None => Some(own),
    }
}

/// Signs a request and hands it to the monitor in this container.
fn request(settings: &Settings, address: &str, verb: Verb) -> String {
    let keys = match planaria_monitor::config::keys(settings) {
        Ok(keys) => keys,
        Err(error) => return error.to_string(),
    };
    let name = settings
        .container_name
        .clone()
        .unwrap_or_else(|| "console".to_owned());
    let Ok(from) = MemberName::new(name) else {
        return "this container has no usable name".to_owned();
    };
    let envelope = Envelope {
        cluster: settings.cluster_name.clone(),
        from,
        boot: BootId(rand::random()),
        seq: 1,
        body: Body::Request {
            id: RequestId(format!("{:016x}", rand::random::<u64>())),
            verb,
        },
    };
    let payload = match Codec::new(keys).encode(&envelope) {
        Ok(payload) => payload,
        Err(error) => return format!("{error}; ask a healer: docker exec healer-1 monitor --help"),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_WITHIN))
        .http_status_as_error(false)
        .build()
        .into();
    let answer = agent
        .post(format!("http://{address}/request"))
        .send(&payload[..])
        .and_then(|mut answer| answer.body_mut().read_to_string());
    match answer {
        Ok(text) => serde_json::from_str::<Outcome>(&text).map_or(text, |outcome| outcome.text),
        Err(error) => format!("no monitor answers at {address}: {error}"),
    }
}

/// What is shown.
struct Screen {
    status: Status,
    table: TableState,
    colour: bool,
    /// A question that waits for `y`.
    asking: Option<(String, Verb)>,
    said: String,
}

impl Screen {
    fn new(status: Status, colour: bool) -> Self {
        let mut screen = Self {
            status,
            table: TableState::default().with_selected(0),
            colour,
            asking: None,
            said: String::new(),
        };
        screen.sort();
        screen
    }

    fn sort(&mut self) {
        self.status
            .members
            .sort_by(|a, b| a.name.natural_cmp(&b.name));
    }

    fn chosen(&self) -> Option<&MemberView> {
        self.status.members.get(self.table.selected()?)
    }

    /// True to end.
    fn key(&mut self, code: KeyCode, done: &mut impl FnMut(Verb) -> String) -> bool {
        if let Some((_, verb)) = self.asking.take() {
            self.said = if code == KeyCode::Char('y') {
                done(verb)
            } else {
                "left alone".to_owned()
            };
            return false;
        }
        let name = self.chosen().map(|member| member.name.clone());
        let ask = |question: &str, make: fn(MemberName) -> Verb| {
            name.clone()
                .map(|name| (format!("{question} {name}? (y/n)"), make(name)))
        };
        match code {
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Down | KeyCode::Char('j') => self.table.select_next(),
            KeyCode::Up | KeyCode::Char('k') => self.table.select_previous(),
            KeyCode::Char('h') => self.asking = ask("Heal", |name| Verb::Heal { name }),
            KeyCode::Char('r') => {
                self.asking = ask("Release from quarantine", |name| Verb::Release { name });
            }
            KeyCode::Char('o') => {
                self.asking = ask("Hold for 30 min", |name| Verb::Hold {
                    names: vec![name],
                    for_s: HOLD_S,
                    reason: "asked for in monitor top".to_owned(),
                });
            }
            KeyCode::Char('e') => {
                self.asking = ask("End the hold on", |name| Verb::Resume { names: vec![name] });
            }
            KeyCode::Char('l') => {
                self.asking = Some(("Elect another leader? (y/n)".to_owned(), Verb::Elect));
            }
            _ => {}
        }
        false
    }

    fn style(&self, light: Light) -> Style {
        if !self.colour {
            return match light {
                Light::Bad | Light::Warn => Style::new().add_modifier(Modifier::BOLD),
                Light::Good | Light::Busy | Light::Off => Style::new(),
            };
        }
        Style::new().fg(match light {
            Light::Good => Color::Green,
            Light::Busy => Color::Cyan,
            Light::Warn => Color::Yellow,
            Light::Bad => Color::Red,
            Light::Off => Color::DarkGray,
        })
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let rows = u16::try_from(self.status.members.len())
            .unwrap_or(u16::MAX)
            .saturating_add(3);
        let [head, members, alerts, incidents, foot] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Max(rows),
            Constraint::Length(5),
            Constraint::Min(4),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(Paragraph::new(self.head()), head);
        let table = self.members();
        frame.render_stateful_widget(table, members, &mut self.table);
        frame.render_widget(
            Paragraph::new(self.alerts()).block(Block::bordered().title(" Alerts ")),
            alerts,
        );
        frame.render_widget(
            Paragraph::new(self.incidents()).block(Block::bordered().title(" Incidents ")),
            incidents,
        );
        let keys = "q end · j/k choose · h heal · o hold · e end hold · r release · l elect";
        let text = match &self.asking {
            Some((question, _)) => question.as_str(),
            None if self.said.is_empty() => keys,
            None => self.said.as_str(),
        };
        frame.render_widget(Paragraph::new(text.to_owned()), foot);
    }

    fn head(&self) -> Vec<Line<'static>> {
        let status = &self.status;
        let leader = status.leader.as_ref().map_or_else(
            || "nobody leads".to_owned(),
            |leader| format!("{leader} leads term {}", status.term),
        );
        let (broker, broker_light) = match status.broker {
            BrokerState::Connected => ("connected", Light::Good),
            BrokerState::Down => ("down", Light::Bad),
            BrokerState::None => ("none", Light::Off),
        };
        let (docker, docker_light) = match status.docker {
            EngineState::Connected => ("connected", Light::Good),
            EngineState::Down => ("down", Light::Bad),
            EngineState::None => ("none", Light::Off),
        };
        vec![
            Line::from(vec![
                Span::styled(
                    format!("Planaria {}", status.cluster),
                    Style::new().add_modifier(Modifier::BOLD),
                ),
                Span::raw(format!(" · {leader} · healing now {}", status.tickets)),
            ]),
            Line::from(vec![
                Span::raw("RabbitMQ "),
                Span::styled(broker, self.style(broker_light)),
                Span::raw(" · Docker "),
                Span::styled(docker, self.style(docker_light)),
                Span::raw(format!(" · seen by {}", status.node)),
            ]),
        ]
    }

    fn members(&self) -> Table<'static> {
        let rows: Vec<Row<'static>> = self
            .status
            .members
            .iter()
            .map(|member| {
                let heard = member
                    .last_heartbeat_ms
                    .map_or_else(|| "–".to_owned(), |ms| format!("{} ago", span(ms)));
                let mark = if self.status.leader.as_ref() == Some(&member.name) {
                    "*"
                } else {
                    " "
                };
                Row::new(vec![
                    Cell::from(format!("{mark}{}", member.name)),
                    Cell::from(word(member.state)).style(self.style(Light::of(member.state))),
                    Cell::from(heard),
                    Cell::from(member.restarts.to_string()),
                    Cell::from(clean(&member.why)),
                ])
            })
            .collect();
        let widths = [
            Constraint::Length(22),
            Constraint::Length(12),
            Constraint::Length(14),
            Constraint::Length(8),
            Constraint::Min(10),
        ];
        Table::new(rows, widths)
            .header(
                Row::new(["Name", "State", "Heard", "Restarts", "Why"])
                    .style(Style::new().add_modifier(Modifier::BOLD)),
            )
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
            .block(Block::bordered().title(" Members "))
    }

    fn alerts(&self) -> Vec<Line<'static>> {
        if self.status.alerts.is_empty() {
            return vec![Line::from("All quiet.")];
        }
        let alerts = self.status.alerts.iter();
        alerts
            .map(|alert| {
                Line::from(format!(
                    "{} {}",
                    crate::alerts::severity_word(alert.severity),
                    clean(&alert.text)
                ))
            })
            .collect()
    }

    fn incidents(&self) -> Vec<Line<'static>> {
        if self.status.incidents.is_empty() {
            return vec![Line::from("No incident yet.")];
        }
        let incidents = self.status.incidents.iter();
        incidents
            .map(|incident| {
                let reason = crate::page::incidents::reason(incident.reason);
                let outcome = crate::page::incidents::outcome(incident.outcome);
                Line::from(format!(
                    "{} {reason}, {outcome} after {} ({})",
                    clean(&incident.name),
                    span(total(incident)),
                    clean(&incident.evidence)
                ))
            })
            .collect()
    }
}

/// Nothing from outside may move the cursor.
fn clean(text: &str) -> String {
    text.chars()
        .filter(|letter| !letter.is_control())
        .take(300)
        .collect()
}

fn watch(
    terminal: &mut ratatui::DefaultTerminal,
    screen: &mut Screen,
    mut fetch: impl FnMut() -> Option<Status>,
    mut done: impl FnMut(Verb) -> String,
) -> std::io::Result<()> {
    let mut asked = Instant::now();
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        if event::poll(ASK_EVERY.saturating_sub(asked.elapsed()))?
            && let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let interrupted =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupted || screen.key(key.code, &mut done) {
                return Ok(());
            }
        }
        if asked.elapsed() >= ASK_EVERY {
            asked = Instant::now();
            match fetch() {
                Some(status) => {
                    screen.status = status;
                    screen.sort();
                }
                None => {
                    screen.said = "the monitor does not answer; what is shown is old".to_owned();
                }
            }
        }
    }
}

/// One picture as text.
fn picture(screen: &mut Screen) -> String {
    let height = u16::try_from(screen.status.members.len())
        .unwrap_or(200)
        .saturating_add(18)
        .min(250);
    let Ok(mut terminal) = Terminal::new(TestBackend::new(WIDTH, height)) else {
        return String::new();
    };
    if terminal.draw(|frame| screen.draw(frame)).is_err() {
        return String::new();
    }
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in 0..height {
        let line: String = (0..WIDTH)
            .filter_map(|column| buffer.cell((column, row)))
            .map(ratatui::buffer::Cell::symbol)
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::fixture;

    #[test]
    fn one_picture_has_members_leader_incidents_and_alerts() {
        let mut screen = Screen::new(fixture::known().status, false);
        screen.status.members[0].why = "\u{1b}[2Jevil".to_owned();
        let text = picture(&mut screen);
        for needle in [
            "healer-3 leads term 8",
            "*healer-3",
            "quarantined",
            "critical plain-2 died",
            "worker-1 was killed, healed",
            "q end",
        ] {
            assert!(text.contains(needle), "{needle}: {text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_key_asks_first_and_acts_on_yes_only() {
        let mut screen = Screen::new(fixture::known().status, true);
        let mut asked = Vec::new();
        let mut done = |verb: Verb| {
            asked.push(verb);
            "done".to_owned()
        };
        for code in ['j', 'h', 'n', 'h', 'y', 'l', 'y'] {
            assert!(!screen.key(KeyCode::Char(code), &mut done));
        }
        assert!(screen.key(KeyCode::Char('q'), &mut done));
        assert!(
            matches!(&asked[..], [Verb::Heal { .. }, Verb::Elect]),
            "{asked:?}"
        );
    }
}
