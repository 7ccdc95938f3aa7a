//! The program's own answers: exit codes and what stands on which stream.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output};

/// Runs the program in an empty directory with nothing in its environment.
fn play(arguments: &[&str]) -> (Option<i32>, String, String) {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("command_line");
    std::fs::create_dir_all(&directory).unwrap();
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_ferricorn"))
        .args(arguments)
        .env_clear()
        .current_dir(&directory)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn check_answers_with_one_line_or_all_problems() {
    let (code, output, errors) = play(&["check", "-b", ":9000", "-w", "2"]);
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(output, "configuration is valid: no file, 2 worker(s), 1 app(s), 0.0.0.0:9000\n");
    let (code, output, errors) =
        play(&["check", "-b", "9000", "-w", "none", "-t", "5 parsecs", "native:helo"]);
    assert_eq!((code, output.as_str()), (Some(2), ""));
    assert_eq!(errors.lines().count(), 4, "{errors}");
}

#[test]
fn the_flags_of_serve_check_and_print_too() {
    let (code, output, _) = play(&["--check-config"]);
    assert_eq!(code, Some(0));
    assert!(output.starts_with("configuration is valid"), "{output}");
    let (code, output, _) = play(&["-w", "3", "--print-config"]);
    assert_eq!(code, Some(0));
    assert!(output.contains("\ncount = 3\n"), "{output}");
}

#[test]
fn print_config_has_two_formats_and_origins() {
    let (code, output, _) = play(&["print-config", "--origin", "--log-level", "debug"]);
    assert_eq!(code, Some(0));
    assert!(output.contains("level = \"debug\"  # flag --log-level\n"), "{output}");
    assert!(output.contains("backlog = 2048  # default\n"), "{output}");
    let (code, output, _) = play(&["print-config", "--format", "json", "--origin", "echo"]);
    assert_eq!(code, Some(0));
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(json["config"]["app"][0]["target"], "native:echo");
    assert_eq!(json["origins"]["app[0].target"], "flag APP");
}

#[test]
fn usage_errors_end_with_code_2_and_say_what_to_do() {
    for (arguments, part) in [
        (&["--spew"][..], "--spew of Gunicorn is not supported: calls are not traced"),
        (&["hello", "--certfile", "a.pem", "-D"][..], "--certfile of Gunicorn is not supported: TLS"),
        (&["check", "-c", "gunicorn.conf.py"][..], "configuration is TOML here"),
        (&["hello", "--access-logformat", "%(h)s %(z)s"][..], "column 7: there is no atom %(z)s"),
        (&["chekc"][..], "'check'"),
        (&["-b", ":1", "check"][..], "write it first"),
        (&["serve", "-k", "gevent"][..], "--threads"),
        (&["serve", "-c", "missing.toml"][..], "missing.toml: cannot be read"),
        (&["serve", "--static", "/x=missing"][..], "the directory missing cannot be used"),
        (&["print-config", "--format", "yaml"][..], "toml"),
    ] {
        let (code, output, errors) = play(arguments);
        assert_eq!((code, output.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(errors.contains(part), "{arguments:?}: {errors}");
    }
}

#[test]
fn what_keeps_a_log_from_beginning_is_printed() {
    let (code, output, errors) = play(&["serve", "hello", "-b", "127.0.0.1:0", "--error-logfile", "."]);
    assert_eq!((code, output.as_str()), (Some(2), ""));
    assert!(errors.starts_with("log file /") && errors.contains("Is a directory"), "{errors}");
}

#[test]
fn what_keeps_a_server_without_a_log_from_starting_is_printed() {
    let (code, output, errors) = play(&["serve", "hello", "-b", "unix:.", "--error-logfile", "off"]);
    assert_eq!((code, output.as_str()), (Some(4), ""));
    assert!(!errors.is_empty(), "nothing is printed");
}

#[test]
fn help_and_version_are_no_errors() {
    for (argument, part) in [("--version", env!("CARGO_PKG_VERSION")), ("--help", "print-config")] {
        let (code, output, errors) = play(&[argument]);
        assert_eq!((code, errors.as_str()), (Some(0), ""), "{argument}");
        assert!(output.contains(part), "{output}");
    }
}
