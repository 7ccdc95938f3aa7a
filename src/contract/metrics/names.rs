//! What a process has said each name to be, and which names cannot stand beside each other on one page.

use super::kind::MetricKind;
use super::{Definition, MetricError};
use std::collections::BTreeMap;

/// Kinds and bounds by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(BTreeMap<String, (MetricKind, Vec<f64>)>);

impl Names {
    /// Notes a name, unless it stands for something else.
    pub(super) fn note(&mut self, definition: &Definition<'_>) -> Result<(), MetricError> {
        let Definition { kind, name, bounds, .. } = *definition;
        if let Some(known) = self.0.get(name) {
            let is_same = known.0 == kind && known.1 == bounds;
            return if is_same { Ok(()) } else { Err(MetricError::Kind(name.to_owned())) };
        }
        if let Some(other) = beside(kind, name, |other| self.0.get(other).map(|(kind, _)| *kind)) {
            return Err(MetricError::Twice(name.to_owned(), other));
        }
        self.0.insert(name.to_owned(), (kind, bounds.to_vec()));
        Ok(())
    }

    /// Takes over what another process has noted.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// The name that would be told twice because this one is: lines of a histogram are told under names of their own, which
/// another metric may have.
pub(super) fn beside(
    kind: MetricKind,
    name: &str,
    known: impl Fn(&str) -> Option<MetricKind>,
) -> Option<String> {
    let below = kind.parts().iter().map(|part| format!("{name}{part}")).find(|other| known(other).is_some());
    let above = || {
        let parts = MetricKind::Histogram.parts().iter();
        let mut bases = parts.filter_map(|part| Some((name.strip_suffix(part)?, part)));
        let is_told =
            |(base, part): &(&str, &&str)| known(base).is_some_and(|kind| kind.parts().contains(part));
        bases.find(is_told).map(|(base, _)| base.to_owned())
    };
    below.or_else(above)
}
