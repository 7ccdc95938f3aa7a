//! What a cell says of its series, and how a series is named.

use super::{CELLS, MetricError, MetricKind};

/// What a cell says of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) kind: MetricKind,
    /// Name and labels, as they are told.
    pub(super) key: String,
    pub(super) help: String,
}

impl Text {
    pub(super) fn new(kind: MetricKind, key: String, help: &str) -> Result<Self, MetricError> {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        if key.len() > KEY_MAX || help.len() > HELP_MAX {
            return Err(MetricError::TooLong);
        }
        Ok(Self { kind, key, help })
    }

    /// Kind and lengths; never [`FREE`] nor [`CLAIMED`].
    pub(super) fn head(&self) -> u64 {
        let kind = match self.kind {
            MetricKind::Counter => COUNTER,
            MetricKind::Gauge => GAUGE,
        };
        let length = |text: &str| u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
        let ([k0, k1], [h0, h1]) = (length(&self.key), length(&self.help));
        u64::from_le_bytes([kind, 0, k0, k1, h0, h1, 0, 0])
    }

    /// FNV-1a: the same in every process, and good enough for names.
    pub(super) fn hash(&self) -> usize {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = self.key.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        usize::try_from(hash % CELLS as u64).unwrap_or(0)
    }
}

/// `name{label="value"}`, in Prometheus's own spelling.
pub(super) fn key(name: &str, labels: &[(&str, &str)]) -> Result<String, MetricError> {
    let is_name = |text: &str, more: &[char]| {
        let fits = |character: char| {
            character.is_ascii_alphanumeric() || character == '_' || more.contains(&character)
        };
        text.chars().all(fits) && text.starts_with(|first: char| !first.is_ascii_digit())
    };
    if !is_name(name, &[':']) || name.starts_with("ferricorn_") {
        return Err(MetricError::Name(name.to_owned()));
    }
    let mut parts = Vec::with_capacity(labels.len());
    for (label, value) in labels {
        if !is_name(label, &[]) || label.starts_with("__") {
            return Err(MetricError::Name((*label).to_owned()));
        }
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        parts.push(format!("{label}=\"{value}\""));
    }
    parts.sort();
    Ok(if parts.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", parts.join(",")) })
}

/// Bytes of a name with its labels.
pub(super) const KEY_MAX: usize = 200;

/// Bytes of a help; those that are escaped count twice.
pub(super) const HELP_MAX: usize = 112;

/// Heads of cells without a text; see `Text::head` for the others.
pub(super) const FREE: u64 = 0;
pub(super) const CLAIMED: u64 = 1;
pub(super) const COUNTER: u8 = 2;
pub(super) const GAUGE: u8 = 3;
