//! One process of the fleet: started again whenever it dies, as the kubelet would, unless it is held down.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::link::Endpoints;
use super::{Node, WorldError};

/// Between a death and the next start.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
const PROBE_UNTIL_READY: Duration = Duration::from_millis(25);
const PROBE_WHEN_READY: Duration = Duration::from_millis(200);
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// A process that takes longer than this to start or to stop does not do so at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a process that ends itself at a failpoint says last.
const LAST_WORDS: &str = "failpoint ";

/// What to start, and how to know that it works.
#[derive(Clone)]
pub struct Blueprint {
    pub node: Node,
    pub replica: usize,
    pub address: SocketAddr,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub working_folder: PathBuf,
    pub log: PathBuf,
    /// What asks it to stop in order.
    pub stop_signal: Signal,
    pub probe: Probe,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    Readiness,
    Connects,
}

/// How a process ended.
#[derive(Debug, Clone)]
pub struct Death {
    pub at: Instant,
    pub how: String,
    pub cause: Cause,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Stopped by the world, in order.
    Stopped,
    /// Killed by the world.
    Killed,
    /// It ended itself at this failpoint.
    Failpoint(String),
    /// Nobody asked it to.
    Crash,
}

#[derive(Clone)]
pub struct Process {
    shared: Arc<Shared>,
}

struct Shared {
    blueprint: Blueprint,
    endpoints: Endpoints,
    http: reqwest::Client,
    state: Mutex<State>,
    is_wanted: watch::Sender<bool>,
    is_ready: watch::Sender<bool>,
    /// How many times it has ended.
    ends: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    pid: Option<i32>,
    /// Variables beside the blueprint's, from the next start on.
    changed: BTreeMap<String, String>,
    /// Instead of the blueprint's, from the next start on.
    program: Option<PathBuf>,
    /// Failpoints of the next start alone.
    armed: Option<String>,
    is_killed: bool,
    deaths: Vec<Death>,
    peak_memory: u64,
}

impl Process {
    /// Keeps it running from now on.
    pub fn start_supervised(blueprint: Blueprint, endpoints: &Endpoints, http: &reqwest::Client) -> Self {
        let shared = Arc::new(Shared {
            blueprint,
            endpoints: endpoints.clone(),
            http: http.clone(),
            state: Mutex::default(),
            is_wanted: watch::Sender::new(true),
            is_ready: watch::Sender::new(false),
            ends: watch::Sender::new(0),
        });
        tokio::spawn(supervise(shared.clone()));
        Self { shared }
    }

    pub fn node(&self) -> Node {
        self.shared.blueprint.node
    }

    /// `diagnosis`, or `diagnosis-2` for a second replica.
    pub fn name(&self) -> String {
        name(self.node(), self.shared.blueprint.replica)
    }

    /// Its own, past every link.
    pub fn address(&self) -> SocketAddr {
        self.shared.blueprint.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What it says of itself at this moment.
    pub async fn metrics(&self) -> Result<String, WorldError> {
        let answer = self.shared.http.get(format!("{}/metrics", self.url())).send().await?;
        Ok(answer.text().await?)
    }

    pub fn log(&self) -> &Path {
        &self.shared.blueprint.log
    }

    pub fn pid(&self) -> Option<i32> {
        self.shared.state().pid
    }

    pub fn is_ready(&self) -> bool {
        *self.shared.is_ready.borrow()
    }

    pub fn is_held_down(&self) -> bool {
        !*self.shared.is_wanted.borrow()
    }

    pub fn deaths(&self) -> Vec<Death> {
        self.shared.state().deaths.clone()
    }

    /// The most resident memory that any life of it has had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.shared.measure();
        self.shared.state().peak_memory
    }

    /// Failpoints of the next start alone, such as `relay.before-send=3*off->return`.
    pub fn arm(&self, points: &str) {
        self.shared.state().armed = Some(points.to_owned());
    }

    /// From the next start on it is the program of the same name in this folder.
    pub fn run_from(&self, binaries: &Path) {
        self.shared.state().program = Some(binaries.join(self.node().name()));
    }

    /// A variable of its environment, from the next start on.
    pub fn set_env(&self, key: &str, value: &str) {
        self.shared.state().changed.insert(key.to_owned(), value.to_owned());
    }

    /// As a power cut ends it; it is started again.
    pub fn kill(&self) {
        self.shared.state().is_killed = true;
        self.signal(Signal::SIGKILL);
    }

    /// Kills it and holds it down; over when it has gone.
    pub async fn kill_and_hold(&self) -> Result<(), WorldError> {
        self.shared.is_wanted.send_replace(false);
        self.kill();
        self.until_gone().await
    }

    /// Asks it to stop, and holds it down; over when it has gone.
    pub async fn stop(&self) -> Result<(), WorldError> {
        self.shared.is_wanted.send_replace(false);
        self.signal(self.shared.blueprint.stop_signal);
        self.until_gone().await
    }

    /// Lets it run again; over when it is ready.
    pub async fn start(&self) -> Result<(), WorldError> {
        self.shared.is_wanted.send_replace(true);
        self.until_ready().await
    }

    pub async fn restart_with(&self, environment: &[(&str, &str)]) -> Result<(), WorldError> {
        environment.iter().for_each(|(key, value)| self.set_env(key, value));
        self.stop().await?;
        self.start().await
    }

    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    pub async fn until_ready(&self) -> Result<(), WorldError> {
        let mut is_ready = self.shared.is_ready.subscribe();
        match tokio::time::timeout(PATIENCE, is_ready.wait_for(|is_ready| *is_ready)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(self.failed("did not become ready")),
        }
    }

    /// Waits for an end of it beyond those that were counted before.
    pub async fn until_death(&self, counted: usize, patience: Duration) -> Option<Death> {
        let mut ends = self.shared.ends.subscribe();
        tokio::time::timeout(patience, ends.wait_for(|ends| *ends > counted)).await.ok()?.ok()?;
        self.shared.state().deaths.get(counted).cloned()
    }

    async fn until_gone(&self) -> Result<(), WorldError> {
        let gone = async {
            let mut ends = self.shared.ends.subscribe();
            while self.pid().is_some() {
                if ends.changed().await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.map_err(|_| self.failed("did not stop"))
    }

    fn failed(&self, what: &str) -> WorldError {
        WorldError::failed(format!("{} {what}; its log is {}", self.name(), self.log().display()))
    }

    fn signal(&self, signal: Signal) {
        let state = self.shared.state();
        let Some(pid) = state.pid else { return };
        // It may have gone by itself this very moment; then there is nobody to tell.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

pub fn name(node: Node, replica: usize) -> String {
    if replica == 0 { node.to_string() } else { format!("{node}-{}", replica + 1) }
}

async fn supervise(shared: Arc<Shared>) {
    let mut is_wanted = shared.is_wanted.subscribe();
    while is_wanted.wait_for(|is_wanted| *is_wanted).await.is_ok() {
        let said_before = std::fs::metadata(&shared.blueprint.log).map_or(0, |log| log.len());
        match shared.spawn() {
            Ok(mut child) => {
                let ended = tokio::select! {
                    ended = child.wait() => ended,
                    never = shared.probe() => match never {},
                };
                shared.note_end(ended, said_before);
            }
            Err(error) => shared.note_end(Err(error), said_before),
        }
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let blueprint = &self.blueprint;
        let log = File::options().create(true).append(true).open(&blueprint.log)?;
        let mut state = self.state();
        let mut command = Command::new("setpriv");
        // No process outlives the driver, however that ends.
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(state.program.as_ref().unwrap_or(&blueprint.program))
            .args(&blueprint.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&blueprint.environment)
            .envs(&state.changed)
            .current_dir(&blueprint.working_folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        if let Some(points) = state.armed.take() {
            command.env("FAILPOINTS", points);
        }
        let child = command.spawn()?;
        state.is_killed = false;
        state.pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Ok(child)
    }

    async fn probe(&self) -> std::convert::Infallible {
        loop {
            let is_ready = tokio::time::timeout(PROBE_TIMEOUT, self.answers()).await.unwrap_or(false);
            self.set_ready(is_ready);
            self.measure();
            tokio::time::sleep(if is_ready { PROBE_WHEN_READY } else { PROBE_UNTIL_READY }).await;
        }
    }

    async fn answers(&self) -> bool {
        let address = self.blueprint.address;
        match self.blueprint.probe {
            Probe::Connects => TcpStream::connect(address).await.is_ok(),
            Probe::Readiness => {
                let url = format!("http://{address}/actuator/health/readiness");
                self.http.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
            }
        }
    }

    fn set_ready(&self, is_ready: bool) {
        self.endpoints.set(self.blueprint.address, is_ready);
        self.is_ready.send_if_modified(|known| std::mem::replace(known, is_ready) != is_ready);
    }

    /// The kernel keeps the highest of a life by itself; this only has to look before the life ends.
    fn measure(&self) {
        let mut state = self.state();
        let Some(pid) = state.pid else { return };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|peak| peak.split_whitespace().next()).and_then(|peak| peak.parse::<u64>().ok());
        state.peak_memory = state.peak_memory.max(kilobytes.unwrap_or_default() * 1024);
    }

    fn note_end(&self, ended: std::io::Result<ExitStatus>, said_before: u64) {
        self.set_ready(false);
        let mut state = self.state();
        state.pid = None;
        let point = || last_failpoint(&self.blueprint.log, said_before);
        let (how, cause) = match ended {
            Err(error) => (format!("it could not be started: {error}"), Cause::Crash),
            Ok(status) if state.is_killed => (status.to_string(), Cause::Killed),
            Ok(status) if status.signal() == Some(Signal::SIGABRT as i32) => {
                (status.to_string(), point().map_or(Cause::Crash, Cause::Failpoint))
            }
            Ok(status) if !*self.is_wanted.borrow() && status.success() => (status.to_string(), Cause::Stopped),
            Ok(status) => (status.to_string(), Cause::Crash),
        };
        state.deaths.push(Death { at: Instant::now(), how, cause });
        drop(state);
        self.ends.send_modify(|ends| *ends += 1);
    }
}

/// The failpoint named at the end of what this life of a process has said.
fn last_failpoint(log: &Path, said_before: u64) -> Option<String> {
    let mut log = File::open(log).ok()?;
    log.seek(SeekFrom::Start(said_before)).ok()?;
    let mut said = Vec::new();
    log.read_to_end(&mut said).ok()?;
    let said = String::from_utf8_lossy(&said);
    let last = said.lines().rev().find_map(|line| line.strip_prefix(LAST_WORDS))?;
    Some(last.trim().to_owned())
}
