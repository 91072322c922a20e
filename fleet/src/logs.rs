//! The services' logs on the terminal.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use crate::{name::Name, plan::log_file};

const TAIL_LINES: usize = 50;
/// Enough for the last lines of any log.
const TAIL_BYTES: u64 = 64 * 1024;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    #[error("cannot read {}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("there are no logs in {} yet", .0.display())]
    None(PathBuf),
    #[error("cannot write to the terminal")]
    Write(#[from] io::Error),
}

/// One log that is read on from where the last look ended.
struct Reader {
    file: PathBuf,
    prefix: String,
    position: u64,
    /// The beginning of a line whose end is not written yet.
    rest: Vec<u8>,
}

pub async fn show(data: &Path, service: Option<Name>, follow: bool) -> Result<(), LogsError> {
    let names: Vec<Name> = match service {
        Some(name) => vec![name],
        None => Name::ALL.to_vec(),
    };
    let mut readers: Vec<Reader> = names
        .iter()
        .map(|name| Reader {
            file: log_file(&data.join(name.as_str()), *name),
            prefix: match service {
                Some(_) => String::new(),
                None => format!("{name:<12} "),
            },
            position: 0,
            rest: Vec::new(),
        })
        .collect();
    if !follow && !readers.iter().any(|reader| reader.file.exists()) {
        return Err(LogsError::None(data.to_owned()));
    }
    let mut out = io::stdout();
    for reader in &mut readers {
        let lines = reader.tail()?;
        let last = lines.len().saturating_sub(TAIL_LINES);
        reader.print(&lines[last..], &mut out)?;
    }
    if !follow {
        return Ok(());
    }
    loop {
        sleep(LOOK_AGAIN).await;
        for reader in &mut readers {
            let lines = reader.lines()?;
            reader.print(&lines, &mut out)?;
        }
    }
}

impl Reader {
    /// The last lines, without reading what comes long before them.
    fn tail(&mut self) -> Result<Vec<String>, LogsError> {
        let length = self.file.metadata().map(|log| log.len()).unwrap_or(0);
        self.position = length.saturating_sub(TAIL_BYTES);
        let cut = self.position > 0;
        let lines = self.lines()?;
        Ok(lines.into_iter().skip(usize::from(cut)).collect())
    }

    /// The whole lines written since the last look; a log that became shorter is a new one.
    fn lines(&mut self) -> Result<Vec<String>, LogsError> {
        let failed = |source| LogsError::Read { file: self.file.clone(), source };
        let mut log = match File::open(&self.file) {
            Ok(log) => log,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        if log.metadata().map_err(failed)?.len() < self.position {
            self.position = 0;
            self.rest.clear();
        }
        log.seek(SeekFrom::Start(self.position)).map_err(failed)?;
        self.position += log.read_to_end(&mut self.rest).map_err(failed)? as u64;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let text = String::from_utf8_lossy(&whole);
        Ok(text.lines().map(str::to_owned).collect())
    }

    fn print(&self, lines: &[String], out: &mut impl Write) -> io::Result<()> {
        for line in lines {
            writeln!(out, "{}{line}", self.prefix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::scratch;

    #[test]
    fn a_log_is_read_on_line_by_line_and_from_the_start_when_it_was_put_aside() {
        let file = scratch("logs").join("notice.log");
        let mut reader = Reader { file: file.clone(), prefix: String::new(), position: 0, rest: Vec::new() };
        assert_eq!(reader.lines().expect("no log yet"), [""; 0]);
        fs::write(&file, "one\ntwo\nthr").expect("a log");
        assert_eq!(reader.lines().expect("lines"), ["one", "two"]);
        fs::write(&file, "one\ntwo\nthree\n").expect("a log");
        assert_eq!(reader.lines().expect("lines"), ["three"]);
        fs::write(&file, "new\n").expect("a log");
        assert_eq!(reader.lines().expect("lines"), ["new"]);
    }
}
