//! Laws about bytes from outside: each takes any bytes, and panics where the code around it breaks its word.
//!
//! `fuzz/` tries them on inputs that it makes up; `tests/corpus/fuzz/` keeps small inputs that show a form, or once broke a
//! law, and the tests try them on those. Each law stands beside the code that it is about, in a file `laws.rs`.

#[cfg(feature = "python")]
pub use crate::app::python::laws::{python_request, python_response};
#[cfg(feature = "jwt")]
pub use crate::auth::laws::{key_set, token_and_keys, token_header, token_payload};
#[cfg(feature = "jwt")]
pub use crate::middleware::policy_laws::path_under_rules;
pub use crate::protocol::forwarded::laws::forwarded;
#[cfg(feature = "cli")]
pub use crate::protocol::h1::laws::{chunked_content, request_head, response_head};
pub use crate::protocol::target_laws::target;
#[cfg(feature = "websocket")]
pub use crate::protocol::websocket::laws::{compression, frames};

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Tries a law on every input that is kept for it.
    fn replay(name: &str, law: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/fuzz").join(name);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            println!("{}", path.display());
            law(&bytes);
            count += 1;
        }
        assert!(count > 0, "{} is empty", folder.display());
    }

    #[test]
    #[cfg(feature = "cli")]
    fn kept_inputs_break_no_law_of_messages() {
        replay("request_head", request_head);
        replay("response_head", response_head);
        replay("chunked_content", chunked_content);
    }

    #[test]
    fn kept_inputs_break_no_law_of_targets_and_proxies() {
        replay("target", target);
        replay("forwarded", forwarded);
    }

    #[test]
    #[cfg(feature = "websocket")]
    fn kept_inputs_break_no_law_of_websocket() {
        replay("frames", frames);
        replay("compression", compression);
    }

    #[test]
    #[cfg(feature = "jwt")]
    fn kept_inputs_break_no_law_of_tokens() {
        replay("token_header", token_header);
        replay("token_payload", token_payload);
        replay("token_and_keys", token_and_keys);
        replay("key_set", key_set);
        replay("path_under_rules", path_under_rules);
    }
}
