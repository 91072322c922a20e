//! The password grant, and how often one may guess.

use std::time::Duration;

use chassis::testing::databases;
use futures_util::future::join_all;
use metrics_exporter_prometheus::PrometheusBuilder;
use oauth::store;

use crate::support::{MINUTE, Oauth, PASSWORD, claims, refusal, refused, text};

#[tokio::test]
async fn a_user_gets_a_token_with_his_id_and_roles() {
    let oauth = Oauth::start().await;
    let answer = oauth.log_in("lee").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json()["scope"], "desk vet");
    assert!(answer.json()["refresh_token"].is_string());

    let token = text(&answer, "access_token");
    assert_eq!(claims(&token).client_id, "cli");
    let caller = oauth.verifier().await.verify(&token).await.unwrap();
    assert_eq!(&*caller.subject, "id-of-lee");
    assert!(caller.has_any(&["vet"]) && caller.has_any(&["desk"]) && !caller.has_any(&["admin"]));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let oauth = Oauth::start().await;
    let wrong = oauth.guess("kim", "wrong").await;
    let unknown = oauth.guess("nobody", PASSWORD).await;
    assert_eq!(refusal(&wrong), refused(400, "invalid_grant"));
    assert_eq!((wrong.status, &wrong.text), (unknown.status, &unknown.text));
}

#[tokio::test]
async fn an_unknown_user_costs_the_same_work_as_a_known_one() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let oauth = Oauth::start().await;
    for (checks, name) in [(1, "kim"), (2, "nobody")] {
        oauth.guess(name, "wrong").await;
        assert!(rendered.render().contains(&format!("oauth_password_checks_total {checks}\n")), "{name}");
    }
}

#[tokio::test]
async fn passwords_that_wait_too_long_for_their_turn_are_sent_away() {
    let oauth = Oauth::with(&[("passwords.concurrent", "0"), ("passwords.max_wait", "1ms")]).await;
    for name in ["kim", "nobody"] {
        let answer = oauth.log_in(name).await;
        assert_eq!(refusal(&answer), refused(503, "temporarily_unavailable"), "{name}");
        assert_eq!(answer.header("retry-after"), "2");
    }
}

#[tokio::test]
async fn without_the_setting_there_is_no_password_grant() {
    let oauth = Oauth::with(&[("grants.password", "false")]).await;
    assert_eq!(refusal(&oauth.log_in("kim").await), refused(400, "unsupported_grant_type"));
}

#[tokio::test]
async fn after_ten_wrong_guesses_even_the_right_password_waits_until_the_first_is_old() {
    for oauth in Oauth::on_each_database().await {
        for _ in 0..10 {
            assert_eq!(refusal(&oauth.guess("kim", "wrong").await), refused(400, "invalid_grant"));
            oauth.clock.advance(MINUTE);
        }
        let limited = oauth.log_in("kim").await;
        assert_eq!(refusal(&limited), refused(429, "invalid_grant"));
        assert_eq!(limited.header("retry-after"), "301");
        assert_eq!(oauth.log_in("lee").await.status, 200, "another account has its own guesses");

        oauth.clock.advance(5 * MINUTE);
        assert_eq!(oauth.log_in("kim").await.status, 200);
        assert_eq!(oauth.guess("kim", "wrong").await.status, 400);
        // In any 15 minutes: the other nine have not gone yet.
        assert_eq!(oauth.log_in("kim").await.status, 429);
    }
}

#[tokio::test]
async fn an_unknown_user_can_be_guessed_no_more_often_either() {
    let oauth = Oauth::with(&[("passwords.guesses", "2")]).await;
    for expected in [400, 400, 429] {
        assert_eq!(oauth.guess("nobody", "wrong").await.status, expected);
    }
}

#[tokio::test]
async fn guesses_at_the_same_moment_do_not_slip_past_the_limit() {
    for oauth in Oauth::on_each_database().await {
        let answers = join_all((0..30).map(|_| oauth.guess("kim", "wrong"))).await;
        let checked = answers.iter().filter(|answer| answer.status == 400).count();
        assert_eq!(checked, 10);
    }
}

#[tokio::test]
async fn right_passwords_use_up_no_guesses() {
    for oauth in Oauth::on_each_database().await {
        let answers = join_all((0..30).map(|_| oauth.log_in("kim"))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
    }
}

#[tokio::test]
async fn a_restart_forgets_no_guess() {
    for db in databases(store::MIGRATIONS).await {
        let first = Oauth::on(db.clone(), &[]).await;
        for _ in 0..10 {
            first.guess("kim", "wrong").await;
        }
        let second = Oauth::at(db, &[], first.clock.clone()).await;
        assert_eq!(second.log_in("kim").await.status, 429);
    }
}

#[tokio::test]
async fn old_guesses_are_cleaned_up_and_new_ones_stay() {
    for oauth in Oauth::on_each_database().await {
        for _ in 0..10 {
            oauth.guess("kim", "wrong").await;
        }
        let now = oauth.clock.now_ms();
        let window = Duration::from_secs(900).as_millis() as i64;
        store::clean_up(&oauth.app.db, now, now - window).await.unwrap();
        assert_eq!(oauth.log_in("kim").await.status, 429);
        store::clean_up(&oauth.app.db, now + window, now).await.unwrap();
        assert_eq!(oauth.log_in("kim").await.status, 200);
    }
}
