//! All figures as they are told: by name, added up over the processes, in Prometheus's text format (version 0.0.4).

use super::kind::{MetricKind, value_of};
use super::names;
use super::table::{Entry, MetricTable};
use super::text::OWN;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// All series of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// What it is about.
    pub help: String,
    /// What it can do.
    pub kind: MetricKind,
    /// Of a histogram: the bounds of its buckets.
    pub bounds: Vec<f64>,
    /// In the order of their labels.
    pub series: Vec<Series>,
}

/// One series, as it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The labels in braces; empty when there are none.
    pub labels: String,
    /// How often: a counter's whole, a summary's count, each bucket of a histogram by itself. Empty for a gauge.
    pub counts: Vec<u64>,
    /// How much: a counter's broken part, a gauge's value, a sum.
    pub amount: f64,
}

impl MetricTable {
    /// All figures, by their names.
    pub fn families(&self) -> BTreeMap<String, Family> {
        self.at_rest(|| self.read())
    }

    /// The page that tells them, in Prometheus's text format.
    pub fn page(&self) -> String {
        self.page_of(|_| true)
    }

    /// The same for the apps' alone.
    pub fn apps_page(&self) -> String {
        self.page_of(|name| !name.starts_with(OWN))
    }

    fn page_of(&self, wanted: impl Fn(&str) -> bool) -> String {
        let mut page = String::new();
        for (name, family) in self.families().into_iter().filter(|(name, _)| wanted(name)) {
            // Writing to a String cannot fail.
            let _ = family.tell(&mut page, &name);
        }
        page
    }

    fn read(&self) -> BTreeMap<String, Family> {
        let mut names: BTreeMap<String, Vec<Read>> = BTreeMap::new();
        for entry in self.entries() {
            let read = Read::of(self, entry);
            let name = read.entry.text.name_and_labels().0.to_owned();
            names.entry(name).or_default().push(read);
        }
        let families = names.into_iter().filter_map(|(name, reads)| {
            let lives = reads.iter().any(|read| read.lives);
            Some((name, (family(&reads)?, lives)))
        });
        without_twins(families.collect())
    }
}

/// Leaves out families of which a name would be told twice, which makes a page unreadable as a whole. One process makes no such two;
/// processes of two generations may. What the living count is told first, then what is told under its own name.
fn without_twins(families: BTreeMap<String, (Family, bool)>) -> BTreeMap<String, Family> {
    let kind = |name: &str| families.get(name).map(|(family, _)| family.kind);
    let mut out = BTreeSet::new();
    for (name, (family, lives)) in &families {
        let Some(other) = names::beside(family.kind, name, kind) else { continue };
        let other_lives = families.get(&other).is_some_and(|(_, lives)| *lives);
        let is_part = other.len() < name.len();
        if other_lives && !lives || *lives == other_lives && is_part {
            out.insert(name.clone());
        }
    }
    families
        .into_iter()
        .filter(|(name, _)| !out.contains(name))
        .map(|(name, (family, _))| (name, family))
        .collect()
}

/// An entry with its numbers, added up.
struct Read {
    entry: Entry,
    numbers: Vec<u64>,
    /// Whether any process that may still live has it.
    lives: bool,
}

impl Read {
    fn of(table: &MetricTable, entry: Entry) -> Self {
        let merged: Vec<(u64, bool)> =
            (0..entry.span.count).map(|part| table.merged(entry.text.kind, entry.span, part)).collect();
        let lives = merged.iter().any(|(_, lives)| *lives);
        Self { entry, numbers: merged.into_iter().map(|(number, _)| number).collect(), lives }
    }
}

/// The series of one name. Where generations have given it different kinds or buckets, those of the living count, and of these the latest.
fn family(reads: &[Read]) -> Option<Family> {
    let first = reads.iter().rev().find(|read| read.lives).or(reads.last())?;
    let (kind, bounds) = (first.entry.text.kind, &first.entry.bounds);
    let mut series: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for read in reads.iter().filter(|read| read.entry.text.kind == kind && read.entry.bounds == *bounds) {
        let numbers = &read.numbers;
        let merge = |sum: &mut Vec<u64>| {
            for (part, number) in numbers.iter().enumerate() {
                sum[part] = kind.number(part, numbers.len()).merge(sum[part], *number);
            }
        };
        let labels = read.entry.text.name_and_labels().1;
        series.entry(labels).and_modify(merge).or_insert_with(|| numbers.clone());
    }
    let told = |(labels, mut numbers): (&str, Vec<u64>)| {
        let amount = value_of(numbers.pop().unwrap_or_default());
        Series { labels: labels.to_owned(), counts: numbers, amount }
    };
    let help = first.entry.text.help.clone();
    Some(Family { help, kind, bounds: bounds.clone(), series: series.into_iter().map(told).collect() })
}

impl Family {
    fn tell(&self, page: &mut String, name: &str) -> std::fmt::Result {
        writeln!(page, "# HELP {name} {}\n# TYPE {name} {}", self.help, self.kind.word())?;
        for series @ Series { labels, counts, amount } in &self.series {
            let count: u64 = counts.iter().copied().fold(0, u64::wrapping_add);
            match self.kind {
                MetricKind::Counter if *amount == 0.0 => writeln!(page, "{name}{labels} {count}")?,
                MetricKind::Counter => {
                    #[expect(clippy::cast_precision_loss, reason = "Prometheus's numbers are doubles")]
                    let sum = count as f64 + amount;
                    writeln!(page, "{name}{labels} {}", spelt(sum))?;
                }
                MetricKind::Gauge(_) => writeln!(page, "{name}{labels} {}", spelt(*amount))?,
                MetricKind::Histogram | MetricKind::Summary => {
                    self.tell_buckets(page, name, series)?;
                    writeln!(page, "{name}_sum{labels} {}", spelt(*amount))?;
                    writeln!(page, "{name}_count{labels} {count}")?;
                }
            }
        }
        Ok(())
    }

    fn tell_buckets(&self, page: &mut String, name: &str, series: &Series) -> std::fmt::Result {
        if self.kind != MetricKind::Histogram {
            return Ok(());
        }
        let bounds = self.bounds.iter().map(|bound| format!("{bound:?}")).chain(["+Inf".to_owned()]);
        let mut below = 0_u64;
        for (bound, count) in bounds.zip(&series.counts) {
            below = below.wrapping_add(*count);
            let labels = series.labels.strip_prefix('{').and_then(|labels| labels.strip_suffix('}'));
            let labels = labels.map(|labels| format!("{labels},")).unwrap_or_default();
            writeln!(page, "{name}_bucket{{{labels}le=\"{bound}\"}} {below}")?;
        }
        Ok(())
    }
}

/// A number as Prometheus reads it.
fn spelt(value: f64) -> String {
    if value == f64::INFINITY {
        "+Inf".to_owned()
    } else if value == f64::NEG_INFINITY {
        "-Inf".to_owned()
    } else {
        value.to_string()
    }
}
