//! What an entry says of its series, and how a series is named.

use super::kind::{Merge, MetricKind};
use super::table::{INDEX, Span, VALUES};
use super::{Definition, MetricError};
use std::sync::atomic::{AtomicU64, Ordering};

/// What an entry says of its series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) kind: MetricKind,
    /// Name and labels, as they are told.
    pub(super) key: String,
    pub(super) help: String,
}

impl Text {
    pub(super) fn new(definition: &Definition<'_>) -> Result<Self, MetricError> {
        let key = key(definition)?;
        let help = definition.help.replace('\\', "\\\\").replace('\n', "\\n");
        if key.len() > KEY_MAX || help.len() > HELP_MAX {
            return Err(MetricError::TooLong);
        }
        Ok(Self { kind: definition.kind, key, help })
    }

    /// Whether both are about the same.
    pub(super) fn is_series_of(&self, other: &Self) -> bool {
        self.key == other.key && self.kind == other.kind
    }

    /// Name and labels apart.
    pub(super) fn name_and_labels(&self) -> (&str, &str) {
        self.key.split_at(self.key.find('{').unwrap_or(self.key.len()))
    }

    /// FNV-1a: the same in every process, and good enough for names.
    pub(super) fn hash(&self) -> usize {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = self.key.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        usize::try_from(hash % INDEX as u64).unwrap_or(0)
    }

    /// Writes an entry. Whoever sees its first word sees all of it.
    pub(super) fn write(&self, words: &[AtomicU64], span: Span) {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let span = [number(span.start), number(span.count)].concat();
        let bytes = [&span, self.key.as_bytes(), self.help.as_bytes()].concat();
        for (word, chunk) in words[1..].iter().zip(bytes.chunks(WORD)) {
            let mut part = [0; WORD];
            part[..chunk.len()].copy_from_slice(chunk);
            word.store(u64::from_le_bytes(part), Ordering::Relaxed);
        }
        words[0].store(self.head(), Ordering::Release);
    }

    /// Kind and lengths; never 0.
    fn head(&self) -> u64 {
        let kind = KINDS.iter().zip(1..).find(|(kind, _)| **kind == self.kind).map_or(0, |(_, code)| code);
        let length = |text: &str| u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes();
        let ([k0, k1], [h0, h1]) = (length(&self.key), length(&self.help));
        u64::from_le_bytes([kind, 0, k0, k1, h0, h1, 0, 0])
    }
}

/// Kind and numbers of an entry; `None` for one that is not written, or not yet.
pub(super) fn shape(words: &[AtomicU64]) -> Option<(MetricKind, Span)> {
    head(words).map(|(kind, span, _)| (kind, span))
}

/// Reads an entry; `None` as for [`shape`].
pub(super) fn read(words: &[AtomicU64]) -> Option<(Text, Span)> {
    let (kind, span, (key, help)) = head(words)?;
    let words = words[2..].iter().map(|word| word.load(Ordering::Relaxed).to_le_bytes());
    let bytes: Vec<u8> = words.flatten().take(key + help).collect();
    let text = String::from_utf8(bytes).ok().filter(|text| text.is_char_boundary(key))?;
    let (key, help) = text.split_at(key);
    Some((Text { kind, key: key.to_owned(), help: help.to_owned() }, span))
}

/// Kind, numbers, and the lengths of key and help.
fn head(words: &[AtomicU64]) -> Option<(MetricKind, Span, (usize, usize))> {
    let head = words[0].load(Ordering::Acquire);
    // A dying worker may have written anything.
    let [kind, 0, k0, k1, h0, h1, 0, 0] = head.to_le_bytes() else { return None };
    let kind = *KINDS.get(usize::from(kind).checked_sub(1)?)?;
    let (key, help) = (usize::from(u16::from_le_bytes([k0, k1])), usize::from(u16::from_le_bytes([h0, h1])));
    if key > KEY_MAX || help > HELP_MAX {
        return None;
    }
    let [s0, s1, s2, s3, c0, c1, c2, c3] = words[1].load(Ordering::Relaxed).to_le_bytes();
    let number = |bytes: [u8; 4]| usize::try_from(u32::from_le_bytes(bytes)).ok();
    let span = Span { start: number([s0, s1, s2, s3])?, count: number([c0, c1, c2, c3])? };
    let fits = span.start.checked_add(span.count)? <= VALUES;
    let agrees = kind.numbers(kind.bounds(span.count)) == span.count;
    (fits && agrees).then_some((kind, span, (key, help)))
}

/// `name{label="value"}`, in Prometheus's own spelling.
fn key(definition: &Definition<'_>) -> Result<String, MetricError> {
    let is_name = |text: &str, more: &[char]| {
        let fits = |character: char| {
            character.is_ascii_alphanumeric() || character == '_' || more.contains(&character)
        };
        text.chars().all(fits) && text.starts_with(|first: char| !first.is_ascii_digit())
    };
    let Definition { kind, name, labels, .. } = definition;
    if !is_name(name, &[':']) {
        return Err(MetricError::Name((*name).to_owned()));
    }
    let own = match kind {
        MetricKind::Histogram => "le",
        MetricKind::Summary => "quantile",
        MetricKind::Counter | MetricKind::Gauge(_) => "",
    };
    let mut parts = Vec::with_capacity(labels.len());
    for (at, (label, value)) in labels.iter().enumerate() {
        if !is_name(label, &[]) || label.starts_with("__") || *label == own {
            return Err(MetricError::Name((*label).to_owned()));
        }
        // Prometheus would refuse the whole page.
        if labels[..at].iter().any(|(before, _)| before == label) {
            return Err(MetricError::Label((*label).to_owned()));
        }
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        parts.push(format!("{label}=\"{value}\""));
    }
    parts.sort();
    Ok(if parts.is_empty() { (*name).to_owned() } else { format!("{name}{{{}}}", parts.join(",")) })
}

/// The kinds by their codes, from 1.
const KINDS: [MetricKind; 7] = [
    MetricKind::Counter,
    MetricKind::Gauge(Merge::Sum),
    MetricKind::Gauge(Merge::Max),
    MetricKind::Gauge(Merge::Min),
    MetricKind::Gauge(Merge::Last),
    MetricKind::Histogram,
    MetricKind::Summary,
];

/// How names begin that are not the apps'.
pub(super) const OWN: &str = "ferricorn_";

/// Bytes of a name with its labels.
pub(super) const KEY_MAX: usize = 384;

/// Bytes of a help; those that are escaped count twice.
pub(super) const HELP_MAX: usize = 240;

const WORD: usize = size_of::<u64>();

/// Words of an entry: head, numbers, text.
pub(super) const ENTRY_TEXT: usize = 2 + (KEY_MAX + HELP_MAX) / WORD;
