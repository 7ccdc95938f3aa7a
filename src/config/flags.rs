//! The flags that set configuration keys.

use super::Interface;
use super::build::Assignment;
use super::errors::{Origin, Problem};
use super::setting::Setting;
use super::value::{Node, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Flags that every subcommand which reads the configuration takes. They win over everything else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
pub struct Flags {
    /// What to serve at "/": module:callable, module:factory(), a bare module, native:NAME, hello, echo or status
    #[cfg_attr(feature = "cli", arg(value_name = "APP"))]
    pub app: Option<String>,
    /// Configuration file [default: ferricorn.toml, if it is there]
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "FILE"))]
    pub config: Option<PathBuf>,
    /// Address to listen on: HOST:PORT, :PORT, unix:PATH or fd://N; may be repeated
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "ADDRESS"))]
    pub bind: Vec<String>,
    /// Number of workers, "auto", or "2:8": as many as there is work for
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "N"))]
    pub workers: Option<String>,
    /// App threads per worker
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub threads: Option<String>,
    /// Connections that a worker may have at once
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub worker_connections: Option<String>,
    /// What the Python apps speak: auto, wsgi or asgi
    #[cfg_attr(feature = "cli", arg(long, value_name = "INTERFACE"))]
    pub interface: Option<String>,
    /// Kind of worker, for command lines written for Gunicorn: sync, gthread, asgi or uvicorn's
    #[cfg_attr(feature = "cli", arg(short = 'k', long, value_name = "CLASS"))]
    pub worker_class: Option<String>,
    /// Event loop of ASGI apps: auto, asyncio or uvloop
    #[cfg_attr(feature = "cli", arg(long, value_name = "LOOP"))]
    pub asgi_loop: Option<String>,
    /// Whether ASGI apps are told of their beginning and end: auto, on or off
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODE"))]
    pub asgi_lifespan: Option<String>,
    /// Time a request may spend in the app: seconds, or with a unit; 0 = no limit
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "TIME"))]
    pub timeout: Option<String>,
    /// Time running requests have to end when a worker leaves
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    pub graceful_timeout: Option<String>,
    /// Time between two requests on a connection
    #[cfg_attr(feature = "cli", arg(long, value_name = "TIME"))]
    pub keep_alive: Option<String>,
    /// Recycle a worker after so many requests
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub max_requests: Option<String>,
    /// At most so many requests more, at random per worker
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub max_requests_jitter: Option<String>,
    /// Load Python apps once, and fork the workers from there; "strict": only if nothing is lost by the fork
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "strict", num_args = 0..=1, require_equals = true, default_missing_value = "true")
    )]
    pub preload: Option<String>,
    /// Length of each listening socket's queue
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub backlog: Option<String>,
    /// Longest request target, in bytes
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub limit_request_line: Option<String>,
    /// Number of request fields
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub limit_request_fields: Option<String>,
    /// Mode of UNIX sockets, octal
    #[cfg_attr(feature = "cli", arg(long, value_name = "MODE"))]
    pub unix_mode: Option<String>,
    /// File that the master's pid is written to
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "FILE"))]
    pub pid: Option<String>,
    /// User that workers run as
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "USER"))]
    pub user: Option<String>,
    /// Group that workers run as
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "GROUP"))]
    pub group: Option<String>,
    /// File mode creation mask, octal
    #[cfg_attr(feature = "cli", arg(short = 'm', long, value_name = "MASK"))]
    pub umask: Option<String>,
    /// Working directory, entered before anything is loaded
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIR"))]
    pub chdir: Option<String>,
    /// Directories put on sys.path, separated by commas
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIRS"))]
    pub pythonpath: Option<String>,
    /// Variable given to every app's environment; may be repeated
    #[cfg_attr(feature = "cli", arg(short, long, value_name = "NAME=VALUE"))]
    pub env: Vec<String>,
    /// Directory of files served at a URL prefix; may be repeated
    #[cfg_attr(feature = "cli", arg(long = "static", value_name = "URL=DIR"))]
    pub static_files: Vec<String>,
    /// Peers whose forwarded fields are believed, separated by commas, or "*"
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDRESSES"))]
    pub forwarded_allow_ips: Option<String>,
    /// Where the access log goes: a file, "-" (standard output), "stderr" or "off"
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub access_logfile: Option<String>,
    /// Shape of the access log: combined, json or a pattern such as "%(h)s %(r)s %(s)s"
    #[cfg_attr(feature = "cli", arg(long, value_name = "FORMAT"))]
    pub access_logformat: Option<String>,
    /// Where the error log goes: a file, "-" (standard output), "stderr" or "off"
    #[cfg_attr(feature = "cli", arg(long, alias = "log-file", value_name = "FILE"))]
    pub error_logfile: Option<String>,
    /// Send what Python apps print to the error log
    #[cfg_attr(feature = "cli", arg(long))]
    pub capture_output: bool,
    /// Least severe level shown: error, warn, info, debug, trace
    #[cfg_attr(feature = "cli", arg(long, value_name = "LEVEL"))]
    pub log_level: Option<String>,
    /// Shape of the error log: text or json
    #[cfg_attr(feature = "cli", arg(long, value_name = "FORMAT"))]
    pub log_format: Option<String>,
}

impl Flags {
    /// The keys that these flags set.
    pub(super) fn assignments(&self) -> Vec<Assignment> {
        let table = [
            ("--workers", "workers.count", self.workers.clone()),
            ("--threads", "workers.threads", self.threads.clone()),
            ("--asgi-loop", "python.loop", self.asgi_loop.clone()),
            ("--asgi-lifespan", "python.lifespan", self.asgi_lifespan.clone()),
            ("--timeout", "timeouts.request", self.timeout.as_deref().map(with_unit)),
            ("--graceful-timeout", "timeouts.graceful", self.graceful_timeout.as_deref().map(with_unit)),
            ("--keep-alive", "timeouts.keep_alive", self.keep_alive.as_deref().map(with_unit)),
            ("--max-requests", "workers.max_requests", self.max_requests.clone()),
            ("--max-requests-jitter", "workers.max_requests_jitter", self.max_requests_jitter.clone()),
            ("--preload", "workers.preload", self.preload.clone()),
            ("--backlog", "server.backlog", self.backlog.clone()),
            ("--worker-connections", "limits.connections", self.worker_connections.clone()),
            ("--limit-request-line", "limits.target", self.limit_request_line.as_deref().map(with_byte)),
            ("--limit-request-fields", "limits.fields", self.limit_request_fields.clone()),
            ("--unix-mode", "server.unix_mode", self.unix_mode.clone()),
            ("--pid", "server.pid_file", self.pid.clone()),
            ("--user", "server.user", self.user.clone()),
            ("--group", "server.group", self.group.clone()),
            ("--umask", "server.umask", self.umask.clone()),
            ("--chdir", "server.chdir", self.chdir.clone()),
            ("--pythonpath", "python.path", self.pythonpath.clone()),
            ("--forwarded-allow-ips", "server.forwarded_allow_ips", self.forwarded_allow_ips.clone()),
            ("--access-logfile", "log.access", self.access_logfile.clone()),
            ("--access-logformat", "log.access_format", self.access_logformat.clone()),
            ("--error-logfile", "log.error", self.error_logfile.clone()),
            ("--capture-output", "log.capture_output", self.capture_output.then(|| "true".into())),
            ("--log-level", "log.level", self.log_level.clone()),
            ("--log-format", "log.format", self.log_format.clone()),
        ];
        let single = table.into_iter().filter_map(|(flag, path, text)| {
            let node = Node { value: Value::Loose(text?), origin: Origin::Flag(flag.into()) };
            Some(Assignment { path: path.into(), node })
        });
        single.chain(self.addresses()).collect()
    }

    fn addresses(&self) -> Option<Assignment> {
        let origin = Origin::Flag("--bind".into());
        let node = |text: &String| Node { value: Value::Loose(text.clone()), origin: origin.clone() };
        let items: Vec<Node> = self.bind.iter().map(node).collect();
        let node = Node { value: Value::List(items), origin };
        (!self.bind.is_empty()).then(|| Assignment { path: "server.bind".into(), node })
    }

    /// `-e NAME=VALUE`
    pub(super) fn variables(&self, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
        pairs(&self.env, "--env", "NAME=VALUE", problems)
    }

    /// `--static URL=DIR`
    pub(super) fn directories(&self, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
        pairs(&self.static_files, "--static", "URL=DIR", problems)
    }

    /// `--interface`, or the worker class that stands for one.
    pub(super) fn interface(&self, problems: &mut Vec<Problem>) -> Option<(Interface, Origin)> {
        if let Some(text) = &self.interface {
            let origin = Origin::Flag("--interface".into());
            return match Interface::read(&Value::Loose(text.clone())) {
                Ok(interface) => Some((interface, origin)),
                Err(message) => {
                    problems.push(Problem::new(&origin, "app.interface", message));
                    None
                }
            };
        }
        let class = self.worker_class.as_deref()?;
        is_asgi(class).then(|| (Interface::Asgi, Origin::Flag("--worker-class".into())))
    }

    /// What is wrong with `--worker-class`: the kind of app decides, so the class can only agree.
    pub(super) fn worker_class_problem(&self) -> Option<Problem> {
        let class = self.worker_class.as_deref()?;
        let advice = match class {
            "sync" | "gthread" => return None,
            _ if is_asgi(class) => return None,
            "gevent" | "eventlet" | "tornado" => "use --threads N for requests that wait",
            _ => "use sync, gthread or asgi, or leave the flag out",
        };
        let message = format!("the worker class {class:?} is not there; {advice}");
        Some(Problem::new(&Origin::Flag("--worker-class".into()), "", message))
    }
}

/// Gunicorn's own class for ASGI, and those that uvicorn brings.
fn is_asgi(class: &str) -> bool {
    class == "asgi"
        || class == "uvicorn"
        || class.ends_with("UvicornWorker")
        || class.ends_with("UvicornH11Worker")
}

/// Gunicorn's times are numbers of seconds.
fn with_unit(text: &str) -> String {
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if bare { format!("{text}s") } else { text.into() }
}

/// Gunicorn's sizes are numbers of bytes.
fn with_byte(text: &str) -> String {
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if bare { format!("{text} B") } else { text.into() }
}

fn pairs(texts: &[String], flag: &str, shape: &str, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for text in texts {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && !text.contains('\0') => {
                map.insert(name.to_owned(), value.to_owned());
            }
            _ => {
                let message = format!("{text:?} is not of the form {shape}");
                problems.push(Problem::new(&Origin::Flag(flag.into()), "", message));
            }
        }
    }
    map
}
