use super::*;
use crate::app::ConnectInfo;
use crate::protocol::OnUpgrade;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Answers with the request's own content.
#[derive(Clone)]
struct Echo;

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        ready(Ok(http::Response::new(request.into_body())))
    }
}

fn echo() -> Server {
    Server::new(|_| async { Ok(Echo) })
}

#[test]
fn a_process_with_threads_cannot_become_a_master() {
    // The harness runs each test in a thread of its own.
    let error = echo().bind("127.0.0.1:0").run().unwrap_err();
    assert!(matches!(error, ServerError::Threads(2..)), "{error}");
    assert!(error.to_string().contains("serve_on"), "{error}");
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test]
async fn a_runtime_cannot_become_a_master() {
    let error = echo().bind("127.0.0.1:0").run().unwrap_err();
    assert!(matches!(error, ServerError::InRuntime), "{error}");
    assert!(
        error.to_string().contains("#[tokio::main]") && error.to_string().contains("serve_on"),
        "{error}"
    );
    assert_eq!(error.exit_code(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_served() {
    let serve = |server: Server| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = server.serve_on(listener, ready(())).await.unwrap_err();
        (error.exit_code(), error.to_string())
    };
    let (code, text) = serve(echo().bind("127.0.0.1:http")).await;
    assert!(code == 2 && text.contains("127.0.0.1:http"), "{text}");
    let (code, text) = serve(echo().configure(|config| config.limits.fields = 0)).await;
    assert!(code == 2 && text.contains("limits.fields"), "{text}");
    let (code, text) = serve(echo().config_file("/nowhere/x.toml")).await;
    assert!(code == 2 && text.contains("/nowhere/x.toml"), "{text}");
    let failing = Server::new(|_| async { Err::<Echo, _>("no database".into()) });
    let (code, text) = serve(failing).await;
    assert!(code == 3 && text.contains("no database"), "{text}");
}

#[cfg(not(feature = "jwt"))]
#[tokio::test]
async fn without_the_feature_jwt_an_auth_section_is_refused() {
    let path = std::env::temp_dir().join(format!("ferricorn-auth-{}.toml", std::process::id()));
    std::fs::write(&path, "[auth]\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = echo().config_file(&path).serve_on(listener, ready(())).await;
    std::fs::remove_file(&path).unwrap();
    let text = served.unwrap_err().to_string();
    assert!(text.contains("built without the feature \"jwt\""), "{text}");
}

#[test]
fn the_first_address_replaces_the_default() {
    let server = echo().bind(":1").bind("unix:/x");
    let shown: Vec<String> = server.config.server.bind.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["0.0.0.0:1", "unix:/x"]);
    assert_eq!(echo().config.server.bind, Config::default().server.bind);
}

#[test]
fn a_file_wins_over_the_program_and_leaves_the_root_to_it() {
    let folder = std::env::temp_dir().join(format!("ferricorn-embedded-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("x.toml");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let server = echo().workers(3).threads(Threads::Auto).config_file(&path);
        let mut reloader = server.reloader(BTreeMap::new()).unwrap();
        server.load(&mut reloader).map_err(|error| error.to_string())
    };
    let config = read("workers.count = 7\n").unwrap();
    assert_eq!((config.workers.count, config.workers.threads), (WorkerCount::Exactly(7), Threads::Auto));
    assert!(config.apps.is_empty());
    let error = read("[[app]]\ntarget = \"hello\"\n").unwrap_err();
    assert!(error.contains("another mount"), "{error}");
    let error = read("[[app]]\nmount = \"/x\"\ntarget = \"site:app\"\n").unwrap_err();
    assert!(error.contains("Python"), "{error}");
    assert_eq!(read("[[app]]\nmount = \"/x\"\ntarget = \"hello\"\n").unwrap().apps.len(), 1);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn in_place_requests_under_way_end_before_the_server_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async { drop(stopped.await) };
    let serving = tokio::spawn(echo().serve_on(listener, shutdown));
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut continues = [0; 25];
    within(client.read_exact(&mut continues)).await.unwrap();
    assert_eq!(&continues, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"abc").await.unwrap();
    stop.send(()).unwrap();
    client.write_all(b"def").await.unwrap();
    let mut answer = String::new();
    within(client.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nabcdef"), "{answer}");
    drop(client);
    within(serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the listener must be gone");
}

#[tokio::test]
async fn in_place_what_does_not_end_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let short = |config: &mut Config| config.timeouts.graceful = std::time::Duration::from_millis(50);
    let serving = tokio::spawn(echo().configure(short).serve_on(listener, async { drop(stopped.await) }));
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n")
        .await
        .unwrap();
    let mut continues = [0; 25];
    within(client.read_exact(&mut continues)).await.unwrap();
    stop.send(()).unwrap();
    within(serving).await.unwrap().unwrap();
    // The client is told nothing: its request was never whole.
    assert!(within(client.read(&mut [0; 1])).await.is_ok_and(|length| length == 0));
}

/// Answers 101 to everything; where the client asked for it, the connection then echoes until the worker leaves.
#[derive(Clone)]
struct Switch;

impl Service<http::Request<Body>> for Switch {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
            let draining = request.extensions_mut().remove::<ConnectInfo>().unwrap().draining;
            tokio::spawn(async move {
                let (mut input, mut output) = tokio::io::split(upgrade.await.unwrap());
                tokio::select! {
                    copied = tokio::io::copy(&mut input, &mut output) => drop(copied.unwrap()),
                    () = draining.wait() => output.write_all(b"bye").await.unwrap(),
                }
            });
        }
        let mut response = http::Response::new(Body::from(crate::protocol::Content::Empty));
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(http::header::UPGRADE, http::HeaderValue::from_static("echo"));
        ready(Ok(response))
    }
}

#[tokio::test]
async fn an_app_may_take_a_connection_over_and_is_told_when_to_leave_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::new(|_| async { Ok(Switch) });
    let serving = tokio::spawn(server.serve_on(listener, async { drop(stopped.await) }));
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nearly")
        .await
        .unwrap();
    let head = read_head(&mut client).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("\r\nupgrade: echo\r\n") && head.contains("\r\nconnection: upgrade\r\n"), "{head}");
    let mut echoed = [0; 5];
    within(client.read_exact(&mut echoed)).await.unwrap();
    assert_eq!(&echoed, b"early");
    stop.send(()).unwrap();
    let mut rest = String::new();
    within(client.read_to_string(&mut rest)).await.unwrap();
    assert_eq!(rest, "bye");
    within(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_101_that_the_client_did_not_ask_for_is_never_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::new(|_| async { Ok(Switch) });
    let serving = tokio::spawn(server.serve_on(listener, async { drop(stopped.await) }));
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUpgrade: echo\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
    ] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 500 "), "{request}{head}");
    }
    stop.send(()).unwrap();
    within(serving).await.unwrap().unwrap();
}

async fn read_head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(client.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(std::time::Duration::from_secs(20), future).await.unwrap()
}

/// Says its name, where it is mounted, and what it is asked for.
#[derive(Clone)]
struct Named(&'static str);

impl Service<http::Request<Body>> for Named {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mount = &request.extensions().get::<ConnectInfo>().unwrap().mount;
        let text = format!("{} {mount:?} {}", self.0, request.uri());
        ready(Ok(http::Response::new(Body::from(crate::protocol::Content::Memory(text.into())))))
    }
}

fn named(name: &'static str) -> impl Fn(WorkerInfo) -> Ready<Result<Named, BoxError>> + Send + Sync {
    move |_| ready(Ok(Named(name)))
}

#[tokio::test]
async fn services_are_mounted_by_host_and_prefix_and_see_paths_without_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::new(named("root"))
        .mount("/api/", named("api"))
        .mount("/api/v2", named("v2"))
        .mount_for(&["a.example", "*.a.example"], "/", named("a"))
        .mount_for(&["a.example"], "/api", named("a-api"));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve_on(listener, async { drop(stopped.await) }));
    for (host, path, expected) in [
        ("x", "/", "root \"\" /"),
        ("x", "/apis?a", "root \"\" /apis?a"),
        ("x", "/api", "api \"/api\" /"),
        ("x", "/api/a%20b?c=d", "api \"/api\" /a%20b?c=d"),
        ("x", "/%61pi/v2/", "v2 \"/api/v2\" /"),
        ("A.Example:80", "/x", "a \"\" /x"),
        ("b.a.example", "/api/x", "a \"\" /api/x"),
        ("a.example", "/api/x", "a-api \"/api\" /x"),
    ] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(client.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, expected, "{host}{path}");
    }
    stop.send(()).unwrap();
    within(serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn mounts_that_cannot_be_told_apart_are_refused() {
    let two = |second: &str| echo().mount("/api", named("one")).mount(second, named("two"));
    for (server, part) in [
        (two("/api/"), "two apps of the program are mounted at \"/api\""),
        (two("/"), "two apps of the program are mounted at \"/\""),
        (two("api"), "write \"/api\""),
        (echo().mount_for(&["a.example:80"], "/", named("a")), "the host \"a.example:80\""),
        (
            echo().mount_for(&["a", "b"], "/", named("a")).mount_for(&["b"], "/", named("b")),
            "two apps of the program are mounted at \"/\" of a, b",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = server.serve_on(listener, ready(())).await.unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains(part), "{error}");
    }
    let path = std::env::temp_dir().join(format!("ferricorn-mounts-{}.toml", std::process::id()));
    std::fs::write(&path, "[[app]]\nmount = \"/api/\"\ntarget = \"hello\"\n").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = two("/other").config_file(&path).serve_on(listener, ready(())).await;
    std::fs::remove_file(&path).unwrap();
    let text = served.unwrap_err().to_string();
    assert!(text.contains("\"/api\" is the program's own app"), "{text}");
}
