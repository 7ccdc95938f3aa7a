//! Every key: its name, what it means, its type, its default. The only such place.
//!
//! Reading, printing, the names of environment variables, `config/reference.toml` and
//! `docs/settings.md` all come from these tables.

mod apps;
mod auth;
mod defaults;
mod require;
mod rule;

pub(crate) use apps::mount_prefix;
pub(super) use apps::{APP_KEYS, MountDraft, ROUTE_KEYS, app_target};
pub(super) use auth::{AUTH_KEYS, KEY_KEYS, KeyDraft, PROVIDER_KEYS, blank_provider};
pub(super) use rule::{RULE_KEYS, RuleDraft};

use super::Config;
use super::setting::Setting;
use super::value::Value;

/// One key of the part of the configuration that `T` is.
#[derive(Debug)]
pub(super) struct Key<T> {
    /// Path below that part: `server.bind`, `extract.authorization`, `mount`.
    pub(super) path: &'static str,
    /// The manual's entry.
    pub(super) doc: &'static str,
    /// Whether a reload can change it.
    pub(super) change: Change,
    /// What belongs here.
    pub(super) takes: fn() -> String,
    /// Sets it, or says what is wrong with the value.
    pub(super) set: fn(&mut T, &Value) -> Result<(), String>,
    /// Its value, as TOML.
    pub(super) show: fn(&T) -> toml::Value,
}

/// When a changed value takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// With the next reload.
    Reload,
    /// With the next start.
    Restart,
}

/// A table of keys: `path(.field)+ change "doc";`, and `as Wrapper` where a type is written differently.
macro_rules! keys {
    ($(#[$meta:meta])* $table:ident: $root:ty; $($path:literal $(.$field:ident)+ $(as $wrapper:ty)?, $change:ident, $doc:literal;)*) => {
        $(#[$meta])*
        pub(in crate::config) static $table: &[$crate::config::schema::Key<$root>] = &[
            $($crate::config::schema::Key {
                path: $path,
                doc: $doc,
                change: $crate::config::schema::Change::$change,
                takes: $crate::config::schema::keys!(@takes $root, $(.$field)+ $(, $wrapper)?),
                set: |root, value| {
                    root$(.$field)+ = $crate::config::schema::keys!(@read value $(, $wrapper)?)?;
                    Ok(())
                },
                show: |root| $crate::config::schema::keys!(@show root$(.$field)+ $(, $wrapper)?),
            }),*
        ];
    };
    (@takes $root:ty, $(.$field:ident)+) => {
        || $crate::config::schema::takes_of(|root: &$root| &root$(.$field)+)
    };
    (@takes $root:ty, $(.$field:ident)+, $wrapper:ty) => { <$wrapper as $crate::config::setting::Setting>::takes };
    (@read $value:ident) => { $crate::config::setting::Setting::read($value) };
    (@read $value:ident, $wrapper:ty) => {
        <$wrapper as $crate::config::setting::Setting>::read($value).map(Into::into)
    };
    (@show $place:expr) => { $crate::config::setting::Setting::show(&$place) };
    (@show $place:expr, $wrapper:ty) => { $crate::config::setting::Setting::show(&<$wrapper>::from($place)) };
}
use keys;

/// What the type of a field takes; the function names the field and is never called.
fn takes_of<R, T: Setting>(_field: fn(&R) -> &T) -> String {
    T::takes()
}

/// What each section is about, in the order of the reference.
pub(super) const SECTIONS: &[(&str, &str)] = &[
    ("server", "Addresses, identity and files of the server as a whole."),
    ("workers", "How many workers there are and how they are replaced."),
    ("limits", "Sizes and counts that no client or app may exceed."),
    ("timeouts", "How long anything may take."),
    ("log", "Error log and access log."),
    ("python", "Python apps: code, event loop, hooks."),
    ("websocket", "WebSockets of ASGI apps."),
    ("admin", "How the server is controlled and watched."),
];

/// What the other parts are about.
pub(super) mod about {
    pub(in crate::config) const APP: &str =
        "A mounted app. Without any, the native demo app hello is mounted at \"/\".";
    pub(in crate::config) const ROUTE: &str = "Limits for part of the URL space; the first match wins.";
    pub(in crate::config) const AUTH: &str =
        "Bearer tokens checked before any app is entered. Without the section none are.";
    pub(in crate::config) const PROVIDER: &str = "Who issues tokens.";
    pub(in crate::config) const KEY: &str = "A key of the provider above.";
    pub(in crate::config) const RULE: &str =
        "Who may pass where: the first match wins, the last rule covers \"/\".";
}

keys! {
    /// The plain sections.
    ROOT_KEYS: Config;
    "server.bind".server.bind, Reload,
        "Addresses to listen on: HOST:PORT, [v6]:PORT, :PORT (all IPv4 addresses), unix:PATH, fd://N (inherited). \
         The variable PORT gives 0.0.0.0:$PORT where neither the file, nor the environment, nor a flag says otherwise.";
    "server.backlog".server.backlog, Restart, "Length of each listening socket's queue, listen(2).";
    "server.unix_mode".server.unix_mode, Restart, "Mode of UNIX sockets.";
    "server.unix_owner".server.unix_owner, Restart, "Owner of UNIX sockets, a name or number. Empty: unchanged.";
    "server.unix_group".server.unix_group, Restart, "Group of UNIX sockets, a name or number. Empty: unchanged.";
    "server.user".server.user, Reload, "User that workers run as, a name or number. Empty: unchanged.";
    "server.group".server.group, Reload, "Group that workers run as, a name or number. Empty: that of the user.";
    "server.umask".server.umask, Reload, "File mode creation mask. Empty: as inherited.";
    "server.no_new_privs".server.no_new_privs, Reload,
        "Whether no program that an app starts can get rights that the worker does not have, such as sudo's (prctl(2), PR_SET_NO_NEW_PRIVS).";
    "server.open_files".server.open_files, Restart,
        "Limit of open descriptors of each process. 0: the highest that is allowed (the hard limit).";
    "server.core_dumps".server.core_dumps, Reload,
        "Whether a worker that crashes leaves a core dump, also when server.user is set. It holds what was in memory: keys, tokens. Empty: as inherited.";
    "server.oom_score_adj".server.oom_score_adj, Reload,
        "Added to the oom_score_adj that workers inherit, 0 to 1000: when memory runs out the kernel should end a worker, which is replaced, not the master.";
    "server.chdir".server.chdir, Reload,
        "Working directory, entered before anything is loaded; relative paths start there. \
         It is itself relative to where the server was started. Empty: unchanged.";
    "server.pid_file".server.pid_file, Restart, "File that the master's pid is written to. Empty: none.";
    "server.forwarded_allow_ips".server.forwarded_allow_ips, Reload,
        "Peers that are proxies of yours: addresses, networks, or \"*\"; peers on UNIX sockets always are. What they say of scheme, \
         host and client address is what apps and logs see; from all others such fields are removed. \
         The variable FORWARDED_ALLOW_IPS replaces the default.";
    "server.forwarded_fields".server.forwarded_fields, Reload,
        "What such peers are believed: name only fields that your proxy sets itself, since it may pass on what clients wrote in others. \
         \"forwarded\" is the field of RFC 7239, and stands alone.";
    "workers.count".workers.count, Reload,
        "Number of workers. \"auto\": the CPUs of the cgroup, at most 4 for Python apps. { min = 2, max = 8 }, or \"2:8\": as many as \
         there is work for. A reload can have 256, or twice as many as the start had; more take a restart. \
         The variable WEB_CONCURRENCY replaces the default.";
    "workers.shrink_after".workers.shrink_after, Reload,
        "Where workers.count has a min and a max: how long one worker less must have been enough, and half busy at most, before one leaves.";
    "workers.threads".workers.threads, Reload,
        "App threads per worker (WSGI), or runtime threads (native apps). \
         \"auto\": for native apps the CPUs of the cgroup, divided among the workers; for WSGI 1.";
    "workers.preload".workers.preload, Reload,
        "Whether Python apps are loaded once per generation, in a process from which the workers are forked, so that they share its memory. \
         \"strict\": a start, a reload or an upgrade fails when the apps have begun threads or opened connections, which do not survive the fork; \
         with true the log names them. Native apps and static files are made in each worker all the same.";
    "workers.max_requests".workers.max_requests, Reload, "Recycle a worker after so many requests; 0 = never.";
    "workers.max_requests_jitter".workers.max_requests_jitter, Reload,
        "At most so many requests are added to max_requests, at random per worker.";
    "workers.max_age".workers.max_age, Reload, "Recycle a worker after so long; 0s = never.";
    "workers.max_age_jitter".workers.max_age_jitter, Reload,
        "At most so much is added to max_age, differently for each worker.";
    "workers.max_memory".workers.max_memory, Reload,
        "Recycle a worker that has more memory, looked at every 5 s: pages shared with others count in part (PSS). Empty: no limit.";
    "workers.memory_pressure".workers.memory_pressure, Reload,
        "Recycle the largest worker when so much of what the cgroup may have is in use, files that are only cached left out: \"90%\". Empty: never.";
    "workers.max_recycling".workers.max_recycling, Reload,
        "How many workers are recycled at once, for requests, age or memory; the others serve on until it is their turn. A part, rounded down, or a number; at least one.";
    "workers.recycle_after_timeout".workers.recycle_after_timeout, Reload,
        "Replace a worker when one of its requests has passed timeouts.request, even if it could be interrupted: what it was in the middle of may \
         have been left in disorder. One that could not be interrupted has its worker replaced in any case.";
    "workers.max_surge".workers.max_surge, Reload,
        "How many additional workers a reload may start at once: a part, rounded down, or a number; at least one.";
    "workers.canary".workers.canary.time, Reload,
        "Time that the first worker of a new generation serves beside the old ones, and is compared with them, before a reload goes on; when it does worse, \
         the reload has failed. 0s: it is not compared. `ferricorn ctl reload --canary 10s` asks for it once.";
    "workers.canary_requests".workers.canary.requests, Reload,
        "Answers that it has to have given by then. With fewer it goes on for up to three times as long, and is then judged by those.";
    "workers.canary_errors".workers.canary.errors, Reload,
        "How much larger the part of its answers that are 5xx may be than that of the old workers' answers in the same time.";
    "workers.canary_latency".workers.canary.latency, Reload,
        "How long its answers may take (until their head), compared with the old workers' in the same time. Geometric means are compared; differences below a millisecond count little.";
    "workers.quarantine".workers.quarantine, Reload,
        "Refuse a request (method and target, query included) with 503 once it has ended so many workers, 2 or more, without having been answered in between. \
         It is blamed for a crash when it was the only request in an app. 0: none is refused.";
    "workers.quarantine_time".workers.quarantine_time, Reload,
        "How long it is refused. Then it is let in once more, and one more crash is enough.";
    "workers.warm_up".workers.warm_up, Reload,
        "Requests that each new worker answers itself, in their order, before it is ready: a path, or { path, host, scheme, status }. \
         They pass through everything that a client's request passes through. Without host it is \"localhost\"; without scheme http; \
         without status every one from 200 to 399 will do. A worker that answers otherwise has not started.";
    "workers.check_command".workers.check_command, Reload,
        "A program and its arguments, run without a shell before any worker of a generation is started, at the start and at each reload: \
         in server.chdir, as server.user and with the apps' env and env_file. When it fails the start or the reload fails, with its output. \
         Empty: nothing is run.";
    "limits.head".limits.head, Reload, "Request line and fields together. Past it: 431.";
    "limits.target".limits.target, Reload, "The request target. Past it: 414.";
    "limits.fields".limits.fields, Reload, "Number of request fields. Past it: 431.";
    "limits.body".limits.body, Reload, "Request content. Past it: 413.";
    "limits.body_memory".limits.body_memory, Reload,
        "Request content kept in memory; beyond it in a temporary file.";
    "limits.response_buffer".limits.response_buffer, Reload,
        "Response content held for a slow client before the app has to wait.";
    "limits.connections".limits.connections, Reload,
        "Connections per worker. Past it: connections wait in the queue.";
    "limits.queue".limits.queue, Reload,
        "Requests per worker that wait for an app thread while all are in calls (Python apps). Past it: 503 with Retry-After, the app not entered.";
    "timeouts.head".timeouts.head, Reload, "From the first byte of a head to its end. Past it: 408.";
    "timeouts.body".timeouts.body, Reload, "Between two reads of request content. Past it: 408.";
    "timeouts.keep_alive".timeouts.keep_alive, Reload,
        "Between two requests on a kept-alive connection. 0s: connections are not kept.";
    "timeouts.request".timeouts.request, Reload,
        "Time a request may spend in the app: until the head of its response, then from piece to piece; 0s = no limit. \
         Past it: 504, or the end of a response that has begun.";
    "timeouts.queue".timeouts.queue, Reload,
        "Time a request may wait for an app thread, counted from when it was complete; 0s = no limit. Past it: 503 with Retry-After, the app not entered.";
    "timeouts.overload".timeouts.overload, Reload,
        "When the oldest of more than ten waiting requests per app thread has waited so long, more come than can be served: from then on the \
         newest is served first, as its client is still there, and every sixteenth time the oldest. 0s = never: first come, first served.";
    "timeouts.write".timeouts.write, Reload, "Between two writes that a client accepts.";
    "timeouts.graceful".timeouts.graceful, Reload, "Time running requests have to end when a worker leaves.";
    "timeouts.drain_streaming".timeouts.drain_streaming, Reload,
        "The same for answers whose length is not known beforehand, such as event streams. Empty: as graceful.";
    "timeouts.drain_websocket".timeouts.drain_websocket, Reload,
        "The same for WebSockets and other connections that have changed their protocol. Empty: as graceful.";
    "timeouts.lame_duck".timeouts.lame_duck, Reload,
        "Time that a server told to stop goes on serving, so that load balancers can learn that it is not ready any more; answers then end their connections.";
    "timeouts.drain_idle".timeouts.drain_idle, Reload,
        "Time an idle kept-alive connection has, when a worker leaves that cannot hand it to another, for a request already on its way.";
    "timeouts.boot".timeouts.boot, Reload, "From the fork of a worker to its being ready.";
    "timeouts.check".timeouts.check, Reload, "Time for workers.check_command. Past it: it is killed, and has failed.";
    "timeouts.reload".timeouts.reload, Reload,
        "From the beginning of a reload to its end. Past it: the reload has failed, and what serves goes on serving.";
    "timeouts.heartbeat".timeouts.heartbeat, Reload,
        "How long a worker's event loop may stand still, as it does when a native app blocks the thread that serves connections; 0s = for ever. \
         Past it: a successor is started, then the worker has timeouts.graceful to leave. Calls of WSGI apps do not stop the loop.";
    "log.level".log.level, Reload, "Least severe level shown: error, warn, info, debug, trace.";
    "log.format".log.format, Reload, "Shape of the error log: text, or json with the names of OpenTelemetry's log data model. Text has no time on the journal, which has its own.";
    "log.error".log.error, Reload, "Where the error log goes: a file, \"-\" (standard output), \"stderr\", or \"off\".";
    "log.access".log.access, Reload, "Where the access log goes: a file, \"-\" (standard output), \"stderr\", or \"off\".";
    "log.access_format".log.access_format, Reload,
        "Shape of the access log: combined, json, or a pattern of Gunicorn's atoms such as \"%(h)s %(t)s \\\"%(r)s\\\" %(s)s %({host}i)s\".";
    "log.capture_output".log.capture_output, Reload,
        "Whether what Python apps print goes line by line to the error log, with the worker's slot: standard output as info, standard error as warn. \
         With false it goes to the server's own standard output and standard error. What child processes and C code write there always does.";
    "python.path".python.path, Reload, "Directories put on sys.path behind the working directory.";
    "python.static".python.static_files, Reload,
        "auto: with DEBUG off, a Django project's STATIC_ROOT is served at STATIC_URL, unless something is mounted there. off: it is not.";
    "python.gc_freeze".python.gc_freeze, Reload,
        "Whether what the apps have made when they are loaded is left out of Python's garbage collection from then on (gc.freeze): collections get shorter, and memory shared by fork stays shared.";
    "python.huge_pages".python.huge_pages, Reload,
        "Whether workers move the memory that their apps have come to use into pages of 2 MiB, where the system has them (Linux 6.1, \
         /sys/kernel/mm/transparent_hugepage/enabled not never): apps that use much of their memory at each request take less of the processor. \
         Not with workers.preload, where memory is shared by smaller pages.";
    "python.hooks.when_ready".python.hooks.when_ready, Reload,
        "A callable, \"module:callable\", that is called when the server has become ready. Like child_exit it runs in a process of its own, \
         as the apps' user, for 30 s at most: no code of a site runs in the master. Hooks are called with one argument, which has hook (its name), slot, pid, generation and reason, \
         and only with Python apps. Empty: none.";
    "python.hooks.post_fork".python.hooks.post_fork, Reload,
        "The same in each worker, when it has been forked and has no app yet. Its failure is that of the worker.";
    "python.hooks.worker_start".python.hooks.worker_start, Reload,
        "The same in each worker, when it has its apps and is about to be ready: Gunicorn's post_worker_init. Its failure is that of the worker.";
    "python.hooks.worker_exit".python.hooks.worker_exit, Reload,
        "The same in each worker that leaves in peace, after its last request.";
    "python.hooks.child_exit".python.hooks.child_exit, Reload,
        "The same for each worker that has ended, in whatever way; reason says how. In a process of its own.";
    "python.lifespan".python.lifespan, Reload,
        "Whether ASGI apps are told of their beginning and end (lifespan). auto: if they listen; one that does not is left alone. \
         on: a worker whose app does not answer has not started.";
    "python.loop".python.event_loop, Reload,
        "Whose event loop ASGI apps live in: asyncio's own, or uvloop's (pip install 'ferricorn[uvloop]'). auto: uvloop's where it is installed.";
    "websocket.max_message".websocket.max_message, Reload,
        "Longest message of a client, inflated. Past it: the WebSocket is closed with 1009.";
    "websocket.queue".websocket.queue, Reload,
        "Messages of a client that wait for the app. Past it: nothing more is read from that client.";
    "websocket.ping_interval".websocket.ping_interval, Reload, "Pause between two pings; 0s: none are sent.";
    "websocket.ping_timeout".websocket.ping_timeout, Reload,
        "How long the answer to a ping may take; 0s: for ever. Past it: the WebSocket is closed with 1011.";
    "websocket.deflate".websocket.deflate, Reload,
        "Whether messages may be compressed (permessage-deflate), if the client can. Each message by itself: nothing is kept between two.";
    "admin.socket".admin.socket, Restart,
        "Where `ferricorn ctl` reaches the server: \"auto\" (in RUNTIME_DIRECTORY, for root /run/ferricorn, or XDG_RUNTIME_DIR/ferricorn; \
         where none can be written, a socket without a file), a path, or \"off\". Root, the server's own user and admin.group may use it, nobody else.";
    "admin.group".admin.group, Restart,
        "Group whose members may use that socket as well, a name or number. Empty: none.";
    "admin.address".admin.address, Restart,
        "HOST:PORT, in no other form, at which /healthz, /readyz, /metrics and /status are answered to everybody who reaches it. Empty: none.";
    "admin.live_path".admin.live_path, Reload,
        "Path answered on all listeners in place of any app, with 200, and not logged. Empty: none.";
    "admin.ready_path".admin.ready_path, Reload,
        "Path answered so with 200 while a worker is ready and the server is not stopping, else 503. Empty: none.";
}
