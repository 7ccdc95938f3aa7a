//! What a host may look like.

/// RFC 3986 3.2.2 and RFC 9110 7.2: `uri-host [ ":" port ]`, which may be empty.
pub(in crate::protocol) fn is_host(value: &[u8]) -> bool {
    let port = if value.first() == Some(&b'[') {
        let Some(end) = memchr::memchr(b']', value) else { return false };
        let inner = &value[1..end];
        let is_address =
            std::str::from_utf8(inner).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
        if !is_address {
            return false;
        }
        &value[end + 1..]
    } else {
        let Some(end) = reg_name_length(value) else { return false };
        &value[end..]
    };
    match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// RFC 3986: unreserved, sub-delims and "%" of a reg-name.
const OF_HOST: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=%";

/// As a table, since every request asks for each byte of its Host field.
const IS_OF_HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < OF_HOST.len() {
        table[OF_HOST[at] as usize] = true;
        at += 1;
    }
    table
};

/// How long the name at the start is, up to a colon or the end; `None` where it is none.
fn reg_name_length(value: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(&byte) = value.get(at).filter(|byte| **byte != b':') {
        if !IS_OF_HOST[usize::from(byte)] {
            return None;
        }
        at += 1;
        if byte == b'%' {
            value.get(at..at + 2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))?;
            at += 2;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_hosts() {
        for taken in
            ["", "a", "a:80", "a:", "127.0.0.1:8000", "[::1]:80", "a_b.example", "xn--80ak6aa92e.com"]
        {
            assert!(is_host(taken.as_bytes()), "{taken}");
        }
        for refused in
            ["a/b", "a b", "a?c", "u@a", "a:80:80", "a:x", "[::1", "[zz]", "a\u{e9}", "a%zz", "a,b/"]
        {
            assert!(!is_host(refused.as_bytes()), "{refused}");
        }
    }
}
