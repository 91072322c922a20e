//! Rules of the database itself, on both kinds.

use chassis::Db;
use notice::domain::State;
use notice::store::{self, Tried};

use crate::harness::*;

const LONGEST_WAIT: i64 = 60_000;

async fn claim(db: &Db, now_ms: i64, until_ms: i64) -> Vec<i64> {
    let mut claimed: Vec<i64> = store::claim(db, now_ms, until_ms, now_ms + LONGEST_WAIT, 100)
        .await
        .unwrap()
        .into_iter()
        .map(|notice| notice.id)
        .collect();
    claimed.sort_unstable();
    claimed
}

#[tokio::test]
async fn a_claimed_message_is_nobody_elses_until_the_claim_ends() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let (db, now) = (&notices.app.db, notices.app.clock.now_ms());
        assert_eq!(claim(db, now, now + 1000).await, [1]);
        assert_eq!(claim(db, now + 999, now + 2000).await, [0; 0]);
        assert_eq!(claim(db, now + 1000, now + 2000).await, [1], "whoever had it has died");
    }
}

#[tokio::test]
async fn a_message_that_was_written_by_a_clock_that_was_ahead_is_not_waited_for() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let (db, ahead) = (&notices.app.db, notices.app.clock.now_ms());
        let now = ahead - 3_600_000;
        assert_eq!(claim(db, now, now + 1000).await, [1]);
        assert_eq!(claim(db, now, now + 1000).await, [0; 0], "it is claimed by the clock that is right");
    }
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let now = notices.app.clock.now_ms() - 3_600_000;
        assert_eq!(store::mark_sent(&notices.app.db, now, now + LONGEST_WAIT, 100).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn of_a_reservations_messages_the_first_goes_first() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        notices.hears("/diagnosis", 1, TREATED).await;
        notices.hears("/reservation", 1, &RESERVED.replace("\"id\":1", "\"id\":2")).await;
        let (db, now) = (&notices.app.db, notices.app.clock.now_ms());
        assert_eq!(claim(db, now, now + 1000).await, [1, 3]);
    }
}

#[tokio::test]
async fn a_try_that_was_overtaken_says_nothing_any_more() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let (db, now) = (&notices.app.db, notices.app.clock.now_ms());
        claim(db, now, now).await;
        claim(db, now, now + 1000).await;
        let tried = |attempt: i64, state: State| {
            vec![Tried { id: 1, attempt, state, due_at: now, sent_at: None, failure: None }]
        };
        store::settle(db, tried(1, State::Failed)).await.unwrap();
        assert_eq!(notices.each("state").await, ["PENDING"]);
        store::settle(db, tried(2, State::Delivered)).await.unwrap();
        store::settle(db, tried(2, State::Failed)).await.unwrap();
        assert_eq!(notices.each("state").await, ["DELIVERED"]);
    }
}

#[tokio::test]
async fn a_message_and_its_recipient_that_come_at_once_do_not_miss_each_other() {
    for notices in Notices::on_each_database().await {
        for reservation in 1..=30 {
            let of = |golden: &str| {
                golden.replace("\"id\":1,\"reservatorName\"", &format!("\"id\":{reservation},\"reservatorName\""))
            };
            let treated = format!(r#"{{"eventType":"Treated","reservationId":{reservation}}}"#);
            let reserved = of(RESERVED);
            tokio::join!(notices.hears("/diagnosis", 1, &treated), notices.hears("/reservation", 1, &reserved));
        }
        let states = notices.each("state").await;
        assert_eq!(states.len(), 60);
        assert!(states.iter().all(|state| state == "PENDING"), "{states:?}");
    }
}
