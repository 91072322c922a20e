//! How messages leave: through the log, or to a provider that is up, down, slow or unwilling.

use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::harness::*;
use crate::stand_in::{Answer, PATIENCE, StandIn, nobodys_address};

const SECRET: &str = "between us";

async fn reserved() -> Notices {
    let notices = Notices::new().await;
    notices.hears("/reservation", 1, RESERVED).await;
    notices
}

fn webhook(notices: &Notices, address: std::net::SocketAddr, more: &[(&str, &str)]) -> notice::sender::Sender {
    let url = format!("http://{address}/messages");
    let mut settings = vec![
        ("channel.kind", "webhook"),
        ("channel.url", url.as_str()),
        ("channel.secret", SECRET),
        ("channel.first_backoff", "10s"),
        ("channel.longest_backoff", "60s"),
    ];
    settings.extend(more);
    notices.sender(&settings)
}

fn time_for_the_next_try(notices: &Notices) {
    notices.rig.chassis.clock.advance(Duration::from_secs(60));
}

async fn first(notices: &Notices) -> Value {
    notices.all().await[0].clone()
}

#[tokio::test]
async fn the_log_channel_sends_each_message_once() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        notices.hears("/diagnosis", 1, TREATED).await;
        let mut sender = notices.sender(&[]);
        assert_eq!(send_due(&mut sender).await, 2);
        assert_eq!(send_due(&mut sender).await, 0);
        for notice in notices.all().await {
            assert_eq!((&notice["state"], &notice["attempts"]), (&json!("SENT"), &json!(1)));
            assert_eq!(notice["sentAt"], "2026-11-21T09:00:00Z");
        }
    }
}

#[tokio::test]
async fn the_webhook_gets_the_message_signed_and_with_a_key_of_its_own() {
    let notices = reserved().await;
    let mut provider = StandIn::answering(&[]).await;
    assert_eq!(send_due(&mut webhook(&notices, provider.address, &[])).await, 1);

    let posted = provider.next().await;
    let expected = json!({
        "id": 1, "to": "010-1234-5678", "text": "Jackson님, 2020-04-30 예약이 완료되었습니다.",
        "kind": "ReservationReserved", "reservationId": 1, "createdAt": "2026-11-21T09:00:00Z"
    });
    assert_eq!(json(&posted.body), expected);
    assert_eq!(posted.header("idempotency-key"), "notice-1");
    assert_eq!(posted.header("content-type"), "application/json");
    let (time, tag) = posted.header("x-signature").split_once(",v1=").unwrap();
    let time = time.strip_prefix("t=").unwrap();
    assert_eq!(time, "1795251600");
    let bytes: Vec<u8> = (0..tag.len()).step_by(2).map(|i| u8::from_str_radix(&tag[i..i + 2], 16).unwrap()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, format!("{time}.{}", posted.body).as_bytes(), &bytes).unwrap();

    let notice = first(&notices).await;
    assert_eq!((&notice["state"], &notice["sentAt"]), (&json!("DELIVERED"), &json!("2026-11-21T09:00:00Z")));
    assert!(provider.got_nothing_more());
}

#[tokio::test]
async fn a_provider_that_is_down_delays_messages_and_loses_none() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        notices.hears("/diagnosis", 1, TREATED).await;
        let address = nobodys_address().await;
        let mut sender = webhook(&notices, address, &[]);
        for attempts in 1..=3 {
            assert_eq!(send_due(&mut sender).await, 1, "the second message waits for the first");
            assert_eq!(send_due(&mut sender).await, 0, "not before its time");
            let notice = first(&notices).await;
            assert_eq!((&notice["state"], &notice["attempts"]), (&json!("PENDING"), &json!(attempts)));
            assert!(!notice["failure"].as_str().unwrap().contains("127.0.0.1/messages"));
            time_for_the_next_try(&notices);
        }
        let trouble = notices.rig.chassis.lifecycle.health();
        assert!(trouble["channel"].is_some(), "{trouble:?}");

        let mut provider = StandIn::at(address, &[]).await;
        send_due(&mut sender).await;
        assert_eq!(notices.each("state").await, ["DELIVERED", "DELIVERED"]);
        let kinds = [provider.next().await, provider.next().await].map(|posted| json(&posted.body)["kind"].clone());
        assert_eq!(kinds, ["ReservationReserved", "Treated"], "in their order");
        assert!(provider.got_nothing_more());
        assert_eq!(notices.rig.chassis.lifecycle.health()["channel"], None);
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_asked_again_with_the_same_key() {
    for status in [500, 503, 408, 429, 302] {
        let notices = reserved().await;
        let mut provider = StandIn::answering(&[Answer::Status(status)]).await;
        let mut sender = webhook(&notices, provider.address, &[]);
        send_due(&mut sender).await;
        let notice = first(&notices).await;
        assert_eq!(notice["state"], "PENDING", "{status}");
        assert!(notice["failure"].as_str().unwrap().contains(&status.to_string()), "{notice}");
        time_for_the_next_try(&notices);
        send_due(&mut sender).await;
        let notice = first(&notices).await;
        assert_eq!(
            (&notice["state"], &notice["attempts"], &notice["failure"]),
            (&json!("DELIVERED"), &json!(2), &json!(null))
        );
        let (one, other) = (provider.next().await, provider.next().await);
        assert_eq!(one.header("idempotency-key"), other.header("idempotency-key"));
        assert_eq!(one.body, other.body);
    }
}

#[tokio::test]
async fn a_message_that_is_refused_fails_at_once_and_stays_visible() {
    for status in [400, 401, 404, 422] {
        let notices = reserved().await;
        let mut provider = StandIn::answering(&[Answer::Status(status)]).await;
        let mut sender = webhook(&notices, provider.address, &[]);
        send_due(&mut sender).await;
        time_for_the_next_try(&notices);
        assert_eq!(send_due(&mut sender).await, 0);
        let notice = first(&notices).await;
        assert_eq!((&notice["state"], &notice["sentAt"]), (&json!("FAILED"), &json!(null)));
        assert!(notice["failure"].as_str().unwrap().contains(&status.to_string()), "{notice}");
        provider.next().await;
        assert!(provider.got_nothing_more());
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_asked_again() {
    let notices = reserved().await;
    let mut provider = StandIn::answering(&[Answer::Silence]).await;
    let mut sender = webhook(&notices, provider.address, &[("channel.timeout", "100ms")]);
    send_due(&mut sender).await;
    assert_eq!(first(&notices).await["state"], "PENDING");
    time_for_the_next_try(&notices);
    // The first try's time is short so that the test's is; the second has all the time it needs.
    send_due(&mut webhook(&notices, provider.address, &[])).await;
    assert_eq!(first(&notices).await["state"], "DELIVERED");
    let keys = [provider.next().await, provider.next().await].map(|posted| posted.header("idempotency-key").to_owned());
    assert_eq!(keys, ["notice-1", "notice-1"]);
}

#[tokio::test]
async fn a_message_that_the_provider_does_not_answer_holds_up_no_other() {
    for notices in Notices::on_each_database().await {
        for reservation in 1..=10 {
            notices.hears("/reservation", 1, &RESERVED.replace("\"id\":1", &format!("\"id\":{reservation}"))).await;
        }
        let mut provider = StandIn::answering(&[Answer::Silence; 3]).await;
        let settings = [("channel.timeout", "10m"), ("channel.concurrency", "4")];
        let mut sender = webhook(&notices, provider.address, &settings);
        let delivered = async || notices.each("state").await.iter().filter(|state| *state == "DELIVERED").count();
        let all_are_sent = async {
            loop {
                sender.turn().await.unwrap();
                if delivered().await == 7 {
                    break;
                }
                assert!(sender.next_end().await);
            }
        };
        tokio::time::timeout(PATIENCE, all_are_sent).await.expect("others wait for those that are not answered");
        for _ in 0..10 {
            provider.next().await;
        }
    }
}

#[tokio::test]
async fn a_message_on_its_way_is_not_sent_beside_itself_when_the_clock_says_that_its_time_is_over() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let mut provider = StandIn::answering(&[Answer::Silence]).await;
        let mut sender = webhook(&notices, provider.address, &[("channel.timeout", "10m")]);
        assert_eq!(sender.turn().await.unwrap(), 1);
        provider.next().await;
        // It may take longer than what is put off waits at most.
        sender.recall().await.unwrap();
        let mut other = webhook(&notices, provider.address, &[]);
        assert_eq!(other.turn().await.unwrap(), 0, "another's is left alone");
        notices.rig.chassis.clock.advance(Duration::from_secs(3600));
        assert_eq!(sender.turn().await.unwrap(), 0);
        assert_eq!(send_due(&mut other).await, 1, "whoever had it may have died");
        provider.next().await;
        assert!(provider.got_nothing_more());
    }
}

#[tokio::test]
async fn what_a_clock_that_was_ahead_has_put_off_is_recalled() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let mut provider = StandIn::answering(&[]).await;
        let mut sender = webhook(&notices, provider.address, &[]);
        notices.executes("UPDATE notice SET due_at = due_at + 3600000").await;
        assert_eq!(sender.turn().await.unwrap(), 0);
        sender.recall().await.unwrap();
        assert_eq!(send_due(&mut sender).await, 1);
        provider.next().await;
    }
}

#[tokio::test]
async fn what_could_not_be_written_down_is_written_down_later_and_not_sent_again() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let mut provider = StandIn::answering(&[]).await;
        let mut sender = webhook(&notices, provider.address, &[]);
        assert_eq!(sender.turn().await.unwrap(), 1);
        assert!(sender.next_end().await);
        notices.executes("ALTER TABLE notice RENAME TO away").await;
        sender.turn().await.unwrap_err();
        notices.executes("ALTER TABLE away RENAME TO notice").await;
        time_for_the_next_try(&notices);
        assert_eq!(sender.turn().await.unwrap(), 0);
        let notice = first(&notices).await;
        assert_eq!((&notice["state"], &notice["attempts"]), (&json!("DELIVERED"), &json!(1)));
        assert_eq!(notice["sentAt"], "2026-11-21T09:00:00Z", "when it arrived");
        provider.next().await;
        assert!(provider.got_nothing_more());
    }
}

#[tokio::test]
async fn after_so_many_tries_or_so_long_a_message_is_given_up_and_stays_visible() {
    for (key, value) in [("channel.max_attempts", "3"), ("channel.max_age", "2m")] {
        let notices = reserved().await;
        let mut sender = webhook(&notices, nobodys_address().await, &[(key, value)]);
        let mut tries = 0;
        while send_due(&mut sender).await > 0 {
            tries += 1;
            time_for_the_next_try(&notices);
        }
        assert_eq!(tries, 3, "{key}");
        let notice = first(&notices).await;
        assert_eq!((&notice["state"], &notice["attempts"]), (&json!("FAILED"), &json!(3)));
    }
}

#[tokio::test]
async fn two_senders_deliver_each_message_once() {
    for notices in Notices::on_each_database().await {
        let mut provider = StandIn::answering(&[]).await;
        for reservation in 1..=40 {
            let reserved =
                json!({"eventType": "ReservationReserved", "id": reservation, "phoneNumber": "010-1234-5678"});
            notices.hears("/reservation", 1, &reserved.to_string()).await;
        }
        let drain = async |mut sender: notice::sender::Sender| send_due(&mut sender).await;
        let sender = || webhook(&notices, provider.address, &[("channel.concurrency", "3")]);
        tokio::join!(drain(sender()), drain(sender()), drain(sender()));
        let mut keys = Vec::new();
        for _ in 0..40 {
            keys.push(provider.next().await.header("idempotency-key").to_owned());
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 40);
        assert!(provider.got_nothing_more());
        assert!(notices.each("state").await.iter().all(|state| state == "DELIVERED"));
    }
}

#[tokio::test]
async fn the_background_sender_sends_what_comes_and_ends_when_asked() {
    let notices = Notices::new().await;
    let mut provider = StandIn::answering(&[]).await;
    let sender = webhook(&notices, provider.address, &[]);
    let lifecycle = notices.rig.chassis.lifecycle.clone();
    lifecycle.spawn_background("sender", sender.run());
    notices.hears("/reservation", 1, RESERVED).await;
    provider.next().await;
    notices.hears("/diagnosis", 1, TREATED).await;
    provider.next().await;
    lifecycle.finish().await;
    assert_eq!(notices.each("state").await, ["DELIVERED", "DELIVERED"]);
    assert!(!lifecycle.has_crashed());
}
