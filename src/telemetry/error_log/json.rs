//! One object on one line, with the names of OpenTelemetry's log data model
//! (opentelemetry.io/docs/specs/otel/logs/data-model), so that a collector needs no mapping.

use super::{Fields, Moment, Value};
use crate::telemetry::escape;
use std::time::UNIX_EPOCH;
use tracing::Level;

/// `Timestamp` is in nanoseconds since 1970, a string as in the model's own examples: JSON numbers are not so exact.
pub(super) fn json(moment: &Moment<'_>, fields: &Fields) -> String {
    let mut out = String::with_capacity(512);
    let time = moment.time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    // "Field: SeverityNumber" of the model: the first number of each range.
    let (severity, number) = match moment.level {
        Level::ERROR => ("ERROR", 17),
        Level::WARN => ("WARN", 13),
        Level::INFO => ("INFO", 9),
        Level::DEBUG => ("DEBUG", 5),
        Level::TRACE => ("TRACE", 1),
    };
    escape::push(
        &mut out,
        format_args!(
            "{{\"Timestamp\":\"{time}\",\"SeverityText\":\"{severity}\",\"SeverityNumber\":{number},\"Body\":"
        ),
    );
    escape::push_json(&mut out, &fields.message);
    out.push_str(",\"Attributes\":{");
    for (index, (name, value)) in fields.named.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        escape::push_json(&mut out, attribute(name));
        out.push(':');
        match value {
            Value::Bare(text) => out.push_str(text),
            Value::Text(text) => escape::push_json(&mut out, text),
        }
    }
    let pid = moment.pid;
    escape::push(
        &mut out,
        format_args!("}},\"Resource\":{{\"service.name\":\"ferricorn\",\"process.pid\":{pid}}},"),
    );
    out.push_str("\"InstrumentationScope\":{\"Name\":");
    escape::push_json(&mut out, moment.target);
    out.push_str("}}\n");
    out
}

/// OpenTelemetry's semantic conventions have names for these; others are ours.
fn attribute(name: &str) -> &str {
    match name {
        "traceback" => "exception.stacktrace",
        "stack" => "code.stacktrace",
        other => other,
    }
}
