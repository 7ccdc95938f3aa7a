//! `ferricorn ctl`: commands for a running server, and questions.

mod arguments;
mod client;
mod find;
mod table;

use arguments::Action;
pub(super) use arguments::Arguments;
use client::{Answer, CallError};
use serde_json::Value;
use std::process::ExitCode;
use std::time::Instant;

/// 0 only if what was asked for has taken effect or, with `--no-wait`, been accepted.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut found = match find::find(&arguments.selection()) {
        Ok(found) => found,
        Err(problem) => {
            super::complain(&problem);
            return ExitCode::from(super::USAGE);
        }
    };
    let deadline = arguments.timeout().map(|limit| Instant::now() + limit);
    if arguments.action.ends_the_server() {
        found.learn_master();
    }
    let (method, target) = arguments.action.request(arguments.waits());
    let called = client::call(&found.place, (method, &target), deadline);
    match (&arguments.action, called) {
        (Action::Status | Action::Workers | Action::Requests, Ok(Answer { status: 200, value })) => {
            super::print(&shown(arguments, &value))
        }
        (action, Ok(Answer { status: 200..=299, value })) => {
            if arguments.waits() && action.ends_the_server() && !find::has_ended(&found, deadline) {
                return fail(arguments, "the server is stopping and has not ended in time");
            }
            done(arguments, &value)
        }
        (_, Ok(Answer { status, value })) => {
            let reason = value.get("error").and_then(Value::as_str).map(str::to_owned);
            fail(arguments, &reason.unwrap_or_else(|| format!("the server answers {status}")))
        }
        // Whoever passes the outcome on leaves with the server.
        (action, Err(CallError::Cut)) if action.ends_the_server() && find::has_ended(&found, deadline) => {
            done(arguments, &serde_json::json!({ "result": "the server has ended" }))
        }
        (_, Err(error)) => fail(arguments, &error.to_string()),
    }
}

fn shown(arguments: &Arguments, status: &Value) -> String {
    match (&arguments.action, arguments.json) {
        (Action::Workers, true) => format!("{}\n", status.get("workers").unwrap_or(&Value::Null)),
        (_, true) => format!("{status}\n"),
        (Action::Workers, false) => table::workers(status),
        (Action::Requests, false) => table::requests(status),
        (_, false) => table::status(status),
    }
}

fn done(arguments: &Arguments, value: &Value) -> ExitCode {
    if arguments.json {
        return super::print(&format!("{value}\n"));
    }
    let result = value.get("result").and_then(Value::as_str).unwrap_or("done");
    super::print(&format!("{}\n", table::harmless(result)))
}

/// The reason and what else there is of it, such as a traceback.
fn fail(arguments: &Arguments, reason: &str) -> ExitCode {
    if arguments.json {
        // Whoever reads JSON wants to find the reason in it.
        super::print(&format!("{}\n", serde_json::json!({ "error": reason })));
    } else {
        super::complain(&format!("error: {}", table::harmless(reason)));
    }
    ExitCode::FAILURE
}
