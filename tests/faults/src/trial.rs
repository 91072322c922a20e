//! One case under way: a world of its own, the clients in it, and what was found so far.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::checker::{self, Invariant, Violation};
use crate::clients::{Crowd, Habits, NAME_MARK, PHONE_MARK, Target};
use crate::collect;
use crate::evidence::Evidence;
use crate::history::{Counts, History};
use crate::world::{Cause, Node, Plan, Process, World, WorldError};

/// What the fleet may take from healing to quiet.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
const MEMORY_LIMIT: u64 = 128 * 1024 * 1024;

pub struct Trial {
    pub world: World,
    pub history: History,
    pub rng: StdRng,
    /// Kills that a case about kills is to make.
    pub kills_wanted: usize,
    /// Whether there is time for what takes minutes.
    pub is_long: bool,
    /// What a reader of the report should know besides.
    pub notes: Vec<String>,
    http: reqwest::Client,
    renewed: BTreeMap<&'static str, String>,
    seed: u64,
    crowds: usize,
    violations: BTreeSet<Violation>,
    evidence: Evidence,
    slowest_recovery: Duration,
    judged: usize,
}

/// What came of a case.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    pub counts: Counts,
    pub kills_at_failpoints: usize,
    pub kills_at_random: usize,
    pub judged: usize,
    pub slowest_recovery: Duration,
    pub peak_memory: u64,
    pub violations: Vec<Violation>,
    pub notes: Vec<String>,
    pub took: Duration,
}

impl Trial {
    pub async fn start(plan: Plan, kills_wanted: usize, is_long: bool) -> Result<Self, WorldError> {
        let seed = plan.seed;
        Ok(Self {
            world: World::start(plan).await?,
            history: History::begin(),
            rng: StdRng::seed_from_u64(seed),
            kills_wanted,
            is_long,
            notes: Vec::new(),
            http: reqwest::Client::new(),
            renewed: BTreeMap::new(),
            seed,
            crowds: 0,
            violations: BTreeSet::new(),
            evidence: Evidence::default(),
            slowest_recovery: Duration::ZERO,
            judged: 0,
        })
    }

    pub async fn target(&self) -> Result<Target, WorldError> {
        let gateway = self.world.gateway();
        let (customer, desk) = (self.token("customer").await?, self.token("desk").await?);
        Ok(Target { gateway, customer, desk })
    }

    /// That of the last renewal, if there was one.
    async fn token(&self, role: &str) -> Result<String, WorldError> {
        match self.renewed.get(role) {
            Some(token) => Ok(token.clone()),
            None => self.world.token(role).await,
        }
    }

    /// From now on clients use tokens that are made now.
    pub async fn renew_tokens(&mut self) -> Result<(), WorldError> {
        for role in ["customer", "desk"] {
            let login = self.world.log_in(role).await?;
            let token = login["access_token"].as_str().unwrap_or_default().to_owned();
            self.renewed.insert(role, token);
        }
        Ok(())
    }

    /// Clients go to work; no two crowds want the same visits.
    pub async fn crowd(&mut self, habits: &Habits) -> Result<Crowd, WorldError> {
        self.crowds += 1;
        let target = self.target().await?;
        Ok(Crowd::enter(&target, &self.history, habits, self.crowds, self.seed))
    }

    /// The usual clients for a while, with nothing wrong.
    pub async fn load(&mut self, clients: usize, time: Duration) -> Result<(), WorldError> {
        let crowd = self.crowd(&Habits::usual(clients)).await?;
        tokio::time::sleep(time).await;
        crowd.leave().await;
        Ok(())
    }

    pub fn process(&self, node: Node) -> &Process {
        &self.world.service(node)[0]
    }

    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// A promise whose breach the case itself has seen.
    pub fn violated(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.violations.insert(Violation { invariant, reservation: None, visit: None, what: what.into() });
    }

    /// Heals everything, waits until all is quiet, and judges what there is. How many violations are new.
    pub async fn judge(&mut self) -> Result<usize, WorldError> {
        let known = self.violations.len();
        self.world.heal_all();
        let healed = Instant::now();
        let quiet = self.world.quiet().await;
        let took = healed.elapsed();
        self.slowest_recovery = self.slowest_recovery.max(took);
        if let Err(error) = quiet {
            self.violated(Invariant::I11, error.to_string());
        } else if took > RECOVERY_LIMIT {
            self.violated(Invariant::I11, format!("it was quiet only {} s after healing", took.as_secs()));
        }
        self.evidence = collect::evidence(&self.world, &self.history).await?;
        self.violations.extend(checker::check(&self.evidence));
        self.search_for_personal_data().await?;
        self.judged += 1;
        Ok(self.violations.len() - known)
    }

    fn services(&self) -> impl Iterator<Item = &Process> {
        Node::SERVICES.into_iter().flat_map(|node| self.world.service(node))
    }

    /// The names and numbers of our clients stand nowhere but in databases and events.
    async fn search_for_personal_data(&mut self) -> Result<(), WorldError> {
        let mut found = BTreeSet::new();
        for process in self.services() {
            let log = std::fs::read(process.log())
                .map_err(|source| WorldError::io(format!("read {}", process.log().display()), source))?;
            let log = String::from_utf8_lossy(&log);
            for mark in [NAME_MARK, PHONE_MARK] {
                if let Some(line) = log.lines().find(|line| line.contains(mark)) {
                    found.insert(format!("the log of {} has: {line}", process.name()));
                }
            }
            let metrics = self.http.get(format!("{}/metrics", process.url())).send().await?.text().await?;
            if metrics.contains(NAME_MARK) || metrics.contains(PHONE_MARK) {
                found.insert(format!("the metrics of {} have a name or a number", process.name()));
            }
        }
        for what in found {
            self.violated(Invariant::I10, what);
        }
        Ok(())
    }

    /// Ends the world; what there was to be judged last goes with it.
    pub async fn end(mut self, took: Duration) -> Result<(Outcome, Evidence), WorldError> {
        let causes: Vec<Cause> =
            self.services().flat_map(|process| process.deaths()).map(|death| death.cause).collect();
        let crashes: Vec<String> = self
            .services()
            .flat_map(|process| process.deaths().into_iter().map(|death| (process.name(), death)))
            .filter(|(_, death)| death.cause == Cause::Crash)
            .map(|(name, death)| format!("{name} ended by itself: {}", death.how))
            .collect();
        let peaks: Vec<(String, u64)> =
            self.services().map(|process| (process.name(), process.peak_memory())).collect();
        for crash in crashes {
            self.violated(Invariant::I11, crash);
        }
        for (name, peak) in peaks.iter().filter(|(_, peak)| *peak > MEMORY_LIMIT) {
            self.violated(Invariant::I11, format!("{name} had {} MiB", peak / 1024 / 1024));
        }
        let outcome = Outcome {
            counts: self.history.counts(),
            kills_at_failpoints: causes.iter().filter(|cause| matches!(cause, Cause::Failpoint(_))).count(),
            kills_at_random: causes.iter().filter(|cause| **cause == Cause::Killed).count(),
            judged: self.judged,
            slowest_recovery: self.slowest_recovery,
            peak_memory: peaks.into_iter().map(|(_, peak)| peak).max().unwrap_or_default(),
            violations: self.violations.into_iter().collect(),
            notes: self.notes,
            took,
        };
        self.world.end().await?;
        Ok((outcome, self.evidence))
    }
}
