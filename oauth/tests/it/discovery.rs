//! What everyone may read: the public keys and the discovery document.

use crate::support::Oauth;

#[tokio::test]
async fn the_published_keys_are_public_keys_only() {
    let oauth = Oauth::start().await;
    let answer = oauth.get("/.well-known/jwks.json").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("cache-control"), "public, max-age=60");
    let key = &answer.json()["keys"][0];
    let mut names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert_eq!((&key["alg"], &key["crv"], &key["use"]), (&"ES256".into(), &"P-256".into(), &"sig".into()));
}

#[tokio::test]
async fn both_discovery_documents_name_this_server_and_what_it_can() {
    let oauth = Oauth::with(&[("issuer.url", "https://auth.example/fleet")]).await;
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let document = oauth.get(path).await.json();
        assert_eq!(document["issuer"], "https://auth.example/fleet");
        assert_eq!(document["token_endpoint"], "https://auth.example/fleet/oauth/token");
        assert_eq!(document["jwks_uri"], "https://auth.example/fleet/.well-known/jwks.json");
        let grants = ["client_credentials", "refresh_token", "password"];
        assert_eq!(document["grant_types_supported"], serde_json::json!(grants));
    }
}

#[tokio::test]
async fn a_grant_that_is_off_is_not_advertised() {
    let oauth = Oauth::with(&[("grants.password", "false")]).await;
    let document = oauth.get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(document["grant_types_supported"], serde_json::json!(["client_credentials", "refresh_token"]));
}
