//! The direct channel: signed datagrams between members, without the broker.

use crate::metrics::Metrics;
use crate::runtime::is_ours;
use planaria_core::codec::Codec;
use planaria_core::id::MemberName;
use planaria_core::input::Input;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// All datagrams are short; a longer one is none of ours.
const DATAGRAM_MAX: usize = 2048;
/// Addresses remembered; a group on one broker is far smaller.
const ADDRESSES_MAX: usize = 10_000;
/// Datagrams that wait to go out.
const QUEUE_MAX: usize = 256;
/// A name look-up that takes longer comes too late for a probe.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// Where members were heard from.
#[derive(Debug, Default)]
struct AddressBook(Mutex<HashMap<MemberName, SocketAddr>>);

impl AddressBook {
    fn lock(&self) -> MutexGuard<'_, HashMap<MemberName, SocketAddr>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, name: MemberName, address: SocketAddr) {
        let mut book = self.lock();
        if book.len() < ADDRESSES_MAX || book.contains_key(&name) {
            book.insert(name, address);
        }
    }

    fn find(&self, name: &MemberName) -> Option<SocketAddr> {
        self.lock().get(name).copied()
    }
}

/// The channel, as the loop sees it.
pub(crate) struct Direct {
    outbox: mpsc::Sender<(MemberName, Vec<u8>)>,
    metrics: Arc<Metrics>,
}

impl Direct {
    /// Binds the socket; where the port is taken, says so, and the group does without.
    pub(crate) fn start(
        address: SocketAddr,
        cluster: String,
        codec: Arc<Codec>,
        metrics: Arc<Metrics>,
        inputs: mpsc::Sender<Input>,
    ) -> Option<Self> {
        let bind = || {
            let socket = std::net::UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            UdpSocket::from_std(socket)
        };
        let socket = match bind() {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                tracing::warn!(
                    event = "direct_unavailable",
                    "UDP {address}: {error}; going on without the direct channel (DIRECT_ADDR)"
                );
                return None;
            }
        };
        let book = Arc::new(AddressBook::default());
        let (outbox, waiting) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(receive(
            Arc::clone(&socket),
            Arc::clone(&book),
            cluster,
            codec,
            Arc::clone(&metrics),
            inputs,
        ));
        tokio::spawn(send(
            socket,
            book,
            address.port(),
            waiting,
            Arc::clone(&metrics),
        ));
        Some(Self { outbox, metrics })
    }

    /// Sends without waiting; what does not fit is lost, as datagrams are.
    pub(crate) fn send(&self, to: MemberName, payload: Vec<u8>) {
        if payload.len() > DATAGRAM_MAX || self.outbox.try_send((to, payload)).is_err() {
            self.metrics.dropped("direct_send");
        }
    }
}

async fn receive(
    socket: Arc<UdpSocket>,
    book: Arc<AddressBook>,
    cluster: String,
    codec: Arc<Codec>,
    metrics: Arc<Metrics>,
    inputs: mpsc::Sender<Input>,
) {
    let mut buffer = [0; DATAGRAM_MAX];
    loop {
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // An ICMP answer to an earlier datagram; the next one may go well.
                tracing::debug!(event = "direct_receive_failed", "{error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        match codec.decode(&buffer[..length]) {
            Ok(envelope) if is_ours(&envelope, &cluster) => {
                book.learn(envelope.from.clone(), from);
                if inputs.send(Input::Direct(envelope)).await.is_err() {
                    return;
                }
            }
            // Never answered: who cannot sign learns nothing, not even that we are here.
            Ok(_) | Err(_) => metrics.dropped("direct_receive"),
        }
    }
}

async fn send(
    socket: Arc<UdpSocket>,
    book: Arc<AddressBook>,
    port: u16,
    mut waiting: mpsc::Receiver<(MemberName, Vec<u8>)>,
    metrics: Arc<Metrics>,
) {
    while let Some((to, payload)) = waiting.recv().await {
        let address = match book.find(&to) {
            Some(address) => Some(address),
            None => look_up(&to, port).await,
        };
        let sent = match address {
            Some(address) => socket.send_to(&payload, address).await.is_ok(),
            None => false,
        };
        if !sent {
            metrics.dropped("direct_send");
        }
    }
}

/// A container's name is its host name on the networks that it shares with us.
async fn look_up(name: &MemberName, port: u16) -> Option<SocketAddr> {
    let host = format!("{name}:{port}");
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, tokio::net::lookup_host(host)).await;
    found.ok()?.ok()?.find(SocketAddr::is_ipv4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use planaria_core::codec::{Key, Keys};
    use planaria_core::id::BootId;
    use planaria_core::message::{Body, Envelope, KeyRole};

    fn codec(secret: &[u8]) -> Arc<Codec> {
        let key = Key::new(secret).unwrap();
        Arc::new(Codec::new(Keys::new().with(KeyRole::Member, key)))
    }

    fn probe(cluster: &str) -> Envelope {
        Envelope {
            cluster: cluster.to_owned(),
            from: MemberName::new("worker-1").unwrap(),
            boot: BootId(1),
            seq: 1,
            body: Body::Probe { nonce: 7 },
        }
    }

    #[tokio::test]
    async fn only_what_is_signed_and_ours_comes_in() {
        let good = codec(b"0123456789abcdef");
        let bad = codec(b"fedcba9876543210");
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let to = socket.local_addr().unwrap();
        let (inputs_in, mut inputs) = mpsc::channel(4);
        let book = Arc::new(AddressBook::default());
        tokio::spawn(receive(
            socket,
            Arc::clone(&book),
            "planaria".into(),
            Arc::clone(&good),
            Arc::new(Metrics::new()),
            inputs_in,
        ));
        let sender = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let hostile = [
            b"".to_vec(),
            vec![0xff; DATAGRAM_MAX],
            vec![b'['; 1500],
            bad.encode(&probe("planaria")).unwrap(),
            good.encode(&probe("another")).unwrap(),
        ];
        for datagram in hostile {
            sender.send_to(&datagram, to).await.unwrap();
        }
        let ours = probe("planaria");
        sender
            .send_to(&good.encode(&ours).unwrap(), to)
            .await
            .unwrap();
        assert_eq!(inputs.recv().await, Some(Input::Direct(ours.clone())));
        assert_eq!(book.find(&ours.from), Some(sender.local_addr().unwrap()));
    }
}
