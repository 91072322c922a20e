//! The issuer's public keys: fetched when needed, refreshed in time, and kept when the issuer is away.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::failpoint::crash_point;

/// Keys older than this are fetched anew in passing; the old ones serve meanwhile and if that fails.
const REFRESH_AFTER: Duration = Duration::from_secs(300);
/// A key id nobody knows may not make us ask more often than this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// As long as there are no keys at all, every request would like to ask.
const FIRST_ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// A key and the one algorithm it is for.
pub struct Key {
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

pub struct Jwks {
    url: String,
    http: reqwest::Client,
    keys: RwLock<HashMap<String, Arc<Key>>>,
    /// When the last fetch was tried and when one last succeeded. The lock also keeps fetches to one at a time.
    fetched: Mutex<Fetched>,
}

#[derive(Default)]
struct Fetched {
    tried: Option<Instant>,
    succeeded: Option<Instant>,
}

impl Jwks {
    pub fn at(url: String) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder().timeout(FETCH_TIMEOUT).build()?;
        Ok(Self { url, http, keys: RwLock::default(), fetched: Mutex::default() })
    }

    /// The key of that id. `Err` where no keys could be had at all.
    pub async fn find(&self, kid: &str) -> Result<Option<Arc<Key>>, String> {
        if let Some(key) = self.known(kid) {
            self.refresh_if_old().await;
            return Ok(Some(key));
        }
        let mut fetched = self.fetched.lock().await;
        // Another request may have fetched it while this one waited.
        if let Some(key) = self.known(kid) {
            return Ok(Some(key));
        }
        let never = fetched.succeeded.is_none();
        let pause = if never { FIRST_ASK_AGAIN_AFTER } else { ASK_AGAIN_AFTER };
        if fetched.tried.is_none_or(|tried| tried.elapsed() >= pause) {
            let outcome = self.fetch(&mut fetched).await;
            if never {
                outcome?;
            }
        } else if never {
            return Err("they could not be fetched a moment ago".to_owned());
        }
        Ok(self.known(kid))
    }

    pub fn install(&self, set: &JwkSet) {
        let keys = set.keys.iter().filter_map(|jwk| {
            let kid = jwk.common.key_id.clone()?;
            let algorithm = match &jwk.algorithm {
                AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
                AlgorithmParameters::RSA(_) => Algorithm::RS256,
                AlgorithmParameters::OctetKeyPair(_) => Algorithm::EdDSA,
                _ => return None,
            };
            let key = DecodingKey::from_jwk(jwk).ok()?;
            Some((kid, Arc::new(Key { algorithm, key })))
        });
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.collect();
    }

    fn known(&self, kid: &str) -> Option<Arc<Key>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    async fn refresh_if_old(&self) {
        // Whoever finds it locked lets the other one fetch.
        let Ok(mut fetched) = self.fetched.try_lock() else { return };
        let is_old = fetched.succeeded.is_some_and(|at| at.elapsed() >= REFRESH_AFTER);
        let asked_lately = fetched.tried.is_some_and(|at| at.elapsed() < ASK_AGAIN_AFTER);
        if is_old
            && !asked_lately
            && let Err(error) = self.fetch(&mut fetched).await
        {
            tracing::warn!(error, "the token keys could not be refreshed; the known ones serve on");
        }
    }

    async fn fetch(&self, fetched: &mut Fetched) -> Result<(), String> {
        fetched.tried = Some(Instant::now());
        let answer = async { self.http.get(&self.url).send().await?.error_for_status()?.json::<JwkSet>().await };
        crash_point("jwks.before-call");
        let answer = answer.await;
        crash_point("jwks.after-answer");
        // From the end of it, so that those who have waited for it do not each ask again.
        fetched.tried = Some(Instant::now());
        let set = answer.map_err(|error| crate::http::problem::chain(&error))?;
        self.install(&set);
        fetched.succeeded = Some(Instant::now());
        Ok(())
    }
}
