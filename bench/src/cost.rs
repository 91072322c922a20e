//! What a reservation costs: the processor time of every service from the gateway to the view, the broker apart.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Trouble;
use crate::client::{Client, Question};
use crate::figures::{Figure, Figures, percent};
use crate::fleet::Fleet;
use crate::load::{self, Manners};
use crate::overload::count;

const CLIENTS: u32 = 32;
const OVER: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn cpu() -> Result<Vec<Figure>, Trouble> {
    let fleet = Fleet::start(&[]).await?;
    let target = fleet.target()?;
    let mut client = Client::new(&target);
    // Connections, statements and pages are there before it counts.
    load::closed(&target, CLIENTS, Duration::from_secs(2), Manners::Patient, &Question::reserve()).await;
    until_shown(&mut client).await?;

    let reserved = count(&mut client, "/reservations").await;
    let before = fleet.processor_time()?;
    let tally = load::closed(&target, CLIENTS, OVER, Manners::Patient, &Question::reserve()).await;
    until_shown(&mut client).await?;
    let reservations = count(&mut client, "/reservations").await - reserved;
    let after = fleet.processor_time()?;
    // Of each service, in microseconds a reservation.
    let costs: Vec<_> = before
        .iter()
        .zip(&after)
        .map(|((name, before), (_, after))| (name, (*after - *before).as_secs_f64() * 1e6 / reservations as f64))
        .collect();
    let services = costs.iter().filter(|(name, _)| *name != "kafka").map(|(_, cost)| cost).sum();

    let mut figures = Figures::of("cpu-a-reservation");
    figures.told("reservations", tally.goodput(), "/s");
    figures.at_least("availability (201)", percent(tally.created, tally.all()), "%", 100.0);
    figures.at_most("of all services", services, "µs", 285.0);
    for (name, cost) in costs {
        figures.told(&format!("of {name}"), cost, "µs");
    }
    Ok(figures.all)
}

/// Until the view has what was reserved, so that all work is done.
async fn until_shown(client: &mut Client) -> Result<(), Trouble> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if count(client, "/reservationStats").await == count(client, "/reservations").await {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(Trouble::Unfit("everything reserved shows in lookup within a minute"))
}
