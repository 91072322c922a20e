//! What becomes of events: one message for each change of state, to whom it concerns.

use std::collections::BTreeMap;
use std::time::Duration;

use chassis::events::dead_letter;
use chassis::testing::foreign_message;
use futures_util::FutureExt;
use notice::domain::State;
use serde_json::json;

use crate::harness::*;

const ORIGINAL: &str = include_str!("../../../../contracts/golden/original/events.jsonl");

#[tokio::test]
async fn each_change_of_state_is_one_message_in_the_customers_language() {
    for notices in Notices::on_each_database().await {
        notices.hears("/reservation", 1, RESERVED).await;
        notices.hears("/diagnosis", 1, TREATED).await;
        notices.hears("/acceptance", 1, FEE_BILLED).await;
        notices.hears("/acceptance", 2, FEE_ACCEPTED).await;
        notices.hears("/reservation", 2, CHANGED).await;
        notices.hears("/reservation", 3, RESERVATION_CANCELED).await;
        notices.hears("/acceptance", 3, FEE_CANCELED).await;
        let expected = [
            ("ReservationReserved", "Jackson님, 2020-04-30 예약이 완료되었습니다."),
            ("Treated", "Jackson님, Brad pitt 선생님의 진료가 완료되었습니다."),
            ("TreatmentFeeBilled", "Jackson님, 진료비 10,000원이 청구되었습니다."),
            ("TreatmentFeeAccepted", "Jackson님, 진료비 10,000원이 수납되었습니다."),
            ("ReservationChanged", "Jackson님, 2020-05-01 예약으로 변경되었습니다."),
            ("ReservationCanceled", "Jackson님, 2020-04-30 예약이 취소되었습니다."),
            ("TreatmentFeeCanceled", "Jackson님, 진료비 10,000원이 환불 또는 취소되었습니다."),
        ];
        let told: Vec<_> =
            notices.all().await.iter().map(|notice| (notice["kind"].clone(), notice["text"].clone())).collect();
        assert_eq!(told, expected.map(|(kind, text)| (json!(kind), json!(text))));
        assert!(notices.each("to").await.iter().all(|to| to == "010-1234-5678"));
    }
}

#[tokio::test]
async fn what_changes_nothing_for_the_customer_is_not_told() {
    let notices = Notices::new().await;
    notices.hears("/reservation", 1, CHANGE_ABANDONED).await;
    notices.hears("/diagnosis", 1, TREATMENT_CANCELED).await;
    notices.hears("/new-service", 1, r#"{"eventType":"PetAdopted","id":1}"#).await;
    assert_eq!(notices.all().await.len(), 0);
    assert_eq!(dead_letter::list(&notices.app.db, None, 0, 1000).await.unwrap(), []);
}

#[tokio::test]
async fn an_event_that_is_heard_twice_is_told_once() {
    for notices in Notices::on_each_database().await {
        for payload in [RESERVED, RESERVED] {
            notices.hears("/reservation", 1, payload).await;
        }
        notices.hears("/reservation", 2, CHANGED).await;
        notices.hears("/reservation", 3, CHANGED).await;
        notices.hears("/reservation", 2, CHANGED).await;
        assert_eq!(
            notices.each("kind").await,
            ["ReservationReserved", "ReservationChanged", "ReservationChanged"],
            "two changes are two messages, one heard twice is one"
        );
    }
}

/// The inbox recognises repetitions; should it have been lost, the notice's own key still does.
#[tokio::test]
async fn an_event_that_the_inbox_has_forgotten_is_still_told_once() {
    for notices in Notices::on_each_database().await {
        for _ in 0..2 {
            notices.hears("/reservation", 1, RESERVED).await;
            notices.takes_in(foreign_message(8, TREATED)).await;
            notices.executes("DELETE FROM inbox").await;
        }
        assert_eq!(notices.each("kind").await, ["ReservationReserved", "Treated"]);
    }
}

#[tokio::test]
async fn a_message_waits_for_its_recipient_and_goes_when_he_is_known() {
    for notices in Notices::on_each_database().await {
        let mut sender = notices.sender(&[]);
        notices.takes_in(foreign_message(1, r#"{"eventType":"Treated","id":null,"reservationId":1,"me":true}"#)).await;
        assert_eq!(send_due(&mut sender).await, 0);
        let waiting = &notices.all().await[0];
        assert_eq!((&waiting["state"], &waiting["to"]), (&json!("WAITING"), &json!(null)));

        // Another reservation's recipient is none of its business.
        notices
            .hears("/reservation", 1, r#"{"eventType":"ReservationReserved","id":2,"phoneNumber":"010-9999-9999"}"#)
            .await;
        assert_eq!(send_due(&mut sender).await, 1);
        assert_eq!(notices.each("state").await, ["WAITING", "SENT"]);

        notices.hears("/reservation", 1, RESERVED).await;
        assert_eq!(send_due(&mut sender).await, 2);
        let sent = &notices.all().await[0];
        assert_eq!((&sent["state"], &sent["to"]), (&json!("SENT"), &json!("010-1234-5678")));
        assert_eq!(sent["text"], "Jackson님, 선생님의 진료가 완료되었습니다.");
        let own = notices.as_customer("customer-1", "/notices").send().await;
        assert_eq!(items(&own).len(), 2, "whose it is has become known as well");
    }
}

#[tokio::test]
async fn a_message_whose_recipient_nobody_names_is_given_up_in_the_end() {
    for notices in Notices::on_each_database().await {
        let sender = notices.sender(&[("channel.max_age", "72h")]);
        notices.hears("/diagnosis", 1, TREATED).await;
        notices.rig.chassis.clock.advance(Duration::from_secs(71 * 3600));
        assert_eq!(sender.give_up_waiting().await.unwrap(), 0);
        notices.rig.chassis.clock.advance(Duration::from_secs(2 * 3600));
        assert_eq!(sender.give_up_waiting().await.unwrap(), 1);
        let given_up = notice::store::find(&notices.app.db, 1).await.unwrap().unwrap();
        assert_eq!(given_up.state, State::Failed);
        assert_eq!(given_up.failure.as_deref(), Some("nobody is known to send it to"));
    }
}

#[tokio::test]
async fn what_a_later_event_leaves_out_stays_known() {
    let notices = Notices::new().await;
    notices.hears("/reservation", 1, RESERVED).await;
    let payload = r#"{"eventType":"ReservationChanged","id":1,"reservatorName":null,"reservationDate":"2020-06-03","phoneNumber":" "}"#;
    notices.takes_in(foreign_message(4, payload)).await;
    let changed = &notices.all().await[1];
    assert_eq!(changed["text"], "Jackson님, 2020-06-03 예약으로 변경되었습니다.");
    assert_eq!(changed["to"], "010-1234-5678");
}

#[tokio::test]
async fn every_event_of_the_original_is_told_once_though_it_comes_twice_and_in_its_odd_order() {
    for notices in Notices::on_each_database().await {
        let mut told = BTreeMap::new();
        for line in ORIGINAL.lines() {
            let record = json(line);
            let value = record["value"].as_str().unwrap();
            let mut message = foreign_message(record["offset"].as_i64().unwrap(), value);
            message.partition = i32::try_from(record["partition"].as_i64().unwrap()).unwrap();
            notices.takes_in(message.clone()).await;
            notices.takes_in(message).await;
            *told.entry(json(value)["eventType"].as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        let mut noted = BTreeMap::new();
        for kind in notices.each("kind").await {
            *noted.entry(kind.as_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        assert_eq!(noted, told);
        assert_eq!(dead_letter::list(&notices.app.db, None, 0, 1000).await.unwrap(), []);

        send_due(&mut notices.sender(&[])).await;
        for notice in notices.all().await {
            let expected = if notice["to"].is_null() { "WAITING" } else { "SENT" };
            assert_eq!(notice["state"], expected, "{notice}");
        }
    }
}

#[tokio::test]
async fn the_sender_is_woken_by_the_commit_and_not_before() {
    for notices in Notices::on_each_database().await {
        assert!(notices.app.bell.notified().now_or_never().is_none());
        notices.hears("/reservation", 1, RESERVED).await;
        assert!(notices.app.bell.notified().now_or_never().is_some());
    }
}

#[tokio::test]
async fn what_is_no_event_is_parked_without_saying_what_was_in_it() {
    let notices = Notices::new().await;
    let number = r#"{"eventType":"ReservationReserved","id":1,"phoneNumber":1012345678}"#;
    for (offset, payload) in ["{", number, r#"{"eventType":"Treated","id":5}"#].into_iter().enumerate() {
        notices.takes_in(foreign_message(i64::try_from(offset).unwrap(), payload)).await;
    }
    let letters = dead_letter::list(&notices.app.db, None, 0, 1000).await.unwrap();
    assert_eq!(letters.len(), 3);
    assert!(letters.iter().all(|letter| !letter.reason.contains("1012345678")), "{letters:?}");
    assert_eq!(notices.all().await.len(), 0);
}
