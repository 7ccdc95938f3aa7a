use super::laws::closed;
use super::*;
use crate::protocol::{Scheme, Target};
use http::HeaderMap;

fn route(prefix: &str, methods: &[&str], require: Require) -> AuthRoute {
    let methods = methods.iter().map(|name| (*name).to_owned()).collect();
    AuthRoute { methods, ..laws::route(prefix, require) }
}

/// Whether a request may pass without a token; `None` when its path is refused.
fn is_open(routes: &[AuthRoute], method: &str, path: &str) -> Option<bool> {
    let policy = Policy::new(routes, &["local"]).unwrap();
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let target = Target::parse(path.to_owned().into()).unwrap();
    let asked = Asked {
        method: &method,
        target: &target,
        host: None,
        fields: &HeaderMap::new(),
        scheme: Scheme::Http,
    };
    let rules = policy.rules_for(&asked).ok()?;
    assert!(rules.first.is_some(), "{path}: some rule always holds");
    Some(rules.iter().all(|rule| rule.requirement == Requirement::Nothing))
}

#[test]
fn prefix_ends_on_a_segment_boundary_and_the_first_match_wins() {
    let routes = [
        route("/api/open", &[], Require::None),
        route("/api/", &[], closed()),
        route("/api/late", &[], Require::None),
        route("/.well-known/", &[], closed()),
        route("/", &[], Require::None),
    ];
    for (path, open) in [
        ("/", true),
        ("/api", false),
        ("/api/", false),
        ("/api/x", false),
        ("/apix", true),
        ("/api/open", true),
        ("/api/open/x?y=/api", true),
        ("/api/openx", false),
        ("/api/late", false),
        ("/API/x", true),
        ("/.well-known/jwks.json", false),
    ] {
        assert_eq!(is_open(&routes, "GET", path), Some(open), "{path}");
    }
}

#[test]
fn rule_for_get_holds_for_head_too() {
    let routes = [route("/a", &["GET", "POST"], closed()), route("/", &[], Require::None)];
    for (method, open) in
        [("GET", false), ("HEAD", false), ("POST", false), ("PUT", true), ("get", false), ("hEAD", false)]
    {
        assert_eq!(is_open(&routes, method, "/a"), Some(open), "{method}");
    }
}

#[test]
fn ambiguous_paths_are_refused_where_any_reading_of_them_has_a_rule() {
    let closed_inside = [route("/admin", &[], closed()), route("/", &[], Require::None)];
    for path in [
        "/admin%2fx",
        "/admin%2Fx",
        "//admin/x",
        "///admin",
        "/./admin/x",
        "/%2e/admin",
        "/admin//x",
        "/admin/./x",
        "/admin/x/..",
        "/admin/%2E%2e/x",
        "/admin/a%5Cb",
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public%2f..%2fadmin/x",
        "/public/..%2fadmin",
        "/\\admin",
        "/public%5c..%5cadmin",
        "//admin/../public",
        "/../admin",
        "http://host//admin",
    ] {
        assert_eq!(is_open(&closed_inside, "GET", path), None, "{path}");
    }
    let open_inside = [route("/public", &[], Require::None), route("/", &[], closed())];
    for path in
        ["/public/../secret", "/public/%2e%2e/secret", "/public/..%2fsecret", "/public/..", "//public/../x"]
    {
        assert_eq!(is_open(&open_inside, "GET", path), None, "{path}");
    }
}

#[test]
fn no_further_decoding_leads_around_a_rule() {
    let routes = [route("/admin", &[], closed()), route("/", &[], Require::None)];
    for path in ["/admin/x", "/%61dmin/x", "/%2561dmin/x", "/public/%252e%252e/admin", "/admin/100%25"] {
        assert_eq!(is_open(&routes, "GET", path), Some(false), "{path}");
    }
}

#[test]
fn no_order_of_reading_leads_around_a_rule() {
    let routes = [route("/admin", &[], closed()), route("/", &[], Require::None)];
    for path in [
        // For who collapses slashes before resolving, `..` undoes "admin".
        "/x/../admin//..",
        // For who takes `\` for a part of a name, `..` undoes both names.
        "/a\\b/../admin",
        "/a%5cb/../admin",
    ] {
        assert_eq!(is_open(&routes, "GET", path), None, "{path}");
    }
    // Resolved, then decoded.
    assert_ne!(is_open(&routes, "GET", "/x%252fb/../%2561dmin"), Some(true));
    // Encoded dots of what has been decoded once.
    assert_ne!(is_open(&routes, "GET", "/x%252fb/%252e%252e/admin"), Some(true));
    // More readings than are looked at.
    let maze = concat!(
        r"/bb\a%2f%2e%2e%5cc..%2f%2e//%2e%2e//\b%2f%5c..//\%2e%2ea\//..\//c..%2e%2e%2e%5c//%2fb\",
        "%2f%2e%2e/a//b.%2fc%25/%2e%2e//../.b"
    );
    let maze = maze.replace('%', "%25");
    assert_eq!(is_open(&routes, "GET", &maze), None);
    assert_eq!(is_open(&routes[1..], "GET", &maze), Some(true));
}

#[test]
fn rule_with_hosts_holds_for_them_alone() {
    let mut inside = route("/", &[], closed());
    inside.hosts = vec![HostPattern::Exact("a.example".into()), HostPattern::Below("b.example".into())];
    let policy = Policy::new(&[inside, route("/", &[], Require::None)], &["local"]).unwrap();
    let target = Target::parse("/".into()).unwrap();
    for (host, open) in [
        ("a.example", false),
        ("A.EXAMPLE:8000", false),
        ("a.example.", false),
        ("x.b.example", false),
        ("b.example", true),
        ("other.example", true),
    ] {
        let asked = Asked {
            method: &Method::GET,
            target: &target,
            host: Some(host.as_bytes()),
            fields: &HeaderMap::new(),
            scheme: Scheme::Http,
        };
        let first = policy.rules_for(&asked).unwrap().first.unwrap();
        assert_eq!(first.requirement == Requirement::Nothing, open, "{host}");
    }
}

#[test]
fn odd_paths_to_public_places_stay_public() {
    let routes = [
        route("/public", &[], Require::None),
        route("/admin", &[], closed()),
        route("/", &[], Require::None),
    ];
    for path in [
        "//",
        "/a//b",
        "/public//x",
        "/public/a%20b",
        "/public/100%25",
        "/public/%2541",
        "/.well-known/x",
        "/public/./x",
        "/public/a%2Fb",
        "/public/%C3%A9",
        "/public/C:%5Cx",
        "/x/administrator",
        "/a/%zz",
    ] {
        assert_eq!(is_open(&routes, "GET", path), Some(true), "{path}");
    }
}

#[test]
fn path_with_nul_is_refused() {
    let routes = [route("/", &[], Require::None)];
    assert_eq!(is_open(&routes, "GET", "/a%00b"), None);
}

#[test]
fn whole_server_falls_under_the_last_rule() {
    let routes = [route("/open", &[], Require::None), route("/", &[], closed())];
    assert_eq!(is_open(&routes, "OPTIONS", "*"), Some(false));
}

#[test]
fn rules_that_cannot_hold_are_configuration_errors() {
    let last = || route("/", &[], closed());
    for bad in [
        route("admin", &[], closed()),
        route("/a%20b", &[], closed()),
        route("/a//b", &[], closed()),
        route("/a/./b", &[], closed()),
        route("/a", &["NO METHOD"], closed()),
        route("/a", &[], Require::Any(vec!["nobody".into()])),
        route("/a", &[], Require::Any(Vec::new())),
        AuthRoute { scopes_all: vec!["x".into()], ..route("/a", &[], Require::None) },
    ] {
        assert_eq!(Policy::new(&[bad.clone(), last()], &["local"]).unwrap_err().len(), 1, "{bad:?}");
    }
    let mut one_host = last();
    one_host.hosts = vec![HostPattern::Exact("a.example".into())];
    for routes in
        [vec![], vec![route("/a", &[], closed())], vec![route("/", &["GET"], closed())], vec![one_host]]
    {
        assert!(Policy::new(&routes, &["local"]).is_err());
    }
}
