//! Tokens that are signed as good ones are, by the fleet's own key, and are good for nothing.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{Node, World, WorldError};

/// Further than any clock in a case is wrong.
const DAY: i64 = 24 * 60 * 60;

impl World {
    /// One that has expired, one that is not valid yet, one of another issuer, and one for somebody else.
    pub async fn signed_in_vain(&self) -> Result<Vec<String>, WorldError> {
        let good = self.token("customer").await?;
        let pool = self.database(Node::Oauth).await?;
        let (kid, key): (String, String) =
            sqlx::query_as("SELECT kid, private_key FROM signing_keys ORDER BY generation").fetch_one(&pool).await?;
        let key = STANDARD.decode(key).map_err(|error| WorldError::failed(format!("the signing key: {error}")))?;
        let header = Header { typ: Some("at+jwt".to_owned()), kid: Some(kid), ..Header::new(Algorithm::ES256) };
        let claims = claims(&good).ok_or_else(|| WorldError::failed("the token of a customer cannot be read"))?;
        let sign = |claims: &Value| {
            encode(&header, claims, &EncodingKey::from_ec_der(&key))
                .map_err(|error| WorldError::failed(format!("a token cannot be signed: {error}")))
        };
        spoilt(&claims).iter().map(sign).collect()
    }
}

fn claims(token: &str) -> Option<Value> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// The claims of a good token, each time with something in them that makes it a bad one.
fn spoilt(good: &Value) -> [Value; 4] {
    let with = |changes: Value| {
        let mut claims = good.clone();
        for (name, value) in changes.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        claims
    };
    let issued = good["iat"].as_i64().unwrap_or_default();
    [
        with(json!({"iat": issued - 2 * DAY, "nbf": issued - 2 * DAY, "exp": issued - DAY})),
        with(json!({"nbf": issued + DAY, "exp": issued + 2 * DAY})),
        with(json!({"iss": "http://oauth.elsewhere"})),
        with(json!({"aud": "elsewhere"})),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_differs_from_the_good_one_in_what_makes_it_bad_alone() {
        let good = json!({"iss": "a", "aud": "b", "sub": "c", "iat": 1_000_000, "nbf": 1_000_000, "exp": 1_003_600});
        let [expired, early, foreign, misled] = spoilt(&good);
        assert!(expired["exp"].as_i64() < good["iat"].as_i64());
        assert!(early["nbf"].as_i64() > good["exp"].as_i64());
        assert_ne!(foreign["iss"], good["iss"]);
        assert_ne!(misled["aud"], good["aud"]);
        assert!([expired, early, foreign, misled].iter().all(|claims| claims["sub"] == good["sub"]));
    }

    #[test]
    fn the_claims_of_a_token_are_read() {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"sub":"c"}"#));
        assert_eq!(claims(&token), Some(json!({"sub": "c"})));
        assert_eq!(claims("no-token"), None);
    }
}
