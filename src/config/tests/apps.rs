//! `[[app]]`: hosts, and what holds for static files.

use super::*;

#[test]
fn hosts_and_rules_are_read_and_printed_again() {
    let text = "[[app]]\nmount = \"/files\"\nhosts = [\"A.example\", \"*.b.example\"]\nstatic = \"files\"\n\
        precompressed = [\"gzip\"]\nindex = \"index.html\"\nlisting = true\nmax_age = \"1h\"\n\
        immutable = [\"assets/*\", \"**.{hash}.js\"]\n";
    let config = good(text);
    let app = &config.apps[0];
    assert_eq!(app.hosts, [HostPattern::Exact("a.example".into()), HostPattern::Below("b.example".into())]);
    assert_eq!(app.files.precompressed, [Coding::Gzip]);
    assert_eq!(app.files.index.as_deref(), Some("index.html"));
    assert_eq!(app.files.max_age, Some(Duration::from_secs(3600)));
    assert!(app.files.listing && app.files.immutable[1].matches(b"a.0a1b2c3d.js"));
    assert_eq!(good(&to_toml(&play(text, &[], &[]).unwrap(), ShowOrigin::No)), config);
}

#[test]
fn an_index_and_a_lifetime_can_be_turned_off() {
    let config = good("[[app]]\nstatic = \"files\"\nindex = \"\"\nmax_age = \"\"\nprecompressed = []\n");
    assert_eq!((config.apps[0].files.index.as_deref(), config.apps[0].files.max_age), (None, None));
    assert!(config.apps[0].files.precompressed.is_empty());
}

#[test]
fn one_place_holds_one_app() {
    refused(
        "[[app]]\ntarget = \"hello\"\n[[app]]\nmount = \"/\"\ntarget = \"echo\"\n",
        &[("x.toml:4: app[1].mount: ", "another app (x.toml:1) is mounted at \"/\"; ")],
    );
    refused(
        "[[app]]\nhosts = [\"a.example\", \"b.example\"]\ntarget = \"hello\"\n\
         [[app]]\nhosts = [\"c.example\", \"B.example.\"]\ntarget = \"echo\"\n",
        &[("x.toml:4: app[1].mount: ", "another app (x.toml:1) is mounted at \"/\" of b.example")],
    );
    refused(
        "[[app]]\nhosts = [\"a.example\", \"A.example\"]\ntarget = \"hello\"\n",
        &[("x.toml:2: app[0].hosts: ", "a.example stands there twice")],
    );
    // Each of these wins over another somewhere.
    let apps = good(
        "[[app]]\ntarget = \"hello\"\n[[app]]\nhosts = [\"a.example\"]\ntarget = \"echo\"\n\
         [[app]]\nhosts = [\"*.a.example\"]\ntarget = \"status\"\n[[app]]\nmount = \"/x\"\ntarget = \"hello\"\n\
         [[app]]\nmount = \"/x\"\nhosts = [\"a.example\"]\ntarget = \"hello\"\n",
    )
    .apps;
    assert_eq!(apps.len(), 5);
}

#[test]
fn wrong_hosts_and_rules_are_named() {
    refused(
        "[[app]]\nstatic = \"files\"\nhosts = [\"a.example:80\"]\n",
        &[("x.toml:3: app[0].hosts: ", "neither scheme nor port")],
    );
    refused(
        "[[app]]\nstatic = \"files\"\nprecompressed = [\"bzip2\"]\nindex = \"a/b\"\nimmutable = [\"{x}\"]\n",
        &[("x.toml:3: app[0].precompressed: ", "\"gzip\""), ("x.toml:5: app[0].immutable: ", "{hash}")],
    );
    refused(
        "[[app]]\nstatic = \"files\"\nindex = \"..\"\n",
        &[("x.toml:3: app[0].index: ", "write \"index.html\"")],
    );
    for rule in
        ["precompressed = []", "index = \"i\"", "listing = true", "max_age = \"1s\"", "immutable = \"*\""]
    {
        refused(
            &format!("[[app]]\ntarget = \"hello\"\n{rule}\n"),
            &[("x.toml:3: app[0].", "static = \"DIR\"")],
        );
    }
}

#[test]
fn an_app_given_as_a_flag_replaces_the_one_for_all_hosts() {
    let text = "[[app]]\nhosts = [\"a.example\"]\ntarget = \"status\"\n[[app]]\nstatic = \"files\"\nlisting = true\n";
    let apps = play(text, &[], &["echo"]).unwrap().config.apps;
    assert_eq!(apps.len(), 2);
    assert_eq!(
        (&apps[0].target, &apps[1].target),
        (&AppTarget::Native("status".into()), &AppTarget::Native("echo".into()))
    );
    assert_eq!(apps[1].files, FileRules::default());
    // Another directory in its place keeps what was said of the old one.
    let apps = play(text, &[], &["--static", "/=other"]).unwrap().config.apps;
    assert!(apps[1].target == AppTarget::Static("other".into()) && apps[1].files.listing);
}
