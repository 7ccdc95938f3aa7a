//! Which request is meant, and who has it.

use crate::contract::control::Command;
use crate::contract::inquiry::{Inquiry, Wish};
use crate::contract::scoreboard::Scoreboard;

/// The command for a wish about the request that the query names; the error is a status code and why not.
pub(super) fn command(
    wish: Wish,
    query: &str,
    scoreboard: &Scoreboard,
) -> Result<Command, (http::StatusCode, String)> {
    let Some(request) = request(query) else {
        let text = "say which request: ?id= and the id that `ferricorn ctl requests` shows";
        return Err((http::StatusCode::BAD_REQUEST, text.to_owned()));
    };
    let mut workers = scoreboard.indexed_records();
    let worker =
        workers.find(|(index, _)| scoreboard.in_flight(*index).iter().any(|entry| entry.id == request));
    match worker {
        Some((_, record)) => Ok(Command::Inquire { pid: record.pid(), inquiry: Inquiry { request, wish } }),
        None => {
            Err((http::StatusCode::NOT_FOUND, format!("no such request: {request:016x}; it may have ended")))
        }
    }
}

fn request(query: &str) -> Option<u64> {
    let digits = query.strip_prefix("id=").filter(|digits| (1..=16).contains(&digits.len()))?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_by_up_to_16_digits() {
        for (query, expected) in [
            ("id=00000000000000ff", Some(255)),
            ("id=FF", Some(255)),
            ("id=ffffffffffffffff", Some(u64::MAX)),
            ("id=", None),
            ("id=+1", None),
            ("id=00000000000000001", None),
            ("id=1&wait=no", None),
            ("", None),
        ] {
            assert_eq!(request(query), expected, "{query}");
        }
    }
}
