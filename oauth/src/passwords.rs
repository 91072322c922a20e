//! Passwords as Argon2id, hashed off the async thread and only a few at a time.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::{Semaphore, SemaphorePermit};

/// OWASP's first choice with little memory: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// A stored hash that asks for more is refused, because each check would take that much.
const MOST_MEMORY_KIB: u32 = 64 * 1024;

/// glibc gives an allocation above 32 MiB back to the system as soon as it is freed, but keeps smaller ones of
/// this size for good. So that much is reserved and only what is needed is touched, thus paid for.
const RESERVED_BLOCKS: usize = 33 * 1024;

/// Checked for a user that does not exist, so that the answer takes as long as for one that does.
static NOBODY: LazyLock<Option<PasswordHash>> = LazyLock::new(|| hash(&crate::secrets::generate()).ok());

#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    #[error("too many passwords wait to be checked")]
    Busy,
    #[error("a password could not be hashed: {0}")]
    Failed(String),
}

impl PasswordError {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    max_wait: Duration,
}

/// Leave to check one password.
pub struct Turn<'a> {
    _permit: SemaphorePermit<'a>,
}

impl Passwords {
    pub fn new(concurrent: usize, max_wait: Duration) -> Self {
        Self { turns: Arc::new(Semaphore::new(concurrent)), max_wait }
    }

    pub async fn turn(&self) -> Result<Turn<'_>, PasswordError> {
        match tokio::time::timeout(self.max_wait, self.turns.acquire()).await {
            Ok(Ok(permit)) => Ok(Turn { _permit: permit }),
            _ => Err(PasswordError::Busy),
        }
    }
}

impl Turn<'_> {
    /// Whether it is the password; without a hash it never is, after the same work.
    pub async fn verify(&self, password: &str, stored: Option<PasswordHash>) -> Result<bool, PasswordError> {
        let is_known = stored.is_some();
        let password = password.to_owned();
        let work = move || {
            let hash = stored.as_ref().or(NOBODY.as_ref()).ok_or_else(|| PasswordError::failed("no stand-in"))?;
            verify(&password, hash)
        };
        let is_right = tokio::task::spawn_blocking(work).await.map_err(PasswordError::failed)??;
        metrics::counter!("oauth_password_checks_total").increment(1);
        Ok(is_known && is_right)
    }
}

/// Reads a stored hash, and refuses what could not be checked later.
pub fn parse(text: &str) -> Result<PasswordHash, String> {
    let hash = PasswordHash::new(text).map_err(|error| format!("is no password hash: {error}"))?;
    if Algorithm::try_from(hash.algorithm.as_str()) != Ok(Algorithm::Argon2id) {
        return Err("must be Argon2id".to_owned());
    }
    let params = Params::try_from(&hash).map_err(|error| format!("has wrong parameters: {error}"))?;
    if params.m_cost() > MOST_MEMORY_KIB {
        return Err(format!("takes more than {MOST_MEMORY_KIB} KiB of memory"));
    }
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("lacks its salt or its hash".to_owned());
    }
    Ok(hash)
}

pub fn hash(password: &str) -> Result<PasswordHash, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(PasswordError::failed)?;
    let salt = Salt::new(&rand::random::<[u8; 16]>()).map_err(PasswordError::failed)?;
    let output = compute(password, &salt, Version::default(), &params)?;
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::default().into()),
        params: ParamsString::try_from(&params).map_err(PasswordError::failed)?,
        salt: Some(salt),
        hash: Some(output),
    })
}

fn verify(password: &str, stored: &PasswordHash) -> Result<bool, PasswordError> {
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else { return Ok(false) };
    let version = stored.version.map_or(Ok(Version::default()), Version::try_from).map_err(PasswordError::failed)?;
    let params = Params::try_from(stored).map_err(PasswordError::failed)?;
    // The comparison of outputs takes constant time.
    Ok(compute(password, salt, version, &params)? == *expected)
}

fn compute(password: &str, salt: &Salt, version: Version, params: &Params) -> Result<Output, PasswordError> {
    let mut memory = Vec::with_capacity(params.block_count().max(RESERVED_BLOCKS));
    memory.resize(params.block_count(), Block::new());
    let mut output = vec![0; params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN)];
    Argon2::new(Algorithm::Argon2id, version, params.clone())
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut output, &mut memory)
        .map_err(PasswordError::failed)?;
    Output::new(&output).map_err(PasswordError::failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test vector of the reference implementation, for `password`.
    const REFERENCE: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

    #[test]
    fn a_hash_has_the_recommended_cost_and_opens_with_its_password_only() {
        let stored = hash("correct horse").unwrap();
        assert!(stored.to_string().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        assert!(verify("correct horse", &stored).unwrap());
        assert!(!verify("battery staple", &stored).unwrap());
    }

    #[test]
    fn a_hash_is_the_one_that_everyone_else_computes() {
        assert!(verify("password", &parse(REFERENCE).unwrap()).unwrap());
    }

    #[test]
    fn a_hash_that_could_not_be_checked_is_refused() {
        let salted = "c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA";
        for text in [
            "hunter2".to_owned(),
            format!("$argon2i$v=19$m=64,t=2,p=1${salted}"),
            format!("$argon2id$v=19$m=1048576,t=2,p=1${salted}"),
            "$argon2id$v=19$m=64,t=2,p=1".to_owned(),
        ] {
            assert!(parse(&text).is_err(), "{text}");
        }
    }
}
