//! What the broker lets each role say and hear, whatever the program in the container says.

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use planaria_e2e::docker::docker;
use planaria_e2e::patience::{SOON, always};
use planaria_e2e::stack::Stack;
use std::time::Duration;

const EXCHANGE: &str = "control_exchange";

/// As this role's containers reach the broker, but from this machine.
async fn connect(stack: &Stack, role: &str) -> Result<Connection> {
    let path = stack.root().join(format!(".secrets/{role}.env"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let url = text
        .trim()
        .strip_prefix("PLANARIA_AMQP_URLS=")
        .context("no address")?;
    let here = format!("127.0.0.1:{}", stack.settings().amqp_port);
    let url = url.replace("rabbitmq:5672", &here);
    Ok(Connection::connect(&url, ConnectionProperties::default()).await?)
}

/// Whether the broker takes a message under this key. A refusal closes the channel, so each has its own.
async fn may_write(connection: &Connection, key: &str, payload: &[u8]) -> Result<bool> {
    let channel = confirming(connection).await?;
    let publishing = channel
        .basic_publish(
            EXCHANGE.into(),
            key.into(),
            BasicPublishOptions::default(),
            payload,
            BasicProperties::default(),
        )
        .await?;
    Ok(publishing.await.is_ok() && channel.status().connected())
}

async fn confirming(connection: &Connection) -> Result<Channel> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}

/// Whether the broker lets it hear what is said under this key.
async fn may_hear(connection: &Connection, key: &str) -> Result<bool> {
    let channel = connection.create_channel().await?;
    let queue = format!("planaria.member.test-{}", std::process::id());
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.as_str().into(), options, FieldTable::default())
        .await?;
    let bound = channel
        .queue_bind(
            queue.as_str().into(),
            EXCHANGE.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await;
    Ok(bound.is_ok())
}

async fn may_consume(connection: &Connection, queue: &str) -> Result<bool> {
    let channel = connection.create_channel().await?;
    let consumer = channel
        .basic_consume(
            queue.into(),
            "".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await;
    Ok(consumer.is_ok())
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

#[test]
fn each_role_writes_and_hears_what_is_its_own_and_no_more() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    block_on(async {
        let member = connect(&stack, "member").await?;
        for (key, wanted) in [
            ("heartbeat.nobody", true),
            ("report.leave", true),
            ("report.last_words", true),
            ("report.incident", false),
            ("report.nobody", false),
            ("control.beat", false),
            ("control.coordinator", false),
            ("control.resign", false),
            ("election.x", false),
            ("request.heal", false),
            ("alert.quarantined", false),
            ("chaos.attack", false),
        ] {
            let may = may_write(&member, key, b"{}").await?;
            ensure!(may == wanted, "member may write {key}: {may}");
        }
        for (key, wanted) in [
            ("control.#", true),
            ("heartbeat.#", false),
            ("request.#", false),
            ("report.#", false),
            ("#", false),
        ] {
            let may = may_hear(&member, key).await?;
            ensure!(may == wanted, "member may hear {key}: {may}");
        }
        for queue in ["planaria.token", "planaria.journal"] {
            let may = may_consume(&member, queue).await?;
            ensure!(!may, "member may consume {queue}");
        }
        let operator = connect(&stack, "operator").await?;
        for (key, wanted) in [
            ("request.heal", true),
            ("chaos.attack", true),
            ("control.beat", false),
            ("election.x", false),
        ] {
            let may = may_write(&operator, key, b"{}").await?;
            ensure!(may == wanted, "operator may write {key}: {may}");
        }
        let may = may_consume(&operator, "planaria.token").await?;
        ensure!(!may, "operator may take the token");
        Ok(())
    })
}

#[test]
fn nonsense_on_the_exchange_and_closed_connections_restart_nobody() -> Result<()> {
    let stack = Stack::new()?;
    stack.settled()?;
    let events = stack.events()?;
    block_on(async {
        let member = connect(&stack, "member").await?;
        let recorded = a_real_message(&stack).await?;
        let worker = stack.name("worker-1");
        for key in [
            format!("heartbeat.{worker}"),
            "report.leave".to_owned(),
            "report.last_words".to_owned(),
        ] {
            for payload in [
                &b""[..],
                b"{",
                b"\xff\xfe\x00",
                &[b'['; 60_000],
                b"{\"v\":99}",
                &recorded,
            ] {
                ensure!(
                    may_write(&member, &key, payload).await?,
                    "{key} was refused"
                );
            }
        }
        Ok(())
    })?;
    // A channel's or a connection's end is no member's death.
    docker(&[
        "exec",
        &stack.name("rabbitmq"),
        "rabbitmqctl",
        "--quiet",
        "close_all_connections",
        "a test",
    ])?;
    stack.settled()?;
    always("nobody is touched", Duration::from_secs(8), || {
        let touched: Vec<String> = events
            .all()
            .into_iter()
            .filter(|event| matches!(event.action.as_str(), "die" | "start" | "kill"))
            .map(|event| format!("{} {}", event.action, event.container))
            .collect();
        ensure!(touched.is_empty(), "{touched:?}");
        Ok(())
    })?;
    stack.settled().map(drop)
}

/// A heartbeat that somebody sent, to be sent once more by somebody else.
async fn a_real_message(stack: &Stack) -> Result<Vec<u8>> {
    let healer = connect(stack, "healer").await?;
    let channel = healer.create_channel().await?;
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let queue = format!("planaria.member.listener-{}", std::process::id());
    let name = queue.as_str();
    channel
        .queue_declare(name.into(), options, FieldTable::default())
        .await?;
    let bind = QueueBindOptions::default();
    channel
        .queue_bind(
            name.into(),
            EXCHANGE.into(),
            "heartbeat.#".into(),
            bind,
            FieldTable::default(),
        )
        .await?;
    let consume = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let mut messages = channel
        .basic_consume(name.into(), "".into(), consume, FieldTable::default())
        .await?;
    let message = tokio::time::timeout(SOON, messages.next()).await?;
    Ok(message.context("the queue is gone")??.data)
}
