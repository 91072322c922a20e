//! Keeps each process running as long as it is wanted.

use std::{
    collections::BTreeMap,
    process::ExitStatus,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio::{
    process::Child,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use crate::{
    backoff::Backoff,
    name::Name,
    plan::Process,
    process::{describe, signal},
    status::{Report, State},
};

/// A little longer than the services allow themselves.
const DRAIN: Duration = Duration::from_secs(25);
const START_LIMIT: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
enum Order {
    Start,
    Stop,
    Kill,
}

pub struct Supervisor {
    kept: BTreeMap<Name, Kept>,
}

pub struct Kept {
    pub process: Process,
    orders: mpsc::UnboundedSender<Order>,
    report: watch::Receiver<Report>,
}

impl Supervisor {
    /// Starts all processes at once.
    pub fn start(processes: Vec<Process>) -> Self {
        let kept = processes.into_iter().map(|process| {
            let (orders, received) = mpsc::unbounded_channel();
            let (report, reports) = watch::channel(Report::default());
            let keeper = Keeper { process: process.clone(), orders: received, report, backoff: Backoff::default() };
            tokio::spawn(keeper.run());
            let kept = Kept { process, orders, report: reports };
            (kept.process.name, kept)
        });
        Self { kept: kept.collect() }
    }

    pub fn runs(&self, name: Name) -> bool {
        self.kept.contains_key(&name)
    }

    pub fn reports(&self) -> impl Iterator<Item = (&Process, Report)> {
        self.kept.values().map(|kept| (&kept.process, kept.report.borrow().clone()))
    }

    /// Whether all of these became ready in time.
    pub async fn ready(&self, names: &[Name]) -> bool {
        let all = async {
            for name in names {
                self.reaches(*name, State::Ready).await;
            }
        };
        timeout(START_LIMIT, all).await.is_ok()
    }

    pub fn all(&self) -> Vec<Name> {
        self.kept.keys().copied().collect()
    }

    pub async fn start_again(&self, names: &[Name]) -> bool {
        self.order(names, Order::Start);
        self.ready(names).await
    }

    pub async fn stop(&self, names: &[Name]) {
        self.order(names, Order::Stop);
        for name in names {
            self.reaches(*name, State::Stopped).await;
        }
    }

    /// Everything, in order: the way in first, what all the others need last.
    pub async fn stop_all(&self) {
        for group in Name::STOP_ORDER {
            self.stop(group).await;
        }
    }

    pub fn kill_all(&self) {
        self.order(&Name::ALL, Order::Kill);
    }

    fn order(&self, names: &[Name], order: Order) {
        for kept in names.iter().filter_map(|name| self.kept.get(name)) {
            // A keeper ends only with the fleet itself.
            let _ = kept.orders.send(order);
        }
    }

    async fn reaches(&self, name: Name, state: State) {
        let Some(kept) = self.kept.get(&name) else {
            return;
        };
        let mut reports = kept.report.clone();
        // An error means that the keeper is gone, and its process with it.
        let _ = reports.wait_for(|report| report.state == state).await;
    }
}

struct Keeper {
    process: Process,
    orders: mpsc::UnboundedReceiver<Order>,
    report: watch::Sender<Report>,
    backoff: Backoff,
}

enum Ended {
    AsTold,
    ByItself(String),
}

impl Keeper {
    async fn run(mut self) {
        loop {
            let started = Instant::now();
            let wanted = match self.one_life().await {
                Ended::AsTold => false,
                Ended::ByItself(how) => self.wait_before_restart(how, started.elapsed()).await,
            };
            if !wanted && !self.wait_for_start().await {
                return;
            }
        }
    }

    async fn one_life(&mut self) -> Ended {
        self.report.send_modify(|report| {
            report.state = State::Starting;
            report.pid = None;
        });
        let mut child = match self.process.spawn() {
            Ok(child) => child,
            Err(error) => return Ended::ByItself(format!("not started: {error}")),
        };
        self.report.send_modify(|report| report.pid = child.id());
        let process = self.process.clone();
        let ready = process.ready();
        tokio::pin!(ready);
        let mut is_ready = false;
        loop {
            tokio::select! {
                () = &mut ready, if !is_ready => {
                    is_ready = true;
                    self.report.send_modify(|report| report.state = State::Ready);
                }
                status = child.wait() => return Ended::ByItself(in_words(status)),
                order = self.orders.recv() => match order {
                    Some(Order::Start) => {}
                    Some(Order::Stop) => return self.stop(child, DRAIN).await,
                    Some(Order::Kill) | None => return self.stop(child, Duration::ZERO).await,
                },
            }
        }
    }

    /// SIGTERM, and SIGKILL for who has not ended when the time is up.
    async fn stop(&mut self, mut child: Child, patience: Duration) -> Ended {
        let name = self.process.name;
        self.report.send_modify(|report| report.state = State::Stopping);
        if let Err(error) = signal(&child, Signal::SIGTERM) {
            println!("{name} cannot be told to stop: {error}");
        }
        let status = tokio::select! {
            status = child.wait() => status,
            () = self.out_of_patience(patience) => {
                println!("{name} did not stop in time and is killed");
                if let Err(error) = signal(&child, Signal::SIGKILL) {
                    println!("{name} cannot be killed: {error}");
                }
                child.wait().await
            }
        };
        self.report.send_modify(|report| {
            report.last_exit = Some(in_words(status));
        });
        Ended::AsTold
    }

    async fn out_of_patience(&mut self, patience: Duration) {
        let killed = async {
            while let Some(order) = self.orders.recv().await {
                if matches!(order, Order::Kill) {
                    return;
                }
            }
        };
        tokio::select! {
            () = sleep(patience) => {}
            () = killed => {}
        }
    }

    /// Whether it is to be started again.
    async fn wait_before_restart(&mut self, how: String, was_up: Duration) -> bool {
        let name = self.process.name;
        let pause = self.backoff.pause(was_up);
        self.report.send_modify(|report| {
            report.state = State::Waiting;
            report.pid = None;
            report.restarts += 1;
            report.last_exit = Some(how.clone());
        });
        println!(
            "{name} ended: {how}; started again in {:.1} s ({})",
            pause.as_secs_f32(),
            self.process.log().display()
        );
        let pause = sleep(pause);
        tokio::pin!(pause);
        tokio::select! {
            () = &mut pause => true,
            order = self.orders.recv() => matches!(order, Some(Order::Start)),
        }
    }

    /// Whether there will be another life.
    async fn wait_for_start(&mut self) -> bool {
        self.report.send_modify(|report| {
            report.state = State::Stopped;
            report.pid = None;
        });
        loop {
            match self.orders.recv().await {
                Some(Order::Start) => return true,
                Some(Order::Stop | Order::Kill) => {}
                None => return false,
            }
        }
    }
}

fn in_words(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => describe(status),
        Err(error) => format!("unknown end: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{scratch, script};

    /// A stand-in for the broker, which is ready as soon as something accepts connections at its address.
    fn stand_in(test: &str, body: &str) -> (Process, std::net::TcpListener) {
        let folder = scratch(test);
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = port.local_addr().expect("its address");
        let process = Process {
            name: Name::Kafka,
            program: script(&folder, "kafka", body),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            folder,
            working_folder: None,
            listen,
            reach: listen,
        };
        (process, port)
    }

    /// The shell says so once its trap is set.
    async fn wait_for_trap(supervisor: &Supervisor) {
        let log = supervisor.kept[&Name::Kafka].process.log();
        let set = async {
            while !std::fs::read_to_string(&log).is_ok_and(|log| log.ends_with("trap set\n")) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), set).await.expect("the trap in time");
    }

    async fn wait_until(supervisor: &Supervisor, is: impl Fn(&Report) -> bool) -> Report {
        let mut reports = supervisor.kept[&Name::Kafka].report.clone();
        timeout(Duration::from_secs(20), reports.wait_for(|report| is(report)))
            .await
            .expect("the state in time")
            .expect("a keeper")
            .clone()
    }

    #[tokio::test]
    async fn a_process_that_dies_is_started_again_and_the_report_says_so() {
        let (process, _port) = stand_in("dies", "exit 70");
        let supervisor = Supervisor::start(vec![process]);
        let report = wait_until(&supervisor, |report| report.restarts >= 2).await;
        assert_eq!(report.last_exit.as_deref(), Some("exit code 70 (a task crashed)"));
        supervisor.stop_all().await;
    }

    #[tokio::test]
    async fn a_process_is_stopped_and_started_on_demand() {
        let (process, _port) = stand_in("stops", "trap 'exit 0' TERM; echo trap set; while :; do sleep 0.05; done");
        let supervisor = Supervisor::start(vec![process]);
        assert!(supervisor.ready(&[Name::Kafka]).await);
        wait_for_trap(&supervisor).await;

        supervisor.stop(&[Name::Kafka]).await;
        let report = wait_until(&supervisor, |report| report.state == State::Stopped).await;
        assert_eq!((report.pid, report.restarts), (None, 0));
        assert_eq!(report.last_exit.as_deref(), Some("exit code 0"));

        assert!(supervisor.start_again(&[Name::Kafka]).await);
        supervisor.stop_all().await;
    }

    #[tokio::test]
    async fn a_process_that_ignores_its_stop_is_killed_when_somebody_insists() {
        let (process, _port) = stand_in("ignores", "trap '' TERM; echo trap set; while :; do sleep 0.05; done");
        let supervisor = Supervisor::start(vec![process]);
        assert!(supervisor.ready(&[Name::Kafka]).await);
        wait_for_trap(&supervisor).await;
        supervisor.order(&[Name::Kafka], Order::Stop);
        wait_until(&supervisor, |report| report.state == State::Stopping).await;
        supervisor.kill_all();
        let report = wait_until(&supervisor, |report| report.state == State::Stopped).await;
        assert_eq!(report.last_exit.as_deref(), Some("signal 9 (SIGKILL)"));
    }

    #[tokio::test]
    async fn a_program_that_cannot_be_run_is_reported_and_can_be_given_up() {
        let (mut process, _port) = stand_in("missing", "");
        process.program = "/none".into();
        let supervisor = Supervisor::start(vec![process]);
        let report = wait_until(&supervisor, |report| report.restarts >= 1).await;
        assert!(report.last_exit.is_some_and(|how| how.contains("not started")));
        supervisor.stop_all().await;
    }
}
