//! Gunicorn's flags: which of them mean the same here, and what to do instead of the others.

use std::ffi::OsString;

/// What becomes of a flag of Gunicorn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It sets this key, or does what Gunicorn's does.
    Taken(&'static str),
    /// What it asks for is always so: it is taken, and changes nothing.
    AlwaysSo(Value, &'static str),
    /// It is refused; this is why, or what to write instead.
    Refused(&'static str),
}

/// What follows a flag that is taken and changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    None,
    Any,
    /// Only this one; others are refused.
    Only(&'static str),
}

use Answer::{AlwaysSo, Refused, Taken};

/// Takes the flags away that change nothing here.
///
/// # Errors
/// What to write instead of the flags that are refused; all of them at once.
pub(super) fn adapt(arguments: Vec<OsString>) -> Result<Vec<OsString>, String> {
    let mut kept = Vec::with_capacity(arguments.len());
    let mut problems = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let Some((flag, inline)) = argument.to_str().and_then(split) else {
            kept.push(argument);
            continue;
        };
        let mut value = || inline.map(str::to_owned).or_else(|| arguments.next()?.into_string().ok());
        match answer(flag) {
            None | Some(Taken(_)) => kept.push(argument.clone()),
            Some(AlwaysSo(Value::None, _)) => {}
            Some(AlwaysSo(Value::Any, _)) => {
                if value().is_none() {
                    problems.push(format!("error: {flag} needs a value"));
                }
            }
            Some(AlwaysSo(Value::Only(only), advice)) => {
                if value().as_deref() != Some(only) {
                    problems.push(format!("error: {flag} can only be {only}: {advice}"));
                }
            }
            Some(Refused(advice)) => {
                problems.push(format!("error: {flag} of Gunicorn is not supported: {advice}"))
            }
        }
    }
    if problems.is_empty() { Ok(kept) } else { Err(problems.join("\n")) }
}

/// Where a configuration for Gunicorn seems to be waiting: neither is read here.
pub(super) fn hint(
    directory: &std::path::Path,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Option<String> {
    let mut hints = Vec::new();
    if environment("GUNICORN_CMD_ARGS").is_some_and(|value| !value.is_empty()) {
        hints.push("the variable GUNICORN_CMD_ARGS is not read; give its flags on the command line");
    }
    if directory.join("gunicorn.conf.py").is_file() {
        hints.push("gunicorn.conf.py is not read; write its settings into ferricorn.toml");
    }
    (!hints.is_empty())
        .then(|| hints.iter().map(|hint| format!("note: {hint}")).collect::<Vec<_>>().join("\n"))
}

/// What is wrong with a configuration file that is a program.
pub(super) fn foreign_file(file: &std::path::Path) -> Option<String> {
    let name = file.to_str()?;
    let is_python = name.ends_with(".py") || name.starts_with("python:");
    is_python.then(|| {
        format!("error: --config {name}: configuration is TOML here, not Python; write its settings into ferricorn.toml (`ferricorn print-config` shows the keys)")
    })
}

/// `--flag`, `--flag=value` or `-f`.
fn split(argument: &str) -> Option<(&str, Option<&str>)> {
    if !argument.starts_with('-') || argument.len() < 2 {
        return None;
    }
    match argument.split_once('=') {
        Some((flag, value)) if argument.starts_with("--") => Some((flag, Some(value))),
        _ => Some((argument, None)),
    }
}

fn answer(flag: &str) -> Option<Answer> {
    FLAGS.iter().find(|(flags, _)| flags.contains(&flag)).map(|(_, answer)| *answer)
}

const NO_TLS: &str = "TLS ends at the proxy in front";
const NO_HTTP2: &str = "HTTP/2 ends at the proxy in front";
const NO_DIRTY: &str = "there is no second pool; run long tasks in a task queue";
const NO_STATSD: &str =
    "no metrics are pushed; Prometheus reads /metrics at admin.address, and the access log has each request";
const NO_SYSLOG: &str =
    "write to standard error or a file; the journal or a syslog agent takes it from there";
const NO_LOGGING: &str = "the logs are not Python's; use --log-level, --log-format and --access-logformat";
const STRICT: &str = "requests are read strictly: what proxies read differently is refused";

/// Every flag of Gunicorn's command line.
const FLAGS: &[(&[&str], Answer)] = &[
    (&["-c", "--config"], Taken("a TOML file; `gunicorn.conf.py` is refused")),
    (&["-b", "--bind"], Taken("server.bind")),
    (&["--backlog"], Taken("server.backlog")),
    (&["-w", "--workers"], Taken("workers.count")),
    (
        &["-k", "--worker-class"],
        Taken(
            "`sync`, `gthread`: the kind of app decides; `asgi` and uvicorn's are `--interface asgi`; others are refused with advice",
        ),
    ),
    (&["--threads"], Taken("workers.threads")),
    (&["--worker-connections"], Taken("limits.connections")),
    (&["--max-requests"], Taken("workers.max_requests")),
    (&["--max-requests-jitter"], Taken("workers.max_requests_jitter")),
    (&["-t", "--timeout"], Taken("timeouts.request")),
    (&["--graceful-timeout"], Taken("timeouts.graceful")),
    (&["--keep-alive"], Taken("timeouts.keep_alive")),
    (&["--limit-request-line"], Taken("limits.target")),
    (&["--limit-request-fields"], Taken("limits.fields")),
    (
        &["--limit-request-field_size"],
        Refused("write limits.head, which bounds request line and fields together"),
    ),
    (&["--reload"], Refused("send SIGHUP to the master after a change")),
    (
        &["--reload-engine", "--reload-extra-file"],
        Refused("files are not watched; send SIGHUP to the master after a change"),
    ),
    (&["--spew"], Refused("calls are not traced; use Python's own tools")),
    (&["--check-config"], Taken("as `ferricorn check`, and the app is loaded, too")),
    (&["--print-config"], Taken("as `ferricorn print-config`")),
    (&["--preload"], Taken("workers.preload")),
    (
        &["--no-sendfile"],
        AlwaysSo(
            Value::None,
            "only plain files (wsgi.file_wrapper, http.response.pathsend) are sent by sendfile(2)",
        ),
    ),
    (&["--reuse-port"], AlwaysSo(Value::None, "each worker has its own SO_REUSEPORT socket")),
    (&["--chdir"], Taken("server.chdir")),
    (&["-D", "--daemon"], Refused("let systemd or a container run it in the background")),
    (&["-e", "--env"], Taken("app.env")),
    (&["-p", "--pid"], Taken("server.pid_file")),
    (&["--worker-tmp-dir"], AlwaysSo(Value::Any, "workers are watched through shared memory, not files")),
    (&["-u", "--user"], Taken("server.user")),
    (&["-g", "--group"], Taken("server.group")),
    (&["-m", "--umask"], Taken("server.umask")),
    (&["--initgroups"], AlwaysSo(Value::None, "workers get the groups of their user")),
    (&["--forwarded-allow-ips"], Taken("server.forwarded_allow_ips")),
    (&["--access-logfile"], Taken("log.access")),
    (&["--disable-redirect-access-to-syslog"], AlwaysSo(Value::None, "nothing is written to syslog")),
    (&["--access-logformat"], Taken("log.access_format")),
    (&["--error-logfile", "--log-file"], Taken("log.error")),
    (&["--log-level"], Taken("log.level")),
    (&["--capture-output"], Taken("log.capture_output")),
    (&["--logger-class", "--log-config", "--log-config-json"], Refused(NO_LOGGING)),
    (
        &["--log-syslog", "--log-syslog-to", "--log-syslog-prefix", "--log-syslog-facility"],
        Refused(NO_SYSLOG),
    ),
    (&["-R", "--enable-stdio-inheritance"], AlwaysSo(Value::None, "standard streams are inherited")),
    (
        &["--statsd-host", "--dogstatsd-tags", "--statsd-prefix", "--enable-backlog-metric"],
        Refused(NO_STATSD),
    ),
    (
        &["-n", "--name"],
        Refused("processes are named by what they are, such as \"ferricorn: worker 2, generation 3\""),
    ),
    (&["--pythonpath"], Taken("python.path")),
    (
        &["--paste", "--paster", "--paste-global"],
        Refused("name the app: module:callable or module:factory()"),
    ),
    (
        &["--proxy-protocol", "--proxy-allow-from"],
        Refused("the PROXY protocol is not read; let the proxy set X-Forwarded-For"),
    ),
    (&["--protocol"], AlwaysSo(Value::Only("http"), "use proxy_pass in nginx instead of uwsgi_pass")),
    (&["--uwsgi-allow-from"], Refused("the uwsgi protocol is not read; use proxy_pass in nginx")),
    (
        &[
            "--keyfile",
            "--certfile",
            "--ssl-version",
            "--cert-reqs",
            "--ca-certs",
            "--suppress-ragged-eofs",
            "--do-handshake-on-connect",
            "--ciphers",
        ],
        Refused(NO_TLS),
    ),
    (&["--http-protocols"], AlwaysSo(Value::Only("h1"), NO_HTTP2)),
    (&["--http2-cleartext"], AlwaysSo(Value::Only("off"), NO_HTTP2)),
    (
        &[
            "--http2-max-concurrent-streams",
            "--http2-initial-window-size",
            "--http2-max-frame-size",
            "--http2-max-header-list-size",
        ],
        Refused(NO_HTTP2),
    ),
    (
        &[
            "--permit-obsolete-folding",
            "--strip-header-spaces",
            "--permit-unconventional-http-version",
            "--casefold-http-method",
        ],
        Refused(STRICT),
    ),
    (&["--permit-unconventional-http-method"], AlwaysSo(Value::None, "any token is a method")),
    (
        &["--forwarder-headers"],
        Refused("fields with `_` are dropped; mount the app by [[app]] mount to set SCRIPT_NAME"),
    ),
    (&["--header-map"], AlwaysSo(Value::Only("drop"), "fields with `_` could pass for others")),
    (&["--http-parser"], AlwaysSo(Value::Only("auto"), "there is one parser")),
    (&["--asgi-lifespan"], Taken("python.lifespan")),
    (&["--asgi-loop"], Taken("python.loop")),
    (
        &["--asgi-disconnect-grace-period"],
        Refused("a request whose client leaves is told so at once, or cancelled"),
    ),
    (&["--websocket-max-message-size"], Refused("write websocket.max_message")),
    (&["--root-path"], Refused("write [[app]] with mount = \"/prefix\"")),
    (
        &["--dirty-app", "--dirty-workers", "--dirty-timeout", "--dirty-threads", "--dirty-graceful-timeout"],
        Refused(NO_DIRTY),
    ),
    (
        &["--control-socket", "--control-socket-mode"],
        Refused(
            "`ferricorn ctl` finds its socket by itself; write admin.socket for another place, admin.group for who may",
        ),
    ),
    (&["--no-control-socket"], Refused("write admin.socket = \"off\"")),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn play(line: &str) -> Result<String, String> {
        let words = line.split_whitespace().map(OsString::from).collect();
        let kept = adapt(words)?;
        Ok(kept.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "))
    }

    /// The table as docs/from-gunicorn.md has it.
    fn table() -> String {
        let mut text = String::from("| Gunicorn's flag | here | |\n|---|---|---|\n");
        for (flags, answer) in FLAGS {
            let flags: Vec<String> = flags.iter().map(|flag| format!("`{flag}`")).collect();
            let (kind, what) = match answer {
                Taken(what) if what.contains([' ', '`']) => ("taken", (*what).to_owned()),
                Taken(key) => ("taken", format!("`{key}`")),
                AlwaysSo(Value::Only(only), what) => ("taken", format!("only `{only}`: {what}")),
                AlwaysSo(Value::None | Value::Any, what) => ("always so", (*what).to_owned()),
                Refused(what) => ("refused", (*what).to_owned()),
            };
            text.push_str(&format!("| {} | {kind} | {what} |\n", flags.join(", ")));
        }
        text
    }

    #[test]
    fn the_page_has_this_table_and_no_other() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-gunicorn.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let begin = text.find("| Gunicorn's flag |").expect("the page has the table");
        let end = begin + text[begin..].find("\n\n").unwrap() + 1;
        if std::env::var_os("FERRICORN_UPDATE_REFERENCE").is_some() {
            std::fs::write(&path, format!("{}{}{}", &text[..begin], table(), &text[end..])).unwrap();
        } else {
            assert!(
                text[begin..end] == table(),
                "docs/from-gunicorn.md is stale: test with FERRICORN_UPDATE_REFERENCE=1"
            );
        }
    }

    #[test]
    fn what_is_always_so_is_taken_away_and_the_rest_stays() {
        for (line, expected) in [
            ("f serve a:b -w 2", "f serve a:b -w 2"),
            ("f --worker-tmp-dir /dev/shm a:b", "f a:b"),
            ("f --worker-tmp-dir=/dev/shm a:b", "f a:b"),
            ("f -R --reuse-port a:b -e A=--reload", "f a:b -e A=--reload"),
            ("f --protocol http --header-map=drop a:b", "f a:b"),
            ("f --access-logfile - a:b", "f --access-logfile - a:b"),
        ] {
            assert_eq!(play(line).as_deref(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_refused_is_said_at_once_with_what_to_do() {
        let problems = play("f --spew -D --certfile=x a:b --protocol uwsgi --worker-tmp-dir").unwrap_err();
        for part in
            ["--spew of Gunicorn", "-D of Gunicorn", "--certfile of", "can only be http", "needs a value"]
        {
            assert!(problems.contains(part), "{part}: {problems}");
        }
        assert_eq!(problems.lines().count(), 5, "{problems}");
    }

    #[test]
    fn no_flag_stands_there_twice() {
        let all: Vec<&str> = FLAGS.iter().flat_map(|(flags, _)| *flags).copied().collect();
        for (at, flag) in all.iter().enumerate() {
            assert!(!all[..at].contains(flag), "{flag}");
        }
    }

    #[test]
    fn a_waiting_configuration_of_gunicorn_is_noticed() {
        let nowhere = std::path::Path::new("/nonexistent");
        assert_eq!(hint(nowhere, |_| None), None);
        assert_eq!(hint(nowhere, |_| Some("".into())), None);
        assert!(hint(nowhere, |_| Some("-w 2".into())).unwrap().contains("GUNICORN_CMD_ARGS"));
        assert!(foreign_file("conf/gunicorn.conf.py".as_ref()).unwrap().contains("TOML"));
        assert_eq!(foreign_file("ferricorn.toml".as_ref()), None);
    }
}
