//! TLS towards identity providers and stores: whom the machine trusts, and by which cryptography.

use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, crypto};

/// A client that uses the cryptography of the tokens.
pub(super) fn client() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, String> {
    ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())
}

/// A client that takes certificates of the authorities in `ca_file`, or of those that this machine trusts. `key` is
/// what the file is called in the configuration.
pub(super) fn verifying_client(
    ca_file: Option<&Path>,
    key: &str,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let broken = |error: &dyn std::fmt::Display| format!("{key} {}: {error}", file.display());
            let certificates = CertificateDer::pem_file_iter(file).map_err(|error| broken(&error))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| broken(&error))?;
                roots.add(certificate).map_err(|error| broken(&error))?;
            }
        }
        None => {
            // One that cannot be read is missing: the handshake then says so.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(format!("there are no certificate authorities; install ca-certificates, or name {key}"));
    }
    Ok(client()?.with_root_certificates(roots))
}

/// Has libraries that do not ask use that cryptography, too, where the program has not chosen another.
#[cfg(feature = "redis")]
pub(super) fn prepare() {
    if crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster.
        let _ = crypto::aws_lc_rs::default_provider().install_default();
    }
}
