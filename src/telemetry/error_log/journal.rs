//! How an event looks in the journal: no time, since the journal has its own, and the level as a priority.

use super::{Fields, Moment, has_block, push_event};
use crate::telemetry::escape;
use crate::telemetry::journal::Journal;
use tracing::Level;

/// What is to be written to the stream; `None` when the journal has got the event in another way.
///
/// journald makes an entry of each line of a stream, so an event with a traceback goes to its socket, in one piece.
pub(super) fn text(journal: &Journal, moment: &Moment<'_>, fields: &Fields) -> Option<String> {
    let mut out = String::with_capacity(256);
    // The stream is the master's, and so is the process number that the journal shows beside its lines.
    let is_foreign = moment.pid != journal.opened_by();
    if is_foreign && !has_block(fields) {
        escape::push(&mut out, format_args!("[{}] ", moment.pid));
    }
    push_event(&mut out, fields);
    if has_block(fields) && journal.send(priority(moment.level), out.trim_end_matches('\n')).is_ok() {
        return None;
    }
    Some(stream(moment.level, &out))
}

/// Lines with their priority in front: sd-daemon(3).
pub(super) fn stream(level: Level, lines: &str) -> String {
    let priority = priority(level);
    lines.lines().map(|line| format!("<{priority}>{line}\n")).collect()
}

/// syslog(3)
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}
