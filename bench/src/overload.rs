//! The seed's siege, and far more than it: what is let in stays fast, the rest hears at once that it is too much.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Trouble;
use crate::client::{Client, Question, Target};
use crate::figures::{Figure, Figures, ms, percent};
use crate::fleet::{Fleet, sum_of};
use crate::load::{self, Manners, Tally, longest, quantile};
use crate::probes::Probes;

/// What the seed's own load test had.
const TREATMENT: &str = "400ms..620ms";
const USERS: u32 = 100;
/// Enough clients to take every place there is for reservations, and few enough to be admitted mostly.
const AT_THE_PEAK: u32 = 300;
/// As long as the seed's own load test: in less a single hiccup of the machine is more than one refusal in a hundred.
const OVERLOAD: Duration = Duration::from_secs(60);
const RECOVERY: Duration = Duration::from_secs(10);

pub async fn siege_little() -> Result<Vec<Figure>, Trouble> {
    let fleet = Fleet::start(&["--simulated-treatment", TREATMENT]).await?;
    let over = Duration::from_secs(40);
    let tally = load::closed(&fleet.target()?, USERS, over, Manners::Impatient, &Question::reserve()).await;
    let metrics = fleet.metrics("diagnosis").await?;
    let drawn = sum_of(&metrics, "treatment_simulated_seconds_sum");
    let mean = drawn / sum_of(&metrics, "treatment_simulated_seconds_count");
    let possible = f64::from(USERS) / mean;

    let mut figures = Figures::of("siege-little");
    figures.at_least("availability (201)", percent(tally.created, tally.all()), "%", 100.0);
    figures.told("reservations", tally.goodput(), "/s");
    figures.told("Little's limit of the delays drawn", possible, "/s");
    figures.at_least("share of it", tally.goodput() * 100.0 / possible, "%", 97.0);
    figures.at_most("longest", ms(longest(&tally.admitted)), "ms", 1000.0);
    Ok(figures.all)
}

pub async fn ten_times() -> Result<Vec<Figure>, Trouble> {
    let fleet = Fleet::start(&["--simulated-treatment", TREATMENT]).await?;
    let target = fleet.target()?;
    let before = Before::measure(&target).await;
    let probes = Probes::start(&fleet);
    let tally = load::closed(&target, 10 * USERS, OVERLOAD, Manners::Patient, &Question::reserve()).await;
    let mut figures = Figures::of("ten-times");
    tell(&mut figures, &before, &tally);
    recovers(&mut figures, &target, &before, Instant::now()).await;
    healthy(&mut figures, &fleet, probes)?;
    Ok(figures.all)
}

pub async fn three_times_capacity() -> Result<Vec<Figure>, Trouble> {
    let fleet = Fleet::start(&["--simulated-treatment", TREATMENT]).await?;
    let target = fleet.target()?;
    let before = Before::measure(&target).await;
    let probes = Probes::start(&fleet);
    let tally = load::open(&target, 3.0 * before.peak, OVERLOAD, Question::reserve).await;
    let mut figures = Figures::of("three-times-capacity");
    figures.told("sent", tally.all() as f64 / tally.over.as_secs_f64(), "/s");
    tell(&mut figures, &before, &tally);
    recovers(&mut figures, &target, &before, Instant::now()).await;
    healthy(&mut figures, &fleet, probes)?;
    Ok(figures.all)
}

/// What there was before the overload.
struct Before {
    unloaded_p99: Duration,
    /// Reservations a second.
    peak: f64,
}

impl Before {
    async fn measure(target: &Target) -> Self {
        let question = Question::reserve();
        let unloaded = load::closed(target, 10, Duration::from_secs(6), Manners::Patient, &question).await;
        let peak = load::closed(target, AT_THE_PEAK, Duration::from_secs(10), Manners::Patient, &question).await;
        Self { unloaded_p99: quantile(&unloaded.admitted, 0.99), peak: peak.goodput() }
    }
}

fn tell(figures: &mut Figures, before: &Before, tally: &Tally) {
    figures.told("goodput at its peak", before.peak, "/s");
    figures.told("goodput", tally.goodput(), "/s");
    figures.at_least("share of the peak", tally.goodput() * 100.0 / before.peak, "%", 90.0);
    figures.told("unloaded p99", ms(before.unloaded_p99), "ms");
    let admitted_p99 = ms(quantile(&tally.admitted, 0.99));
    figures.at_most("admitted p99", admitted_p99, "ms", 2.0 * ms(before.unloaded_p99));
    figures.told("refused with 503", percent(tally.refused.len(), tally.all()), "%");
    figures.told("refused p50", ms(quantile(&tally.refused, 0.5)), "ms");
    figures.at_most("refused p99", ms(quantile(&tally.refused, 0.99)), "ms", 50.0);
    figures.told("refused longest", ms(longest(&tally.refused)), "ms");
    figures.at_least("of those with Retry-After", percent(tally.told_when, tally.refused.len()), "%", 100.0);
    figures.at_most("neither 2xx nor 503", tally.failed as f64, "", 0.0);
}

/// How long after the load the last answer was still bad, and when the last event had arrived.
async fn recovers(figures: &mut Figures, target: &Target, before: &Before, ended: Instant) {
    let mut client = Client::new(target);
    let (mut bad_until, mut missing) = (Duration::ZERO, u64::MAX);
    while ended.elapsed() < RECOVERY {
        let began = Instant::now();
        let answer = client.ask(&Question::reserve()).await;
        let is_good = answer.is_some_and(|answer| answer.status == 201) && began.elapsed() <= 2 * before.unloaded_p99;
        if !is_good {
            bad_until = ended.elapsed();
        }
        // The view first: what comes in between is then not taken for shown.
        let shown = count(&mut client, "/reservationStats").await;
        missing = count(&mut client, "/reservations").await.saturating_sub(shown);
        sleep(Duration::from_millis(50)).await;
    }
    figures.at_most("as before after", bad_until.as_secs_f64(), "s", RECOVERY.as_secs_f64());
    // The last one may still be on its way.
    figures.at_most("missing in lookup 10 s after", missing as f64, "", 1.0);
}

/// How many there are in a collection.
pub async fn count(client: &mut Client, collection: &str) -> u64 {
    let answer = client.ask(&Question::get(format!("{collection}?size=1"))).await;
    let page: Option<serde_json::Value> = answer.and_then(|answer| serde_json::from_slice(&answer.body).ok());
    page.and_then(|page| page["page"]["totalElements"].as_u64()).unwrap_or_default()
}

pub fn healthy(figures: &mut Figures, fleet: &Fleet, probes: Probes) -> Result<(), Trouble> {
    let seen = probes.stop();
    figures.at_most("probes not green", seen.failed as f64, "", 0.0);
    figures.told("of so many", seen.asked as f64, "");
    figures.told("slowest probe", ms(seen.longest), "ms");
    figures.at_most("most memory of a service", fleet.peak_memory()?, "MiB", 128.0);
    Ok(())
}
