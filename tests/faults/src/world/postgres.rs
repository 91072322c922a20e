//! A PostgreSQL server of this world's own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use sqlx::AnyPool;

use super::command::output;
use super::process::{Blueprint, Probe};
use super::{Node, World, WorldError};

const USER: &str = "test";

/// The server refuses to run as root, so root starts it as the user that its package made.
fn as_its_user(program: &Path, arguments: &[String]) -> (PathBuf, Vec<String>) {
    if !geteuid().is_root() {
        return (program.to_owned(), arguments.to_vec());
    }
    let words = ["--reuid=postgres", "--regid=postgres", "--init-groups", "--pdeathsig", "KILL", "--"];
    let words = words.map(str::to_owned).into_iter().chain([program.display().to_string()]);
    (PathBuf::from("setpriv"), words.chain(arguments.iter().cloned()).collect())
}

/// Where Debian keeps the newest of the installed versions.
fn binaries() -> Result<PathBuf, WorldError> {
    let folder = Path::new("/usr/lib/postgresql");
    let entries =
        std::fs::read_dir(folder).map_err(|source| WorldError::io(format!("read {}", folder.display()), source))?;
    let version = |path: &PathBuf| path.file_name().and_then(|name| name.to_string_lossy().parse::<u32>().ok());
    let versions = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let newest = versions.filter(|path| path.join("bin/initdb").exists()).max_by_key(version);
    newest.map(|path| path.join("bin")).ok_or_else(|| WorldError::failed("PostgreSQL is not installed"))
}

pub async fn prepare(folder: &Path, address: SocketAddr, log: PathBuf) -> Result<Blueprint, WorldError> {
    let binaries = binaries()?;
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::set_permissions(folder, open))
        .map_err(|source| WorldError::io(format!("make {}", folder.display()), source))?;
    let data = folder.join("data").display().to_string();
    let words = ["-D", &data, "-A", "trust", "-U", USER, "--no-sync"].map(str::to_owned);
    let (program, arguments) = as_its_user(&binaries.join("initdb"), &words);
    output(program, &arguments).await?;

    let settings = [
        ("port", address.port().to_string()),
        ("listen_addresses", address.ip().to_string()),
        ("unix_socket_directories", folder.display().to_string()),
        ("max_connections", "400".to_owned()),
        // It is killed, but the machine is not: what was written is there afterwards.
        ("fsync", "off".to_owned()),
    ];
    let settings = settings.iter().flat_map(|(key, value)| ["-c".to_owned(), format!("{key}={value}")]);
    let words: Vec<String> = ["-D".to_owned(), data].into_iter().chain(settings).collect();
    let (program, arguments) = as_its_user(&binaries.join("postgres"), &words);
    Ok(Blueprint {
        node: Node::Postgres,
        replica: 0,
        address,
        program,
        arguments,
        environment: BTreeMap::new(),
        working_folder: folder.to_owned(),
        log,
        // Sends everybody away in order; the plain signal would wait until they have gone.
        stop_signal: Signal::SIGINT,
        probe: Probe::Connects,
    })
}

pub fn url(server: SocketAddr, database: Node) -> String {
    format!("postgres://{USER}@{server}/{database}")
}

/// It listens before it answers.
pub async fn until_it_answers(server: SocketAddr) -> Result<(), WorldError> {
    let url = format!("postgres://{USER}@{server}/postgres");
    let mut tries = 0;
    loop {
        match AnyPool::connect(&url).await {
            Ok(pool) => {
                pool.close().await;
                return Ok(());
            }
            Err(error) if tries == 100 => return Err(error.into()),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
        tries += 1;
    }
}

impl World {
    /// Ends every connection that a service has to its database; how many there were.
    pub async fn terminate_connections(&self, of: Node) -> Result<i64, WorldError> {
        let pool = self.database(of).await?;
        let (ended,): (i64,) = sqlx::query_as(
            "SELECT COUNT(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE datname = $1 AND pid <> pg_backend_pid() AND usename = 'test' AND application_name <> 'checker') t",
        )
        .bind(of.name())
        .fetch_one(&pool)
        .await?;
        Ok(ended)
    }
}
