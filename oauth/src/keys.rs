//! The keys that sign tokens: made here, kept in the database, replaced by age or on demand.
//!
//! A new key is published some time before it signs, and an old one until the last of its tokens has ended, so
//! that no verifier meets a token whose key it cannot know. Replicas share the keys through the database. One
//! that has not read them for as long as a new key is announced reads them before it signs again: there may be
//! one that it has not seen.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chassis::auth::{Claims, Verifier};
use chassis::{Clock, Db, DbError, Lifecycle};
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};

use crate::store::{self, StoredKey};

/// How often the database is asked for keys that other replicas have made: often enough within the time of
/// announcement, whose least is a minute.
const READ_EVERY: Duration = Duration::from_secs(20);
/// The clocks of those who verify may be behind by this much.
const SKEW_MS: i64 = 60_000;

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("there is no signing key")]
    Missing,
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("a key cannot be made or used: {0}")]
    Crypto(String),
}

impl KeyError {
    fn crypto(error: impl std::fmt::Display) -> Self {
        Self::Crypto(error.to_string())
    }
}

/// How long things last, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct KeyTimes {
    /// 0: keys do not age.
    pub rotate_after: i64,
    pub publish_before: i64,
    pub token_lifetime: i64,
}

#[derive(Clone)]
pub struct Keys {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Clock,
    times: KeyTimes,
    /// This server's own verifier, which knows the keys without asking over the network.
    verifier: Verifier,
    ring: RwLock<Arc<Ring>>,
}

/// All keys in the database, oldest first, and when they were read.
#[derive(Default)]
struct Ring {
    keys: Vec<SigningKey>,
    read_at: i64,
}

struct SigningKey {
    stored: StoredKey,
    key: EncodingKey,
    jwk: Jwk,
    /// When the last token signed with it has ended, if a newer key takes its place.
    published_until: Option<i64>,
}

/// A key that signs, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    pub kid: String,
    pub active_from: i64,
}

impl Keys {
    /// Reads the keys, and makes the first one where there is none.
    pub async fn open(db: Db, clock: Clock, times: KeyTimes, verifier: Verifier) -> Result<Self, KeyError> {
        let keys = Self { inner: Arc::new(Inner { db, clock, times, verifier, ring: RwLock::default() }) };
        // Tokens may live longer from now on, and their key must outlive them.
        let lifetime = times.token_lifetime;
        keys.inner
            .db
            .write(move |tx| Box::pin(store::raise_token_lifetime_in_tx(tx, lifetime)))
            .await
            .map_err(|error: DbError| error)?;
        keys.maintain().await?;
        Ok(keys)
    }

    pub async fn sign(&self, claims: &Claims) -> Result<String, KeyError> {
        let now = self.inner.clock.now_ms();
        if now - self.ring().read_at >= self.inner.times.publish_before {
            self.read().await?;
        }
        let ring = self.ring();
        // By the clock of another replica the first key may begin a moment from now.
        let active = ring.keys.iter().rev().find(|key| key.stored.active_from <= now).or(ring.keys.first());
        let key = active.ok_or(KeyError::Missing)?;
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key.stored.kid.clone());
        encode(&header, claims, &key.key).map_err(KeyError::crypto)
    }

    /// The public keys that a verifier needs now or soon.
    pub fn published(&self) -> JwkSet {
        JwkSet { keys: self.ring().keys.iter().map(|key| key.jwk.clone()).collect() }
    }

    /// Announces a new key, or says which one is announced already.
    pub async fn rotate(&self) -> Result<Announced, KeyError> {
        self.read().await?;
        let now = self.inner.clock.now_ms();
        let ring = self.ring();
        let newest = ring.keys.last().ok_or(KeyError::Missing)?;
        if newest.stored.active_from <= now {
            self.add(newest.stored.generation + 1, now + self.inner.times.publish_before).await?;
            self.read().await?;
        }
        let ring = self.ring();
        let newest = &ring.keys.last().ok_or(KeyError::Missing)?.stored;
        Ok(Announced { kid: newest.kid.clone(), active_from: newest.active_from })
    }

    /// What is due: the first key, the next one by age, and the end of those that nothing needs any more.
    pub async fn maintain(&self) -> Result<(), KeyError> {
        self.read().await?;
        let now = self.inner.clock.now_ms();
        let times = self.inner.times;
        let ring = self.ring();
        match ring.keys.last() {
            None => {
                self.add(1, now).await?;
                self.read().await?;
            }
            Some(newest)
                if times.rotate_after > 0
                    && newest.stored.active_from + times.rotate_after - times.publish_before <= now =>
            {
                let announced = self.rotate().await?;
                tracing::info!(key.id = announced.kid, "a new signing key is announced");
            }
            Some(_) => {}
        }
        self.remove_ended(&ring, now).await
    }

    /// Keeps the keys in order until the stop.
    pub async fn keep(self, lifecycle: Lifecycle) -> Result<(), KeyError> {
        loop {
            tokio::select! {
                () = lifecycle.stopping() => return Ok(()),
                () = tokio::time::sleep(READ_EVERY) => {}
            }
            match self.maintain().await {
                Ok(()) => lifecycle.is_well("keys"),
                Err(error) => {
                    lifecycle.is_troubled("keys", "they cannot be read");
                    tracing::warn!(error = chassis::http::problem::chain(&error), "the signing keys cannot be read");
                }
            }
        }
    }

    fn ring(&self) -> Arc<Ring> {
        self.inner.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> Result<(), KeyError> {
        let read_at = self.inner.clock.now_ms();
        let stored = store::signing_keys(self.inner.db.reader()).await?;
        let keys = stored.into_iter().map(SigningKey::load).collect::<Result<Vec<_>, _>>()?;
        let ring = Ring { keys: with_ends(keys), read_at };
        self.inner.verifier.install_keys(&JwkSet { keys: ring.keys.iter().map(|key| key.jwk.clone()).collect() });
        *self.inner.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        Ok(())
    }

    async fn add(&self, generation: i64, active_from: i64) -> Result<(), KeyError> {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map_err(KeyError::crypto)?;
        let jwk = public_key(&EncodingKey::from_ec_der(pkcs8.as_ref()))?;
        let key = StoredKey {
            kid: jwk.common.key_id.unwrap_or_default(),
            generation,
            private_key: STANDARD.encode(pkcs8.as_ref()),
            active_from,
            token_lifetime: self.inner.times.token_lifetime,
        };
        let insert =
            self.inner.db.write(move |tx| Box::pin(async move { store::insert_signing_key_in_tx(tx, &key).await }));
        Ok(insert.await.map_err(|error: DbError| error)?)
    }

    async fn remove_ended(&self, ring: &Ring, now: i64) -> Result<(), KeyError> {
        let ended: Vec<String> = ring
            .keys
            .iter()
            .filter(|key| key.published_until.is_some_and(|until| until <= now))
            .map(|key| key.stored.kid.clone())
            .collect();
        if ended.is_empty() {
            return Ok(());
        }
        let removal = self.inner.db.write(move |tx| {
            Box::pin(async move {
                for kid in &ended {
                    store::delete_signing_key_in_tx(tx, kid).await?;
                    tracing::info!(key.id = kid, "a signing key has ended");
                }
                Ok::<_, DbError>(())
            })
        });
        removal.await?;
        self.read().await
    }
}

impl SigningKey {
    fn load(stored: StoredKey) -> Result<Self, KeyError> {
        let pkcs8 = STANDARD
            .decode(&stored.private_key)
            .map_err(|_| DbError::Corrupt(format!("the private key {} is not base64", stored.kid)))?;
        let key = EncodingKey::from_ec_der(&pkcs8);
        let jwk = public_key(&key)?;
        Ok(Self { stored, key, jwk, published_until: None })
    }
}

/// A key ends when the last token it signed does, which was signed when its successor took over.
fn with_ends(mut keys: Vec<SigningKey>) -> Vec<SigningKey> {
    for index in 1..keys.len() {
        let superseded = keys[index].stored.active_from;
        let key = &mut keys[index - 1];
        key.published_until = Some(superseded + key.stored.token_lifetime + SKEW_MS);
    }
    keys
}

/// The public half, named by its thumbprint.
fn public_key(key: &EncodingKey) -> Result<Jwk, KeyError> {
    let mut jwk = Jwk::from_encoding_key(key, Algorithm::ES256).map_err(KeyError::crypto)?;
    jwk.common.key_id = Some(jwk.thumbprint(ThumbprintHash::SHA256).map_err(KeyError::crypto)?);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}
