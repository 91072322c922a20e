//! What each command does.

use std::{
    error::Error,
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

use crate::{
    broker::{self, BrokerError},
    cli::{Cli, Command, Person},
    control::{self, ControlError, Request},
    demo,
    folder::{Folder, FolderError},
    logs, reconcile,
    settings::{File, Settings, SettingsError},
    status::Status,
    table, token,
    up::{self, UpError},
};

pub const DEFAULT_DATA: &str = "data";

/// Why a command failed, and the exit code that says so.
pub struct Failure {
    pub error: Box<dyn Error>,
    pub code: u8,
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        let error: Box<dyn Error> = Box::new(error);
        let could_not_start = error.is::<UpError>() || error.is::<FolderError>();
        let code = match () {
            () if error.is::<SettingsError>() || is_bad_setting(&*error) => 78,
            () if could_not_start || is_listen(&*error) => 69,
            () if error.is::<BrokerError>() => 70,
            () => 1,
        };
        Self { error, code }
    }
}

fn is_bad_setting(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(UpError::BadSetting(_)))
}

fn is_listen(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(BrokerError::Listen { .. }))
}

pub async fn run(cli: Cli) -> Result<(), Failure> {
    let file = File::read(cli.config.as_deref())?;
    let data = cli.data.or(file.data).unwrap_or(DEFAULT_DATA.into());
    match cli.command {
        Command::Up(options) => {
            up::run(&data, Settings::new(*options, file.options)?).await?;
        }
        Command::Status { json } => status(&data, json).await?,
        Command::Stop { services } => show(&data, Request::Stop { services }).await?,
        Command::Start { services } => show(&data, Request::Start { services }).await?,
        Command::Restart { services } => show(&data, Request::Restart { services }).await?,
        Command::Logs { follow, service } => logs::show(&data, service, follow).await?,
        Command::Token { who } => print_token(&data, who).await?,
        Command::Demo => demo::play(&data, control::ask(&data, &Request::Status).await?).await?,
        Command::Reconcile { settle, since, json } => {
            let status = control::ask(&data, &Request::Status).await?;
            reconcile::become_it(&data, &status, reconcile::Wanted { settle, since, json }).await?;
        }
        Command::Down => down(&data).await?,
        Command::Reset { yes } => reset(data, yes)?,
        Command::Broker { listen, advertise } => broker::run(listen, advertise).await?,
    }
    Ok(())
}

async fn status(data: &Path, json: bool) -> Result<(), Failure> {
    let status = control::ask(data, &Request::Status).await?;
    match json {
        true => println!("{}", serde_json::to_string_pretty(&status)?),
        false => println!("{}", table::of_status(&status)),
    }
    Ok(())
}

async fn show(data: &Path, request: Request) -> Result<(), ControlError> {
    let status = control::ask(data, &request).await?;
    println!("{}", table::of_status(&status));
    Ok(())
}

async fn print_token(data: &Path, who: Person) -> Result<(), Failure> {
    let Status { oauth, .. } = control::ask(data, &Request::Status).await?;
    println!("{}", token::token(data, oauth.parse()?, who).await?);
    Ok(())
}

/// Stops the running fleet, or what is left of one that was killed.
async fn down(data: &Path) -> Result<(), Failure> {
    let not_running = match control::ask(data, &Request::Down).await {
        Ok(_) => {
            println!("stopped");
            return Ok(());
        }
        Err(error @ ControlError::NotRunning(_)) if data.exists() => error,
        Err(error) => return Err(error.into()),
    };
    let left = Folder::take(data)?.stop_leftovers()?;
    if left.is_empty() {
        return Err(not_running.into());
    }
    for (name, pid) in left {
        println!("stopped {name} (pid {pid}), left behind by a fleet that was killed");
    }
    Ok(())
}

fn reset(data: PathBuf, yes: bool) -> Result<(), Failure> {
    if !data.exists() {
        println!("there is nothing in {}", data.display());
        return Ok(());
    }
    let folder = Folder::take(&data)?;
    if !yes && !confirmed(&folder.path)? {
        println!("nothing was deleted");
        return Ok(());
    }
    folder.stop_leftovers()?;
    folder.empty()?;
    println!("{} is empty", folder.path.display());
    Ok(())
}

fn confirmed(folder: &Path) -> io::Result<bool> {
    print!("delete all reservations, users and logs in {}? [y/N] ", folder.display());
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
