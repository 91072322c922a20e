//! Verifies tokens: allow-listed algorithms, each key bound to its own, and a bounded cache of verified ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::{Deserialize, Serialize};

use super::jwks::Jwks;
use super::{Caller, bearer};
use crate::Clock;
use crate::config::{Auth, AuthMode, SettingError};
use crate::http::problem::Problem;

/// Clocks of two machines may differ by this much.
const LEEWAY_SECONDS: u64 = 30;
const CACHED_TOKENS: usize = 4096;
/// No honest token is longer; nothing longer is looked at.
const MAX_TOKEN: usize = 4096;

/// What a token of this fleet says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub sub: String,
    pub aud: String,
    pub exp: i64,
    pub nbf: i64,
    pub iat: i64,
    pub jti: String,
    pub client_id: String,
    pub roles: Vec<String>,
}

#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    is_open: bool,
    jwks: Jwks,
    validation: Validation,
    clock: Clock,
    /// Verified tokens with the second they end in.
    verified: Mutex<HashMap<String, (Caller, i64)>>,
}

impl Verifier {
    pub fn new(auth: &Auth, clock: Clock) -> Result<Self, SettingError> {
        let jwks = Jwks::at(auth.jwks_url.clone()).map_err(|error| SettingError::new("auth.jwks_url", error))?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[&auth.issuer]);
        validation.set_audience(&[&auth.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        // Expiry is checked here, by the injected clock.
        validation.validate_exp = false;
        let is_open = auth.mode == AuthMode::Open;
        Ok(Self { inner: Arc::new(Inner { is_open, jwks, validation, clock, verified: Mutex::default() }) })
    }

    /// Uses these keys from now on, without asking the issuer.
    pub fn install_keys(&self, set: &JwkSet) {
        self.inner.jwks.install(set);
    }

    /// Who sent a request with these headers.
    pub async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        match bearer(headers)? {
            Some(token) => self.verify(token).await,
            None if self.inner.is_open => Ok(Caller::anonymous()),
            None => Err(Problem::token_required()),
        }
    }

    pub async fn verify(&self, token: &str) -> Result<Caller, Problem> {
        if token.len() > MAX_TOKEN {
            return Err(Problem::invalid_token("The token is too long."));
        }
        let now = self.inner.clock.now().as_second();
        if let Some(caller) = self.cached(token, now) {
            return Ok(caller);
        }
        let claims = self.decode(token).await?;
        if claims.exp + LEEWAY_SECONDS as i64 <= now {
            return Err(Problem::invalid_token("The token has expired."));
        }
        let caller = Caller::new(&claims.sub, claims.roles);
        self.remember(token, &caller, claims.exp, now);
        Ok(caller)
    }

    async fn decode(&self, token: &str) -> Result<Claims, Problem> {
        let header = decode_header(token).map_err(|_| Problem::invalid_token("The token cannot be read."))?;
        let kid = header.kid.ok_or_else(|| Problem::invalid_token("The token names no key."))?;
        let found = self.inner.jwks.find(&kid).await.map_err(|error| {
            tracing::warn!(error, "the token keys cannot be fetched");
            Problem::unavailable("keys-unavailable", "Tokens cannot be checked at the moment.").not_done()
        })?;
        let key = found.ok_or_else(|| Problem::invalid_token("The token's key is not known."))?;
        if header.alg != key.algorithm {
            return Err(Problem::invalid_token("The token's algorithm is not its key's."));
        }
        let mut validation = self.inner.validation.clone();
        validation.algorithms = vec![key.algorithm];
        decode::<Claims>(token, &key.key, &validation)
            .map(|decoded| decoded.claims)
            .map_err(|_| Problem::invalid_token("The token is not valid here."))
    }

    fn cached(&self, token: &str, now: i64) -> Option<Caller> {
        let verified = self.inner.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.get(token).filter(|(_, ends)| now < *ends).map(|(caller, _)| caller.clone())
    }

    fn remember(&self, token: &str, caller: &Caller, ends: i64, now: i64) {
        let mut verified = self.inner.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= CACHED_TOKENS {
            verified.retain(|_, (_, ends)| now < *ends);
        }
        if verified.len() >= CACHED_TOKENS {
            verified.clear();
        }
        verified.insert(token.to_owned(), (caller.clone(), ends));
    }
}
