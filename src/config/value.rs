//! A configuration file as values that know their line.

use super::errors::{ConfigErrors, Origin, Problem};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use toml::value::Datetime;

/// A value and where it was set.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// One value as it was written.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A text in quotes.
    Text(String),
    /// From the environment or a flag, where everything is text.
    Loose(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    Time(Datetime),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) node: Node,
}

impl Value {
    /// The text, however it was given.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Loose(text) => Some(text),
            Self::Integer(_)
            | Self::Float(_)
            | Self::Boolean(_)
            | Self::Time(_)
            | Self::List(_)
            | Self::Table(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Loose(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "the number {number}"),
            Self::Float(number) => write!(f, "the number {number}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Time(time) => write!(f, "the time {time}"),
            Self::List(_) => f.write_str("a list"),
            Self::Table(_) => f.write_str("a table"),
        }
    }
}

/// Parses TOML; all its syntax errors are reported.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Entry>, ConfigErrors> {
    let reader = Reader { path: path.into(), lines: line_starts(text) };
    let (document, errors) = DeTable::parse_recoverable(text);
    let problem = |error: &toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        Problem::new(&reader.origin(at), "", error.message().replace('\n', "; "))
    };
    ConfigErrors::check(errors.iter().map(problem).collect())?;
    let mut problems = Vec::new();
    let entries = reader.table(document.get_ref(), &mut problems);
    ConfigErrors::check(problems)?;
    Ok(entries)
}

struct Reader {
    path: Arc<Path>,
    lines: Vec<usize>,
}

impl Reader {
    fn origin(&self, at: usize) -> Origin {
        let line = self.lines.partition_point(|start| *start <= at);
        Origin::File { path: Arc::clone(&self.path), line }
    }

    fn table(&self, table: &DeTable<'_>, problems: &mut Vec<Problem>) -> Vec<Entry> {
        let entry = |(name, value): (&Spanned<std::borrow::Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
            let mut node = self.node(value, problems);
            node.origin = self.origin(name.span().start);
            Entry { name: name.get_ref().to_string(), node }
        };
        table.iter().map(entry).collect()
    }

    fn node(&self, spanned: &Spanned<DeValue<'_>>, problems: &mut Vec<Problem>) -> Node {
        let origin = self.origin(spanned.span().start);
        let value = match spanned.get_ref() {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).map_or_else(
                |_| {
                    problems.push(Problem::new(&origin, "", format!("{number} is too large a number")));
                    Value::Integer(0)
                },
                Value::Integer,
            ),
            DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::Boolean(*value),
            DeValue::Datetime(time) => Value::Time(*time),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.node(item, problems)).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table, problems)),
        };
        Node { value, origin }
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}
