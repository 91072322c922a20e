//! What it takes to bring a process to a failpoint that ordinary clients do not come by.

use std::convert::Infallible;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

use super::messages::record;
use crate::collect::POISON;
use crate::points::When;
use crate::world::{Fault, Node, World, WorldError};

const PAUSE: Duration = Duration::from_millis(150);

/// Again and again. That it fails while somebody is dead is what the case is about.
pub async fn run(world: &World, when: When) -> Infallible {
    loop {
        drop(once(world, when).await);
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ends what an errand has begun.
pub fn over(world: &World, when: When) -> Result<(), WorldError> {
    if when == When::Unanswered {
        world.link(Node::Reservation, Node::Diagnosis)?.heal();
    }
    Ok(())
}

async fn once(world: &World, when: When) -> Result<(), WorldError> {
    match when {
        When::Load | When::Webhook => Ok(()),
        When::Start => look_everywhere(world).await,
        When::Unanswered => {
            world.link(Node::Reservation, Node::Diagnosis)?.set(Fault::ResetAfter { share: 0.7 });
            Ok(())
        }
        When::Opinion => write_opinion(world).await,
        When::Poison => publish_poison(world).await,
        When::Redrive => {
            publish_poison(world).await?;
            for node in Node::CONSUMERS {
                post(world, "admin", &format!("{}/actuator/dead-letters/redrive", world.service(node)[0].url()))
                    .await?;
            }
            Ok(())
        }
        When::Login => world.log_in("customer").await.map(drop),
        When::Rotation => post(world, "admin", &format!("{}/oauth/keys/rotate", world.gateway())).await,
    }
}

/// Under a key of its own: behind a parked message of its key it would only wait.
async fn publish_poison(world: &World) -> Result<(), WorldError> {
    let key = format!("faults-errand-{}", rand::random::<u32>());
    world.publish_raw(&[record(&key, POISON, b"no event".to_vec())]).await
}

/// Somebody with a token comes to each service.
async fn look_everywhere(world: &World) -> Result<(), WorldError> {
    let (http, admin) = (Client::new(), world.token("admin").await?);
    for path in ["reservations", "medicalRecords", "financialManagements", "notices", "reservationStats"] {
        http.get(format!("{}/{path}", world.gateway())).bearer_auth(&admin).send().await?;
    }
    Ok(())
}

async fn post(world: &World, role: &str, url: &str) -> Result<(), WorldError> {
    Client::new().post(url).bearer_auth(world.token(role).await?).send().await?.error_for_status()?;
    Ok(())
}

/// A vet adds to the record that was accepted last.
async fn write_opinion(world: &World) -> Result<(), WorldError> {
    let (http, vet, gateway) = (Client::new(), world.token("vet").await?, world.gateway());
    let page = http.get(format!("{gateway}/medicalRecords?sort=id,desc&size=20")).bearer_auth(&vet);
    let page: Value = page.send().await?.error_for_status()?.json().await?;
    let records = page["_embedded"]["medicalRecords"].as_array();
    let treated = records.into_iter().flatten().find(|record| record["state"] == "TREATED");
    let Some(id) = treated.and_then(|record| record["id"].as_i64()) else { return Ok(()) };
    let opinion = http.patch(format!("{gateway}/medicalRecords/{id}")).bearer_auth(&vet);
    opinion.json(&json!({"medicalOpinion": "well again"})).send().await?;
    Ok(())
}
