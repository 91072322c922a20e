//! Refresh tokens: rotation, theft, and many refreshes at once.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use oauth::store;

use crate::support::{MINUTE, Oauth, PASSWORD_HASH, claims, refusal, refused, text};

async fn first_token(oauth: &Oauth) -> String {
    text(&oauth.log_in("lee").await, "refresh_token")
}

async fn next_token(oauth: &Oauth, token: &str) -> String {
    text(&oauth.refresh(token).await, "refresh_token")
}

#[tokio::test]
async fn a_refresh_gives_a_new_access_token_and_the_next_refresh_token() {
    for oauth in Oauth::on_each_database().await {
        let first = first_token(&oauth).await;
        oauth.clock.advance(50 * MINUTE);
        let answer = oauth.refresh(&first).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let second = text(&answer, "refresh_token");
        assert_ne!(first, second);
        let claims = claims(&text(&answer, "access_token"));
        assert_eq!(claims.exp, oauth.clock.now().as_second() + 3600);
        assert_eq!((claims.sub.as_str(), claims.roles.join(" ").as_str()), ("id-of-lee", "desk vet"));
        assert_eq!(oauth.refresh(&second).await.status, 200);
    }
}

#[tokio::test]
async fn a_used_token_that_comes_back_ends_the_whole_login() {
    for oauth in Oauth::on_each_database().await {
        let first = first_token(&oauth).await;
        let second = next_token(&oauth, &first).await;
        let third = next_token(&oauth, &second).await;
        oauth.clock.advance(Duration::from_secs(11));
        assert_eq!(refusal(&oauth.refresh(&first).await), refused(400, "invalid_grant"));
        assert_eq!(refusal(&oauth.refresh(&third).await), refused(400, "invalid_grant"));
        let other_login = first_token(&oauth).await;
        assert_eq!(oauth.refresh(&other_login).await.status, 200);
    }
}

#[tokio::test]
async fn a_hundred_refreshes_at_once_get_the_same_successor_and_end_nothing() {
    for oauth in Oauth::on_each_database().await {
        let first = first_token(&oauth).await;
        let answers = join_all((0..100).map(|_| oauth.refresh(&first))).await;
        let successors: HashSet<String> = answers.iter().map(|answer| text(answer, "refresh_token")).collect();
        assert_eq!(successors.len(), 1);
        let successor = successors.into_iter().next().unwrap();
        oauth.clock.advance(MINUTE);
        assert_eq!(oauth.refresh(&successor).await.status, 200);
    }
}

#[tokio::test]
async fn a_refresh_whose_answer_was_lost_can_be_repeated_for_a_moment() {
    let oauth = Oauth::start().await;
    let first = first_token(&oauth).await;
    let second = next_token(&oauth, &first).await;
    oauth.clock.advance(Duration::from_secs(10));
    assert_eq!(next_token(&oauth, &first).await, second);
}

#[tokio::test]
async fn no_token_is_found_in_the_database() {
    let oauth = Oauth::start().await;
    let first = first_token(&oauth).await;
    let second = next_token(&oauth, &first).await;
    let rows: Vec<(String, Option<String>)> = sqlx::query_as("SELECT token_hash, successor_salt FROM refresh_tokens")
        .fetch_all(oauth.app.db.reader())
        .await
        .unwrap();
    assert_eq!(rows.len(), 2);
    let stored = format!("{rows:?}");
    assert!(!stored.contains(&first) && !stored.contains(&second));
}

#[tokio::test]
async fn another_clients_token_is_refused_and_stays_good() {
    let oauth = Oauth::start().await;
    let token = first_token(&oauth).await;
    let stolen = [
        ("grant_type", "refresh_token"),
        ("client_id", "reservation"),
        ("client_secret", crate::support::SECRET),
        ("refresh_token", &token),
    ];
    assert_eq!(refusal(&oauth.token(&stolen).await), refused(400, "invalid_grant"));
    oauth.clock.advance(MINUTE);
    assert_eq!(oauth.refresh(&token).await.status, 200);
}

#[tokio::test]
async fn a_token_that_is_unknown_or_over_is_refused() {
    let oauth = Oauth::start().await;
    assert_eq!(refusal(&oauth.refresh("made-up").await), refused(400, "invalid_grant"));
    let token = first_token(&oauth).await;
    oauth.clock.advance(Duration::from_secs(720 * 3600));
    assert_eq!(refusal(&oauth.refresh(&token).await), refused(400, "invalid_grant"));
}

#[tokio::test]
async fn a_refresh_gives_no_more_than_the_login_did_and_no_more_than_the_user_still_has() {
    let oauth = Oauth::start().await;
    let narrow = [
        ("grant_type", "password"),
        ("client_id", "cli"),
        ("username", "lee"),
        ("password", "password"),
        ("scope", "vet"),
    ];
    let token = text(&oauth.token(&narrow).await, "refresh_token");
    let wider = [("grant_type", "refresh_token"), ("client_id", "cli"), ("refresh_token", &token), ("scope", "desk")];
    assert_eq!(refusal(&oauth.token(&wider).await), refused(400, "invalid_scope"));

    let all = first_token(&oauth).await;
    edit(&oauth, "[\"desk\", \"vet\"]", "[\"desk\", \"admin\"]");
    assert_eq!(oauth.refresh(&all).await.json()["scope"], "desk");
}

#[tokio::test]
async fn a_user_who_is_gone_or_has_another_password_is_not_refreshed() {
    for (from, to) in [("id-of-lee", "id-of-somebody"), (PASSWORD_HASH, &PASSWORD_HASH.replace("nf65", "nf66"))] {
        let oauth = Oauth::start().await;
        let token = first_token(&oauth).await;
        edit(&oauth, from, to);
        assert_eq!(refusal(&oauth.refresh(&token).await), refused(400, "invalid_grant"), "{to}");
    }
}

#[tokio::test]
async fn logins_that_are_over_are_cleaned_up_and_the_others_stay() {
    for oauth in Oauth::on_each_database().await {
        first_token(&oauth).await;
        oauth.clock.advance(Duration::from_secs(719 * 3600));
        let alive = first_token(&oauth).await;
        oauth.clock.advance(Duration::from_secs(2 * 3600));
        store::clean_up(&oauth.app.db, oauth.clock.now_ms(), 0).await.unwrap();
        let (families,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM refresh_families").fetch_one(oauth.app.db.reader()).await.unwrap();
        assert_eq!(families, 1);
        assert_eq!(oauth.refresh(&alive).await.status, 200);
    }
}

fn edit(oauth: &Oauth, from: &str, to: &str) {
    let old = std::fs::read_to_string(&oauth.file).unwrap();
    std::fs::write(&oauth.file, old.replace(from, to)).unwrap();
    assert!(oauth.app.users.reload().unwrap());
}
