//! The story of a visit: reserved, changed, treated, billed, paid, told; and one that is cancelled.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::hospital::{Error, Hospital, new_visit};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub async fn play(hospital: &Hospital) -> Result<(), Error> {
    let id = reserve(hospital).await?;
    let date = json!({"reservationDate": "2020-05-01"});
    hospital.send(Method::PATCH, &format!("/reservations/{id}"), Some(&date)).await?;
    // The treatment and the change are two stories: either may be in the view first.
    until(hospital, &format!("/reservationStats/{id}"), "the changed visit billed", |seen| {
        seen["label"] == "수납 대기" && seen["reservationDate"] == "2020-05-01" && has_event(seen, "Treated")
    })
    .await?;

    let bills = hospital.get(&format!("/financialManagements?reservationId={id}")).await?;
    let bills = bills["_embedded"]["financialManagements"].as_array().cloned().unwrap_or_default();
    let [bill] = bills.as_slice() else {
        return Err(Error::Unexpected(format!("one bill was wanted, not {bills:?}")));
    };
    hospital.send(Method::POST, &format!("/financialManagements/{}/pay", bill["id"]), None).await?;
    until_label(hospital, &id, "수납 완료").await?;

    until(hospital, &format!("/notices?reservationId={id}"), "four notices", |found| {
        found["_embedded"]["notices"].as_array().is_some_and(|notices| notices.len() >= 4)
    })
    .await?;

    let canceled = reserve(hospital).await?;
    hospital.send(Method::DELETE, &format!("/reservations/{canceled}"), None).await?;
    until_label(hospital, &canceled, "예약 취소").await?;
    Ok(())
}

async fn reserve(hospital: &Hospital) -> Result<Value, Error> {
    let made = hospital.send(Method::POST, "/reservations", Some(&new_visit())).await?;
    match made["state"].as_str() {
        Some("RESERVED") => Ok(made["id"].clone()),
        _ => Err(Error::Unexpected(format!("a confirmed reservation was wanted, not {made}"))),
    }
}

fn has_event(seen: &Value, event_type: &str) -> bool {
    seen["history"].as_array().is_some_and(|history| history.iter().any(|entry| entry["eventType"] == event_type))
}

async fn until_label(hospital: &Hospital, id: &Value, label: &str) -> Result<(), Error> {
    until(hospital, &format!("/reservationStats/{id}"), label, |seen| seen["label"] == label).await
}

async fn until(hospital: &Hospital, path: &str, wanted: &str, is_it: impl Fn(&Value) -> bool) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = hospital.get(path).await;
        if seen.as_ref().is_ok_and(&is_it) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let last = seen.map_or_else(|error| error.to_string(), |seen| seen.to_string());
            return Err(Error::Unexpected(format!("{path} did not show {wanted} within {PATIENCE:?}, but {last}")));
        }
        sleep(LOOK_AGAIN).await;
    }
}
