//! Secrets that machines make: random, and kept as a SHA-256 only.
//!
//! 256 random bits cannot be guessed, so their digest needs none of the slowness that a password's does.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// 256 random bits, as a client stores and sends them.
pub fn generate() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What is stored instead of a secret.
pub fn digest_of(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes()))
}

pub fn is_digest(text: &str) -> bool {
    URL_SAFE_NO_PAD.decode(text).is_ok_and(|bytes| bytes.len() == SHA256.output_len())
}

/// Takes the same time wherever the first difference is.
pub fn matches(secret: &str, stored_digest: &str) -> bool {
    verify_slices_are_equal(digest_of(secret).as_bytes(), stored_digest.as_bytes()).is_ok()
}

/// The secret that follows `secret`: only whoever has both it and the salt can tell.
pub fn successor(secret: &str, salt: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, salt.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_matches_its_own_digest_only() {
        let (one, other) = (generate(), generate());
        assert_ne!(one, other);
        assert!(matches(&one, &digest_of(&one)));
        assert!(!matches(&other, &digest_of(&one)));
        assert!(!matches("", &digest_of(&one)));
    }

    #[test]
    fn a_successor_needs_both_the_secret_and_the_salt() {
        assert_eq!(successor("secret", "salt"), successor("secret", "salt"));
        assert_ne!(successor("secret", "salt"), successor("secret", "other"));
        assert_ne!(successor("secret", "salt"), successor("other", "salt"));
    }
}
