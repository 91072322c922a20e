//! Prometheus beside the fleet: it reads the metrics of every service that runs, and knows the alerts.

use std::{env, ffi::OsStr, fs, io, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path};

use crate::{name::Name, settings::Settings};

/// Looked for in PATH.
pub const PROGRAM: &str = "prometheus";
pub const INSTALL: &str = "apt-get install prometheus";

/// The same rules as in production.
const ALERTS: &str = include_str!("../../docker/observability/alerts.yml");
const SETTINGS_FILE: &str = "prometheus.yml";
const ALERTS_FILE: &str = "alerts.yml";

pub fn is_installed() -> bool {
    env::var_os("PATH").is_some_and(|path| is_in(&path))
}

fn is_in(path: &OsStr) -> bool {
    env::split_paths(path).any(|folder| {
        fs::metadata(folder.join(PROGRAM)).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

pub fn arguments(folder: &Path, listen: SocketAddr) -> Vec<String> {
    vec![
        format!("--config.file={}", folder.join(SETTINGS_FILE).display()),
        format!("--storage.tsdb.path={}", folder.join("series").display()),
        // Enough to look back at, and never the disk that the fleet itself needs.
        "--storage.tsdb.retention.time=2d".to_owned(),
        "--storage.tsdb.retention.size=512MB".to_owned(),
        format!("--web.listen-address={listen}"),
    ]
}

/// Writes what it reads at its start.
pub fn configure(folder: &Path, settings: &Settings) -> io::Result<()> {
    fs::write(folder.join(ALERTS_FILE), ALERTS)?;
    fs::write(folder.join(SETTINGS_FILE), configuration(settings))
}

/// The label `job` is the service's name, as the alerts and the dashboards have it.
fn configuration(settings: &Settings) -> String {
    let mut text = format!(
        "# Written by `fleet up --observe` at every start.\n\
         global: {{scrape_interval: 5s, evaluation_interval: 5s}}\n\
         rule_files: [{ALERTS_FILE}]\n\
         scrape_configs:\n"
    );
    for name in Name::ALL.into_iter().filter(|name| name.is_service() && settings.runs(*name)) {
        let target = settings.reach(name);
        text.push_str(&format!("  - {{job_name: {name}, static_configs: [{{targets: [\"{target}\"]}}]}}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        settings::Options,
        testing::{scratch, script},
    };

    fn settings(options: Options) -> Settings {
        Settings::new(options, Options::default()).expect("settings")
    }

    #[test]
    fn every_service_is_read_under_its_own_name_and_nobody_else() {
        let text = configuration(&settings(Options { observe: Some(true), ..Options::default() }));
        assert_eq!(text.matches("job_name").count(), 7);
        assert!(text.contains("{job_name: diagnosis, static_configs: [{targets: [\"127.0.0.1:8083\"]}]}"), "{text}");
        assert!(!text.contains("kafka"), "{text}");
    }

    #[test]
    fn who_does_not_run_is_not_missed() {
        let text = configuration(&settings(Options { only: Some(vec![Name::Notice]), ..Options::default() }));
        assert_eq!(text.matches("job_name").count(), 1);
        assert!(text.contains("job_name: notice"), "{text}");
    }

    #[test]
    fn settings_and_alerts_are_written_side_by_side() {
        let folder = scratch("observe");
        configure(&folder, &settings(Options::default())).expect("files");
        let written = |file| fs::read_to_string(folder.join(file)).expect("a file");
        assert!(written(SETTINGS_FILE).contains("rule_files: [alerts.yml]"));
        assert!(written(ALERTS_FILE).contains("alert: ServiceDown"));
    }

    #[test]
    fn it_is_installed_where_a_folder_of_the_path_has_a_program_of_its_name() {
        let folder = scratch("installed");
        let path = env::join_paths([Path::new("/none"), &folder]).expect("a path");
        assert!(!is_in(&path));
        fs::write(folder.join(PROGRAM), "no program").expect("a file");
        assert!(!is_in(&path));
        fs::rename(script(&folder, "made", "exit 0"), folder.join(PROGRAM)).expect("a program");
        assert!(is_in(&path));
    }
}
