//! One case under way: a world of its own, the clients in it, and what was found so far.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Serialize;

use crate::checker::{self, Invariant, Violation};
use crate::clients::{CheckUp, Crowd, Habits, NAME_MARK, PHONE_MARK, Target, forged};
use crate::collect;
use crate::evidence::Evidence;
use crate::history::{Counts, History};
use crate::points::Point;
use crate::report;
use crate::undecided::Watch;
use crate::world::{Cause, Node, Plan, Process, RECOVERY_PATIENCE, Rest, World, WorldError};

/// Told in the terminal at one judgement; the report has all.
const MOST_TOLD: usize = 10;
/// What the fleet may take from healing to quiet.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// Nothing else ends one.
const LOGIN_WITHIN: Duration = Duration::from_secs(10);
const CHECK_UP_PAUSE: Duration = Duration::from_millis(200);
/// For reservations to get through to a fleet that is being broken, on a machine that has much else to do.
const UNTIL_RESERVED: Duration = Duration::from_secs(30);
const MEMORY_LIMIT: u64 = 128 * 1024 * 1024;

pub struct Trial {
    pub world: World,
    pub history: History,
    pub rng: StdRng,
    /// Kills that a case about kills is to make.
    pub kills_wanted: usize,
    /// Where.
    pub points: Vec<Point>,
    /// Whether there is time for what takes minutes.
    pub is_long: bool,
    /// What a reader of the report should know besides.
    pub notes: Vec<String>,
    renewed: BTreeMap<&'static str, String>,
    /// Tokens with a good signature that nobody may accept all the same.
    signed_in_vain: Vec<String>,
    seed: u64,
    crowds: usize,
    check_ups: usize,
    /// When all was healed since the last judgement; absent: a fault may be at work.
    healed: Option<Instant>,
    undecided: Watch,
    violations: BTreeSet<Violation>,
    evidence: Evidence,
    slowest: Rest,
    judged: usize,
    unproven: Option<String>,
}

/// What came of a case.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    pub counts: Counts,
    pub kills_at_failpoints: usize,
    pub kills_at_random: usize,
    pub judged: usize,
    pub slowest_recovery: Duration,
    /// What that recovery waited for at its end.
    pub waited_for: Option<String>,
    pub peak_memory: u64,
    pub violations: Vec<Violation>,
    pub notes: Vec<String>,
    /// Why no violations mean nothing here.
    pub unproven: Option<String>,
    pub took: Duration,
}

impl Outcome {
    /// Nothing was found, and nothing could have been.
    pub fn proves_nothing(&self) -> bool {
        self.violations.is_empty() && self.unproven.is_some()
    }
}

impl Trial {
    pub async fn start(plan: Plan, kills_wanted: usize, points: Vec<Point>, is_long: bool) -> Result<Self, WorldError> {
        let seed = plan.seed;
        let world = World::start(plan).await?;
        let signed_in_vain = world.signed_in_vain().await?;
        let undecided =
            Watch::begin(world.database(Node::Reservation).await?, world.service(Node::Reservation).to_vec());
        Ok(Self {
            world,
            history: History::begin(),
            rng: StdRng::seed_from_u64(seed),
            kills_wanted,
            points,
            is_long,
            notes: Vec::new(),
            renewed: BTreeMap::new(),
            signed_in_vain,
            seed,
            crowds: 0,
            check_ups: 0,
            healed: None,
            undecided,
            violations: BTreeSet::new(),
            evidence: Evidence::default(),
            slowest: Rest::default(),
            judged: 0,
            unproven: None,
        })
    }

    pub async fn target(&self) -> Result<Target, WorldError> {
        let gateway = self.world.gateway();
        let (customer, desk) = (self.token("customer").await?, self.token("desk").await?);
        let bad = forged(&customer).into_iter().chain(self.signed_in_vain.iter().cloned()).collect();
        Ok(Target { gateway, customer, desk, bad })
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

    /// Waits until so many reservations were acknowledged, but not for ever.
    pub async fn until_reserved(&self, wanted: usize) {
        let started = Instant::now();
        while self.history.reserved() < wanted && started.elapsed() < UNTIL_RESERVED {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub fn process(&self, node: Node) -> &Process {
        &self.world.service(node)[0]
    }

    pub fn note(&mut self, what: impl Into<String>) {
        self.notes.push(what.into());
    }

    /// A promise whose breach the case itself has seen.
    pub fn violated(&mut self, invariant: Invariant, what: impl Into<String>) {
        self.found(vec![Violation { invariant, reservation: None, visit: None, what: what.into() }]);
    }

    /// Told at once: a run that is broken off later has said what it saw.
    fn found(&mut self, violations: Vec<Violation>) {
        let new: Vec<Violation> = violations.into_iter().filter(|one| self.violations.insert(one.clone())).collect();
        new.iter().take(MOST_TOLD).for_each(|violation| println!("    {violation}"));
        if new.len() > MOST_TOLD {
            println!("    and {} more", new.len() - MOST_TOLD);
        }
    }

    /// The case has not put to the test what it is about: without this it would look well.
    pub fn proves_nothing(&mut self, why: impl Into<String>) {
        self.unproven.get_or_insert(why.into());
    }

    /// No more faults, since when: the recovery counts from here, with the clients that are still at work.
    pub fn heal(&mut self) -> Instant {
        self.world.heal_all();
        *self.healed.get_or_insert_with(Instant::now)
    }

    /// Lets the clients end what they are at, and judges.
    pub async fn judge_after(&mut self, crowd: Crowd) -> Result<(), WorldError> {
        self.heal();
        crowd.leave().await;
        self.judge().await
    }

    /// Heals everything where that is not done yet, waits until the fleet works and is quiet, and judges what there is.
    pub async fn judge(&mut self) -> Result<(), WorldError> {
        let healed = self.heal();
        self.healed = None;
        let rest = match self.recover(healed).await {
            Ok(rest) => {
                if rest.took > RECOVERY_LIMIT {
                    let last = rest.last.as_deref().unwrap_or("who was asked did not answer");
                    let what = format!("it was quiet only {} s after healing; until then: {last}", rest.took.as_secs());
                    self.violated(Invariant::I11, what);
                }
                rest
            }
            Err(error) => {
                self.violated(Invariant::I11, error.to_string());
                Rest { took: healed.elapsed(), last: None }
            }
        };
        if rest.took > self.slowest.took {
            self.slowest = rest;
        }
        let evidence = collect::evidence(&self.world, &self.history).await?;
        let (evidence, violations) = aside(move || {
            let violations = checker::check(&evidence);
            (evidence, violations)
        })
        .await?;
        self.evidence = evidence;
        self.found(violations);
        self.search_for_personal_data().await?;
        self.look_for_crashes();
        self.look_for_the_undecided();
        self.judged += 1;
        self.write_stories()
    }

    /// Until a visit goes as it should and nothing is on its way any more. A fleet that only holds still is not well.
    async fn recover(&mut self, healed: Instant) -> Result<Rest, WorldError> {
        let mut last = None;
        while let Err(what) = self.check_up().await {
            if healed.elapsed() > RECOVERY_PATIENCE {
                let waited = RECOVERY_PATIENCE.as_secs();
                return Err(WorldError::failed(format!("{waited} s after healing a visit does not go well: {what}")));
            }
            last = Some(what);
            tokio::time::sleep(CHECK_UP_PAUSE).await;
        }
        let rest = self.world.quiet(healed).await?;
        let last: Vec<String> = last.into_iter().chain(rest.last).collect();
        Ok(Rest { took: rest.took, last: (!last.is_empty()).then(|| last.join("; then ")) })
    }

    /// As somebody who logs in for it.
    async fn check_up(&mut self) -> Result<(), String> {
        self.check_ups += 1;
        let login = tokio::time::timeout(LOGIN_WITHIN, self.world.log_in("customer")).await;
        let login = login.map_err(|_| "the login was not answered")?.map_err(|error| format!("the login: {error}"))?;
        let token = login["access_token"].as_str().ok_or("the login was answered without a token")?;
        let check_up = CheckUp::new(&self.world.gateway(), &self.history, token.to_owned(), self.check_ups);
        check_up.run().await
    }

    fn look_for_the_undecided(&mut self) {
        let late = self.undecided.overdue().into_iter().map(|id| Violation {
            invariant: Invariant::I8,
            reservation: Some(id),
            visit: None,
            what: "it waited for its decision for more than 30 s".to_owned(),
        });
        self.found(late.collect());
    }

    /// Beside the logs, from the judgement on: what follows changes the rows that tell them.
    fn write_stories(&self) -> Result<(), WorldError> {
        if self.violations.is_empty() {
            return Ok(());
        }
        let (folder, violations) = (&self.world.plan.folder, self.violations.iter().cloned().collect::<Vec<_>>());
        let file = folder.join(format!("judgement-{}.md", self.judged));
        let stories = report::stories("So far", &violations, &self.evidence, folder);
        std::fs::write(&file, stories).map_err(|source| WorldError::io(format!("write {}", file.display()), source))
    }

    fn look_for_crashes(&mut self) {
        // Not the database server: PostgreSQL does not start until the last process of its killed life has gone, and is
        // tried again.
        let judged = self.services().chain([self.world.broker()]);
        let deaths = judged.flat_map(|process| process.deaths().into_iter().map(|death| (process.name(), death)));
        let crashes = deaths.filter(|(_, death)| death.cause == Cause::Crash);
        let crashes: Vec<String> =
            crashes.map(|(name, death)| format!("{name} ended by itself: {}", death.how)).collect();
        for crash in crashes {
            self.violated(Invariant::I11, crash);
        }
    }

    /// For whoever watches a case that takes long.
    pub fn so_far(&self) -> String {
        let recovery = self.slowest.took.as_secs_f64();
        format!("slowest recovery {recovery:.1} s, {} violations", self.violations.len())
    }

    fn services(&self) -> impl Iterator<Item = &Process> {
        Node::SERVICES.into_iter().flat_map(|node| self.world.service(node))
    }

    /// The names and numbers of our clients stand nowhere but in databases and events.
    async fn search_for_personal_data(&mut self) -> Result<(), WorldError> {
        let mut found = Vec::new();
        let logs: Vec<(String, PathBuf)> =
            self.services().map(|process| (process.name(), process.log().to_owned())).collect();
        for (name, log) in logs {
            let lines = aside(move || personal_lines(&log)).await??;
            found.extend(lines.into_iter().map(|line| format!("the log of {name} has: {line}")));
        }
        for process in self.services() {
            let metrics = process.metrics().await?;
            if metrics.contains(NAME_MARK) || metrics.contains(PHONE_MARK) {
                found.push(format!("the metrics of {} have a name or a number", process.name()));
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
        let peaks: Vec<(String, u64)> =
            self.services().map(|process| (process.name(), process.peak_memory())).collect();
        self.look_for_crashes();
        for (name, peak) in peaks.iter().filter(|(_, peak)| *peak > MEMORY_LIMIT) {
            self.violated(Invariant::I11, format!("{name} had {} MiB", peak / 1024 / 1024));
        }
        let counts = self.history.counts();
        if counts.ok == 0 {
            self.proves_nothing(format!("none of {} requests was answered well", counts.requests));
        }
        let outcome = Outcome {
            counts,
            kills_at_failpoints: causes.iter().filter(|cause| matches!(cause, Cause::Failpoint(_))).count(),
            kills_at_random: causes.iter().filter(|cause| **cause == Cause::Killed).count(),
            judged: self.judged,
            slowest_recovery: self.slowest.took,
            waited_for: self.slowest.last,
            peak_memory: peaks.into_iter().map(|(_, peak)| peak).max().unwrap_or_default(),
            violations: self.violations.into_iter().collect(),
            notes: self.notes,
            unproven: self.unproven,
            took,
        };
        self.world.end().await?;
        Ok((outcome, self.evidence))
    }
}

/// Does what takes long in a thread of its own: all links have one together, and where that stands still for some
/// seconds, consumers lose their partitions.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, WorldError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| WorldError::failed(error.to_string()))
}

/// The first line of a log with a name, and the first with a number.
fn personal_lines(log: &Path) -> Result<Vec<String>, WorldError> {
    let text = std::fs::read(log).map_err(|source| WorldError::io(format!("read {}", log.display()), source))?;
    let text = String::from_utf8_lossy(&text);
    let first = |mark: &&str| text.lines().find(|line| line.contains(*mark)).map(str::to_owned);
    Ok([NAME_MARK, PHONE_MARK].iter().filter_map(first).collect())
}
