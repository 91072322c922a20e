//! Rules of the database itself, on both kinds.

use chassis::Db;
use chassis::db::Dialect;
use notice::store::queue::{self, End, Tried};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};

use crate::harness::*;

const LONGEST_WAIT: i64 = 60_000;

async fn claim(db: &Db, now_ms: i64, until_ms: i64) -> Vec<i64> {
    let due = queue::due_in_order(db, now_ms, 100).await.unwrap();
    let mut claimed: Vec<i64> =
        queue::claim(db, &due, until_ms).await.unwrap().into_iter().map(|notice| notice.id).collect();
    claimed.sort_unstable();
    claimed
}

/// Each is its reservation's first.
async fn settle(db: &Db, tried: &[(i64, i64, End)]) {
    let of_first = |(id, attempt, end)| Tried { id, reservation_id: id, attempt, end };
    queue::settle(db, tried.iter().cloned().map(of_first).collect()).await.unwrap();
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
        notices.hears("/reservation", 1, &RESERVED.replace("\"id\":1", "\"id\":2")).await;
        let (db, ahead) = (&notices.app.db, notices.app.clock.now_ms());
        let now = ahead - 3_600_000;
        assert_eq!(claim(db, now, now + 1000).await, [0; 0]);
        queue::recall(db, now, now + LONGEST_WAIT).await.unwrap();
        assert_eq!(claim(db, now, now + 1000).await, [1, 2]);
        queue::recall(db, now, now + LONGEST_WAIT).await.unwrap();
        assert_eq!(claim(db, now, now + 1000).await, [0; 0], "they are claimed by the clock that is right");
    }
}

#[tokio::test]
async fn whoever_takes_a_message_first_has_it() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let (db, now) = (&notices.app.db, notices.app.clock.now_ms());
        let due = queue::due(db, now, 100).await.unwrap();
        assert_eq!(due, queue::due_in_order(db, now, 100).await.unwrap(), "two senders see it");
        assert_eq!(queue::claim(db, &due, now + 1000).await.unwrap().len(), 1);
        assert_eq!(queue::claim(db, &due, now + 1000).await.unwrap().len(), 0);
        assert_eq!(queue::mark_sent(db, &due, now).await.unwrap(), []);

        // Or it was put off, or taken for no time at all, or it has arrived after all.
        let due = queue::due_in_order(db, now + 1000, 100).await.unwrap();
        settle(db, &[(1, 1, End::Later { due_at: now + 2000, reason: "it is asleep".to_owned() })]).await;
        assert_eq!(queue::claim(db, &due, now + 3000).await.unwrap().len(), 0);
        let due = queue::due_in_order(db, now + 2000, 100).await.unwrap();
        assert_eq!(queue::claim(db, &due, now + 2000).await.unwrap().len(), 1);
        assert_eq!(queue::claim(db, &due, now + 3000).await.unwrap().len(), 0);
        let due = queue::due_in_order(db, now + 2000, 100).await.unwrap();
        settle(db, &[(1, 2, End::Delivered { at_ms: now })]).await;
        assert_eq!(queue::claim(db, &due, now + 3000).await.unwrap().len(), 0);
        assert_eq!(notices.each("state").await, ["DELIVERED"]);
    }
}

#[tokio::test]
async fn messages_that_wait_for_an_earlier_one_hold_up_no_other() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let (db, now) = (&notices.app.db, notices.app.clock.now_ms());
        claim(db, now, now + 1000).await;
        for sequence in 2..300 {
            notices.hears("/reservation", sequence, CHANGED).await;
        }
        notices.hears("/reservation", 1, &RESERVED.replace("\"id\":1", "\"id\":2")).await;
        let due = queue::due_in_order(db, now, 1).await.unwrap();
        assert_eq!(due.iter().map(|due| due.reservation_id).collect::<Vec<_>>(), [2], "it is the last of many");

        let later = |attempt: i64, due_at: i64| (1, attempt, End::Later { due_at, reason: "it is asleep".to_owned() });
        settle(db, &[later(1, now + 500)]).await;
        assert_eq!(queue::due(db, now, 1000).await.unwrap(), due, "they have been put off with the first");
        notices.hears("/reservation", 300, CHANGED).await;
        assert_eq!(queue::due(db, now, 1000).await.unwrap(), due, "whoever comes later is put off as well");
        assert_eq!(claim(db, now + 500, now + 1000).await.first(), Some(&1));

        settle(db, &[later(1, now + 9000)]).await;
        assert_eq!(
            queue::due(db, now + 1000, 1000).await.unwrap().len(),
            301,
            "a try that was overtaken puts off nobody"
        );
        settle(db, &[later(2, now + 2000)]).await;
        assert_eq!(claim(db, now + 2000, now + 9000).await.first(), Some(&1));
        notices.hears("/reservation", 301, CHANGED).await;
        settle(db, &[(1, 3, End::Delivered { at_ms: now })]).await;
        let freed = queue::due(db, now, 1000).await.unwrap();
        assert_eq!(freed.iter().filter(|due| due.reservation_id == 1).count(), 300, "they go at once");
    }
}

/// With statistics from a time when everything had been sent, as they are when a channel goes down.
#[tokio::test]
async fn a_queue_is_read_in_the_order_of_its_index() {
    for notices in Notices::on_each_database().await {
        let db = &notices.app.db;
        for (first, state) in [(1, "SENT"), (2001, "PENDING")] {
            let insert = format!(
                "WITH RECURSIVE counted (id) AS (SELECT {first} UNION ALL SELECT id + 1 FROM counted WHERE id < {})
                 INSERT INTO notice (reservation_id, kind, source, sequence, text, state, attempts, due_at, created_at)
                 SELECT id, 'Treated', 'test', 1, '', '{state}', 0, 1, 1 FROM counted",
                first + 1999
            );
            notices.executes(insert).await;
            if state == "SENT" {
                notices.executes("ANALYZE notice").await;
            }
        }
        let (explain, detail) = match db.dialect() {
            Dialect::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
            Dialect::Postgres => ("EXPLAIN", "QUERY PLAN"),
        };
        let mut asked = sqlx::query(AssertSqlSafe(format!("{explain} {}", queue::DUE)));
        for parameter in [1, i64::MIN, 0, 32] {
            asked = asked.bind(parameter);
        }
        let plan: Vec<String> =
            asked.fetch_all(db.reader()).await.unwrap().iter().map(|step| step.get(detail)).collect();
        assert!(plan.iter().any(|step| step.contains("notice_queue")), "{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("Sort") || step.contains("ORDER BY")), "sorted: {plan:#?}");
    }
}

#[tokio::test]
async fn a_try_that_was_overtaken_says_nothing_any_more() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        let (db, now) = (&notices.app.db, notices.app.clock.now_ms());
        claim(db, now, now).await;
        claim(db, now, now + 1000).await;
        let given_up = || End::GivenUp { reason: "nobody lives there".to_owned() };
        settle(db, &[(1, 1, given_up())]).await;
        assert_eq!(notices.each("state").await, ["PENDING"]);
        settle(db, &[(1, 1, End::Delivered { at_ms: now })]).await;
        assert_eq!(notices.each("state").await, ["PENDING"]);
        settle(db, &[(1, 2, End::Delivered { at_ms: now })]).await;
        settle(db, &[(1, 2, given_up())]).await;
        assert_eq!(notices.each("state").await, ["DELIVERED"]);
    }
}

#[tokio::test]
async fn several_tries_are_settled_at_once_each_in_its_own_way() {
    for notices in Notices::on_each_database().await {
        for id in 1..=4 {
            notices.hears("/reservation", 1, &RESERVED.replace("\"id\":1", &format!("\"id\":{id}"))).await;
        }
        let (db, now) = (&notices.app.db, notices.app.clock.now_ms());
        claim(db, now, now + 1000).await;
        let [given_up, later] = ["nobody lives there", "it is asleep"].map(str::to_owned);
        let tried = [
            (1, 1, End::Delivered { at_ms: now + 1 }),
            (2, 1, End::GivenUp { reason: given_up }),
            (3, 1, End::Later { due_at: now + 500, reason: later }),
            (4, 1, End::Delivered { at_ms: now + 2 }),
        ];
        settle(db, &tried).await;
        assert_eq!(notices.each("state").await, ["DELIVERED", "FAILED", "PENDING", "DELIVERED"]);
        assert_eq!(
            notices.each("failure").await,
            [Value::Null, "nobody lives there".into(), "it is asleep".into(), Value::Null]
        );
        let sent = ["2026-11-21T09:00:00.001Z".into(), Value::Null, Value::Null, "2026-11-21T09:00:00.002Z".into()];
        assert_eq!(notices.each("sentAt").await, sent);
        assert_eq!(claim(db, now + 499, now + 1000).await, [0; 0]);
        assert_eq!(claim(db, now + 500, now + 1000).await, [3]);
        settle(db, &[(3, 2, End::Delivered { at_ms: now })]).await;
        assert_eq!(notices.each("failure").await[2], Value::Null, "it has arrived after all");
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
