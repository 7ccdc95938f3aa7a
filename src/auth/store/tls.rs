//! TLS towards a store.

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Has TLS use the cryptography of the tokens, where the program has not chosen another.
pub(super) fn prepare() {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster.
        let _ = aws_lc_rs::default_provider().install_default();
    }
}
