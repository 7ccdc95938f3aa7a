use super::*;
use crate::auth::Algorithm;
use crate::auth::jwt::encode_base64url;
use crate::auth::keys::SigningKey;
use crate::protocol::Identity;
use axum::body::{Body, to_bytes};
use axum::routing::get;
use axum::{Extension, Router};
use std::time::UNIX_EPOCH;

const SECRET: &str = "a secret of more than thirty-two bytes";

fn app() -> Router {
    let text = format!(
        r#"
        [auth]
        forward.headers = {{ "X-User" = "sub" }}
        [[auth.provider]]
        name = "local"
        subject_claim = "sub"
        token_type = ""
        require = ["exp"]
        [[auth.provider.key]]
        alg = "HS256"
        secret = "{SECRET}"
        [[auth.route]]
        prefix = "/public"
        require = "none"
        [[auth.route]]
        prefix = "/"
        hosts = ["inside.example"]
        require = "none"
        [[auth.route]]
        prefix = "/"
        require = "local"
        "#
    );
    let name = |identity: Option<Extension<Arc<Identity>>>, request: http::Request<Body>| async move {
        let proven = identity.and_then(|Extension(identity)| identity.subject.clone()).unwrap_or_default();
        let field = request.headers().get("x-user").map(|value| value.to_str().unwrap().to_owned());
        format!("{proven} {}", field.unwrap_or_default())
    };
    Router::new().fallback(get(name)).layer(Layer::from_toml(&text).unwrap())
}

fn token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!(r#"{{"sub":"ann","exp":{}}}"#, now + 60);
    let message = format!("{}.{}", encode_base64url(r#"{"alg":"HS256"}"#), encode_base64url(claims));
    let key = SigningKey::Secret(SECRET.into());
    format!("{message}.{}", key.sign(Algorithm::Hs256, message.as_bytes()).unwrap())
}

async fn ask(request: http::request::Builder) -> (u16, String, String) {
    let response = app().call(request.body(Body::empty()).unwrap()).await.unwrap();
    let challenge =
        response.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    (status, challenge.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn tokens_are_checked_before_an_axum_router() {
    let get = http::Request::get;
    let (status, challenge, body) = ask(get("/x")).await;
    assert_eq!((status, &*challenge), (401, r#"Bearer realm="api""#));
    assert!(body.contains("credentials were not provided"), "{body}");
    let good = format!("Bearer {}", token());
    let (status, _, body) = ask(get("/x?y").header("authorization", &good).header("x_user", "eve")).await;
    assert_eq!((status, &*body), (200, "ann ann"));
    let (status, challenge, _) = ask(get("/x").header("authorization", format!("{good}x"))).await;
    assert!(status == 401 && challenge.contains("invalid_token"), "{challenge}");
    let (status, _, body) = ask(get("/public").header("X-User", "eve")).await;
    assert_eq!((status, &*body), (200, " "), "asserted names are removed on every route");
    assert_eq!(ask(get("/public/../x")).await.0, 400);
    assert_eq!(ask(get("http://inside.example/x").version(http::Version::HTTP_2)).await.0, 200);
}

#[tokio::test]
async fn what_is_wrong_is_told_when_the_layer_is_made() {
    for (text, part) in [("[auth", "expected"), ("", "no [auth]"), ("[auth]\nrealm = \"x\"\n", "rule")] {
        let error = Layer::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
