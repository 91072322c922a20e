//! Somebody who may not come in, and tries.

use std::time::Duration;

use reqwest::Method;
use tokio::sync::watch;

use super::wire::{Request, Wire};
use crate::history::Action;

const PAUSE: Duration = Duration::from_millis(100);

/// Tries bad tokens all the time.
pub async fn intrude(wire: Wire, bad: Vec<String>, mut stopped: watch::Receiver<bool>) {
    for token in bad.iter().cycle() {
        if *stopped.borrow() {
            return;
        }
        let request =
            Request { method: Method::GET, path: "/reservations?size=1".to_owned(), token, key: None, body: None };
        wire.send("intruder", Action::Intrude, request, None).await;
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = stopped.changed() => {}
        }
    }
}

/// Tokens as somebody makes them who has seen a good one and has no key.
pub fn forged(good: &str) -> Vec<String> {
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { return vec!["no-token".to_owned()] };
    let other = if claims.ends_with('A') { "B" } else { "A" };
    let changed = format!("{}{other}", &claims[..claims.len() - 1]);
    // {"alg":"none"}
    let unsigned = "eyJhbGciOiJub25lIn0";
    let reversed: String = signature.chars().rev().collect();
    vec![
        format!("{header}.{changed}.{signature}"),
        format!("{header}.{claims}.{reversed}"),
        format!("{header}.{claims}."),
        format!("{unsigned}.{claims}."),
        format!("{unsigned}.{claims}.{signature}"),
        "no-token".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::forged;

    #[test]
    fn no_forged_token_is_the_good_one() {
        for good in ["aGVhZA.Y2xhaW1z.c2lnbmF0dXJl", "aGVhZA.Y2xhaW1A.c2lnbmF0dXJl"] {
            assert_eq!(forged(good).len(), 6);
            assert!(forged(good).iter().all(|token| token != good), "{good}");
        }
    }
}
