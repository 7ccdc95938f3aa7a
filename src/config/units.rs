//! Values with a unit: parsed from and printed to the same text.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A number of bytes, written `"1 MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Permission bits, written in octal: `"0660"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode(pub u32);

/// How many workers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerCount {
    /// The CPUs of the cgroup, at most 4 for Python apps.
    Auto,
    /// Exactly so many, at least one.
    Exactly(u16),
    /// As many as there is work for: from the first number, at least one, to the second.
    Between(u16, u16),
}

/// How many threads a worker has for its apps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// Native apps: the CPUs of the cgroup, divided among the workers. WSGI: one.
    Auto,
    /// Exactly so many, at least one.
    Exactly(u16),
}

/// Part of the workers: `"25%"` (rounded down, at least one) or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Hundredths of the worker count.
    Percent(u8),
    /// A number of workers, at least one.
    Count(u16),
}

/// An address to listen on: `HOST:PORT`, `[v6]:PORT`, `:PORT`, `unix:PATH`, `fd://N`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindAddress {
    /// A TCP port; the host may be a name or an address without brackets.
    Tcp {
        /// Name or address.
        host: String,
        /// Port; 0 lets the kernel choose one.
        port: u16,
    },
    /// A UNIX socket in the file system.
    Unix(PathBuf),
    /// A listening socket that was inherited open.
    Inherited(i32),
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Inherited(descriptor) => write!(f, "fd://{descriptor}"),
        }
    }
}

impl BindAddress {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return unix_path(path);
        }
        if let Some(descriptor) = text.strip_prefix("fd://") {
            return match descriptor.parse() {
                Ok(descriptor @ 0..) => Ok(Self::Inherited(descriptor)),
                _ => Err(format!("{descriptor:?} is no descriptor; write \"fd://3\"")),
            };
        }
        let text = text.strip_prefix("tcp://").unwrap_or(text);
        if text.contains("://") {
            return Err("an address has no scheme; write \"HOST:PORT\" or \"unix:PATH\"".into());
        }
        if text.contains('/') {
            return Err(format!("for a UNIX socket write \"unix:{text}\""));
        }
        tcp(text)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*unit);
        // Binary units stand before decimal ones, largest first in each.
        match SIZE_UNITS.iter().find(fits) {
            Some((name, unit)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl ByteSize {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text.trim());
        let number: u64 = number.parse().map_err(|_| "a size is a whole number and a unit".to_owned())?;
        let unit = unit.trim();
        if unit.is_empty() {
            return Err(format!(
                "the unit is missing: write \"{number} B\", \"{number} KiB\" or \"{number} MiB\""
            ));
        }
        let factor = SIZE_UNITS
            .iter()
            .chain(&[("B", 1)])
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, factor)| *factor)
            .ok_or_else(|| {
                format!("{unit:?} is no unit; the units are B, KiB, MiB, GiB, TiB, kB, MB, GB, TB")
            })?;
        number.checked_mul(factor).map(Self).ok_or_else(|| "the size is too large".into())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Mode {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix("0o").unwrap_or(text);
        match u32::from_str_radix(digits, 8) {
            Ok(bits @ 0..=0o7777) if !digits.starts_with('+') => Ok(Self(bits)),
            _ => Err("a mode is octal digits up to 7777".into()),
        }
    }
}

impl fmt::Display for WorkerCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Exactly(count) => count.fmt(f),
            Self::Between(least, most) => write!(f, "{least}:{most}"),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

/// Prints a duration in the largest unit that divides it: `"75s"`, `"2m"`.
pub(super) fn show_duration(duration: Duration) -> String {
    let whole = duration.as_millis();
    match DURATION_UNITS.iter().find(|(_, unit)| whole != 0 && whole.is_multiple_of(u128::from(*unit))) {
        Some((name, unit)) => format!("{}{name}", whole / u128::from(*unit)),
        None => "0s".into(),
    }
}

/// Parses `"30s"`, `"500ms"`, `"1m30s"`; at most ten years, so that deadlines cannot overflow.
/// A time, from numbers with their units: `30s`, `1m30s`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("a duration is a number and a unit: \"30s\"".into());
    }
    if rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "the unit is missing: write \"{rest}s\" for seconds, \"{rest}ms\" for milliseconds"
        ));
    }
    let (mut total, mut last) = (0_u64, u64::MAX);
    while !rest.is_empty() {
        let (number, tail) = number_and_unit(rest);
        let end = tail.find(|letter: char| letter.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let number: u64 = number.parse().map_err(|_| "a duration is whole numbers with units".to_owned())?;
        let factor = DURATION_UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .map(|(_, factor)| *factor)
            .ok_or_else(|| format!("{:?} is no unit; the units are ms, s, m, h, d", unit.trim()))?;
        if factor >= last {
            return Err("units go from large to small, each once: \"1m30s\"".into());
        }
        last = factor;
        let part = number.checked_mul(factor).and_then(|part| total.checked_add(part));
        total = part.filter(|sum| *sum <= LONGEST_MS).ok_or("a duration is at most ten years")?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

fn number_and_unit(text: &str) -> (&str, &str) {
    text.split_at(text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len()))
}

fn unix_path(path: &str) -> Result<BindAddress, String> {
    if path.is_empty() || path.contains('\0') {
        return Err("the path is missing: write \"unix:/run/ferricorn.sock\"".into());
    }
    // unix(7): sun_path holds 108 bytes with the final NUL.
    if path.len() > 107 {
        return Err(format!("the path of a UNIX socket has at most 107 bytes, this one has {}", path.len()));
    }
    Ok(BindAddress::Unix(path.into()))
}

fn tcp(text: &str) -> Result<BindAddress, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "write \":{text}\" for all addresses or \"127.0.0.1:{text}\" for this machine only"
        ));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, tail) = rest.split_once(']').ok_or("the closing bracket is missing")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| format!("{host:?} is no IPv6 address"))?;
            match tail.strip_prefix(':') {
                Some(port) => (host, port),
                None if tail.is_empty() => (host, DEFAULT_PORT),
                None => return Err("after the bracket comes \":PORT\"".into()),
            }
        }
        None => match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err("an IPv6 address stands in brackets: \"[::1]:8000\"".into());
            }
            Some(parts) => parts,
            None => (text, DEFAULT_PORT),
        },
    };
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let name_like = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host == "*" || !host.bytes().all(name_like) {
        return Err(format!("{host:?} is no host; for all addresses write \"0.0.0.0\" or \"[::]\""));
    }
    // u16's own parser takes a plus sign, which no address has.
    match port.parse() {
        Ok(port) if !text.ends_with(&format!("+{port}")) => Ok(BindAddress::Tcp { host: host.into(), port }),
        _ => Err(format!("{port:?} is no port; a port is a number up to 65535")),
    }
}

/// Gunicorn's: a host alone means this port.
const DEFAULT_PORT: &str = "8000";

const LONGEST_MS: u64 = 10 * 366 * 24 * 60 * 60 * 1000;

const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_units_and_combinations() {
        for (text, ms) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("1m30s", 90_000),
            ("1h 5m", 3_900_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn refused_durations_say_what_to_write() {
        for (text, part) in [
            ("30", "write \"30s\""),
            ("", "a number and a unit"),
            ("s", "whole numbers"),
            ("1.5s", "no unit"),
            ("-1s", "whole numbers"),
            ("30s1m", "large to small"),
            ("1s1s", "each once"),
            ("9999999999999999999d", "ten years"),
            ("99999999999999999999999d", "whole numbers"),
            ("4000d", "ten years"),
            ("3 weeks", "no unit"),
        ] {
            let message = parse_duration(text).unwrap_err();
            assert!(message.contains(part), "{text:?}: {message}");
        }
    }

    #[test]
    fn sizes_take_binary_and_decimal_units() {
        for (text, bytes) in [
            ("1 MiB", 1 << 20),
            ("32 KiB", 32 << 10),
            ("1 GiB", 1 << 30),
            ("10 MB", 10_000_000),
            ("512 B", 512),
            ("1mib", 1 << 20),
            ("0 B", 0),
        ] {
            assert_eq!(ByteSize::parse(text), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "1", "1 M", "MiB", "-1 B", "99999999 TiB", "1.5 MiB"] {
            assert!(ByteSize::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_read_as_operators_write_them() {
        let tcp = |host: &str, port| BindAddress::Tcp { host: host.into(), port };
        for (text, address) in [
            ("127.0.0.1:8000", tcp("127.0.0.1", 8000)),
            ("[::1]:8000", tcp("::1", 8000)),
            (":8000", tcp("0.0.0.0", 8000)),
            ("localhost", tcp("localhost", 8000)),
            ("tcp://web:80", tcp("web", 80)),
            ("unix:/run/x.sock", BindAddress::Unix("/run/x.sock".into())),
            ("unix:///run/x.sock", BindAddress::Unix("/run/x.sock".into())),
            ("unix:x.sock", BindAddress::Unix("x.sock".into())),
            ("fd://3", BindAddress::Inherited(3)),
        ] {
            assert_eq!(BindAddress::parse(text), Ok(address), "{text}");
        }
        for text in [
            "8000",
            "::1:8000",
            "http://x:1",
            "/run/x.sock",
            "a:b",
            "a:70000",
            "*:80",
            "unix:",
            "fd://x",
            "a:+1",
        ] {
            assert!(BindAddress::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_printed_parses_to_the_same_value() {
        // xorshift64 from a fixed seed: wide coverage, the same in every run.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..20_000 {
            let bits = next();
            let unit = SIZE_UNITS[usize::try_from(next() % 8).unwrap()].1;
            for bytes in [bits >> (next() % 64), (bits >> 50).saturating_mul(unit)] {
                assert_eq!(ByteSize::parse(&ByteSize(bytes).to_string()), Ok(ByteSize(bytes)));
            }
            let unit = DURATION_UNITS[usize::try_from(next() % 5).unwrap()].1;
            let duration = Duration::from_millis((bits % 3000) * unit);
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
            let mode = Mode(u32::try_from(bits % 0o10000).unwrap());
            assert_eq!(Mode::parse(&mode.to_string()), Ok(mode));
            let port = u16::try_from(bits % 65536).unwrap();
            let host = ["::", "fe80::1", "example.org", "10.0.0.1"][usize::try_from(next() % 4).unwrap()];
            let address = BindAddress::Tcp { host: host.into(), port };
            assert_eq!(BindAddress::parse(&address.to_string()), Ok(address));
        }
    }
}
