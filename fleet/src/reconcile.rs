//! Compares the services of the running fleet: `reconcile`, with their addresses and an operator's token filled in.

use std::{convert::Infallible, io, os::unix::process::CommandExt, path::Path, process::Command};

use crate::{
    cli::Person,
    name::Name,
    status::Status,
    token::{self, TokenError},
};

const SERVICES: [(&str, Name); 5] = [
    ("SERVICES_RESERVATION", Name::Reservation),
    ("SERVICES_DIAGNOSIS", Name::Diagnosis),
    ("SERVICES_ACCEPTANCE", Name::Acceptance),
    ("SERVICES_NOTICE", Name::Notice),
    ("SERVICES_LOOKUP", Name::Lookup),
];

#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("{0} is no part of the running fleet")]
    Missing(Name),
    #[error("there is no token to ask with")]
    Token(#[from] TokenError),
    #[error("{0} is no address")]
    Address(String, #[source] std::net::AddrParseError),
    #[error("reconcile cannot be run")]
    Run(#[from] io::Error),
}

pub struct Wanted {
    pub settle: Option<String>,
    pub since: Option<i64>,
    pub json: bool,
}

/// This process becomes `reconcile`, so that its exit code is the answer.
pub async fn become_it(data: &Path, status: &Status, wanted: Wanted) -> Result<Infallible, ReconcileError> {
    let launcher = std::env::current_exe()?;
    let mut command = Command::new(launcher.with_file_name("reconcile"));
    for (variable, name) in SERVICES {
        let row = status.services.iter().find(|row| row.service == name).ok_or(ReconcileError::Missing(name))?;
        command.env(variable, format!("http://{}", row.address));
    }
    if !status.open {
        let oauth = status.oauth.parse().map_err(|error| ReconcileError::Address(status.oauth.clone(), error))?;
        command.env("ACCESS_TOKEN", token::token(data, oauth, Person::Admin).await?);
    }
    if let Some(settle) = wanted.settle {
        command.args(["--settle", &settle]);
    }
    if let Some(since) = wanted.since {
        command.args(["--since", &since.to_string()]);
    }
    if wanted.json {
        command.arg("--json");
    }
    Err(command.exec().into())
}
