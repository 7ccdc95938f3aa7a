//! The error log: one event, one line (or one JSON object on a line).

use super::journal::Journal;
use super::log_file::PIPE_BUF;
use super::{LogError, LogFile, Stamp, escape};
use crate::config::{Log, LogFormat, LogLevel};
use json::json;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{Registry, registry, reload};

/// Writes events. It holds no buffer, and no lock but for the moment in which another one takes its place, so a forked
/// process goes on with it.
#[derive(Debug)]
pub(super) struct ErrorLog {
    file: Arc<LogFile>,
    shape: Shape,
    level: LevelFilter,
    /// `None` when it is not the journal that reads the file.
    journal: Option<Journal>,
}

/// How an event looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Coloured,
    Json,
}

impl ErrorLog {
    /// Opens the error log; `None` when it is off.
    pub(super) fn open(log: &Log) -> Result<Option<Self>, LogError> {
        let Some(file) = LogFile::open(&log.error)? else { return Ok(None) };
        let shape = match log.format {
            LogFormat::Json => Shape::Json,
            // no-color.org: a variable that is set and not empty turns colours off.
            LogFormat::Text
                if file.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty()) =>
            {
                Shape::Coloured
            }
            LogFormat::Text => Shape::Plain,
        };
        let level = match log.level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        };
        let stream = std::env::var("JOURNAL_STREAM").unwrap_or_default();
        let journal = file.is_journal(&stream).then(|| Journal::new(Journal::SOCKET)).transpose();
        let journal = journal.map_err(LogError::Standard)?;
        Ok(Some(Self { file: Arc::new(file), shape, level, journal }))
    }

    /// Where it writes.
    pub(super) fn file(&self) -> &Arc<LogFile> {
        &self.file
    }
}

/// The error log of now, or none: another one can take its place.
#[derive(Debug)]
pub(super) struct Present(pub(super) Option<ErrorLog>);

/// Puts another error log in the place of the present one.
pub(super) type Exchange = reload::Handle<Present, Registry>;

impl Present {
    /// What `tracing` gives its events to, and what changes it.
    pub(super) fn into_subscriber(self) -> (impl Subscriber + Send + Sync, Exchange) {
        let (layer, exchange) = reload::Layer::new(self);
        (registry().with(layer), exchange)
    }
}

impl<S: Subscriber> Layer<S> for Present {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.0.as_ref().is_some_and(|log| *metadata.level() <= log.level)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.as_ref().map_or(LevelFilter::OFF, |log| log.level))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if let Some(log) = &self.0 {
            log.write(event);
        }
    }
}

impl ErrorLog {
    fn write(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        let moment = Moment { time: SystemTime::now(), level, target, pid: std::process::id() };
        let line = match (&self.journal, self.shape) {
            (None, Shape::Json) => json(&moment, &fields),
            (None, Shape::Plain) => text(&moment, &fields, Paint::Plain),
            (None, Shape::Coloured) => text(&moment, &fields, Paint::Coloured),
            (Some(_), Shape::Json) => journal::stream(level, &json(&moment, &fields)),
            (Some(journal), Shape::Plain | Shape::Coloured) => match journal::text(journal, &moment, &fields)
            {
                Some(line) => line,
                None => return,
            },
        };
        // A log that cannot be written has nowhere left to say so; the server must not fail with it.
        drop(self.file.write(line.as_bytes()));
    }
}

/// What is known of an event besides its fields.
struct Moment<'a> {
    time: SystemTime,
    level: Level,
    target: &'a str,
    pid: u32,
}

/// Whether levels have colours.
#[derive(Debug, Clone, Copy)]
enum Paint {
    Plain,
    Coloured,
}

/// The fields of one event, in order.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    named: Vec<(&'static str, Value)>,
}

/// A field's value.
#[derive(Debug)]
enum Value {
    /// Numbers and booleans, as they are printed.
    Bare(String),
    /// Anything else.
    Text(String),
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.named.push((name, Value::Text(value.to_owned()))),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.named.push((field.name(), Value::Bare(value.to_string())));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.named.push((field.name(), Value::Bare(value.to_string())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.named.push((field.name(), Value::Bare(value.to_string())));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // RFC 8259 6: JSON has no infinity and no NaN.
        let value =
            if value.is_finite() { Value::Bare(value.to_string()) } else { Value::Text(value.to_string()) };
        self.named.push((field.name(), value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }
}

/// `2026-01-31T12:00:00.123Z INFO  [4711] message name=value`, and blocks of lines below it.
fn text(moment: &Moment<'_>, fields: &Fields, paint: Paint) -> String {
    let mut out = String::with_capacity(256);
    let (level, colour) = match moment.level {
        Level::ERROR => ("ERROR", "\x1b[31m"),
        Level::WARN => ("WARN ", "\x1b[33m"),
        Level::INFO => ("INFO ", "\x1b[32m"),
        Level::DEBUG => ("DEBUG", "\x1b[34m"),
        Level::TRACE => ("TRACE", "\x1b[35m"),
    };
    let (colour, end) = match paint {
        Paint::Plain => ("", ""),
        Paint::Coloured => (colour, "\x1b[0m"),
    };
    let time = Stamp::new(moment.time).rfc3339();
    escape::push(&mut out, format_args!("{time} {colour}{level}{end} [{}] ", moment.pid));
    push_event(&mut out, fields);
    out
}

/// The message and its fields, and blocks of lines below them.
fn push_event(out: &mut String, fields: &Fields) {
    let start = out.rfind('\n').map_or(0, |end| end + 1);
    escape::push_text(out, &fields.message);
    for (name, value) in &fields.named {
        match value {
            Value::Text(_) if BLOCKS.contains(name) => {}
            Value::Text(text) if text.is_empty() || !text.bytes().all(stands_alone) => {
                escape::push(out, format_args!(" {name}="));
                push_unless_quoted(out, text);
            }
            Value::Bare(text) | Value::Text(text) => {
                escape::push(out, format_args!(" {name}="));
                escape::push_text(out, text);
            }
        }
    }
    end_line(out, start);
    for (name, value) in &fields.named {
        match value {
            Value::Text(text) if BLOCKS.contains(name) => push_block(out, text),
            Value::Text(_) | Value::Bare(_) => {}
        }
    }
}

/// Text in quotes; what the `?` of `tracing` has already quoted is not quoted twice.
fn push_unless_quoted(out: &mut String, text: &str) {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut escaped = false;
    let is_quoted = inner.is_some_and(|inner| {
        inner.chars().all(|character| {
            let ends = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            !ends
        })
    }) && !escaped;
    if is_quoted { escape::push_text(out, text) } else { escape::push_quoted(out, text) }
}

/// Lines below the event's own, each with a mark in front that no line of the log begins with.
fn push_block(out: &mut String, text: &str) {
    for line in text.trim_end().split('\n') {
        let start = out.len();
        out.push_str("    | ");
        // Tabs indent tracebacks; a CR at the end is only a line end of another system.
        for (index, part) in line.strip_suffix('\r').unwrap_or(line).split('\t').enumerate() {
            if index > 0 {
                out.push('\t');
            }
            escape::push_text(out, part);
        }
        end_line(out, start);
    }
}

/// Ends the line that began at `start`, cut so that a pipe keeps it in one piece: its rest would
/// otherwise stand at the beginning of a line, behind what another process wrote in between.
fn end_line(out: &mut String, start: usize) {
    if out.len() - start >= PIPE_BUF {
        out.truncate(out.floor_char_boundary(start + PIPE_BUF - 4));
        out.push_str("...");
    }
    out.push('\n');
}

/// Whether an event has lines of its own below its line.
fn has_block(fields: &Fields) -> bool {
    fields.named.iter().any(|(name, value)| BLOCKS.contains(name) && matches!(value, Value::Text(_)))
}

/// Whether a byte may stand in a value without quotes.
fn stands_alone(byte: u8) -> bool {
    !matches!(byte, b' ' | b'"' | b'\\' | b'=')
}

/// Fields that are meant to have several lines.
const BLOCKS: [&str; 2] = ["traceback", "stack"];

mod journal;
mod json;
#[cfg(test)]
mod tests;
