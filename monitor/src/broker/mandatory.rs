//! Evidence by routing: what is addressed to a queue that is gone comes back at once.

use super::operations::timed;
use super::session::Ears;
use super::{BrokerError, short};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection};
use planaria_core::id::{BootId, MemberName};
use planaria_core::input::Input;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Questions that wait; one more is a question less, as if it had been lost on its way.
const WAITING_MAX: usize = 64;

/// A question to one life of a member; signed already.
pub(crate) struct Letter {
    pub(crate) to: MemberName,
    pub(crate) boot: BootId,
    pub(crate) payload: Vec<u8>,
}

/// A channel of its own, with confirms: one letter at a time, so that a return is that letter's.
pub(super) struct Mandatory {
    letters: mpsc::Sender<Letter>,
    task: JoinHandle<()>,
}

impl Mandatory {
    pub(super) async fn open(connection: &Connection, ears: Ears) -> Result<Self, BrokerError> {
        let channel = connection
            .create_channel()
            .await
            .map_err(BrokerError::failed("opening a channel"))?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(BrokerError::failed("asking for confirms"))?;
        let (letters, waiting) = mpsc::channel(WAITING_MAX);
        Ok(Self {
            letters,
            task: tokio::spawn(post(channel, waiting, ears)),
        })
    }

    /// False where it was not taken: the channel is gone, or too many wait.
    pub(super) fn send(&self, letter: Letter) -> bool {
        self.letters.try_send(letter).is_ok()
    }
}

impl Drop for Mandatory {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The queue that a member consumes for itself, in this life.
pub(super) fn queue_of(name: &MemberName, boot: BootId) -> String {
    format!("planaria.member.{name}.{boot}")
}

async fn post(channel: Channel, mut waiting: mpsc::Receiver<Letter>, ears: Ears) {
    while let Some(letter) = waiting.recv().await {
        let Letter { to, boot, payload } = letter;
        match deliver(&channel, &queue_of(&to, boot), &payload).await {
            Ok(true) => {}
            Ok(false) => ears.say(Input::Unroutable { member: to, boot }).await,
            Err(error) => {
                // No evidence; where the connection is what failed, the session notices by itself.
                tracing::debug!(event = "mandatory_failed", "{error}");
                if !channel.status().connected() {
                    return;
                }
            }
        }
    }
}

/// Whether there is such a queue.
async fn deliver(channel: &Channel, queue: &str, payload: &[u8]) -> Result<bool, BrokerError> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default()
        .with_app_id(short("planaria"))
        .with_content_type(short("application/json"));
    let publishing = async {
        channel
            .basic_publish(short(""), short(queue), options, payload, properties)
            .await
            .map_err(BrokerError::failed("asking by way of a queue"))?
            .await
            .map_err(BrokerError::failed("asking by way of a queue"))
    };
    let confirmation = timed("asking by way of a queue", publishing).await?;
    Ok(confirmation.take_message().is_none())
}
