//! Commands to the running fleet, over a socket in its data folder: one line of JSON each way.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use crate::{name::Name, status::Status};

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub enum Request {
    Status,
    Stop { services: Vec<Name> },
    Start { services: Vec<Name> },
    Restart { services: Vec<Name> },
    Down,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reply {
    Status(Status),
    Error(String),
}

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("no fleet is running on {}; `fleet up` starts one", .0.display())]
    NotRunning(PathBuf),
    #[error("the fleet does not answer")]
    Broken(#[from] io::Error),
    #[error("the fleet's answer cannot be read")]
    Unreadable(#[from] serde_json::Error),
    #[error("{0}")]
    Refused(String),
}

fn socket(data: &Path) -> PathBuf {
    data.join("fleet.sock")
}

/// Asks the fleet that runs on this folder; the answer comes when the work is done.
pub async fn ask(data: &Path, request: &Request) -> Result<Status, ControlError> {
    let mut stream = UnixStream::connect(socket(data)).await.map_err(|_| ControlError::NotRunning(data.to_owned()))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).await?;
    match serde_json::from_str(&answer)? {
        Reply::Status(status) => Ok(status),
        Reply::Error(reason) => Err(ControlError::Refused(reason)),
    }
}

/// The socket, gone with the fleet. Only who holds the folder's lock may make it.
pub struct Control {
    listener: UnixListener,
    file: PathBuf,
}

impl Control {
    pub fn listen(data: &Path) -> io::Result<Self> {
        let file = socket(data);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&file)?;
        Ok(Self { listener, file })
    }

    pub async fn accept(&self) -> io::Result<Caller> {
        let (stream, _) = self.listener.accept().await?;
        Ok(Caller(BufReader::new(stream)))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // What cannot be removed is replaced by the next fleet.
        let _ = fs::remove_file(&self.file);
    }
}

pub struct Caller(BufReader<UnixStream>);

impl Caller {
    pub async fn request(&mut self) -> io::Result<Request> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        Ok(serde_json::from_str(&line)?)
    }

    pub async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_string(reply)?;
        line.push('\n');
        self.0.write_all(line.as_bytes()).await
    }
}
