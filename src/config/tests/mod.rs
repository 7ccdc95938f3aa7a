//! The configuration as a whole: sources, precedence, refusals, printing.

mod apps;
mod auth_section;
mod issue_section;
mod reloading;

use super::*;
use auth_section::AUTH;
use std::path::Path;
use std::time::Duration;

/// Loads a file's text with the environment and a command line.
fn play(text: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Result<Loaded, ConfigErrors> {
    load(&sources(text, environment, arguments))
}

fn sources(text: &str, environment: &[(&str, &str)], arguments: &[&str]) -> Sources {
    use clap::{Args, FromArgMatches};
    let command = Flags::augment_args(clap::Command::new("test").no_binary_name(true));
    let matches = command.try_get_matches_from(arguments).unwrap();
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sources {
        file: (!text.is_empty()).then(|| ("x.toml".into(), text.to_owned())),
        environment: environment.iter().map(pair).collect(),
        flags: Flags::from_arg_matches(&matches).unwrap(),
        directory: "/start".into(),
        ..Sources::default()
    }
}

fn good(text: &str) -> Config {
    match play(text, &[], &[]) {
        Ok(loaded) => loaded.config,
        Err(errors) => panic!("{errors}\n{text}"),
    }
}

/// Checks that the file is refused with lines that begin and continue like this.
#[track_caller]
fn refused(text: &str, expected: &[(&str, &str)]) {
    let errors = play(text, &[], &[]).expect_err("the file is wrong").to_string();
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{errors}");
    for (line, (place, part)) in lines.iter().zip(expected) {
        assert!(line.starts_with(place) && line.contains(part), "expected {place} … {part}, got\n{errors}");
    }
}

#[test]
fn nothing_at_all_serves_the_demo_app_with_defaults() {
    let loaded = play("", &[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(*loaded.origins.of("server.bind"), Origin::Default);
}

#[test]
fn later_sources_win_and_each_value_knows_its_source() {
    let file = "[workers]\ncount = 2\n";
    let variable = [("FERRICORN_WORKERS_COUNT", "3")];
    for (text, environment, arguments, count, origin) in [
        ("", &[][..], &[][..], WorkerCount::Auto, "default"),
        ("", &[("WEB_CONCURRENCY", "5")][..], &[][..], WorkerCount::Exactly(5), "env WEB_CONCURRENCY"),
        (file, &[("WEB_CONCURRENCY", "5")][..], &[][..], WorkerCount::Exactly(2), "x.toml:2"),
        (file, &variable[..], &[][..], WorkerCount::Exactly(3), "env FERRICORN_WORKERS_COUNT"),
        (file, &variable[..], &["-w", "4"][..], WorkerCount::Exactly(4), "flag --workers"),
        (file, &variable[..], &["-w", "auto"][..], WorkerCount::Auto, "flag --workers"),
    ] {
        let loaded = play(text, environment, arguments).unwrap();
        assert_eq!(loaded.config.workers.count, count, "{origin}");
        assert_eq!(loaded.origins.of("workers.count").to_string(), origin);
    }
}

#[test]
fn port_is_used_where_nothing_else_says_where_to_listen() {
    let port = ("PORT", "9000");
    let bound = |text: &str, environment: &[(&str, &str)], arguments: &[&str]| {
        play(text, environment, arguments).unwrap().config.server.bind[0].to_string()
    };
    assert_eq!(bound("", &[port], &[]), "0.0.0.0:9000");
    assert_eq!(bound("server.bind = [\":1\"]", &[port], &[]), "0.0.0.0:1");
    assert_eq!(bound("", &[port, ("FERRICORN_SERVER_BIND", ":2,:3")], &[]), "0.0.0.0:2");
    assert_eq!(bound("", &[port], &["-b", "localhost:4"]), "localhost:4");
    assert_eq!(bound("server.bind = \":1\"", &[("PORT", "tcp://10.0.0.1:80")], &[]), "0.0.0.0:1");
    let errors = play("", &[("PORT", "x")], &[]).unwrap_err().to_string();
    assert!(errors.starts_with("env PORT: server.bind: "), "{errors}");
}

#[test]
fn variables_that_begin_like_a_section_must_name_a_key() {
    let errors = play("", &[("FERRICORN_WORKERS_CUONT", "3")], &[]).unwrap_err().to_string();
    assert!(errors.contains("did you mean FERRICORN_WORKERS_COUNT?"), "{errors}");
    // A container image's and those that Kubernetes sets for a service called ferricorn-server.
    for name in
        ["FERRICORN_VERSION", "FERRICORN_SERVER_PORT", "FERRICORN_SERVER_PORT_80_TCP", "FERRICORN_CONFIG"]
    {
        assert!(play("", &[(name, "tcp://10.0.0.1:80")], &[]).is_ok(), "{name}");
    }
    assert!(play("", &[("FERRICORN_AUTH_ENABLED", "true")], &[]).is_err());
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_the_file() {
    refused(
        "bind_address = \"x\"\n[server]\nbacklgo = 5\nbacklog = \"5\"\n[timeouts]\nhead = \"30\"\nrequest = 30\n\
         [limits]\nbody = 5\nhead = \"1 XB\"\n[log]\nlevel = \"inof\"\n[[app]]\n",
        &[
            ("x.toml:1: bind_address: ", "write server.bind"),
            ("x.toml:3: server.backlgo: ", "did you mean backlog?"),
            ("x.toml:4: server.backlog: ", "write 5 without quotes"),
            ("x.toml:6: timeouts.head: ", "write \"30s\""),
            ("x.toml:7: timeouts.request: ", "write \"30s\""),
            ("x.toml:9: limits.body: ", "write \"5 B\""),
            ("x.toml:10: limits.head: ", "\"XB\" is no unit"),
            ("x.toml:12: log.level: ", "did you mean \"info\"?"),
            ("x.toml:13: app[0].target: ", "missing"),
        ],
    );
}

#[test]
fn broken_toml_is_told_with_its_line() {
    refused("[server]\nbacklog = \n", &[("x.toml:2: ", "")]);
    refused("a = 1\na = 2\n", &[("x.toml:2: ", "duplicate")]);
    refused("server = 5\n", &[("x.toml:1: server: ", "write [server]")]);
    refused("workers = 5\n", &[("x.toml:1: workers: ", "write workers.count")]);
    refused("[app]\ntarget = \"hello\"\n", &[("x.toml:1: app: ", "write [[app]]")]);
}

#[test]
fn contradictions_are_told_where_they_stand() {
    for (text, place, part) in [
        ("[server]\nbind = []", "x.toml:2: server.bind", "at least one"),
        ("[server]\nbind = [\":1\", \"0.0.0.0:1\"]", "x.toml:2: server.bind", "twice"),
        ("[server]\nforwarded_allow_ips = [\"10.0.0.0/33\"]", "x.toml:2: server.forwarded", "no address"),
        ("[server]\nforwarded_allow_ips = [\"*\", \"::1\"]", "x.toml:2: server.forwarded", "beside"),
        (
            "[server]\nforwarded_fields = [\"forwarded\", \"x-forwarded-for\"]",
            "x.toml:2: server.forwarded_fields",
            "beside",
        ),
        (
            "[server]\nforwarded_fields = \"x-forwarded-prot\"",
            "x.toml:2: server.forwarded_fields",
            "\"x-forwarded-proto\"?",
        ),
        ("[log]\naccess_format = \"jsno\"", "x.toml:2: log.access_format", "did you mean \"json\"?"),
        ("[log]\naccess_format = '%(h)s %(h)'", "x.toml:2: log.access_format", "column 7: %(h) has no \"s\""),
        ("[workers]\nmax_requests_jitter = 5", "x.toml:2: workers.max_requests_jitter", "no effect"),
        ("[workers]\ncanary = \"2d\"", "x.toml:2: workers.canary", "at most 1d"),
        ("[workers]\nquarantine = 1", "x.toml:2: workers.quarantine", "at least 2"),
        ("[workers]\nmax_age_jitter = \"1m\"", "x.toml:2: workers.max_age_jitter", "no effect"),
        ("[workers]\nmemory_pressure = 90", "x.toml:2: workers.memory_pressure", "\"90%\""),
        ("[server]\nopen_files = 10", "x.toml:2: server.open_files", "from 64"),
        ("[server]\noom_score_adj = 1001", "x.toml:2: server.oom_score_adj", "0 to 1000"),
        ("[workers]\nthreads = 0", "x.toml:2: workers.threads", "from 1"),
        ("[workers]\ncount = 0", "x.toml:2: workers.count", "from 1"),
        ("[limits]\ntarget = \"64 KiB\"", "x.toml:2: limits.target", "limits.head"),
        ("[timeouts]\nhead = \"0s\"", "x.toml:2: timeouts.head", "every request"),
        ("[[app]]\ntarget = \"hello\"\n[[app]]\nstatic = \"x\"", "x.toml:3: app[1].mount", "another app"),
        ("[[app]]\ntarget = \"hello\"\nstatic = \"x\"", "x.toml:3: app[0].static", "not both"),
        ("[[app]]\ntarget = \"native:nope\"", "x.toml:2: app[0].target", "no native app"),
        ("[[route]]\nprefix = \"/\"\nmethods = [\"post\"]", "x.toml:3: route[0].methods", "\"POST\""),
        ("[tls]\ncert = \"x\"", "x.toml:1: tls", "not supported in this version"),
    ] {
        refused(text, &[(place, part)]);
    }
}

#[test]
fn flags_of_gunicorn_mean_the_same() {
    let arguments = ["-t", "0", "--graceful-timeout", "5", "--keep-alive", "90s", "-m", "027", "-e", "A=b=c"];
    let config = play("", &[], &arguments).unwrap().config;
    assert_eq!(config.timeouts.request, Duration::ZERO);
    assert_eq!(config.timeouts.graceful, Duration::from_secs(5));
    assert_eq!(config.timeouts.keep_alive, Duration::from_secs(90));
    assert_eq!(config.server.umask, Some(Mode(0o027)));
    assert_eq!(config.apps[0].env["A"], "b=c");
    for (arguments, part) in [
        (["-k", "gevent"], "--threads"),
        (["--interface", "wsgy"], "did you mean \"wsgi\"?"),
        (["--access-logformat", "%(h)s %(x)s"], "log.access_format: column 7: there is no atom %(x)s"),
        (["-e", "A"], "NAME=VALUE"),
        (["--static", "static=x"], "write \"/static\""),
    ] {
        let errors = play("", &[], &arguments).unwrap_err().to_string();
        assert!(errors.starts_with("flag --") && errors.contains(part), "{errors}");
    }
}

#[test]
fn a_positional_app_replaces_the_one_at_the_root() {
    let file = "[[app]]\nmount = \"/s/\"\nstatic = \"s\"\n[[app]]\ntarget = \"a:b\"\nenv = { X = \"1\" }\n";
    let loaded = play(file, &[], &["echo", "--static", "/s=t", "--static", "/u/=v"]).unwrap();
    let apps = loaded.config.apps;
    let shown: Vec<(&str, &AppTarget)> = apps.iter().map(|app| (app.mount.as_str(), &app.target)).collect();
    let directory = |path: &str| AppTarget::Static(path.into());
    assert_eq!(
        shown,
        [("/s", &directory("t")), ("/", &AppTarget::Native("echo".into())), ("/u", &directory("v"))]
    );
    assert_eq!(apps[1].env["X"], "1");
    assert_eq!(loaded.origins.of("app[1].target").to_string(), "flag APP");
    assert_eq!(loaded.origins.of("app[1].env").to_string(), "x.toml:6");
}

#[test]
fn a_relative_working_directory_starts_where_the_server_was_started() {
    let chdir = |text: &str| good(text).server.chdir;
    assert_eq!(chdir("server.chdir = \"site\""), Some("/start/site".into()));
    assert_eq!(chdir("server.chdir = \"/srv\""), Some("/srv".into()));
}

#[test]
fn changes_are_told_apart_by_what_a_reload_can_take() {
    let old = good("");
    let new = good("server.backlog = 9\nlimits.body = \"1 MiB\"\n[[app]]\ntarget = \"echo\"\n");
    let changes = Changes::between(&old, &new);
    assert_eq!(changes.restart, ["server.backlog"]);
    assert_eq!(changes.reloaded, ["limits.body", "app"]);
    assert_eq!(Changes::between(&old, &old.clone()), Changes::default());
}

#[test]
fn what_is_printed_reads_as_the_same_configuration() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = ["minimal.toml", "production.toml"]
        .map(|name| std::fs::read_to_string(directory.join(name)).unwrap());
    let pattern =
        "[server]\nforwarded_fields = []\n[log]\naccess_format = '%(h)s \"%(r)s\" %({x-a}i)s é\\t%%'\n";
    let texts = [String::new(), AUTH.into(), pattern.into(), generated(1), generated(2), generated(3)];
    for text in texts.into_iter().chain(files) {
        let loaded = play(&text, &[], &[]).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        for show in [ShowOrigin::No, ShowOrigin::Yes] {
            let printed = to_toml(&loaded, show);
            assert_eq!(good(&printed), loaded.config, "{printed}");
        }
        let json: serde_json::Value = serde_json::from_str(&to_json(&loaded, ShowOrigin::Yes)).unwrap();
        assert_eq!(json["config"]["server"]["backlog"], loaded.config.server.backlog);
        let apps = json["config"]["app"].as_array().map(Vec::len);
        assert_eq!(apps, Some(loaded.config.apps.len()));
    }
}

/// A configuration whose values come from a seed.
fn generated(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let texts = ["plain", "with \\\"quotes\\\"", "back\\\\slash", "line\\nbreak", "ünï", "a # b", "\\u007f"];
    let mut text =
        format!("[server]\nbacklog = {}\nunix_mode = \"{:04o}\"\n", 1 + next(65_535), next(0o1000));
    text.push_str(&format!("user = \"{}\"\n[workers]\ncount = {}\n", texts[0], 1 + next(64)));
    text.push_str(&format!(
        "max_surge = \"{}%\"\n[limits]\nbody = \"{} KiB\"\n",
        1 + next(100),
        next(1 << 30)
    ));
    text.push_str(&format!("[timeouts]\nrequest = \"{}ms\"\ngraceful = \"{}m\"\n", next(100_000), next(100)));
    for number in 0..next(4) {
        let name = texts[usize::try_from(next(7)).unwrap()];
        let value = texts[usize::try_from(next(7)).unwrap()];
        text.push_str(&format!("[[app]]\nmount = \"/m{number}\"\ntarget = \"echo\"\n"));
        text.push_str(&format!("env = {{ \"{name}\" = \"{value}\" }}\n"));
    }
    text
}

/// The content of a generated file, made anew on request.
fn fresh(file: &str, generated: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("FERRICORN_UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text == generated, "{file} is stale: test with FERRICORN_UPDATE_REFERENCE=1");
    text
}

#[test]
fn the_page_of_settings_is_as_fresh_as_the_reference() {
    fresh("docs/settings.md", &manual());
}

#[test]
fn the_reference_is_fresh_and_complete() {
    let text = fresh("config/reference.toml", &reference());
    // As it stands it says nothing; its plain sections, uncommented, say the defaults.
    assert_eq!(good(&text), Config::default());
    let plain = text.split("# [[app]]").next().unwrap();
    let keys =
        plain.lines().filter_map(|line| line.strip_prefix("# ").or(line.starts_with('[').then_some(line)));
    assert_eq!(good(&keys.collect::<Vec<_>>().join("\n")), Config::default());
}

#[test]
fn documents_and_names_of_keys_are_in_order() {
    let mut seen = std::collections::BTreeSet::new();
    for key in schema::ROOT_KEYS {
        assert!(seen.insert(environment::variable(key.path)), "{}", key.path);
        assert!(key.doc.ends_with(['.', ':']) || key.doc.contains(". "), "{}", key.path);
    }
}

#[test]
fn damaged_files_are_refused_or_read_and_never_more() {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let original = format!("{}{AUTH}", generated(3));
    let pieces =
        ["\"", "[", "]", "{", "}", "=", "\n", ".", "-1", "99999999999999999999", "1.5", "true", "é", "\0"];
    let mut refusals = 0;
    for _ in 0..1000 {
        let mut letters: Vec<char> = original.chars().collect();
        for _ in 0..=next(2) {
            let (at, length) = (next(letters.len()), next(12));
            let end = (at + length).min(letters.len());
            letters.splice(at..end, pieces[next(pieces.len())].chars());
        }
        let text: String = letters.iter().collect();
        let Err(errors) = play(&text, &[], &[]) else { continue };
        refusals += 1;
        for problem in errors.problems() {
            assert!(!problem.message.is_empty() && !problem.message.contains('\n'), "{problem}");
            let Origin::File { line, .. } = problem.origin else { panic!("{problem}\n{text}") };
            assert!((1..=text.lines().count() + 1).contains(&line), "{problem}\n{text}");
        }
    }
    assert!(refusals > 500, "{refusals}");
}
