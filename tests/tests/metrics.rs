//! What the fleet shows of itself while it works, and while something does not.

use journeys::{Fleet, eventually};

async fn until_metric(fleet: &Fleet, service: &str, series: &str, is: impl Fn(f64) -> bool) {
    eventually(&format!("{series} of {service}"), async || {
        fleet.metric(service, series).await.filter(|value| is(*value))
    })
    .await;
}

#[tokio::test]
async fn a_backlog_can_be_seen_where_it_is_and_how_old_it_is() {
    let fleet = Fleet::start(&[]).await;
    let customer = fleet.as_role("customer");
    let id = customer.reserve().await;
    customer.until_label(id, "수납 대기").await;
    for service in ["diagnosis", "acceptance", "notice", "lookup"] {
        until_metric(&fleet, service, "kafka_consumer_lag", |lag| lag == 0.0).await;
        until_metric(&fleet, service, "messaging_client_consumed_messages_total", |taken| taken >= 3.0).await;
    }
    until_metric(&fleet, "reservation", "outbox_waiting", |waiting| waiting == 0.0).await;

    fleet.run(&["stop", "kafka"]);
    customer.reserve().await;
    until_metric(&fleet, "reservation", "outbox_waiting", |waiting| waiting == 1.0).await;
    until_metric(&fleet, "reservation", "outbox_oldest_age_seconds", |age| age > 0.0).await;
    until_metric(&fleet, "reservation", r#"component_up{component="outbox"}"#, |up| up == 0.0).await;
    fleet.run(&["start", "kafka"]);
    until_metric(&fleet, "reservation", "outbox_waiting", |waiting| waiting == 0.0).await;
    until_metric(&fleet, "reservation", r#"component_up{component="outbox"}"#, |up| up == 1.0).await;
}
