//! Case after case, each in a world of its own whose seed follows from the campaign's and the case's name.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngExt;

use crate::cases::{CASES, Case, Needs};
use crate::cli::Options;
use crate::evidence::Evidence;
use crate::points::{self, Point};
use crate::report::{self, Ran, Row};
use crate::trial::{Outcome, Trial};
use crate::world::{Kafka, Plan, Storage, WorldError};

/// Kills at failpoints where nothing else is asked for.
const KILLS: usize = 200;
const KILLS_OF_SHORT: usize = 10;
/// Of a longer recovery it is told what it waited for.
const WORTH_TELLING: Duration = Duration::from_secs(10);
/// The seed of the first half of the short campaign; the other half has a random one.
const FIXED_SEED: u64 = 20_200_430;

#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    #[error("there is no case {0}; --list names them")]
    NoSuchCase(String),
    #[error("there is no failpoint whose name begins so: {0}")]
    NoSuchPoint(String),
    #[error("cannot {what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error(transparent)]
    World(#[from] WorldError),
    #[error("{0}")]
    Planting(String),
    #[error("the result cannot be written or read: {0}")]
    Json(#[from] serde_json::Error),
}

impl CampaignError {
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// One pass over the cases.
struct Pass {
    seed: u64,
    storage: Storage,
    kafka: Kafka,
    replicas: usize,
    kills: usize,
    is_long: bool,
    points: Vec<Point>,
    cases: Vec<&'static Case>,
}

impl Pass {
    fn replicas(&self, case: &Case) -> usize {
        match case.needs {
            Needs::Replicas(least) => self.replicas.max(least),
            Needs::OlderVersion => self.replicas.max(2),
            _ => self.replicas,
        }
    }

    /// In words.
    fn world(&self, replicas: usize) -> String {
        let storage = match self.storage {
            Storage::Sqlite => "SQLite",
            Storage::Postgres => "PostgreSQL",
        };
        let broker = match self.kafka {
            Kafka::Embedded => "embedded broker",
            Kafka::Apache => "Apache Kafka",
        };
        let replicas = if replicas > 1 { format!(", {replicas} replicas") } else { String::new() };
        format!("{storage}, {broker}{replicas}")
    }
}

pub struct Campaign {
    folder: PathBuf,
    binaries: PathBuf,
    older: Option<PathBuf>,
    rows: Vec<Row>,
    stories: String,
}

/// Runs what was asked for; whether every promise was kept.
pub async fn run(options: &Options) -> Result<bool, CampaignError> {
    let binaries = binaries()?;
    std::fs::create_dir_all(&options.report).map_err(CampaignError::io("make the report's folder"))?;
    let folder = options.report.canonicalize().map_err(CampaignError::io("find the report's folder"))?;
    let older = options.older.as_ref().map(std::fs::canonicalize).transpose();
    let older = older.map_err(CampaignError::io("find the older version's programs"))?;
    let mut campaign = Campaign { folder, binaries, older, rows: Vec::new(), stories: String::new() };
    let started = Instant::now();
    let deadline = options.minutes.map(|minutes| started + Duration::from_secs(minutes * 60));
    for pass in passes(options)? {
        campaign.pass(&pass, deadline).await?;
    }
    while deadline.is_some_and(|deadline| Instant::now() < deadline) {
        for pass in passes(&Options { seed: None, ..options.clone() })? {
            campaign.pass(&pass, deadline).await?;
        }
    }
    campaign.conclude(options)
}

fn passes(options: &Options) -> Result<Vec<Pass>, CampaignError> {
    let random = || rand::rng().random_range(1..1_000_000_000);
    let pass = |seed, storage| {
        Ok::<_, CampaignError>(Pass {
            seed,
            storage,
            kafka: options.kafka(),
            replicas: options.replicas,
            kills: options.kills.unwrap_or(if options.short { KILLS_OF_SHORT } else { KILLS }),
            is_long: !options.short,
            points: points(options)?,
            cases: chosen(options)?,
        })
    };
    if !options.short {
        return Ok(vec![pass(options.seed.unwrap_or_else(random), options.storage())?]);
    }
    let second = options.seed.unwrap_or_else(random);
    Ok(vec![pass(FIXED_SEED, Storage::Sqlite)?, pass(second, Storage::Postgres)?])
}

fn chosen(options: &Options) -> Result<Vec<&'static Case>, CampaignError> {
    if options.only.is_empty() {
        return Ok(CASES.iter().filter(|case| !options.short || case.is_short).collect());
    }
    let find = |name: &String| {
        CASES.iter().find(|case| case.name == name).ok_or_else(|| CampaignError::NoSuchCase(name.clone()))
    };
    options.only.iter().map(find).collect()
}

fn points(options: &Options) -> Result<Vec<Point>, CampaignError> {
    let points = points::named(&options.points);
    if points.is_empty() { Err(CampaignError::NoSuchPoint(options.points.join(", "))) } else { Ok(points) }
}

/// Those that were built with this program.
fn binaries() -> Result<PathBuf, CampaignError> {
    let own = std::env::current_exe().map_err(CampaignError::io("find this program"))?;
    Ok(own.parent().map(Path::to_owned).unwrap_or_default())
}

impl Campaign {
    async fn pass(&mut self, pass: &Pass, deadline: Option<Instant>) -> Result<(), CampaignError> {
        println!("seed {}: {} cases, {}", pass.seed, pass.cases.len(), pass.world(pass.replicas));
        for case in &pass.cases {
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                break;
            }
            let row = self.case(pass, case).await?;
            progress(&row);
            self.rows.push(row);
        }
        Ok(())
    }

    async fn case(&mut self, pass: &Pass, case: &'static Case) -> Result<Row, CampaignError> {
        let (name, about) = (case.name, case.about);
        let row = |result| Row { case: name, world: pass.world(pass.replicas(case)), about, result };
        if let Some(obstacle) = case.obstacle(pass.storage, self.older.is_some()) {
            return Ok(row(Ran::Skipped(obstacle.to_owned())));
        }
        let folder = self.folder.join(format!("{name}-{}", pass.seed));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(CampaignError::io(format!("empty {}", folder.display())))?;
        }
        let mut plan = plan(pass, case, folder.clone(), self.binaries.clone());
        plan.older = self.older.clone();
        let result = match judge(plan, pass, case).await {
            Ok((outcome, _)) if outcome.proves_nothing() => {
                let why = outcome.unproven.unwrap_or_default();
                Ran::Failed(format!("nothing is proven: {why}; logs are in {}", folder.display()))
            }
            Ok((outcome, evidence)) => {
                if outcome.violations.is_empty() {
                    std::fs::remove_dir_all(&folder)
                        .map_err(CampaignError::io(format!("remove {}", folder.display())))?;
                } else {
                    self.stories += &report::stories(name, &outcome.violations, &evidence, &folder);
                }
                Ran::Judged(outcome)
            }
            Err(WorldError::NotPermitted(reason)) => Ran::Skipped(reason),
            Err(error) => Ran::Failed(format!("{error}; logs are in {}", folder.display())),
        };
        Ok(row(result))
    }

    fn conclude(self, options: &Options) -> Result<bool, CampaignError> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let command = format!("./scripts/faults {}", words.join(" "));
        let page = report::page(&command, &self.rows) + &self.stories;
        let file = self.folder.join("report.md");
        std::fs::write(&file, page).map_err(CampaignError::io(format!("write {}", file.display())))?;
        if options.json {
            println!("{}", serde_json::to_string_pretty(&self.rows)?);
        } else {
            println!("\n{}\nreport: {}", report::table(&self.rows), file.display());
        }
        Ok(self.rows.iter().all(Row::is_good))
    }
}

fn plan(pass: &Pass, case: &Case, folder: PathBuf, binaries: PathBuf) -> Plan {
    let mut plan = Plan::new(folder, binaries, seed_of(pass.seed, case.name));
    plan.storage = pass.storage;
    plan.kafka = pass.kafka;
    plan.replicas = pass.replicas(case);
    (case.plan)(&mut plan);
    plan
}

/// The same whichever other cases are run.
fn seed_of(seed: u64, case: &str) -> u64 {
    // FNV-1a: stable, unlike the standard library's hashes.
    case.bytes()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

async fn judge(plan: Plan, pass: &Pass, case: &Case) -> Result<(Outcome, Evidence), WorldError> {
    let started = Instant::now();
    let mut trial = Trial::start(plan, pass.kills, pass.points.clone(), pass.is_long).await?;
    (case.run)(&mut trial).await?;
    trial.end(started.elapsed()).await
}

/// What a recovery waited for that was not short.
fn waited_for(outcome: &Outcome) -> String {
    let last = outcome.waited_for.as_ref().filter(|_| outcome.slowest_recovery > WORTH_TELLING);
    last.map(|last| format!(" (until then: {last})")).unwrap_or_default()
}

fn progress(row: &Row) {
    let said = match &row.result {
        Ran::Judged(outcome) => format!(
            "{} requests, {} kills, {} violations, recovery {:.1} s{}, {} s",
            outcome.counts.requests,
            outcome.kills_at_failpoints + outcome.kills_at_random,
            outcome.violations.len(),
            outcome.slowest_recovery.as_secs_f64(),
            waited_for(outcome),
            outcome.took.as_secs()
        ),
        Ran::Skipped(reason) => format!("skipped: {reason}"),
        Ran::Failed(reason) => format!("FAILED: {reason}"),
    };
    println!("{:<24} {said}", row.case);
}

#[cfg(test)]
mod tests {
    use super::seed_of;

    #[test]
    fn a_case_has_its_own_seed_whichever_others_are_run() {
        assert_eq!(seed_of(1, "poison"), seed_of(1, "poison"));
        assert_ne!(seed_of(1, "poison"), seed_of(1, "redrive"));
        assert_ne!(seed_of(1, "poison"), seed_of(2, "poison"));
    }
}
