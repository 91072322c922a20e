//! Which tokens open the door.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use chassis::About;
use chassis::auth::Verifier;
use chassis::testing::Rig;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const ABOUT: About = About { name: "test", version: "1", summary: "", port: 8080, defaults: "" };

fn claims(rig: &Rig, change: Value) -> Value {
    let now = rig.chassis.clock.now().as_second();
    let mut claims = json!({
        "iss": rig.chassis.config.auth.issuer, "aud": rig.chassis.config.auth.audience, "sub": "someone",
        "iat": now, "nbf": 0, "exp": now + 3600, "jti": "1", "client_id": "test", "roles": ["desk"]
    });
    for (key, value) in change.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(key);
        } else {
            claims[key] = value.clone();
        }
    }
    claims
}

#[tokio::test]
async fn a_good_token_says_who_it_is_for() {
    let rig = Rig::new(ABOUT);
    let caller = rig.chassis.verifier.verify(&rig.issuer.sign(&claims(&rig, json!({})))).await.unwrap();
    assert_eq!(&*caller.subject, "someone");
    assert!(caller.has_any(&["desk"]) && !caller.has_any(&["admin"]));
}

#[tokio::test]
async fn a_token_with_a_wrong_claim_is_refused() {
    let rig = Rig::new(ABOUT);
    let now = rig.chassis.clock.now().as_second();
    for change in [
        json!({"iss": "http://elsewhere"}),
        json!({"aud": "others"}),
        json!({"exp": now - 60}),
        json!({"exp": "never"}),
        json!({"exp": null}),
        json!({"nbf": now + 100_000_000}),
        json!({"nbf": "now"}),
        json!({"sub": null}),
        json!({"roles": "desk"}),
    ] {
        let token = rig.issuer.sign(&claims(&rig, change.clone()));
        let refused = rig.chassis.verifier.verify(&token).await.unwrap_err();
        assert_eq!(refused.status, 401, "{change}");
    }
}

#[tokio::test]
async fn a_token_cannot_choose_its_algorithm_or_bring_its_key() {
    let rig = Rig::new(ABOUT);
    let good = claims(&rig, json!({}));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(&json!({"alg": "none", "kid": "test"})), part(&good));

    let hmac_key = EncodingKey::from_secret(b"test");
    let mut hmac_header = Header::new(Algorithm::HS256);
    hmac_header.kid = Some("test".to_owned());
    let hmac = encode(&hmac_header, &good, &hmac_key).unwrap();

    let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let own_key = EncodingKey::from_ec_der(pair.as_ref());
    let mut own_header = Header::new(Algorithm::ES256);
    own_header.kid = Some("test".to_owned());
    own_header.jku = Some("http://127.0.0.1:1/jwks.json".to_owned());
    let own = encode(&own_header, &good, &own_key).unwrap();

    for token in [unsigned, hmac, own] {
        assert_eq!(rig.chassis.verifier.verify(&token).await.unwrap_err().status, 401, "{token}");
    }
}

#[tokio::test]
async fn a_token_seen_before_still_ends_when_it_ends() {
    let rig = Rig::new(ABOUT);
    let token = rig.issuer.sign(&claims(&rig, json!({})));
    rig.chassis.verifier.verify(&token).await.unwrap();
    rig.chassis.clock.advance(std::time::Duration::from_secs(3600 + 60));
    assert_eq!(rig.chassis.verifier.verify(&token).await.unwrap_err().status, 401);
}

#[tokio::test]
async fn requests_that_wait_for_the_first_keys_ask_for_them_once() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        axum::http::StatusCode::INTERNAL_SERVER_ERROR
    });
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let rig = Rig::with(ABOUT, &[("auth.jwks_url", &url)]);
    let verifier = Verifier::new(&rig.chassis.config.auth, rig.chassis.clock.clone()).unwrap();
    let token = rig.issuer.token("someone", &["desk"]);
    let refused = futures_util::future::join_all((0..20).map(|_| verifier.verify(&token))).await;
    assert!(refused.iter().all(|refused| refused.as_ref().unwrap_err().status == 503));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "each would wait for all before it");
}
