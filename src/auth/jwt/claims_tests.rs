//! Claims: what is refused, its nearest good neighbour, and what the crate below would take.

use super::tests::{NOW, SECRET, crate_takes, secret, token};
use super::*;
use crate::auth::{Algorithm, Reason};
use serde_json::{Value, json};

fn rules() -> ClaimRules {
    ClaimRules {
        issuer: Some("https://us".into()),
        audiences: Audiences::AnyOf(vec!["api".into(), "web".into()]),
        leeway: 0.0,
        max_lifetime: 3600.0,
        token_type: Some("access".into()),
        subject_claim: Some("user_id".into()),
        require: vec!["exp".into(), "jti".into()],
    }
}

/// Judges good claims with these changed; a change to `"-"` takes the claim away.
fn judged(rules: &ClaimRules, changes: &Value) -> Result<Judged, Reason> {
    let mut claims = json!({
        "iss": "https://us", "aud": "api", "exp": NOW + 60.0, "iat": NOW, "nbf": NOW,
        "jti": "x", "token_type": "access", "user_id": "7",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value == "-" {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    // As from the wire: numbers keep the form they are written in.
    judge(rules, &parse_object(claims.to_string().as_bytes()).unwrap(), NOW)
}

#[expect(clippy::needless_pass_by_value, reason = "rows are written with json!")]
fn claims(changes: Value, wanted: Result<(), Reason>) {
    assert_eq!(judged(&rules(), &changes).map(drop), wanted, "{changes}");
}

#[test]
fn good_claims_are_taken() {
    for changes in [
        json!({}),
        json!({ "exp": 1_800_000_001 }),
        json!({ "exp": 1_800_000_000.5 }),
        json!({ "iat": "-", "nbf": "-" }),
        json!({ "aud": ["other", "web"] }),
        json!({ "user_id": 7 }),
        json!({ "extra": { "deep": [1] } }),
    ] {
        claims(changes, Ok(()));
    }
    assert_eq!(judged(&rules(), &json!({ "user_id": 7 })).unwrap().subject.as_deref(), Some("7"));
}

#[test]
fn times_are_numbers_within_range_even_where_optional() {
    for bad in [
        json!("1800000060"),
        json!(true),
        json!(null),
        json!([1]),
        json!({}),
        json!(-1),
        json!(1e19),
        json!(1e18),
    ] {
        for name in ["exp", "nbf", "iat"] {
            claims(json!({ name: bad }), Err(Reason::ClaimForm));
        }
    }
    claims(json!({ "exp": 253_402_300_800_u64 }), Err(Reason::ClaimForm));
    claims(json!({ "exp": "-" }), Err(Reason::NoExpiry));
}

#[test]
fn time_is_judged_to_the_second_with_the_leeway() {
    claims(json!({ "exp": NOW }), Err(Reason::Expired));
    claims(json!({ "exp": 1 }), Err(Reason::Expired));
    claims(json!({ "nbf": NOW + 1.0 }), Err(Reason::NotYetValid));
    claims(json!({ "iat": NOW + 1.0 }), Err(Reason::NotYetValid));
    claims(json!({ "exp": NOW + 3600.0 }), Ok(()));
    claims(json!({ "exp": NOW + 3601.0 }), Err(Reason::Lifetime));
    let lenient = ClaimRules { leeway: 10.0, ..rules() };
    for (changes, good) in [
        (json!({ "exp": NOW - 9.0 }), true),
        (json!({ "exp": NOW - 10.0 }), false),
        (json!({ "nbf": NOW + 10.0, "iat": NOW + 10.0 }), true),
        (json!({ "nbf": NOW + 11.0 }), false),
        (json!({ "iat": NOW + 11.0 }), false),
    ] {
        assert_eq!(judged(&lenient, &changes).is_ok(), good, "{changes}");
    }
}

#[test]
fn issuer_is_one_string() {
    for bad in [json!("https://US"), json!("https://us/"), json!("-")] {
        claims(json!({ "iss": bad }), Err(Reason::Issuer));
    }
    for bad in [json!(1), json!(["https://us"]), json!(null), json!({})] {
        claims(json!({ "iss": bad }), Err(Reason::ClaimForm));
        let any = ClaimRules { issuer: None, ..rules() };
        assert_eq!(judged(&any, &json!({ "iss": bad })).map(drop), Err(Reason::ClaimForm));
    }
}

#[test]
fn audience_must_name_us_and_only_strings() {
    for bad in [json!("other"), json!(["other"]), json!("-"), json!("ap"), json!("API")] {
        claims(json!({ "aud": bad }), Err(Reason::Audience));
    }
    for bad in [json!([]), json!({}), json!(1), json!(null), json!(["api", 1]), json!([["api"]])] {
        claims(json!({ "aud": bad }), Err(Reason::ClaimForm));
    }
    let unnamed = ClaimRules { audiences: Audiences::Unnamed, ..rules() };
    assert_eq!(judged(&unnamed, &json!({})).map(drop), Err(Reason::Audience));
    assert!(judged(&unnamed, &json!({ "aud": "-" })).is_ok());
    let unchecked = ClaimRules { audiences: Audiences::Unchecked, ..rules() };
    assert!(judged(&unchecked, &json!({ "aud": "anyone" })).is_ok());
    assert!(judged(&unchecked, &json!({ "aud": 1 })).is_err());
}

#[test]
fn type_id_and_subject_must_be_there_and_right() {
    claims(json!({ "token_type": "refresh" }), Err(Reason::TokenType));
    claims(json!({ "token_type": ["access"] }), Err(Reason::TokenType));
    claims(json!({ "token_type": "-" }), Err(Reason::NoTokenType));
    claims(json!({ "jti": "-" }), Err(Reason::NoId));
    claims(json!({ "jti": 1 }), Err(Reason::ClaimForm));
    claims(json!({ "sub": 1 }), Err(Reason::ClaimForm));
    claims(json!({ "cnf": { "jkt": "x" } }), Err(Reason::Bound));
    for bad in [json!("-"), json!(""), json!(null), json!([1]), json!(1.5), json!(true)] {
        claims(json!({ "user_id": bad }), Err(Reason::Subject));
    }
    let more = ClaimRules { require: vec!["tenant".into()], ..rules() };
    assert_eq!(judged(&more, &json!({})).map(drop), Err(Reason::MissingClaim));
    assert_eq!(judged(&more, &json!({ "tenant": null })).map(drop), Err(Reason::MissingClaim));
    assert!(judged(&more, &json!({ "tenant": 0 })).is_ok());
}

#[test]
fn crate_below_takes_claims_that_we_refuse() {
    let us = |validation: &mut jsonwebtoken::Validation| {
        validation.set_issuer(&["https://us"]);
        validation.set_audience(&["api"]);
        validation.validate_aud = true;
        validation.required_spec_claims.clear();
    };
    for (changes, reason) in [
        (json!({ "iss": 1 }), Reason::ClaimForm),
        (json!({ "iss": ["https://us"] }), Reason::ClaimForm),
        (json!({ "iss": "-" }), Reason::Issuer),
        (json!({ "aud": {} }), Reason::ClaimForm),
        (json!({ "aud": "-" }), Reason::Audience),
        (json!({ "nbf": NOW + 999.0 }), Reason::NotYetValid),
        (json!({ "iat": NOW + 999.0 }), Reason::NotYetValid),
    ] {
        assert_eq!(judged(&rules(), &changes).map(drop), Err(reason), "{changes}");
        let mut claims = json!({ "iss": "https://us", "aud": "api", "exp": NOW + 60.0 });
        for (name, value) in changes.as_object().unwrap() {
            if value == "-" {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        let token = token(r#"{"alg":"HS256"}"#, claims.to_string(), &secret(), Algorithm::Hs256);
        assert!(crate_takes(&token, SECRET, us), "the guard is not needed any more: {changes}");
    }
}
