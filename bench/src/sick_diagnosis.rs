//! Diagnosis slow, dead, or now there and now not: what reservation can do without it goes on as before.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::Method;
use tokio::time::{Instant, sleep};

use crate::Trouble;
use crate::client::{Client, Question, Target};
use crate::figures::{Figure, Figures, ms};
use crate::fleet::{Fleet, sum_of};
use crate::load::{self, Manners, Tally, quantile};
use crate::probes::Probes;

/// Reservations that are asked for meanwhile, and each of the other routes, a second.
const RESERVED_PER_SECOND: f64 = 50.0;
const OTHERS_PER_SECOND: f64 = 20.0;
const CALM: Duration = Duration::from_secs(8);
const TROUBLE: Duration = Duration::from_secs(15);
/// Made beforehand; a few more than are cancelled.
const TO_CANCEL: u64 = 600;
const HEALS_WITHIN: Duration = Duration::from_secs(30);
const BREAKER: &str = "circuit_breaker_open";

pub async fn slow() -> Result<Vec<Figure>, Trouble> {
    let mut sick = Sick::begin("slow-diagnosis").await?;
    let slow = sick.fleet.slow_diagnosis("5s..5s")?;
    sick.measure().await?;
    drop(slow);
    sick.heal().await
}

pub async fn dead() -> Result<Vec<Figure>, Trouble> {
    let mut sick = Sick::begin("dead-diagnosis").await?;
    sick.fleet.command(&["stop", "diagnosis"])?;
    sick.measure().await?;
    sick.heal().await
}

pub async fn flapping() -> Result<Vec<Figure>, Trouble> {
    let mut sick = Sick::begin("flapping-diagnosis").await?;
    let fleet = sick.fleet.remote();
    let flapping = tokio::task::spawn_blocking(move || {
        let until = std::time::Instant::now() + TROUBLE;
        while std::time::Instant::now() < until {
            for command in ["stop", "start"] {
                fleet.command(&[command, "diagnosis"])?;
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        fleet.command(&["stop", "diagnosis"])
    });
    sick.measure().await?;
    flapping.await.map_err(std::io::Error::from)??;
    sick.heal().await
}

struct Sick {
    fleet: Fleet,
    target: Target,
    figures: Figures,
    calm: Others,
    probes: Probes,
    /// The next reservation that nobody has cancelled yet.
    next: AtomicU64,
}

/// The routes that need no diagnosis.
struct Others {
    read: Tally,
    list: Tally,
    cancel: Tally,
}

impl Sick {
    async fn begin(scenario: &'static str) -> Result<Self, Trouble> {
        let fleet = Fleet::start(&[]).await?;
        let target = fleet.target()?;
        let mut made = 0;
        let started = Instant::now();
        while made < TO_CANCEL {
            if started.elapsed() > CALM {
                return Err(Trouble::Unfit("it does not make enough reservations to begin with"));
            }
            made +=
                load::closed(&target, 8, Duration::from_secs(1), Manners::Patient, &Question::reserve()).await.created;
        }
        sleep(Duration::from_secs(2)).await;
        let next = AtomicU64::new(1);
        let calm = others(&target, &next, CALM).await;
        let probes = Probes::start(&fleet);
        Ok(Self { fleet, target, figures: Figures::of(scenario), calm, probes, next })
    }

    async fn measure(&mut self) -> Result<(), Trouble> {
        let reserving = load::open(&self.target, RESERVED_PER_SECOND, TROUBLE, Question::reserve);
        let opens = async {
            let started = Instant::now();
            while started.elapsed() < TROUBLE {
                if self.breaker().await? >= 1.0 {
                    return Ok(true);
                }
                sleep(Duration::from_millis(100)).await;
            }
            Ok::<bool, Trouble>(false)
        };
        let (others, reserved, opened) = tokio::join!(others(&self.target, &self.next, TROUBLE), reserving, opens);
        let figures = &mut self.figures;
        for (name, before, now) in [
            ("read", &self.calm.read, &others.read),
            ("list", &self.calm.list, &others.list),
            ("cancel", &self.calm.cancel, &others.cancel),
        ] {
            for (which, share) in [("p50", 0.5), ("p99", 0.99)] {
                let (before, now) = (ms(quantile(&before.admitted, share)), ms(quantile(&now.admitted, share)));
                figures.at_most(&format!("{name} {which}"), now, "ms", 2.0 * before);
            }
            figures.at_most(&format!("{name} failed"), (now.all() - now.admitted.len()) as f64, "", 0.0);
        }
        figures.told("reservations accepted or confirmed", reserved.admitted.len() as f64, "");
        figures.told("reservations refused with 503", reserved.refused.len() as f64, "");
        figures.told("refused p50", ms(quantile(&reserved.refused, 0.5)), "ms");
        figures.told("reservations that failed otherwise", reserved.failed as f64, "");
        figures.at_least("the breaker opened", f64::from(u8::from(opened?)), "", 1.0);
        Ok(())
    }

    async fn breaker(&self) -> Result<f64, Trouble> {
        Ok(sum_of(&self.fleet.metrics("reservation").await?, BREAKER))
    }

    /// The breaker closes by itself, once somebody asks again.
    async fn heal(mut self) -> Result<Vec<Figure>, Trouble> {
        self.fleet.command(&["start", "diagnosis"])?;
        let started = Instant::now();
        let mut client = Client::new(&self.target);
        let mut healed = Duration::MAX;
        while started.elapsed() < HEALS_WITHIN {
            let answer = client.ask(&Question::reserve()).await;
            if answer.is_some_and(|answer| answer.status == 201) && self.breaker().await? == 0.0 {
                healed = started.elapsed();
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        self.figures.at_most("breaker closed after", healed.as_secs_f64(), "s", 10.0);
        self.fleet.until_ready().await?;
        // Diagnosis itself was away on purpose.
        let seen = self.probes.stop();
        self.figures.told("slowest probe", ms(seen.longest), "ms");
        self.figures.at_most("most memory of a service", self.fleet.peak_memory()?, "MiB", 128.0);
        Ok(self.figures.all)
    }
}

async fn others(target: &Target, next: &AtomicU64, over: Duration) -> Others {
    let one = || next.fetch_add(1, Ordering::Relaxed);
    let cancel = || Question { method: Method::DELETE, ..Question::get(format!("/reservations/{}", one())) };
    let (read, list, cancel) = tokio::join!(
        load::open(target, OTHERS_PER_SECOND, over, || Question::get(format!("/reservations/{TO_CANCEL}"))),
        load::open(target, OTHERS_PER_SECOND, over, || Question::get("/reservations?size=20")),
        load::open(target, OTHERS_PER_SECOND, over, cancel),
    );
    Others { read, list, cancel }
}
