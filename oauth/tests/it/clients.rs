//! Clients: who they are, what they may ask for, and every malformed request.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chassis::testing::TestAnswer;

use crate::support::{Oauth, SECRET, claims, part, refusal, refused, text, token_request};

const OWN: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("client_id", "reservation"), ("client_secret", SECRET)];

fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

async fn by_header(oauth: &Oauth, authorization: &str, form: &[(&str, &str)]) -> TestAnswer {
    token_request(&oauth.service, form).header("authorization", authorization).send().await
}

#[tokio::test]
async fn a_service_gets_a_token_of_its_own_that_other_services_accept() {
    let oauth = Oauth::start().await;
    let answer = oauth.token(&OWN).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.json()["token_type"], "Bearer");
    assert_eq!(answer.json()["expires_in"], 3600);
    assert_eq!(answer.json()["scope"], "service");
    assert!(answer.json().get("refresh_token").is_none());

    let caller = oauth.verifier().await.verify(&text(&answer, "access_token")).await.unwrap();
    assert_eq!(&*caller.subject, "reservation");
    assert!(caller.has_any(&["service"]));
}

#[tokio::test]
async fn a_token_says_who_it_is_from_and_for_and_when() {
    let oauth = Oauth::start().await;
    let token = text(&oauth.token(&OWN).await, "access_token");
    let now = oauth.clock.now().as_second();
    let claims = claims(&token);
    assert_eq!((claims.iss.as_str(), claims.aud.as_str()), ("http://localhost:8090", "fleet"));
    assert_eq!((claims.sub.as_str(), claims.client_id.as_str()), ("reservation", "reservation"));
    assert_eq!((claims.iat, claims.nbf, claims.exp), (now, now, now + 3600));
    let header = part(&token, 0);
    assert_eq!((&header["alg"], &header["typ"]), (&"ES256".into(), &"at+jwt".into()));
    let other = text(&oauth.token(&OWN).await, "access_token");
    assert_ne!(claims.jti, crate::support::claims(&other).jti);
}

#[tokio::test]
async fn a_client_may_show_its_secret_by_http_basic() {
    let oauth = Oauth::start().await;
    let form = [("grant_type", "client_credentials")];
    assert_eq!(by_header(&oauth, &basic("reservation", SECRET), &form).await.status, 200);
    let twice = [("grant_type", "client_credentials"), ("client_id", "reservation")];
    assert_eq!(by_header(&oauth, &basic("reservation", SECRET), &twice).await.status, 200);
}

#[tokio::test]
async fn a_client_that_is_not_who_it_says_is_told_how_to_show_it() {
    let oauth = Oauth::start().await;
    for (id, secret) in [("reservation", "wrong"), ("reservation", ""), ("nobody", SECRET), ("cli", SECRET)] {
        let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        let answer = oauth.token(&form).await;
        assert_eq!(refusal(&answer), refused(401, "invalid_client"), "{id} {secret}");
        assert!(answer.header("www-authenticate").starts_with("Basic realm="));
    }
    let nobody = oauth.token(&[("grant_type", "client_credentials")]).await;
    assert_eq!(refusal(&nobody), refused(401, "invalid_client"));
    for header in [&basic("reservation", "wrong"), "Bearer abc", "Basic", "Basic %%%", "Basic bm8tY29sb24="] {
        let answer = by_header(&oauth, header, &[("grant_type", "client_credentials")]).await;
        assert_eq!(refusal(&answer), refused(401, "invalid_client"), "{header}");
    }
}

#[tokio::test]
async fn a_client_that_shows_itself_in_two_ways_is_refused() {
    let oauth = Oauth::start().await;
    let header = basic("reservation", SECRET);
    for form in [
        [("grant_type", "client_credentials"), ("client_secret", SECRET)],
        [("grant_type", "client_credentials"), ("client_id", "cli")],
    ] {
        assert_eq!(refusal(&by_header(&oauth, &header, &form).await), refused(400, "invalid_request"));
    }
}

#[tokio::test]
async fn a_public_client_gets_no_token_of_its_own() {
    let oauth = Oauth::start().await;
    let answer = oauth.token(&[("grant_type", "client_credentials"), ("client_id", "cli")]).await;
    assert_eq!(refusal(&answer), refused(400, "unauthorized_client"));
}

#[tokio::test]
async fn other_grants_are_not_supported() {
    let oauth = Oauth::start().await;
    for grant in ["authorization_code", "implicit", "urn:ietf:params:oauth:grant-type:device_code"] {
        let answer = oauth.token(&[("grant_type", grant), ("client_id", "cli")]).await;
        assert_eq!(refusal(&answer), refused(400, "unsupported_grant_type"), "{grant}");
    }
}

#[tokio::test]
async fn a_scope_narrows_a_token_and_cannot_widen_it() {
    let oauth = Oauth::start().await;
    for (scope, expected) in [("service", 200), ("admin", 400), ("service admin", 400)] {
        let answer = oauth.token(&[&OWN[..], &[("scope", scope)]].concat()).await;
        assert_eq!(answer.status, expected, "{scope}");
        if expected == 400 {
            assert_eq!(refusal(&answer), refused(400, "invalid_scope"));
        }
    }
}

#[tokio::test]
async fn a_malformed_request_is_refused_for_what_it_is() {
    let oauth = Oauth::start().await;
    let form = "application/x-www-form-urlencoded";
    let too_large = format!("grant_type={}", "x".repeat(70_000));
    for (media, body, expected) in [
        (form, "client_id=cli", 400),
        (form, "", 401),
        (form, "grant_type=password&client_id=cli", 400),
        (form, "grant_type=password&client_id=cli&username=kim", 400),
        (form, "grant_type=refresh_token&client_id=cli", 400),
        (form, "grant_type=password&grant_type=password&client_id=cli", 400),
        (form, "grant_type=password&client_id=cli&username=%FF&password=x", 400),
        ("application/json", "{\"grant_type\":\"password\"}", 415),
        ("text/plain", "grant_type=password", 415),
        (form, &too_large, 413),
    ] {
        let answer = oauth.post("/oauth/token").header("content-type", media).body(body.to_owned()).send().await;
        let error = if expected == 401 { "invalid_client" } else { "invalid_request" };
        assert_eq!(refusal(&answer), refused(expected, error), "{media} {body:.60}");
    }
}

#[tokio::test]
async fn a_token_is_not_to_be_had_by_get() {
    let oauth = Oauth::start().await;
    let answer = oauth.get("/oauth/token").await;
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("allow"), "POST");
}
