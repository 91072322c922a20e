//! Signing keys: announced before they sign, published until their last token has ended, shared by replicas.

use std::time::Duration;

use chassis::testing::{TestAnswer, databases};
use oauth::store;

use crate::support::{MINUTE, Oauth, part, text};

const HOUR: Duration = Duration::from_secs(3600);

fn kid(token: &str) -> String {
    part(token, 0)["kid"].as_str().unwrap().to_owned()
}

async fn published(oauth: &Oauth) -> Vec<String> {
    let keys = oauth.get("/.well-known/jwks.json").await.json()["keys"].as_array().unwrap().clone();
    keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

async fn rotate(oauth: &Oauth) -> TestAnswer {
    let admin = oauth.access_token("park").await;
    oauth.post("/oauth/keys/rotate").bearer(&admin).send().await
}

/// Time passes, and the background task sees it.
async fn pass(oauth: &Oauth, time: Duration) {
    oauth.clock.advance(time);
    oauth.app.keys.maintain().await.unwrap();
}

#[tokio::test]
async fn a_new_key_is_published_first_signs_later_and_the_old_one_stays_until_its_tokens_end() {
    for oauth in Oauth::on_each_database().await {
        let before = oauth.access_token("kim").await;
        let answer = rotate(&oauth).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let new = text(&answer, "kid");
        assert_eq!(published(&oauth).await, [kid(&before), new.clone()]);
        assert_eq!(kid(&oauth.access_token("kim").await), kid(&before), "verifiers do not know the new key yet");
        let verifier = oauth.verifier().await;

        pass(&oauth, 10 * MINUTE - Duration::from_secs(1)).await;
        let last_of_old = oauth.access_token("kim").await;
        assert_eq!(kid(&last_of_old), kid(&before));
        pass(&oauth, Duration::from_secs(1)).await;
        let first_of_new = oauth.access_token("kim").await;
        assert_eq!(kid(&first_of_new), new);

        // A verifier that read the keys at the announcement accepts all of them.
        for token in [&before, &last_of_old, &first_of_new] {
            assert!(verifier.verify(token).await.is_ok());
        }
        pass(&oauth, 59 * MINUTE).await;
        assert!(oauth.verifier().await.verify(&last_of_old).await.is_ok(), "valid until its own end");
        pass(&oauth, 2 * MINUTE).await;
        assert_eq!(published(&oauth).await, [new]);
        assert!(oauth.verifier().await.verify(&last_of_old).await.is_err());
    }
}

#[tokio::test]
async fn while_a_key_is_announced_another_rotation_makes_none() {
    let oauth = Oauth::start().await;
    let first = rotate(&oauth).await;
    oauth.clock.advance(MINUTE);
    assert_eq!(rotate(&oauth).await.text, first.text);
    assert_eq!(published(&oauth).await.len(), 2);
}

#[tokio::test]
async fn a_key_is_replaced_at_its_age() {
    let oauth = Oauth::with(&[("keys.rotate_after", "24h")]).await;
    let first = kid(&oauth.access_token("kim").await);
    pass(&oauth, 24 * HOUR - 11 * MINUTE).await;
    assert_eq!(published(&oauth).await, [first.as_str()]);
    pass(&oauth, MINUTE).await;
    assert_eq!(published(&oauth).await.len(), 2);
    assert_eq!(kid(&oauth.access_token("kim").await), first);
    pass(&oauth, 10 * MINUTE).await;
    assert_ne!(kid(&oauth.access_token("kim").await), first);
}

#[tokio::test]
async fn keys_that_do_not_age_are_kept() {
    let oauth = Oauth::with(&[("keys.rotate_after", "0s")]).await;
    pass(&oauth, 1000 * HOUR).await;
    assert_eq!(published(&oauth).await.len(), 1);
}

#[tokio::test]
async fn a_restart_signs_with_the_same_key() {
    for db in databases(store::MIGRATIONS).await {
        let first = Oauth::on(db.clone(), &[]).await;
        let second = Oauth::at(db, &[], first.clock.clone()).await;
        assert_eq!(kid(&first.access_token("kim").await), kid(&second.access_token("kim").await));
    }
}

#[tokio::test]
async fn replicas_agree_on_the_first_key_and_on_the_next() {
    for db in databases(store::MIGRATIONS).await {
        let first = Oauth::on(db.clone(), &[]).await;
        let second = Oauth::at(db.clone(), &[], first.clock.clone()).await;
        let third = Oauth::at(db, &[], first.clock.clone()).await;
        let rotations = tokio::join!(first.app.keys.rotate(), second.app.keys.rotate(), third.app.keys.rotate());
        let announced = rotations.0.unwrap();
        assert_eq!((&announced, &announced), (&rotations.1.unwrap(), &rotations.2.unwrap()));
        for replica in [&first, &second, &third] {
            pass(replica, Duration::ZERO).await;
        }
        assert_eq!(published(&first).await.len(), 2);
        assert_eq!(published(&first).await, published(&second).await);
        first.clock.advance(10 * MINUTE);
        for replica in [&first, &second, &third] {
            replica.app.keys.maintain().await.unwrap();
        }
        let token = first.access_token("kim").await;
        assert_eq!(kid(&token), kid(&third.access_token("kim").await));
        assert!(second.verifier().await.verify(&token).await.is_ok());
    }
}

#[tokio::test]
async fn a_replica_that_has_not_read_the_keys_for_too_long_reads_them_before_it_signs() {
    for db in databases(store::MIGRATIONS).await {
        let asleep = Oauth::on(db.clone(), &[]).await;
        let awake = Oauth::at(db, &[], asleep.clock.clone()).await;
        let new = text(&rotate(&awake).await, "kid");
        asleep.clock.advance(10 * MINUTE);
        assert_eq!(kid(&asleep.access_token("kim").await), new);
    }
}

#[tokio::test]
async fn a_key_outlives_its_tokens_also_when_they_live_longer_after_a_restart() {
    for db in databases(store::MIGRATIONS).await {
        let short = Oauth::on(db.clone(), &[("tokens.access_lifetime", "5m")]).await;
        let long = Oauth::at(db.clone(), &[("tokens.access_lifetime", "3h")], short.clock.clone()).await;
        let token = long.access_token("kim").await;
        rotate(&long).await;
        let again = Oauth::at(db, &[("tokens.access_lifetime", "5m")], short.clock.clone()).await;
        pass(&again, 2 * HOUR).await;
        pass(&again, Duration::from_secs(3599)).await;
        assert!(again.verifier().await.verify(&token).await.is_ok());
    }
}

#[tokio::test]
async fn only_an_administrator_may_rotate() {
    let oauth = Oauth::start().await;
    assert_eq!(oauth.post("/oauth/keys/rotate").send().await.status, 401);
    let customer = oauth.access_token("kim").await;
    assert_eq!(oauth.post("/oauth/keys/rotate").bearer(&customer).send().await.status, 403);
    assert_eq!(published(&oauth).await.len(), 1);
}
