//! Asks a container from outside, through its address on a network that this healer shares with it.

use super::Calls;
use super::calls::within;
use planaria_core::engine::{EngineError, EngineReply, OutsideProbe};
use planaria_core::id::ContainerId;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// `HTTP/1.1 200`: more of an answer is not read.
const HEAD: usize = 12;
/// The engine's way of saying that a network mode has no address of its own.
const HOST_MODE: &str = "host";

impl Calls {
    /// `Probed(None)`: it answers. An error says nothing about the container.
    pub(super) async fn probe(
        &self,
        id: &ContainerId,
        probe: &OutsideProbe,
        timeout: Duration,
    ) -> Result<EngineReply, EngineError> {
        let addresses = self.reachable(id).await?;
        let asking = ask_any(&addresses, probe);
        let found = match tokio::time::timeout(timeout, asking).await {
            Ok(found) => found,
            Err(_) => Some(format!("no answer within {:.1} s", timeout.as_secs_f64())),
        };
        Ok(EngineReply::Probed(found))
    }

    /// Its addresses on networks that this healer is on as well; on the host itself, all of them.
    async fn reachable(&self, id: &ContainerId) -> Result<Vec<IpAddr>, EngineError> {
        let mut networks = self.addresses(id).await?;
        if let Some(own) = crate::identity::container() {
            let here = self.addresses(&own).await?;
            networks.retain(|name, _| here.contains_key(name));
        }
        let found: Vec<IpAddr> = networks.into_values().collect();
        if found.is_empty() {
            return Err(EngineError::Refused {
                status: 501,
                message: "planaria.probe: this healer shares no network with the container".into(),
            });
        }
        Ok(found)
    }

    /// By network. One that shares another's network has that one's addresses.
    async fn addresses(&self, id: &ContainerId) -> Result<HashMap<String, IpAddr>, EngineError> {
        let mut found = within(self.docker().inspect_container(id.as_str(), None)).await?;
        let mode = |found: &bollard::models::ContainerInspectResponse| {
            let host = found.host_config.as_ref();
            host.and_then(|host| host.network_mode.clone())
                .unwrap_or_default()
        };
        if let Some(owner) = mode(&found).strip_prefix("container:") {
            found = within(self.docker().inspect_container(owner, None)).await?;
        }
        if mode(&found) == HOST_MODE {
            let here = IpAddr::from([127, 0, 0, 1]);
            return Ok(HashMap::from([(HOST_MODE.to_owned(), here)]));
        }
        let networks = found
            .network_settings
            .and_then(|settings| settings.networks);
        Ok(networks
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, endpoint)| Some((name, endpoint.ip_address?.parse().ok()?)))
            .collect())
    }
}

/// One address that answers is enough; else why the last one did not.
async fn ask_any(addresses: &[IpAddr], probe: &OutsideProbe) -> Option<String> {
    let mut last = None;
    for address in addresses {
        match ask(*address, probe).await {
            Ok(()) => return None,
            Err(reason) => last = Some(reason),
        }
    }
    last
}

async fn ask(address: IpAddr, probe: &OutsideProbe) -> Result<(), String> {
    let port = match probe {
        OutsideProbe::Tcp { port } | OutsideProbe::Http { port, .. } => *port,
    };
    let connecting = TcpStream::connect(SocketAddr::new(address, port));
    let mut stream = connecting
        .await
        .map_err(|error| format!("port {port}: {error}"))?;
    let OutsideProbe::Http { path, .. } = probe else {
        return Ok(());
    };
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nUser-Agent: planaria\r\n\r\n");
    let mut head = [0; HEAD];
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_exact(&mut head).await
    };
    exchange
        .await
        .map_err(|error| format!("port {port}: {error}"))?;
    let status = std::str::from_utf8(&head)
        .ok()
        .filter(|head| head.starts_with("HTTP/1."))
        .and_then(|head| head.get(9..)?.parse::<u16>().ok())
        .ok_or_else(|| format!("port {port} does not speak HTTP"))?;
    if (200..400).contains(&status) {
        return Ok(());
    }
    Err(format!("port {port} answers {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Answers each connection so, and nothing more.
    async fn serve(answer: &'static [u8]) -> u16 {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 256];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer).await;
            }
        });
        port
    }

    async fn http(answer: &'static [u8]) -> Result<(), String> {
        let port = serve(answer).await;
        let path = "/health".to_owned();
        ask(HERE, &OutsideProbe::Http { port, path }).await
    }

    #[tokio::test]
    async fn only_a_good_status_is_an_answer() {
        assert_eq!(http(b"HTTP/1.1 204 No\r\n\r\n").await, Ok(()));
        assert_eq!(http(b"HTTP/1.0 302 Found\r\n\r\n").await, Ok(()));
        let bad = http(b"HTTP/1.1 503 Sick\r\n\r\n").await.unwrap_err();
        assert!(bad.contains("answers 503"), "{bad}");
        let strange = http(b"SSH-2.0-OpenSSH_9.9\r\n").await.unwrap_err();
        assert!(strange.contains("does not speak HTTP"), "{strange}");
        assert!(http(b"").await.is_err());
        assert!(http(b"HTTP/1.1 \xff\xfe\xfd").await.is_err());
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_named() {
        let listener = TcpListener::bind((HERE, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(ask(HERE, &OutsideProbe::Tcp { port }).await, Ok(()));
        drop(listener);
        let error = ask_any(&[HERE], &OutsideProbe::Tcp { port }).await.unwrap();
        assert!(error.starts_with(&format!("port {port}: ")), "{error}");
    }
}
