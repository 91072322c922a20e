//! Starting, commanding and killing a fleet.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::{Hospital, eventually};

/// The services that have a table row; the broker beside them is `kafka`.
const HIGHEST_PORT: u16 = 12;

pub struct Fleet {
    pub data: PathBuf,
    port_base: u16,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    child: Child,
}

impl Fleet {
    /// Starts a fleet with data of its own and waits until all of it is ready.
    pub async fn start(options: &[&str]) -> Self {
        Self::start_with(options, &[]).await
    }

    /// With variables, which reach the services through the launcher.
    pub async fn start_with(options: &[&str], environment: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("fleet-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let data = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&data).unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let port_base = free_port_base();
        let environment: Vec<_> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let child = launch(&data, port_base, &options, &environment);
        let fleet = Self { data, port_base, options, environment, child };
        fleet.until_ready().await;
        fleet
    }

    /// Starts it again on the same data, after it has gone.
    pub async fn start_again(&mut self) {
        self.child.wait().unwrap();
        self.child = launch(&self.data, self.port_base, &self.options, &self.environment);
        self.until_ready().await;
    }

    async fn until_ready(&self) {
        eventually("the fleet is ready", async || {
            let status = self.status()?;
            let services = status["services"].as_array()?;
            services.iter().all(|service| service["state"] == "ready").then_some(())
        })
        .await;
    }

    pub fn gateway(&self) -> String {
        format!("http://127.0.0.1:{}", self.port_base + 8)
    }

    /// The hospital as someone with this role finds it.
    pub fn as_role(&self, role: &str) -> Hospital {
        let token = self.run(&["token", "--as", role]);
        Hospital::new(self.gateway(), Some(token))
    }

    pub fn without_token(&self) -> Hospital {
        Hospital::new(self.gateway(), None)
    }

    /// Runs a command of the fleet that must succeed, and gives what it prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert!(output.status.success(), "fleet {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(binary("fleet")).args(arguments).arg("--data").arg(&self.data).output().expect("fleet runs")
    }

    pub fn status(&self) -> Option<Value> {
        serde_json::from_slice(&self.command(&["status", "--json"]).stdout).ok()
    }

    /// Every process of it ends at once, as in a power cut.
    pub fn kill(&mut self) {
        let status = self.status().expect("a running fleet");
        let services = status["services"].as_array().expect("services").iter().map(|service| &service["pid"]);
        let pids = std::iter::once(&status["launcherPid"]).chain(services).filter_map(Value::as_u64);
        let pids: Vec<String> = pids.map(|pid| pid.to_string()).collect();
        // The shell has `kill` built in; a small system has no program of that name.
        let killed = Command::new("sh").args(["-c", &format!("kill -9 {}", pids.join(" "))]).status().expect("sh runs");
        assert!(killed.success());
    }

    /// The value of a series at a service's own `/metrics`; none while it is not there.
    pub async fn metric(&self, service: &str, series: &str) -> Option<f64> {
        let status = self.status()?;
        let row = status["services"].as_array()?.iter().find(|row| row["service"] == service)?;
        let page =
            reqwest::get(format!("http://{}/metrics", row["address"].as_str()?)).await.ok()?.text().await.ok()?;
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        value.parse().ok()
    }

    pub fn log_of(&self, service: &str) -> String {
        std::fs::read_to_string(self.data.join(service).join(format!("{service}.log"))).unwrap_or_default()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.command(&["down"]).status.success() {
            self.child.wait().expect("the fleet ends");
        }
        if std::thread::panicking() {
            eprintln!("the fleet's data and logs are kept in {}", self.data.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.data) {
            eprintln!("{}: {error}", self.data.display());
        }
    }
}

fn launch(data: &Path, port_base: u16, options: &[String], environment: &[(String, String)]) -> Child {
    let log = File::options().create(true).append(true).open(data.with_extension("log")).unwrap();
    Command::new(binary("fleet"))
        .args(["up", "--port-base", &port_base.to_string(), "--data"])
        .arg(data)
        .args(options)
        .envs(environment.iter().map(|(key, value)| (key, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("`cargo build --workspace --bins` comes before these tests")
}

/// The binaries beside this test's own.
pub fn binary(name: &str) -> PathBuf {
    let mut folder = std::env::current_exe().expect("a path");
    folder.pop();
    if folder.ends_with("deps") {
        folder.pop();
    }
    folder.join(name)
}

/// A range of ports that nobody has; tests run beside each other, so each begins its search elsewhere.
fn free_port_base() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = 20_000 + u16::try_from(std::process::id() % 500).unwrap_or_default() * 20;
    loop {
        let base = begin + u16::try_from(NEXT.fetch_add(1, Ordering::Relaxed)).unwrap_or_default() * 20;
        if (base..=base + HIGHEST_PORT).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
}
