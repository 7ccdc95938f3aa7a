//! What holds where nothing else is said, of the sections that have no default of their own.

use crate::config::{
    AccessFormat, Admin, AppTarget, BindAddress, ByteSize, Canary, Config, FileRules, ForwardedField,
    Interface, Limits, Log, LogFormat, LogLevel, LogTarget, Mode, Mount, Preload, Python, RequestContent,
    Server, Share, Threads, Timeouts, WebSocket, WorkerCount, Workers,
};
use std::collections::BTreeMap;
use std::time::Duration;

impl Default for Config {
    fn default() -> Self {
        Self {
            server: Server {
                bind: vec![BindAddress::Tcp { host: "127.0.0.1".into(), port: 8000 }],
                backlog: 2048,
                unix_mode: Mode(0o666),
                unix_owner: None,
                unix_group: None,
                user: None,
                group: None,
                umask: None,
                no_new_privs: false,
                open_files: 0,
                core_dumps: None,
                oom_score_adj: 100,
                chdir: None,
                pid_file: None,
                forwarded_allow_ips: vec!["127.0.0.1".into(), "::1".into()],
                forwarded_fields: vec![
                    ForwardedField::For,
                    ForwardedField::Proto,
                    ForwardedField::Host,
                    ForwardedField::Port,
                ],
            },
            workers: Workers {
                count: WorkerCount::Auto,
                shrink_after: Duration::from_secs(30),
                threads: Threads::Exactly(1),
                max_requests: 0,
                max_requests_jitter: 0,
                max_age: Duration::ZERO,
                max_age_jitter: Duration::ZERO,
                max_memory: None,
                memory_pressure: None,
                max_recycling: Share::Percent(25),
                recycle_after_timeout: true,
                preload: Preload::Off,
                max_surge: Share::Percent(25),
                canary: Canary::default(),
                quarantine: 0,
                quarantine_time: Duration::from_secs(60),
                warm_up: Vec::new(),
                check_command: Vec::new(),
            },
            limits: default_limits(),
            timeouts: default_timeouts(),
            log: Log {
                level: LogLevel::Info,
                format: LogFormat::Text,
                error: LogTarget::Stderr,
                access: LogTarget::Off,
                access_format: AccessFormat::Combined,
                capture_output: false,
            },
            python: Python::default(),
            websocket: WebSocket::default(),
            admin: Admin::default(),
            auth: None,
            apps: vec![Mount {
                hosts: Vec::new(),
                mount: "/".into(),
                target: AppTarget::Native("hello".into()),
                env_file: None,
                env: BTreeMap::new(),
                files: FileRules::default(),
                interface: Interface::default(),
                request_content: RequestContent::default(),
            }],
            routes: Vec::new(),
        }
    }
}

fn default_limits() -> Limits {
    Limits {
        head: ByteSize(32 << 10),
        target: ByteSize(16 << 10),
        fields: 100,
        body: ByteSize(1 << 30),
        body_memory: ByteSize(1 << 20),
        response_buffer: ByteSize(1 << 20),
        connections: 10_000,
        queue: 10_000,
    }
}

fn default_timeouts() -> Timeouts {
    Timeouts {
        head: Duration::from_secs(30),
        body: Duration::from_secs(60),
        keep_alive: Duration::from_secs(75),
        request: Duration::from_secs(30),
        queue: Duration::from_secs(30),
        overload: Duration::from_millis(500),
        write: Duration::from_secs(60),
        graceful: Duration::from_secs(30),
        drain_streaming: None,
        drain_websocket: None,
        lame_duck: Duration::ZERO,
        drain_idle: Duration::from_secs(2),
        boot: Duration::from_secs(120),
        check: Duration::from_secs(60),
        reload: Duration::from_secs(600),
        heartbeat: Duration::from_secs(60),
    }
}
