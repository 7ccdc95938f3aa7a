//! Tokens that are issued, read again.

use super::claims::{Names, Token, TokenType, carried};
use super::trial::try_out;
use super::{Issuer, Pair, Refusal};
use crate::auth::store::SessionId;
use crate::auth::users::User;
use crate::auth::{Provider, Reason, Standing, Standings};
use serde_json::json;
use std::collections::BTreeMap;

fn names(issuer: Option<&str>, audiences: &[&str]) -> Names {
    let mut provider = provider();
    provider.issuer = issuer.map(str::to_owned);
    provider.audiences = audiences.iter().map(|audience| (*audience).to_owned()).collect();
    Names::new(&provider)
}

fn provider() -> crate::config::AuthProvider {
    let text = "[auth]\n[[auth.provider]]\nname = \"local\"\n[[auth.provider.key]]\nalg = \"HS256\"\n\
                secret_env = \"X\"\n[[auth.route]]\nprefix = \"/\"\nrequire = \"none\"\n";
    auth(text.into()).providers.remove(0)
}

fn auth(text: String) -> crate::config::Auth {
    let sources = crate::config::Sources {
        base: crate::config::Config::default(),
        file: Some(("ferricorn.toml".into(), text)),
        environment: BTreeMap::new(),
        flags: crate::config::Flags::default(),
        directory: "/".into(),
    };
    crate::config::load(&sources).unwrap().config.auth.unwrap()
}

#[test]
fn what_the_provider_would_refuse_is_not_issued() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key").display().to_string();
    std::fs::write(&key, "a key of thirty-two bytes, and a few more").unwrap();
    let tried = |auth_line: &str, provider_line: &str| {
        let auth = auth(format!(
            "[auth]\n{auth_line}\n[[auth.provider]]\nname = \"local\"\n{provider_line}\n[[auth.provider.key]]\nalg = \"HS256\"\n\
             use = \"sign+verify\"\nsecret_file = \"{key}\"\n[[auth.route]]\nprefix = \"/\"\nrequire = \"none\"\n"
        ));
        let tried = try_out(&auth, &auth.providers[0]);
        tried.err().map(|errors| errors.iter().map(ToString::to_string).collect::<String>())
    };
    for (auth_line, provider_line, part) in [
        ("", "typ = [\"at+jwt\"]", "typ"),
        ("", "token_type = \"id\"", "token_type"),
        ("", "require = [\"email\"]", "requires"),
        ("", "subject_claim = \"jti\"", "twice"),
        ("max_token_bytes = 64", "", "max_token_bytes"),
    ] {
        let told = tried(auth_line, provider_line).unwrap_or_default();
        assert!(told.contains(part), "{auth_line}{provider_line}: {told:?}");
    }
    for (auth_line, provider_line) in [
        ("", ""),
        ("", "audiences = [\"a\", \"b\"]\nissuer = \"us\"\nrequire = [\"jti\", \"sid\", \"aud\"]"),
        ("issue.extra_claims = { email = \"email\" }", "require = [\"email\"]\ntoken_type = \"\""),
    ] {
        assert_eq!(tried(auth_line, provider_line), None, "{auth_line}{provider_line}");
    }
}

const HASH: &str = "pbkdf2_sha256$2000$fHBr1q7x86zYjF4cNhg4fC$aCYhTf/yfuT2jh8La7cuwt3zQj99F6756JaP5XkArDk=";

/// An issuer whose users are `ann` and one who is locked out; their file goes with the folder.
pub(super) fn issuer(issue_line: &str, provider_line: &str) -> (tempfile::TempDir, Issuer) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(place("users"), format!("ann:{HASH}\nlocked:!{HASH}\n")).unwrap();
    std::fs::write(place("key"), "a key of thirty-two bytes, and a few more").unwrap();
    let auth = auth(format!(
        "[auth.issue]\nenabled = true\n{issue_line}\n[auth.store]\nurl = \"sqlite:///{}\"\n[auth.users]\nkind = \"file\"\nfile = \"{}\"\n\
         [[auth.provider]]\nname = \"local\"\n{provider_line}\n[[auth.provider.key]]\nalg = \"HS256\"\nuse = \"sign+verify\"\nsecret_file = \"{}\"\n\
         [[auth.route]]\nprefix = \"/\"\nrequire = \"none\"\n",
        place("auth.db"),
        place("users"),
        place("key")
    ));
    let issuer = Issuer::new(&auth, folder.path(), None).unwrap();
    (folder, issuer)
}

#[tokio::test]
async fn a_refresh_token_opens_nothing_whatever_the_type_that_is_asked_for() {
    // Where the provider asks for a type it has judged it before.
    for (provider_line, refresh) in
        [("", Standing::Good), ("token_type = \"\"", Standing::Refused(Reason::TokenType))]
    {
        let (_folder, issuer) = issuer("", provider_line);
        for (kind, expected) in [("access", Standing::Good), ("refresh", refresh)] {
            let claims = json!({ "token_type": kind });
            let claims = claims.as_object().unwrap();
            let bearer = crate::auth::Bearer { provider: "local", subject: None, claims };
            assert_eq!(issuer.of(bearer), expected, "{provider_line} {kind}");
        }
    }
}

#[tokio::test]
async fn every_login_that_fails_costs_a_hash() {
    let (_folder, issuer) = issuer("", "");
    let mut count = 0;
    for (name, password) in
        [("ann", "wrong"), ("locked", "wrong"), ("locked", "p\u{e4}ssword 1"), ("nobody", "wrong")]
    {
        assert_eq!(
            issuer.obtain(name.into(), password.into(), None).await,
            Err(Refusal::NoAccount),
            "{name}"
        );
        count += 1;
        assert_eq!(issuer.hashing.computed.lock().unwrap().len(), count, "{name}");
    }
}

#[tokio::test]
async fn what_the_store_cannot_say_once_a_token_is_replaced_costs_no_session() {
    for (grace, expected) in [("0s", true), ("10s", false)] {
        let (folder, issuer) = issuer(&format!("rotate = true\nreuse_grace = \"{grace}\""), "");
        let begun = issuer.obtain("ann".into(), "p\u{e4}ssword 1".into(), None).await.unwrap();
        let token = |pair: Pair| pair.refresh.unwrap().token;
        let begun = token(begun);
        std::fs::write(folder.path().join("users"), format!("ann:{}\n", HASH.replace("fHBr", "fHBs")))
            .unwrap();
        // Whether another hash is of the same password is noted in this table alone.
        let rename = |from: &str, to: &str| {
            let database = rusqlite::Connection::open(folder.path().join("auth.db")).unwrap();
            database.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap();
        };
        rename("attempt", "away");
        let refreshed = issuer.refresh(&begun).await;
        rename("away", "attempt");
        assert_eq!(refreshed.is_ok(), expected, "{grace}: {refreshed:?}");
        // Who has got nothing asks again by what it has.
        let next = refreshed.map_or(begun, token);
        assert_eq!(issuer.refresh(&next).await, Err(Refusal::PasswordChanged), "{grace}");
    }
}

#[tokio::test]
async fn a_replaced_token_in_a_file_has_its_grace_without_the_leeway() {
    for (grace, leeway, expected) in [("60s", "0s", true), ("5s", "60s", false), ("0s", "60s", false)] {
        let settings = format!("rotate = true\nreuse_grace = \"{grace}\"");
        let (folder, issuer) = issuer(&settings, &format!("leeway = \"{leeway}\""));
        let begun = issuer.obtain("ann".into(), "p\u{e4}ssword 1".into(), None).await.unwrap();
        let token = begun.refresh.unwrap().token;
        issuer.refresh(&token).await.unwrap();
        let database = rusqlite::Connection::open(folder.path().join("auth.db")).unwrap();
        database.execute_batch("UPDATE token SET replaced = replaced - 30").unwrap();
        let again = issuer.refresh(&token).await;
        assert_eq!(again.is_ok(), expected, "{grace} {leeway}: {again:?}");
    }
}

#[tokio::test]
async fn an_access_token_is_known_for_as_long_as_it_is_taken() {
    let (folder, issuer) = issuer("rotate = false\naccess = \"100s\"", "leeway = \"60s\"");
    // A reload may bring the longest leeway, and with it tokens that had expired are good again: their session can still be ended.
    let longest = 300;
    let begun = issuer.obtain("ann".into(), "p\u{e4}ssword 1".into(), None).await.unwrap();
    let refresh = begun.refresh.unwrap().token;
    let database = rusqlite::Connection::open(folder.path().join("auth.db")).unwrap();
    let kept = |since: &str| -> i64 {
        let text = format!("SELECT access_until - {since} FROM session");
        database.query_row(&text, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(kept("created"), 100 + longest);
    database.execute_batch("UPDATE session SET access_until = 0").unwrap();
    issuer.refresh(&refresh).await.unwrap();
    assert_eq!(kept("used"), 100 + longest);
    // It never outlives its session.
    database.execute_batch("UPDATE session SET access_until = 0, ends = created + 90").unwrap();
    issuer.refresh(&refresh).await.unwrap();
    assert_eq!(kept("ends"), longest);
}

#[tokio::test]
async fn a_token_is_not_replaced_where_no_successor_could_be_signed() {
    let (folder, issuer) = issuer("rotate = true\nreuse_grace = \"0s\"", "");
    let begun = issuer.obtain("ann".into(), "p\u{e4}ssword 1".into(), None).await.unwrap();
    let token = begun.refresh.unwrap().token;
    let key = folder.path().join("key").display().to_string();
    let dated = auth(format!(
        "[auth]\n[[auth.provider]]\nname = \"local\"\n[[auth.provider.key]]\nalg = \"HS256\"\nuse = \"sign+verify\"\n\
         secret_file = \"{key}\"\nsign_from = 2200-01-01T00:00:00Z\n[[auth.route]]\nprefix = \"/\"\nrequire = \"none\"\n"
    ));
    let later = Provider::new(&dated.providers[0], &mut Vec::new()).unwrap();
    let now = issuer.judges.load().refresh.clone();
    issuer.renewed(&[later]);
    assert_eq!(issuer.refresh(&token).await, Err(Refusal::Unavailable));
    let login = issuer.obtain("ann".into(), "p\u{e4}ssword 1".into(), None).await;
    assert_eq!(login, Err(Refusal::Unavailable));
    issuer.renewed(&[now]);
    assert_eq!(issuer.sessions("ann".into()).await.unwrap().len(), 1, "nobody has the tokens of another one");
    assert!(issuer.refresh(&token).await.is_ok());
}

#[test]
fn claims_stand_in_the_order_of_simplejwt() {
    let more = [("email".to_owned(), json!("a\"b"))];
    let token =
        |kind, session, more| Token { kind, id: "0123", issued: 10, expires: 20, session, user: "7", more };
    let session = Some(SessionId([0xab; 16]));
    let sid = "ab".repeat(16);
    for (names, token, expected) in [
        (
            names(None, &["*"]),
            token(TokenType::Access, None, &[][..]),
            r#"{"token_type":"access","exp":20,"iat":10,"jti":"0123","user_id":"7"}"#.to_owned(),
        ),
        (
            names(Some("us"), &["a"]),
            token(TokenType::Refresh, session, &more),
            format!(
                r#"{{"token_type":"refresh","exp":20,"iat":10,"jti":"0123","user_id":"7","sid":"{sid}","email":"a\"b","aud":"a","iss":"us"}}"#
            ),
        ),
        (
            names(None, &["a", "b"]),
            token(TokenType::Access, None, &[]),
            r#"{"token_type":"access","exp":20,"iat":10,"jti":"0123","user_id":"7","aud":["a","b"]}"#
                .to_owned(),
        ),
    ] {
        assert_eq!(String::from_utf8(names.write(&token)).unwrap(), expected);
    }
}

#[test]
fn what_a_token_carries_on_is_the_user_as_it_is_now() {
    let user = User {
        id: "7".into(),
        password: String::new(),
        active: true,
        extra: vec![("email".into(), json!("new"))],
    };
    let before = vec![("email".to_owned(), json!("old")), ("tenant".to_owned(), json!(1))];
    let expected = [("tenant".to_owned(), json!(1)), ("email".to_owned(), json!("new"))];
    assert_eq!(carried(before, &user), expected);
}
