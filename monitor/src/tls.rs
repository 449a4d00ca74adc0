//! TLS for the two things that need it: webhooks, and an engine behind `tcps://`.

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;

/// Where Linux systems and our image keep the authorities that everyone trusts.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Plain or TLS, as the address says.
pub(crate) type Connector = HttpsConnector<HttpConnector>;

/// The certificate files of a client that its engine asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'a> {
    pub(crate) ca: Option<&'a Path>,
    pub(crate) certificate: Option<&'a Path>,
    pub(crate) key: Option<&'a Path>,
}

fn build(config: ClientConfig, plain: HttpConnector) -> Connector {
    HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .wrap_connector(plain)
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Trusts the system's authorities; where there are none, every https:// fails and says so.
pub(crate) fn connector(plain: HttpConnector) -> Connector {
    let mut roots = RootCertStore::empty();
    let named = std::env::var_os("SSL_CERT_FILE").map(std::path::PathBuf::from);
    let usual = AUTHORITIES.iter().map(std::path::PathBuf::from);
    if let Some(path) = named.into_iter().chain(usual).find(|path| path.is_file()) {
        let read = CertificateDer::pem_file_iter(&path);
        roots.add_parsable_certificates(read.into_iter().flatten().flatten());
    }
    if roots.is_empty() {
        tracing::debug!(
            event = "no_authorities",
            "no certificates at {AUTHORITIES:?}"
        );
    }
    // The provider has both versions; the builder fails only without any.
    let versions =
        ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    match versions {
        Ok(builder) => build(
            builder.with_root_certificates(roots).with_no_client_auth(),
            plain,
        ),
        Err(error) => {
            tracing::error!(event = "tls_unusable", "{error}");
            let builder = ClientConfig::builder_with_protocol_versions(&[]);
            build(
                builder.with_root_certificates(roots).with_no_client_auth(),
                plain,
            )
        }
    }
}

/// Trusts one authority alone and shows a certificate where it has one.
///
/// # Errors
/// A file that cannot be read or holds something else, by its name.
pub(crate) fn engine(files: Files<'_>, plain: HttpConnector) -> Result<Connector, String> {
    let ca = files
        .ca
        .ok_or("TLS needs the engine's authority: set DOCKER_CA_FILE (or DOCKER_CERT_PATH)")?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca)? {
        roots
            .add(certificate)
            .map_err(|error| format!("{}: {error}", ca.display()))?;
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let config = match (files.certificate, files.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| format!("{}: {error}", key.display()))?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| format!("{}: {error}", certificate.display()))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err("DOCKER_CERT_FILE and DOCKER_KEY_FILE go together".to_owned()),
    };
    Ok(build(config, plain))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let wrong = |error: rustls::pki_types::pem::Error| format!("{}: {error}", path.display());
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(wrong)?
        .collect();
    let found = found.map_err(wrong)?;
    if found.is_empty() {
        return Err(format!("{}: holds no certificate", path.display()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("ca.pem");
        std::fs::write(&empty, "nothing").unwrap();
        let files = |ca| Files {
            ca,
            certificate: None,
            key: None,
        };
        let error = |files| engine(files, HttpConnector::new()).err().unwrap();
        assert!(error(files(None)).contains("DOCKER_CA_FILE"));
        assert!(error(files(Some(&empty))).contains("holds no certificate"));
        assert!(
            error(files(Some(Path::new("/nonexistent/ca.pem")))).contains("/nonexistent/ca.pem")
        );
    }
}
