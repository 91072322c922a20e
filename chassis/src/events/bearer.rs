//! A token for the broker, by the client-credentials grant. librdkafka asks for one when it connects, and again when
//! four fifths of its life are over.

use std::error::Error;

use jiff::Timestamp;
use rdkafka::client::OAuthToken;
use tokio::runtime;

use crate::client::{CredentialsSettings, grant};

#[derive(Clone)]
pub struct Bearer {
    credentials: CredentialsSettings,
    scope: String,
}

impl Bearer {
    pub fn new(credentials: CredentialsSettings, scope: String) -> Self {
        Self { credentials, scope }
    }

    /// Waits for the token. The library may ask from within the service's own async thread, which cannot wait for
    /// itself: so there is another for it.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let bearer = self.clone();
        let asking = std::thread::Builder::new().spawn(move || {
            let alone = runtime::Builder::new_current_thread().enable_all().build();
            alone.map_err(|error| error.to_string())?.block_on(bearer.fetch())
        })?;
        let token = asking.join().map_err(|_| "asking for a token panicked".to_owned())?;
        if let Err(reason) = &token {
            tracing::warn!(reason, "a token for the broker cannot be had");
        }
        Ok(token?)
    }

    async fn fetch(&self) -> Result<OAuthToken, String> {
        let asked = Timestamp::now().as_millisecond();
        let granted = grant(&reqwest::Client::new(), &self.credentials, &self.scope).await?;
        let lifetime_ms = i64::try_from(granted.expires_in).unwrap_or(i64::MAX).saturating_mul(1000);
        Ok(OAuthToken {
            token: granted.access_token,
            principal_name: self.credentials.client_id.clone(),
            lifetime_ms: asked.saturating_add(lifetime_ms),
        })
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
        let client_id = "reservation".to_owned();
        let credentials = CredentialsSettings { token_url, client_id, client_secret: Secret::new(secret) };
        let bearer = Bearer::new(credentials, "kafka".to_owned());
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
