//! Login; and for the one who is in: tokens, the audit, the way out.

use super::{act, time};
use crate::store::people::{Line, Token};
use maud::{Markup, html};
use serde_json::json;

pub(super) fn account(session: Option<(&str, &str)>, tokens: &[Token], audit: &[Line]) -> Markup {
    let Some((who, _)) = session else {
        return html! {
            section.panel.narrow aria-labelledby="login-title" {
                h1 #login-title { "Log in" }
                p.note { "Reading is open. Acting needs the password; " code { "make console-password" } " prints it." }
                form #login method="post" action="/account" {
                    input type="text" name="username" value="operator" autocomplete="username" hidden;
                    p.field { label for="password" { "Password" } input #password type="password" name="password" autocomplete="current-password" required maxlength="1024"; }
                    p #login-error .error role="alert" {}
                    button.primary type="submit" { "Log in" }
                }
            }
        };
    };
    html! {
        h1.title { "Account" }
        section.panel aria-labelledby="who-title" {
            h2 #who-title { "Session" }
            p { "You are " strong { (who) } ". The session ends by itself after 12 hours." }
            div.row { button #logout type="button" { "Log out" } }
        }
        section.panel aria-labelledby="tokens-title" {
            h2 #tokens-title { "Tokens for programs" }
            @if tokens.is_empty() { p.empty { "None is out." } } @else {
                ul.lines { @for token in tokens { li { strong { (token.name) } " since " (time(token.created_ms)) " "
                    (act("Remove", &format!("token {}", token.name), &format!("/api/v1/tokens/{}", super::segment(&token.name)), &json!({"method": "DELETE"}))) } } }
            }
            form #token .row {
                p.field { label for="token-name" { "Name" } input #token-name name="name" required maxlength="40" pattern="[A-Za-z0-9._\\-]+" autocomplete="off"; }
                button type="submit" { "Make a token" }
            }
            p #token-made .note role="status" {}
        }
        section.panel aria-labelledby="audit-title" {
            h2 #audit-title { "Audit" }
            @if audit.is_empty() { p.empty { "Nobody acted yet." } } @else {
                div.scroll tabindex="0" role="region" aria-label="Audit" { table {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "Act" } th scope="col" { "Target" } th scope="col" { "Outcome" } } }
                    tbody { @for line in audit { tr {
                        td { (time(line.at_ms)) } td { bdi { (line.who) } } td { (line.act) } td { bdi { (line.target) } }
                        td { @if line.accepted { span.chip.good { "done" } } @else { span.chip.warn { "refused" } } " " bdi { (line.text) } }
                    } } }
                } }
            }
        }
    }
}
