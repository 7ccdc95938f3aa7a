use super::super::plan::Sockets;
use super::super::writable::Writable;
use super::*;
use crate::config::{BindAddress, Config};
use std::path::PathBuf;

/// The units of the repository: a site in /srv/site, its own user, the default address.
fn generic() -> Plan {
    let config = Config::default();
    let program = ["/srv/site/.venv/bin/ferricorn", "serve", "--config", "/srv/site/ferricorn.toml"];
    let [BindAddress::Tcp { host, port }] = config.server.bind.as_slice() else { panic!("{config:?}") };
    Plan {
        name: "ferricorn".into(),
        command: program.map(Into::into).into(),
        reload: Reloading::Command(vec!["/srv/site/.venv/bin/ferricorn".into(), "ctl".into()]),
        directory: "/srv/site".into(),
        account: Account::Named { user: "ferricorn".into(), group: None },
        activation: Activation::Socket(Sockets {
            listen: vec![format!("{host}:{port}")],
            backlog: config.server.backlog,
            mode: config.server.unix_mode,
            owner: None,
            group: None,
        }),
        writable: Writable { runtime: vec!["ferricorn".into()], ..Writable::default() },
        ports: Ports::High,
        home: Reach::Hidden,
        temporary: Reach::Hidden,
        code: Code::Python,
        start: config.timeouts.boot.max(config.timeouts.reload),
        reloading: config.timeouts.reload,
        stop: config.timeouts.lame_duck + config.timeouts.longest_drain(),
        notes: Vec::new(),
    }
}

#[test]
fn units_of_the_repository_are_what_the_command_prints() {
    let plan = generic();
    // It works with the socket unit and without it.
    let service = service(&Plan { activation: Activation::Server, ..plan.clone() });
    for (name, text) in [("ferricorn.service", service), ("ferricorn.socket", socket(&plan))] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name);
        if std::env::var_os("FERRICORN_UPDATE_UNITS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, text, "{name} is stale: FERRICORN_UPDATE_UNITS=1 cargo test --lib units_of");
    }
}

/// What a changed plan has more and less than the generic one; comments left out.
fn differences(change: impl FnOnce(&mut Plan)) -> Vec<String> {
    let mut plan = Plan { activation: Activation::Server, ..generic() };
    let lines = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(Into::into).collect()
    };
    let before = lines(&service(&plan));
    change(&mut plan);
    let after = lines(&service(&plan));
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(new).collect()
}

#[test]
fn the_service_has_what_the_plan_says() {
    assert_eq!(
        differences(|plan| plan.account = Account::Dynamic),
        ["- User=ferricorn", "+ DynamicUser=yes"]
    );
    assert_eq!(
        differences(|plan| plan.reload = Reloading::Signal),
        [
            "- ExecReload=/srv/site/.venv/bin/ferricorn ctl --pid $MAINPID --timeout 605 reload --wait",
            "+ ExecReload=/bin/kill -HUP $MAINPID"
        ]
    );
    assert_eq!(
        differences(|plan| plan.ports = Ports::Low),
        [
            "- CapabilityBoundingSet=",
            "+ AmbientCapabilities=CAP_NET_BIND_SERVICE",
            "+ CapabilityBoundingSet=CAP_NET_BIND_SERVICE"
        ]
    );
    assert_eq!(differences(|plan| plan.code = Code::Native), ["+ MemoryDenyWriteExecute=yes"]);
    assert_eq!(differences(|plan| plan.temporary = Reach::Seen), ["- PrivateTmp=yes"]);
    assert_eq!(differences(|plan| plan.home = Reach::Seen), ["- ProtectHome=yes", "+ ProtectHome=read-only"]);
    assert_eq!(
        differences(|plan| plan.writable.paths = vec![PathBuf::from("/srv/my media"), "/srv/db".into()]),
        ["+ ReadWritePaths=\"-/srv/my media\"", "+ ReadWritePaths=-/srv/db"]
    );
    assert_eq!(
        differences(|plan| plan.activation = generic().activation),
        [
            "- FileDescriptorStoreMax=512",
            "- Environment=FDSTORE=512",
            "- RuntimeDirectory=ferricorn",
            "- RuntimeDirectoryMode=0755",
            "- RuntimeDirectoryPreserve=restart",
            "+ Requires=ferricorn.socket",
            "+ After=ferricorn.socket"
        ]
    );
}

#[test]
fn the_place_of_data_is_told_as_the_user_has_it() {
    for (account, told) in [
        (generic().account, "# /var/lib/ferricorn: "),
        (Account::Dynamic, "# /var/lib/ferricorn, in /var/lib/private, which root alone may enter: "),
    ] {
        let text = service(&Plan { account, ..generic() });
        let line = text.lines().find(|line| line.starts_with("# /var/lib/")).unwrap();
        assert!(line.starts_with(told), "{line}");
    }
}

#[test]
fn words_mean_to_systemd_what_they_meant_to_the_shell() {
    for (word, expected) in [
        ("site.wsgi:application", "site.wsgi:application"),
        ("", "\"\""),
        ("A=two words", "\"A=two words\""),
        ("100%", "\"100%%\""),
        ("$HOME", "\"$$HOME\""),
        ("say \"\\\"", "\"say \\\"\\\\\\\"\""),
        (";", "\";\""),
        ("a\nb", "\"a\\nb\""),
    ] {
        assert_eq!(quoted(word), expected);
    }
}

#[test]
fn the_program_is_found_whatever_its_path() {
    let words = ["/srv/50% of $x/.venv/bin/ferricorn", "serve", "$x"].map(str::to_owned);
    assert_eq!(command_line(&words), "\"/srv/50%% of $x/.venv/bin/ferricorn\" serve \"$$x\"");
}

#[test]
fn every_hardening_line_has_its_reason() {
    let text = service(&generic());
    let start = text.find("CapabilityBoundingSet=").unwrap();
    let end = text.find("[Install]").unwrap();
    let lines: Vec<&str> = text[start..end].lines().skip(1).collect();
    for (index, line) in
        lines.iter().enumerate().filter(|(_, line)| line.contains('=') && !line.starts_with('#'))
    {
        assert!(lines[index - 1].starts_with("# "), "{line}");
    }
}

#[test]
fn a_socket_unit_for_a_path_has_its_access() {
    let mut plan = generic();
    if let Activation::Socket(sockets) = &mut plan.activation {
        sockets.listen = vec!["/run/site/http.sock".into()];
        sockets.group = Some("www-data".into());
    }
    let text = socket(&plan);
    for line in ["ListenStream=/run/site/http.sock\n", "SocketMode=0666\n", "SocketGroup=www-data\n"] {
        assert!(text.contains(line), "{text}");
    }
}
