//! `fleet up`: from an empty folder to a running fleet, and down again.

use std::{
    io,
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::LocalSet,
};

use crate::{
    cli::Person,
    commands::DEFAULT_DATA,
    control::{Caller, Control, Reply, Request},
    credentials::{self, Credentials, CredentialsError},
    folder::{Folder, FolderError},
    name::Name,
    observe,
    plan::{Planner, Process},
    ports::{self, PortError},
    process,
    settings::Settings,
    status::Status,
    supervisor::Supervisor,
    table, token,
};

#[derive(Debug, thiserror::Error)]
pub enum UpError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("there is no {}; build it with: cargo build --release --workspace", .0.display())]
    Missing(PathBuf),
    #[error("--observe needs Prometheus, and there is no {} in PATH; type: {}", observe::PROGRAM, observe::INSTALL)]
    NoPrometheus,
    #[error("cannot write Prometheus's settings into {}", folder.display())]
    Observe { folder: PathBuf, source: io::Error },
    #[error("{0}")]
    BadSetting(String),
    #[error("cannot wait for signals or commands")]
    Io(#[from] io::Error),
}

pub async fn run(data: &Path, settings: Settings) -> Result<(), UpError> {
    let started = Instant::now();
    let folder = Folder::take(data)?;
    for (name, pid) in folder.stop_leftovers()? {
        println!("stopped {name} (pid {pid}), left behind by a fleet that was killed");
    }
    let (processes, first_start) = prepare(&folder, &settings)?;
    let control = Control::listen(&folder.path)?;
    let mut signals = Signals::new()?;
    let fleet = Rc::new(Fleet { supervisor: Supervisor::start(processes), settings });

    let names = fleet.supervisor.all();
    let ready = tokio::select! {
        ready = fleet.supervisor.ready(&names) => Some(ready),
        () = signals.next() => None,
    };
    if let Some(ready) = ready {
        println!("{}\n", table::of_status(&fleet.status()));
        if first_start {
            introduce(&folder.path)?;
        }
        if ready {
            println!("ready in {:.1} s\n", started.elapsed().as_secs_f32());
            suggest(&folder.path, &fleet.settings).await;
            if fleet.settings.runs(Name::Prometheus) {
                println!("Prometheus, with the alerts: {}\n", fleet.settings.url(Name::Prometheus));
            }
            hint(data);
        } else {
            println!("not everything is ready; `fleet logs` tells more\n");
        }
        LocalSet::new().run_until(serve(&control, &mut signals, &fleet)).await?;
    }
    println!("stopping; Ctrl-C again to kill");
    tokio::select! {
        () = fleet.supervisor.stop_all() => {}
        () = signals.next() => {
            fleet.supervisor.kill_all();
            fleet.supervisor.stop_all().await;
        }
    }
    println!("stopped");
    Ok(())
}

/// Everything that can go wrong before the first process starts.
fn prepare(folder: &Folder, settings: &Settings) -> Result<(Vec<Process>, bool), UpError> {
    let launcher = std::env::current_exe()?;
    let binaries = launcher.parent().unwrap_or(Path::new("."));
    let mut planner = Planner { settings, data: &folder.path, binaries, launcher: &launcher, client: None };
    let planned = planner.processes();
    let mut ours = planned.iter().filter(|process| process.name != Name::Prometheus);
    if let Some(missing) = ours.find(|process| !process.program.exists()) {
        return Err(UpError::Missing(missing.program.clone()));
    }
    if settings.runs(Name::Prometheus) && !observe::is_installed() {
        return Err(UpError::NoPrometheus);
    }
    ports::check(&planned)?;
    folder.prepare(planned.iter().map(|process| process.name))?;
    if let Some(process) = planned.iter().find(|process| process.name == Name::Prometheus) {
        let failed = |source| UpError::Observe { folder: process.folder.clone(), source };
        observe::configure(&process.folder, settings).map_err(failed)?;
    }
    process::check_settings(&planned)?.map_err(UpError::BadSetting)?;
    if !settings.runs(Name::Oauth) {
        return Ok((planned, false));
    }
    let oauth = binaries.join(Name::Oauth.as_str());
    let (credentials, new) = Credentials::read_or_make(&folder.path, &oauth)?;
    planner.client = Some(&credentials.client);
    Ok((planner.processes(), new))
}

struct Fleet {
    supervisor: Supervisor,
    settings: Settings,
}

impl Fleet {
    fn status(&self) -> Status {
        Status::of(&self.supervisor, &self.settings)
    }

    async fn act(&self, request: &Request) -> Reply {
        let (Request::Stop { services } | Request::Start { services } | Request::Restart { services }) = request else {
            return Reply::Status(self.status());
        };
        if let Some(name) = services.iter().find(|name| !self.supervisor.runs(**name)) {
            return Reply::Error(format!("{name} is not part of this fleet"));
        }
        if !matches!(request, Request::Start { .. }) {
            self.supervisor.stop(services).await;
        }
        if !matches!(request, Request::Stop { .. }) && !self.supervisor.start_again(services).await {
            return Reply::Error("not ready in time; `fleet status` and `fleet logs` tell more".to_owned());
        }
        Reply::Status(self.status())
    }
}

/// Answers commands until a signal or `fleet down` ends the fleet.
async fn serve(control: &Control, signals: &mut Signals, fleet: &Rc<Fleet>) -> io::Result<()> {
    let (down, mut told_down) = mpsc::channel(1);
    loop {
        tokio::select! {
            caller = control.accept() => {
                // Each in a task of its own: a slow stop must not keep others from asking.
                let (caller, fleet, down) = (caller?, Rc::clone(fleet), down.clone());
                tokio::task::spawn_local(async move {
                    if let Err(error) = answer(caller, &fleet, down).await {
                        println!("a command could not be answered: {error}");
                    }
                });
            }
            () = signals.next() => return Ok(()),
            _ = told_down.recv() => return Ok(()),
        }
    }
}

async fn answer(mut caller: Caller, fleet: &Fleet, down: mpsc::Sender<()>) -> io::Result<()> {
    let request = caller.request().await?;
    if matches!(request, Request::Down) {
        fleet.supervisor.stop_all().await;
        caller.reply(&Reply::Status(fleet.status())).await?;
        // Full or closed: somebody else has said so already.
        let _ = down.try_send(());
        return Ok(());
    }
    let reply = fleet.act(&request).await;
    caller.reply(&reply).await
}

/// Ctrl-C and SIGTERM mean the same.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The users that were made just now.
fn introduce(data: &Path) -> Result<(), CredentialsError> {
    println!("users of this fleet, kept in {}:", credentials::file(data).display());
    for user in Credentials::read(data)?.users.values() {
        println!("  {:<10} {}", user.name, user.password);
    }
    println!();
    Ok(())
}

/// Three commands to try, with the token they need.
async fn suggest(data: &Path, settings: &Settings) {
    if !settings.runs(Name::Gateway) {
        return;
    }
    let mut authorization = String::new();
    if !settings.open {
        match token::token(data, settings.reach(Name::Oauth), Person::Customer).await {
            Ok(token) => authorization = format!(" -H 'Authorization: Bearer {token}'"),
            Err(error) => println!("no token to try with: {error}"),
        }
    }
    let gateway = settings.url(Name::Gateway);
    let visit = r#"{"reservatorName":"Jackson","reservationDate":"2020-04-30","phoneNumber":"010-1234-5678"}"#;
    println!("try:");
    println!("  curl{authorization} -H 'Content-Type: application/json' {gateway}/reservations -d '{visit}'\n");
    println!("  curl{authorization} {gateway}/reservationStats\n");
    println!("  curl{authorization} {gateway}/notices\n");
}

/// How to command it from elsewhere, as one would type it here.
fn hint(data: &Path) {
    let program = std::env::args().next().unwrap_or_else(|| "fleet".to_owned());
    let folder = if data == Path::new(DEFAULT_DATA) { String::new() } else { format!(" --data {}", data.display()) };
    println!("Ctrl-C stops everything. In another terminal: {program} status{folder}, {program} demo{folder}, …");
}
