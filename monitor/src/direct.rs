//! The direct channel: signed datagrams between members, without the broker.

use crate::clock;
use crate::metrics::Metrics;
use crate::runtime::{is_ours, spawn};
use planaria_core::codec::Codec;
use planaria_core::id::{BootId, MemberName};
use planaria_core::input::Input;
use planaria_core::message::Envelope;
use planaria_core::time::Instant;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{Semaphore, mpsc};

/// All datagrams are short; a longer one is none of ours.
const DATAGRAM_MAX: usize = 2048;
/// Addresses remembered; a group on one broker is far smaller.
const ADDRESSES_MAX: usize = 10_000;
/// Datagrams that wait to go out.
const QUEUE_MAX: usize = 256;
/// A name look-up that takes longer comes too late for a probe.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);

/// A container that was started anew may have another address; after so long its name is asked again.
const ADDRESS_TTL: Duration = Duration::from_secs(10);
/// Name look-ups under way; what comes on top is lost, as datagrams are.
const LOOKUPS_MAX: usize = 8;

/// Where a member was heard from.
#[derive(Clone, Copy, Debug)]
struct Entry {
    address: SocketAddr,
    boot: BootId,
    seq: u64,
    heard: Instant,
}

/// Where members were heard from.
#[derive(Debug, Default)]
struct AddressBook(Mutex<HashMap<MemberName, Entry>>);

impl AddressBook {
    fn lock(&self) -> MutexGuard<'_, HashMap<MemberName, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A recorded datagram, sent again from elsewhere, does not redirect anybody: only a newer one of
    /// that life counts.
    fn learn(&self, envelope: &Envelope, address: SocketAddr, now: Instant) {
        let mut book = self.lock();
        let entry = Entry {
            address,
            boot: envelope.boot,
            seq: envelope.seq,
            heard: now,
        };
        let room = book.len() < ADDRESSES_MAX;
        match book.get_mut(&envelope.from) {
            Some(known) if known.boot == entry.boot && known.seq >= entry.seq => {}
            Some(known) => *known = entry,
            None if room => {
                book.insert(envelope.from.clone(), entry);
            }
            None => {}
        }
    }

    fn find(&self, name: &MemberName) -> Option<Entry> {
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
        spawn(receive(
            Arc::clone(&socket),
            Arc::clone(&book),
            cluster,
            codec,
            Arc::clone(&metrics),
            inputs,
        ));
        spawn(send(
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
                book.learn(&envelope, from, clock::now());
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
    let lookups = Arc::new(Semaphore::new(LOOKUPS_MAX));
    while let Some((to, payload)) = waiting.recv().await {
        let known = book.find(&to);
        if let Some(entry) = known
            && clock::now().since(entry.heard) < ADDRESS_TTL
        {
            if socket.send_to(&payload, entry.address).await.is_err() {
                metrics.dropped("direct_send");
            }
            continue;
        }
        let Ok(place) = Arc::clone(&lookups).try_acquire_owned() else {
            metrics.dropped("direct_send");
            continue;
        };
        let (socket, metrics) = (Arc::clone(&socket), Arc::clone(&metrics));
        spawn(async move {
            let found = look_up(&to, port).await;
            let address = found.or_else(|| known.map(|entry| entry.address));
            let sent = match address {
                Some(address) => socket.send_to(&payload, address).await.is_ok(),
                None => false,
            };
            if !sent {
                metrics.dropped("direct_send");
            }
            drop(place);
        });
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
    use planaria_core::message::{Body, KeyRole};

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
        spawn(receive(
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
        let address = book.find(&ours.from).map(|entry| entry.address);
        assert_eq!(address, Some(sender.local_addr().unwrap()));
    }

    #[test]
    fn a_recorded_datagram_redirects_nobody() {
        let book = AddressBook::default();
        let (here, there) = ("10.0.0.1:9748", "10.0.0.2:9748");
        let (here, there) = (here.parse().unwrap(), there.parse().unwrap());
        let mut envelope = probe("planaria");
        envelope.seq = 5;
        book.learn(&envelope, here, Instant(1));
        book.learn(&envelope, there, Instant(2));
        assert_eq!(book.find(&envelope.from).unwrap().address, here);
        envelope.seq = 6;
        book.learn(&envelope, there, Instant(3));
        assert_eq!(book.find(&envelope.from).unwrap().address, there);
    }
}
