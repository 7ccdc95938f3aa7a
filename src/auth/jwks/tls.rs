//! TLS towards identity providers: certificates are always verified.

use crate::auth::tls::verifying_client;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

/// A connection to `host`, whose certificate comes from one of the authorities of `ca_file`, or from one that this
/// machine trusts.
pub(super) async fn connect(
    stream: TcpStream,
    host: &str,
    ca_file: Option<&Path>,
) -> Result<TlsStream<TcpStream>, String> {
    let config = verifying_client(ca_file, "jwks.ca_file")?.with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| error.to_string())
}
