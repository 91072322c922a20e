//! How fast what is committed reaches the broker and the view.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Trouble;
use crate::client::{Client, Question, Target};
use crate::figures::{Figure, Figures, ms};
use crate::fleet::{Fleet, sum_of};
use crate::load::{self, Manners, Tally, longest, quantile};

const OVER: Duration = Duration::from_secs(20);
const LOAD: Duration = Duration::from_secs(24);
/// The background load, a second; what is looked for comes on top.
const PER_SECOND: f64 = 100.0;
const LOOK_EVERY: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(10);
const HISTOGRAM: &str = "outbox_commit_to_ack_seconds";
const PUBLISHERS: [&str; 3] = ["reservation", "diagnosis", "acceptance"];

pub async fn visible_in_lookup() -> Result<Vec<Figure>, Trouble> {
    let fleet = Fleet::start(&[]).await?;
    let target = fleet.target()?;
    let load = load::open(&target, PER_SECOND, LOAD, Question::reserve);
    let (load, seen) = tokio::join!(load, look(&target));
    let mut figures = Figures::of("visible-in-lookup");
    figures.told("reservations meanwhile", load.goodput(), "/s");
    figures.told("looked for", seen.all() as f64, "");
    figures.at_most("p50", ms(quantile(&seen.admitted, 0.5)), "ms", 50.0);
    figures.at_most("p99", ms(quantile(&seen.admitted, 0.99)), "ms", 300.0);
    figures.told("longest", ms(longest(&seen.admitted)), "ms");
    figures.at_most("never seen", seen.failed as f64, "", 0.0);
    Ok(figures.all)
}

/// Reserves and looks for it, one after another, from the answer on.
async fn look(target: &Target) -> Tally {
    let (mut reserving, mut looking) = (Client::new(target), Client::new(target));
    let mut seen = Tally::new();
    let started = Instant::now();
    while started.elapsed() < OVER {
        let Some(answer) = reserving.ask(&Question::reserve()).await else { continue };
        let answered = Instant::now();
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let Some(id) = body["id"].as_u64() else { continue };
        let question = Question::get(format!("/reservationStats/{id}"));
        let mut found = None;
        while found.is_none() && answered.elapsed() < PATIENCE {
            sleep(LOOK_EVERY).await;
            found = looking.ask(&question).await.filter(|answer| answer.status == 200);
        }
        seen.count(found.as_ref(), answered.elapsed());
    }
    seen
}

pub async fn commit_to_ack() -> Result<Vec<Figure>, Trouble> {
    let fleet = Fleet::start(&["--simulated-treatment", "400ms..620ms"]).await?;
    let target = fleet.target()?;
    let load = load::closed(&target, 100, OVER, Manners::Impatient, &Question::reserve()).await;
    let mut metrics = String::new();
    for publisher in PUBLISHERS {
        metrics += &fleet.metrics(publisher).await?;
    }
    let mut figures = Figures::of("commit-to-ack");
    figures.told("reservations meanwhile", load.goodput(), "/s");
    figures.told("events", sum_of(&metrics, &format!("{HISTOGRAM}_count")), "");
    figures.at_most("p50", 1000.0 * bucketed_quantile(&metrics, 0.5), "ms", 20.0);
    figures.at_most("p99", 1000.0 * bucketed_quantile(&metrics, 0.99), "ms", 250.0);
    Ok(figures.all)
}

/// A quantile of a Prometheus histogram in seconds, taken as even within a bucket as Prometheus takes it.
fn bucketed_quantile(metrics: &str, share: f64) -> f64 {
    let bucket = format!("{HISTOGRAM}_bucket");
    let mut buckets: Vec<(f64, f64)> = Vec::new();
    for line in metrics.lines().filter(|line| line.starts_with(&bucket)) {
        let bound = line.split("le=\"").nth(1).and_then(|rest| rest.split('"').next()?.parse().ok());
        let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
        let (Some(bound), Some(count)) = (bound, count) else { continue };
        match buckets.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += count,
            None => buckets.push((bound, count)),
        }
    }
    buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let wanted = share * buckets.last().map_or(0.0, |(_, all)| *all);
    let (mut lower, mut below) = (0.0, 0.0);
    for (bound, count) in buckets {
        if count >= wanted && count > below {
            // Above the last bound nothing is known but that.
            let width = if bound.is_finite() { bound - lower } else { f64::INFINITY };
            return lower + width * (wanted - below) / (count - below);
        }
        (lower, below) = (bound, count);
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_lies_in_its_bucket_over_all_publishers() {
        let series = |bound: &str, count: u32| format!("{HISTOGRAM}_bucket{{le=\"{bound}\"}} {count}\n");
        let one = [series("0.01", 5), series("0.02", 10), series("+Inf", 10)].concat();
        let both = format!("{one}{one}");
        assert_eq!(bucketed_quantile(&both, 0.5), 0.01);
        assert!((bucketed_quantile(&both, 0.75) - 0.015).abs() < 1e-9);
        let late = [series("0.01", 0), series("+Inf", 1)].concat();
        assert!(bucketed_quantile(&late, 0.5).is_infinite());
    }
}
