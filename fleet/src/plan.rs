//! What to run, with which arguments and environment.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use crate::{credentials::Client, name::Name, observe, settings::Settings};

/// One process of the fleet, ready to be started any number of times.
#[derive(Clone, Debug)]
pub struct Process {
    pub name: Name,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: BTreeMap<&'static str, String>,
    /// Its database, log and process id.
    pub folder: PathBuf,
    /// Where it works; none: where the fleet was started.
    pub working_folder: Option<PathBuf>,
    pub listen: SocketAddr,
    pub reach: SocketAddr,
}

impl Process {
    pub fn log(&self) -> PathBuf {
        log_file(&self.folder, self.name)
    }
}

pub fn log_file(folder: &Path, name: Name) -> PathBuf {
    folder.join(format!("{name}.log"))
}

/// Variables the fleet proposes but the user's own environment decides.
const PROPOSED: [(&str, &str); 2] = [
    ("LOG_FORMAT", "text"),
    // glibc otherwise keeps a heap for each thread.
    ("MALLOC_ARENA_MAX", "2"),
];
/// And with the embedded broker. One consumer a service: more partitions would only mean more requests to it.
const PROPOSED_EMBEDDED: [(&str, &str); 1] = [("KAFKA_PARTITIONS", "1")];

pub struct Planner<'a> {
    pub settings: &'a Settings,
    /// Absolute.
    pub data: &'a Path,
    /// Where the services' binaries are.
    pub binaries: &'a Path,
    pub launcher: &'a Path,
    /// What reservation shows to diagnosis.
    pub client: Option<&'a Client>,
}

impl Planner<'_> {
    pub fn processes(&self) -> Vec<Process> {
        Name::ALL.into_iter().filter(|name| self.settings.runs(*name)).map(|name| self.process(name)).collect()
    }

    fn process(&self, name: Name) -> Process {
        let settings = self.settings;
        let folder = self.data.join(name.as_str());
        let listen = settings.listen(name);
        let reach = settings.reach(name);
        let mut process = Process {
            name,
            program: self.binaries.join(name.as_str()),
            arguments: Vec::new(),
            environment: self.environment(name),
            working_folder: None,
            folder,
            listen,
            reach,
        };
        match name {
            Name::Kafka => {
                process.program = self.launcher.to_owned();
                process.arguments = ["broker", "--listen", &listen.to_string()]
                    .into_iter()
                    .chain(["--advertise", &reach.to_string()])
                    .map(str::to_owned)
                    .collect();
                process.working_folder = Some(process.folder.clone());
            }
            Name::Prometheus => {
                process.program = observe::PROGRAM.into();
                process.arguments = observe::arguments(&process.folder, listen);
            }
            _ => {}
        }
        process
    }

    fn environment(&self, name: Name) -> BTreeMap<&'static str, String> {
        let settings = self.settings;
        let embedded = PROPOSED_EMBEDDED.into_iter().filter(|_| settings.kafka.is_none());
        let mut environment: BTreeMap<_, _> = PROPOSED
            .into_iter()
            .chain(embedded)
            .filter(|(key, _)| std::env::var_os(key).is_none())
            .map(|(key, value)| (key, value.to_owned()))
            .collect();
        if !name.is_service() {
            return environment;
        }
        let issuer = settings.url(Name::Oauth);
        let mode = if settings.open { "open" } else { "token" };
        environment.insert("HTTP_HOST", settings.host.to_string());
        environment.insert("HTTP_PORT", settings.ports[&name].to_string());
        environment.insert("AUTH_MODE", mode.to_owned());
        environment.insert("AUTH_JWKS_URL", format!("{issuer}/.well-known/jwks.json"));
        environment.insert("AUTH_ISSUER", issuer.clone());
        let kafka = settings.reach(Name::Kafka).to_string();
        let brokers = settings.kafka.clone().unwrap_or(kafka);
        environment.insert("KAFKA_BROKERS", brokers);
        if name.has_database() {
            environment.insert("DATABASE_URL", self.database(name));
        }
        match name {
            Name::Reservation => {
                environment.insert("DIAGNOSIS_URL", settings.url(Name::Diagnosis));
                if let Some(client) = self.client {
                    environment.insert("CREDENTIALS_TOKEN_URL", format!("{issuer}/oauth/token"));
                    environment.insert("CREDENTIALS_CLIENT_ID", client.id.clone());
                    environment.insert("CREDENTIALS_CLIENT_SECRET", client.secret.clone());
                }
            }
            Name::Diagnosis => {
                if let Some(range) = &settings.simulated_treatment {
                    environment.insert("TREATMENT_SIMULATED_TIME", range.clone());
                }
            }
            Name::Oauth => {
                environment.insert("ISSUER_URL", issuer);
                // How the fleet's people get their tokens at a command line.
                environment.insert("GRANTS_PASSWORD", "true".to_owned());
                let users = users_file(self.data);
                environment.insert("USERS_FILE", users.display().to_string());
            }
            Name::Gateway => {
                for (key, upstream) in UPSTREAMS {
                    environment.insert(key, settings.url(upstream));
                }
            }
            Name::Acceptance | Name::Notice | Name::Lookup | Name::Kafka | Name::Prometheus => {}
        }
        environment
    }

    fn database(&self, name: Name) -> String {
        match &self.settings.postgres {
            Some(server) => database_on(server, name.as_str()),
            None => {
                let file = self.data.join(name.as_str()).join(format!("{name}.db"));
                format!("sqlite:{}", file.display())
            }
        }
    }
}

const UPSTREAMS: [(&str, Name); 6] = [
    ("UPSTREAMS_RESERVATION", Name::Reservation),
    ("UPSTREAMS_DIAGNOSIS", Name::Diagnosis),
    ("UPSTREAMS_ACCEPTANCE", Name::Acceptance),
    ("UPSTREAMS_NOTICE", Name::Notice),
    ("UPSTREAMS_LOOKUP", Name::Lookup),
    ("UPSTREAMS_OAUTH", Name::Oauth),
];

pub fn users_file(data: &Path) -> PathBuf {
    data.join("oauth").join("users.toml")
}

/// The server's URL with the database's name as its path; what follows a `?` stays.
fn database_on(server: &str, database: &str) -> String {
    let (server, query) = match server.split_once('?') {
        Some((server, query)) => (server, format!("?{query}")),
        None => (server, String::new()),
    };
    format!("{}/{database}{query}", server.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Options;

    fn plan(options: Options) -> Vec<Process> {
        let settings = Settings::new(options, Options::default()).expect("settings");
        let client = Client { id: "reservation".to_owned(), secret: "s3cret".to_owned() };
        Planner {
            settings: &settings,
            data: Path::new("/d"),
            binaries: Path::new("/b"),
            launcher: Path::new("/b/fleet"),
            client: Some(&client),
        }
        .processes()
    }

    fn named(plan: &[Process], name: Name) -> &Process {
        plan.iter().find(|process| process.name == name).expect("a process of that name")
    }

    #[test]
    fn every_process_has_a_folder_and_an_address_of_its_own() {
        let plan = plan(Options::default());
        assert_eq!(plan.len(), 8);
        let folders: std::collections::BTreeSet<_> = plan.iter().map(|p| &p.folder).collect();
        let addresses: std::collections::BTreeSet<_> = plan.iter().map(|p| p.listen).collect();
        assert_eq!((folders.len(), addresses.len()), (8, 8));
    }

    #[test]
    fn only_reservation_is_given_the_secret() {
        for process in plan(Options::default()) {
            let told = process.environment.values().any(|value| value == "s3cret");
            assert_eq!(told, process.name == Name::Reservation, "{}", process.name);
        }
    }

    #[test]
    fn services_find_each_other_at_home_when_they_listen_everywhere() {
        let plan = plan(Options { host: Some("0.0.0.0".parse().expect("an address")), ..Options::default() });
        let reservation = &named(&plan, Name::Reservation).environment;
        assert_eq!(reservation["HTTP_HOST"], "0.0.0.0");
        assert_eq!(reservation["DIAGNOSIS_URL"], "http://127.0.0.1:8083");
        assert_eq!(reservation["KAFKA_BROKERS"], "127.0.0.1:9092");
        assert_eq!(reservation["KAFKA_PARTITIONS"], "1");
    }

    #[test]
    fn each_service_has_its_own_database_on_a_server() {
        let plan = plan(Options {
            postgres: Some("postgres://u:p@h:5432/?sslmode=require".to_owned()),
            kafka: Some("broker:9092".to_owned()),
            ..Options::default()
        });
        let lookup = &named(&plan, Name::Lookup).environment;
        assert_eq!(lookup["DATABASE_URL"], "postgres://u:p@h:5432/lookup?sslmode=require");
        assert_eq!(lookup["KAFKA_BROKERS"], "broker:9092");
        assert!(!lookup.contains_key("KAFKA_PARTITIONS"));
        assert!(!plan.iter().any(|process| process.name == Name::Kafka));
    }

    #[test]
    fn the_broker_works_in_its_folder_because_its_storage_is_named_relative_to_it() {
        let plan = plan(Options::default());
        let kafka = named(&plan, Name::Kafka);
        assert_eq!(kafka.working_folder.as_deref(), Some(Path::new("/d/kafka")));
        assert_eq!(kafka.program, Path::new("/b/fleet"));
        assert!(kafka.arguments.contains(&"127.0.0.1:9092".to_owned()));
    }

    #[test]
    fn prometheus_is_a_program_of_this_machine_and_keeps_everything_in_its_folder() {
        assert!(!plan(Options::default()).iter().any(|process| process.name == Name::Prometheus));
        let plan = plan(Options { observe: Some(true), prometheus_port: Some(7), ..Options::default() });
        let prometheus = named(&plan, Name::Prometheus);
        assert_eq!(prometheus.program, Path::new("prometheus"));
        assert!(prometheus.arguments.contains(&"--config.file=/d/prometheus/prometheus.yml".to_owned()));
        assert!(prometheus.arguments.contains(&"--storage.tsdb.path=/d/prometheus/series".to_owned()));
        assert!(prometheus.arguments.contains(&"--web.listen-address=127.0.0.1:7".to_owned()));
    }
}
