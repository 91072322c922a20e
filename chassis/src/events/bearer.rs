//! A token for the broker, by the client-credentials grant. librdkafka asks for one when it connects, and again when
//! four fifths of its life are over.

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::client::OAuthToken;
use serde::Deserialize;
use tokio::runtime;

use super::security::Grant;
use crate::http::problem::chain;

/// Whoever reads from the broker stands still for as long.
const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Bearer {
    grant: Grant,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// Seconds.
    expires_in: i64,
}

impl Bearer {
    pub fn new(grant: Grant) -> Self {
        Self { grant }
    }

    /// Waits for the token. The library may ask from within the service's own async thread, which cannot wait for
    /// itself: so there is another for it.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let bearer = self.clone();
        let asking = std::thread::spawn(move || {
            let alone = runtime::Builder::new_current_thread().enable_all().build();
            alone.map_err(|error| error.to_string())?.block_on(bearer.fetch())
        });
        let token = asking.join().map_err(|_| "asking for a token panicked".to_owned())?;
        if let Err(reason) = &token {
            tracing::warn!(reason, "a token for the broker cannot be had");
        }
        Ok(token?)
    }

    async fn fetch(&self) -> Result<OAuthToken, String> {
        let grant = &self.grant;
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", &grant.client_id),
            ("client_secret", grant.client_secret.reveal()),
        ];
        if !grant.scope.is_empty() {
            form.push(("scope", &grant.scope));
        }
        let asked = Timestamp::now().as_millisecond();
        let answer = async {
            let request = reqwest::Client::new().post(&grant.token_url).timeout(TIMEOUT).form(&form);
            request.send().await?.error_for_status()?.json::<Answer>().await
        };
        let answer = answer.await.map_err(|error| chain(&error))?;
        let lifetime_ms = asked + answer.expires_in.saturating_mul(1000);
        Ok(OAuthToken { token: answer.access_token, principal_name: grant.client_id.clone(), lifetime_ms })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use axum::routing::post;
    use axum::{Json, Router};
    use serde_json::{Value, json};

    use super::*;
    use crate::Secret;

    /// Gives a token for what it was told, and nothing to who is not known.
    async fn answer(form: String) -> Json<Value> {
        let form: BTreeMap<_, _> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        if form["client_secret"] != "hunter2" {
            return Json(json!({"error": "invalid_client"}));
        }
        let token = format!("{} for {} by {}", form["client_id"], form["scope"], form["grant_type"]);
        Json(json!({"access_token": token, "expires_in": 3600}))
    }

    /// Asks a server for its token, from outside the server's thread.
    fn token(secret: &'static str) -> Result<OAuthToken, String> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let token_url = format!("http://{}/token", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let alone = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            alone.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, Router::new().route("/token", post(answer))).await.unwrap();
            });
        });
        let (client_id, scope) = ("reservation".to_owned(), "kafka".to_owned());
        let bearer = Bearer::new(Grant { token_url, client_id, client_secret: Secret::new(secret), scope });
        bearer.token().map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_is_had_by_name_and_secret_and_ends_when_the_server_says() {
        let token = token("hunter2").unwrap();
        assert_eq!(token.token, "reservation for kafka by client_credentials");
        assert_eq!(token.principal_name, "reservation");
        let left = token.lifetime_ms - Timestamp::now().as_millisecond();
        assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    }

    #[test]
    fn a_refusal_is_told_to_the_library() {
        assert!(token("wrong").is_err());
    }
}
