//! The server's figures in Prometheus's text format (version 0.0.4).

use super::site::Site;
use super::status::{seconds, state_word};
use crate::contract::control::State;
use crate::contract::figures::Figure;
use crate::contract::scoreboard::{Scoreboard, WorkerState};
use crate::sys::process;
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// One page of figures.
pub(super) fn text(site: &Site) -> String {
    let Site { desk, scoreboard, metrics, facts, .. } = site;
    let state = desk.state();
    let mut page = Page::default();
    let version = concat!("version=\"", env!("CARGO_PKG_VERSION"), "\"");
    page.gauge("build_info", "Version of the server.", &[(version, 1_u64)]);
    page.gauge(
        "start_time_seconds",
        "When the server was started, since 1970.",
        &[("", seconds(facts.started))],
    );
    page.gauge("ready", "1 while requests should be sent here.", &[("", u64::from(scoreboard.is_ready()))]);
    let known = |figure: fn(&State) -> u64| state.as_ref().map_or(0, figure);
    let trouble = known(|state| u64::from(state.trouble.is_some()));
    page.gauge("degraded", "1 from a failed reload to the next good one.", &[("", trouble)]);
    page.gauge(
        "generation",
        "Generation that new workers get.",
        &[("", known(|state| state.generation.0.into()))],
    );
    page.gauge(
        "workers_wanted",
        "Workers that there should be.",
        &[("", known(|state| state.wanted.into()))],
    );
    workers(&mut page, scoreboard);
    scaling(&mut page, scoreboard);
    let totals = scoreboard.totals();
    page.counter("requests_total", "Requests received by workers.", &[("", totals.requests)]);
    page.counter("connections_total", "Connections taken by workers.", &[("", totals.connections)]);
    page.gauge("connections_open", "Connections open now.", &[("", totals.open)]);
    page.gauge("requests_waiting", "Requests that wait for an app thread now.", &[("", totals.waiting)]);
    let shed = [
        ("reason=\"full\"", totals.shed_full),
        ("reason=\"late\"", totals.shed_late),
        ("reason=\"gone\"", totals.shed_gone),
    ];
    page.counter("requests_shed_total", "Requests that were not served because there were too many.", &shed);
    let figure = |figure| scoreboard.figure(figure).load(Ordering::Relaxed);
    let reloads = [
        ("outcome=\"done\"", figure(Figure::ReloadsDone)),
        ("outcome=\"failed\"", figure(Figure::ReloadsFailed)),
        ("outcome=\"stopped\"", figure(Figure::ReloadsStopped)),
    ];
    page.counter("reloads_total", "Reloads by outcome.", &reloads);
    page.counter("worker_starts_total", "Workers started.", &[("", figure(Figure::Forks))]);
    let deaths =
        [("cause=\"crashed\"", figure(Figure::Crashes)), ("cause=\"killed\"", figure(Figure::Kills))];
    page.counter("worker_deaths_total", "Workers that ended unasked or overdue.", &deaths);
    let failures = [("", figure(Figure::BootFailures))];
    page.counter("worker_boot_failures_total", "Workers that did not get ready, outside reloads.", &failures);
    let starts = [("", figure(Figure::AdminStarts))];
    page.counter("admin_starts_total", "Starts of the process that tells this.", &starts);
    let refused = [("", metrics.refused())];
    page.counter("metric_series_refused_total", "Series of the apps for which there was no room.", &refused);
    #[cfg(feature = "jwt")]
    key_sets(&mut page, &site.keys.upkeep.reports());
    page.0 + &metrics.page()
}

fn workers(page: &mut Page, scoreboard: &Scoreboard) {
    let states = [WorkerState::Starting, WorkerState::Ready, WorkerState::Draining];
    let samples = states.map(|state| {
        let count = scoreboard.records().filter(|record| record.state() == state).count();
        (format!("state=\"{}\"", state_word(state)), count)
    });
    page.gauge("workers", "Workers by state.", &samples);
    let resident: u64 = scoreboard.records().filter_map(|record| process::resident_bytes(record.pid())).sum();
    page.gauge(
        "workers_resident_bytes",
        "Resident memory of all workers; shared pages count for each.",
        &[("", resident)],
    );
}

/// Where the number of workers follows the load.
fn scaling(page: &mut Page, scoreboard: &Scoreboard) {
    let figure = |figure| scoreboard.figure(figure).load(Ordering::Relaxed);
    if figure(Figure::WorkersMost) == 0 {
        return;
    }
    page.gauge("workers_min", "The least workers that there may be.", &[("", figure(Figure::WorkersLeast))]);
    page.gauge("workers_max", "The most workers that there may be.", &[("", figure(Figure::WorkersMost))]);
    let busy = Duration::from_millis(figure(Figure::Busy)).as_secs_f64();
    page.gauge("workers_busy", "Workers' worth of app threads that are in calls.", &[("", busy)]);
    let held = ["max", "memory", "unsettled"]
        .map(|reason| (format!("reason=\"{reason}\""), u64::from(scoreboard.hold() == Some(reason))));
    page.gauge("workers_held", "1 for what keeps the number of workers as it is.", &held);
    let changes =
        [("direction=\"up\"", figure(Figure::Grown)), ("direction=\"down\"", figure(Figure::Shrunk))];
    page.counter("workers_adapted_total", "How often the number of workers has followed the load.", &changes);
}

/// How it stands with each key set that is fetched; nothing where there is none.
#[cfg(feature = "jwt")]
fn key_sets(page: &mut Page, reports: &[crate::auth::jwks::Report]) {
    if reports.is_empty() {
        return;
    }
    let label = |source: &str| {
        let source = source.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("source=\"{source}\"")
    };
    let keys: Vec<_> = reports.iter().map(|report| (label(&report.source), report.keys)).collect();
    page.gauge("auth_set_keys", "Keys of a fetched set that are in use.", &keys);
    let ages: Vec<_> = (reports.iter())
        .filter_map(|report| Some((label(&report.source), report.age?.as_secs_f64())))
        .collect();
    page.gauge("auth_set_age_seconds", "Time since a set was last fetched.", &ages);
    let fetches: Vec<_> = (reports.iter())
        .flat_map(|report| {
            let of = |outcome, count| (format!("{},outcome=\"{outcome}\"", label(&report.source)), count);
            [of("done", report.fetched), of("failed", report.failed)]
        })
        .collect();
    page.counter("auth_set_fetches_total", "Fetches of a set since this process began.", &fetches);
}

#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, samples: &[(impl AsRef<str>, impl Display)]) {
        self.family((name, "gauge"), help, samples);
    }

    fn counter(&mut self, name: &str, help: &str, samples: &[(impl AsRef<str>, impl Display)]) {
        self.family((name, "counter"), help, samples);
    }

    fn family(
        &mut self,
        (name, kind): (&str, &str),
        help: &str,
        samples: &[(impl AsRef<str>, impl Display)],
    ) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP ferricorn_{name} {help}\n# TYPE ferricorn_{name} {kind}");
        for (labels, value) in samples {
            let labels = labels.as_ref();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
            let _ = writeln!(self.0, "ferricorn_{name}{labels} {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_has_its_help_its_type_and_a_line_for_each_sample() {
        let mut page = Page::default();
        page.counter(
            "reloads_total",
            "Reloads by outcome.",
            &[("outcome=\"done\"", 2), ("outcome=\"failed\"", 0)],
        );
        page.gauge("ready", "1 while ready.", &[("", 1)]);
        assert_eq!(
            page.0,
            "# HELP ferricorn_reloads_total Reloads by outcome.\n\
             # TYPE ferricorn_reloads_total counter\n\
             ferricorn_reloads_total{outcome=\"done\"} 2\n\
             ferricorn_reloads_total{outcome=\"failed\"} 0\n\
             # HELP ferricorn_ready 1 while ready.\n\
             # TYPE ferricorn_ready gauge\n\
             ferricorn_ready 1\n"
        );
    }
}
