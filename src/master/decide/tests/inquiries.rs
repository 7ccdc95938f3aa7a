//! What is asked of a worker about one of its requests is answered in time, whatever becomes of the worker.

use super::*;

fn cancels(ticket: u64, pid: i32) -> Event {
    asks(ticket, cancel(Pid(pid)))
}

fn answers(pid: i32, ticket: u64) -> Event {
    let verdict = Verdict::Done("cancelled".into());
    Event::Reported { pid: Pid(pid), report: Report::Answered { ticket: Ticket(ticket), verdict } }
}

fn passed_on(ticket: u64, pid: i32) -> String {
    format!("Inquire {{ ticket: Ticket({ticket}), inquiry: Inquiry {{ request: 5, wish: Cancel }} }} {pid}")
}

const GONE: &str = "ticket 1 fails: the worker that had this request has ended";

#[test]
fn the_worker_that_has_the_request_answers_once() {
    check_one(
        &[(5, cancels(1, 101)), (6, answers(101, 1)), (7, answers(101, 1))],
        &[&passed_on(1, 101), "ticket 1: cancelled"],
    );
}

#[test]
fn a_worker_that_does_not_answer_is_not_waited_for() {
    check_one(
        &[(5, cancels(1, 101)), (14, Event::Tick), (15, Event::Tick), (16, answers(101, 1))],
        &[
            &passed_on(1, 101),
            "ticket 1 fails: the worker does not answer: something blocks its event loop, likely this request's app",
        ],
    );
}

#[test]
fn a_worker_that_dies_takes_its_requests_along() {
    check_one(
        &[(5, cancels(1, 101)), (6, dies(101))],
        &[
            &passed_on(1, 101),
            GONE,
            "say 101 crashed: killed by SIGSEGV",
            "slot 1 vacant",
            "fork 102 slot 1 gen 1",
        ],
    );
    check_one(&[(5, cancels(1, 999))], &[GONE]);
}

#[test]
fn requests_can_be_cancelled_while_the_server_stops() {
    check_one(
        &[(5, TERM), (6, cancels(1, 101)), (7, answers(101, 1)), (8, left(101))],
        &["drain 101 for stop", &passed_on(1, 101), "ticket 1: cancelled", "exit Ended"],
    );
}
