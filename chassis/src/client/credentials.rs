//! A service's own token, by the client-credentials grant: fetched once, renewed in time, and used as long as
//! it is valid when the token server is away.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Secret;
use crate::failpoint::crash_point;
use crate::http::problem::chain;

/// Whoever needs the token stands still for as long.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Those who wait for the same answer do not each ask again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The section `[credentials]`.
#[derive(Debug, Clone, Deserialize)]
pub struct CredentialsSettings {
    pub token_url: String,
    pub client_id: String,
    pub client_secret: Secret,
}

#[derive(Clone)]
pub struct Credentials {
    settings: Arc<CredentialsSettings>,
    http: reqwest::Client,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    failed: Option<Instant>,
}

#[derive(Clone)]
struct Token {
    text: String,
    renew_at: Instant,
    ends_at: Instant,
}

/// What a token server answers.
#[derive(Deserialize)]
pub(crate) struct Granted {
    pub access_token: String,
    /// Seconds.
    pub expires_in: u64,
}

impl Credentials {
    /// `None` where no client id is set: calls then carry no token.
    pub fn new(settings: CredentialsSettings) -> Option<Self> {
        if settings.client_id.is_empty() {
            return None;
        }
        Some(Self { settings: Arc::new(settings), http: reqwest::Client::new(), held: Arc::default() })
    }

    pub async fn token(&self) -> Result<String, String> {
        let mut held = self.held.lock().await;
        let now = Instant::now();
        if let Some(token) = held.token.as_ref().filter(|token| now < token.renew_at) {
            return Ok(token.text.clone());
        }
        let still_valid = held.token.clone().filter(|token| now < token.ends_at);
        let failed_lately = held.failed.is_some_and(|at| at.elapsed() < ASK_AGAIN_AFTER);
        if failed_lately {
            return still_valid.map(|token| token.text).ok_or_else(|| "it was refused a moment ago".to_owned());
        }
        match self.fetch().await {
            Ok(token) => {
                let text = token.text.clone();
                *held = Held { token: Some(token), failed: None };
                Ok(text)
            }
            Err(reason) => {
                held.failed = Some(Instant::now());
                tracing::warn!(reason, "a service token cannot be had");
                still_valid.map(|token| token.text).ok_or(reason)
            }
        }
    }

    async fn fetch(&self) -> Result<Token, String> {
        let asked = Instant::now();
        let answer = grant(&self.http, &self.settings, "");
        crash_point("credentials.before-call");
        let answer = answer.await?;
        crash_point("credentials.after-answer");
        let lifetime = Duration::from_secs(answer.expires_in);
        Ok(Token { text: answer.access_token, renew_at: asked + lifetime.mul_f64(0.8), ends_at: asked + lifetime })
    }
}

/// Asks a token server for a token of the service's own; an empty scope asks for none in particular.
pub(crate) async fn grant(
    http: &reqwest::Client,
    settings: &CredentialsSettings,
    scope: &str,
) -> Result<Granted, String> {
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", &settings.client_id),
        ("client_secret", settings.client_secret.reveal()),
    ];
    if !scope.is_empty() {
        form.push(("scope", scope));
    }
    let answer = async {
        let request = http.post(&settings.token_url).timeout(TIMEOUT).form(&form);
        request.send().await?.error_for_status()?.json().await
    };
    answer.await.map_err(|error| chain(&error))
}
