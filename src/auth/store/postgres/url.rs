//! Where PostgreSQL is: a URL as libpq takes it, with libpq's rules for TLS.

use crate::auth::store::StoreError;
use crate::auth::tls;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error as TlsError, SignatureScheme};

/// Everything that a connection needs.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

impl Place {
    /// Reads a URL. `sslmode` is one of libpq's: up to `require` the server's certificate is not looked at,
    /// `verify-full` (and `verify-ca`, which is no less here) verifies it, by the file `sslrootcert` if there is one.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let unusable = |problem: String| StoreError::Unusable(problem);
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut verifies, mut authorities, mut rest) = (false, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", "verify-full" | "verify-ca")) => {
                    verifies = true;
                    rest.push("sslmode=require");
                }
                Some(("sslrootcert", file)) => {
                    verifies = true;
                    let file = percent_encoding::percent_decode_str(file).decode_utf8_lossy();
                    // libpq: whom the machine trusts.
                    authorities =
                        Some(PathBuf::from(file.as_ref())).filter(|file| file.as_os_str() != "system");
                }
                _ => rest.push(pair),
            }
        }
        let plain = format!("{base}?{}", rest.join("&"));
        let mut config: Config = plain.parse().map_err(|error: tokio_postgres::Error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            unusable(format!("{error}{cause}; see the URL"))
        })?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(ONE_HOST);
        }
        if config.get_application_name().is_none() {
            config.application_name("ferricorn");
        }
        let client = if verifies {
            tls::verifying_client(authorities.as_deref(), "sslrootcert")
                .map_err(unusable)?
                .with_no_client_auth()
        } else {
            unverified().map_err(unusable)?
        };
        Ok(Self { config, tls: MakeRustlsConnect::new(client) })
    }
}

fn unverified() -> Result<ClientConfig, String> {
    let verifier = Arc::new(Anybody(Arc::new(aws_lc_rs::default_provider())));
    Ok(tls::client()?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Whoever answers: against who listens, not against who stands in between. Debian's servers have certificates that they have
/// made themselves.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The password is in it.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

/// For one of the hosts that a URL may name.
const ONE_HOST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_postgres::config::SslMode;

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        for (url, mode) in [
            ("postgres://u:p@h/d", Some(SslMode::Prefer)),
            (
                "postgresql://u@h:5433,i/d?sslmode=disable&target_session_attrs=read-write",
                Some(SslMode::Disable),
            ),
            ("postgres://u@h/d?sslmode=require", Some(SslMode::Require)),
            ("postgres://u@h/d?sslmode=verify-full&sslrootcert=system", Some(SslMode::Require)),
            ("postgres:///d?host=/run/postgresql", Some(SslMode::Prefer)),
            ("postgres://u@h/d?sslmode=verify-full&sslrootcert=/none.pem", None),
            ("postgres://u@h/d?sslmode=sometimes", None),
            ("postgres://u@h/d?nonsense=1", None),
            ("postgres://u@h:port/d", None),
        ] {
            let place = Place::parse(url);
            assert_eq!(
                place.as_ref().ok().map(|place| place.config.get_ssl_mode()),
                mode,
                "{url}: {place:?}"
            );
        }
    }
}
