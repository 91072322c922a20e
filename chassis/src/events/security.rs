//! Who a service is to the broker, and whom it takes for the broker. It is checked when the settings are read,
//! so that `--check-config` finds what would otherwise show as a broker that is never reached.

use std::fs::File;

use rdkafka::ClientConfig;
use serde::Deserialize;

use super::bearer::Bearer;
use crate::Secret;
use crate::client::CredentialsSettings;

/// The section `[kafka.security]`; the meaning of each setting is in `kafka.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Given")]
pub struct Security {
    protocol: Protocol,
    mechanism: Mechanism,
    username: String,
    password: Option<Secret>,
    token_url: String,
    scope: String,
    ca_file: String,
    certificate_file: String,
    key_file: String,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Mechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

/// As the settings say it.
#[derive(Deserialize)]
struct Given {
    protocol: Protocol,
    mechanism: Mechanism,
    username: String,
    password: Secret,
    token_url: String,
    scope: String,
    ca_file: String,
    certificate_file: String,
    key_file: String,
}

impl Protocol {
    fn has_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn has_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }
}

impl TryFrom<Given> for Security {
    type Error = String;

    fn try_from(given: Given) -> Result<Self, String> {
        let protocol = given.protocol;
        let password = Some(given.password).filter(|password| !password.reveal().is_empty());
        let files =
            [("ca_file", &given.ca_file), ("certificate_file", &given.certificate_file), ("key_file", &given.key_file)];
        for (key, path) in files {
            if path.is_empty() {
                continue;
            }
            if !protocol.has_tls() {
                return Err(complaint(
                    key,
                    &format!("means nothing with {}; set protocol to a kind of ssl", protocol.name()),
                ));
            }
            File::open(path).map_err(|error| complaint(key, &format!("names {path}: {error}")))?;
        }
        if given.certificate_file.is_empty() != given.key_file.is_empty() {
            return Err(complaint("key_file", "and certificate_file go together; set both or none"));
        }
        for (key, is_given) in [("username", !given.username.is_empty()), ("password", password.is_some())] {
            if protocol.has_sasl() && !is_given {
                return Err(complaint(key, &format!("is missing, and {} needs it", protocol.name())));
            }
            if !protocol.has_sasl() && is_given {
                return Err(complaint(
                    key,
                    &format!("means nothing with {}; set protocol to a kind of sasl", protocol.name()),
                ));
            }
        }
        let wants_token = protocol.has_sasl() && given.mechanism == Mechanism::OauthBearer;
        if wants_token && given.token_url.is_empty() {
            return Err(complaint("token_url", "is missing, and OAUTHBEARER needs it"));
        }
        for (key, is_given) in [("token_url", !given.token_url.is_empty()), ("scope", !given.scope.is_empty())] {
            if is_given && !wants_token {
                return Err(complaint(key, "means nothing without the mechanism OAUTHBEARER"));
            }
        }
        Ok(Self {
            protocol,
            mechanism: given.mechanism,
            username: given.username,
            password,
            token_url: given.token_url,
            scope: given.scope,
            ca_file: given.ca_file,
            certificate_file: given.certificate_file,
            key_file: given.key_file,
        })
    }
}

fn complaint(key: &str, problem: &str) -> String {
    let key = format!("kafka.security.{key}");
    format!("{key} ({}) {problem}", crate::config::env_name(&key))
}

impl Security {
    /// With OAUTHBEARER, how a token is had.
    pub fn bearer(&self) -> Option<Bearer> {
        let client_secret = self.password.clone().filter(|_| self.mechanism == Mechanism::OauthBearer)?;
        let (token_url, client_id) = (self.token_url.clone(), self.username.clone());
        Some(Bearer::new(CredentialsSettings { token_url, client_id, client_secret }, self.scope.clone()))
    }

    pub fn apply(&self, client: &mut ClientConfig) {
        client.set("security.protocol", self.protocol.name());
        // Only with a kind of sasl is there a password.
        if let Some(password) = &self.password {
            client.set("sasl.mechanism", self.mechanism.name());
            if self.mechanism != Mechanism::OauthBearer {
                client.set("sasl.username", &self.username).set("sasl.password", password.reveal());
            }
        }
        if self.protocol.has_tls() {
            // A broker whose certificate is for another host is none of ours.
            client.set("ssl.endpoint.identification.algorithm", "https");
            client.set("ssl.ca.location", if self.ca_file.is_empty() { "probe" } else { &self.ca_file });
        }
        if !self.key_file.is_empty() {
            client.set("ssl.certificate.location", &self.certificate_file).set("ssl.key.location", &self.key_file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::About;
    use crate::config::{Kafka, Settings, documented};

    const TEST: About = About {
        name: "test",
        version: "1",
        summary: "",
        port: 8080,
        defaults: "[kafka]\nbrokers = \"\"\ntopic = \"\"\npartitions = 1\nreplication = 1\ngroup = \"\"\n",
    };

    #[derive(Debug, Deserialize)]
    struct Config {
        kafka: Kafka,
    }

    fn client(environment: &[(&str, &str)]) -> Result<ClientConfig, String> {
        let environment = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, v)| (*v).to_owned());
        let settings = Settings::load(TEST, None, &[], environment).map_err(|error| error.to_string())?;
        let config: Config = settings.typed().map_err(|error| error.to_string())?;
        let mut client = ClientConfig::new();
        config.kafka.security.apply(&mut client);
        Ok(client)
    }

    #[test]
    fn only_a_service_that_speaks_to_the_broker_has_the_settings() {
        assert!(documented(TEST).contains("[kafka.security]"));
        assert!(!documented(About { defaults: "", ..TEST }).contains("[kafka.security]"));
    }

    #[test]
    fn without_a_word_about_it_the_broker_is_reached_in_plaintext() {
        let client = client(&[]).unwrap();
        assert_eq!(client.get("security.protocol"), Some("plaintext"));
        assert_eq!(client.get("sasl.mechanism"), None);
    }

    #[test]
    fn a_name_and_a_password_over_tls_reach_the_client_and_the_library_takes_them() {
        let password = std::env::temp_dir().join(format!("kafka-password-{}", std::process::id()));
        std::fs::write(&password, "hunter2\n").unwrap();
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let client = client(&[
                ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
                ("KAFKA_SECURITY_MECHANISM", mechanism),
                ("KAFKA_SECURITY_USERNAME", "reservation"),
                ("KAFKA_SECURITY_PASSWORD_FILE", password.to_str().unwrap()),
            ])
            .unwrap();
            assert_eq!(client.get("sasl.mechanism"), Some(mechanism));
            assert_eq!(client.get("sasl.password"), Some("hunter2"));
            assert_eq!(client.get("ssl.endpoint.identification.algorithm"), Some("https"));
            client.create::<rdkafka::producer::BaseProducer>().unwrap();
        }
        std::fs::remove_file(password).unwrap();
    }

    #[test]
    fn what_cannot_be_together_is_refused_by_the_name_of_its_variable() {
        let refused = |environment: &[(&str, &str)], variable: &str| {
            let error = client(environment).unwrap_err();
            assert!(error.contains(&format!("({variable})")), "{error}");
        };
        let tls = ("KAFKA_SECURITY_PROTOCOL", "ssl");
        refused(&[("KAFKA_SECURITY_PROTOCOL", "sasl_ssl")], "KAFKA_SECURITY_USERNAME");
        refused(
            &[("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"), ("KAFKA_SECURITY_USERNAME", "a")],
            "KAFKA_SECURITY_PASSWORD",
        );
        refused(&[tls, ("KAFKA_SECURITY_PASSWORD", "a")], "KAFKA_SECURITY_PASSWORD");
        refused(&[tls, ("KAFKA_SECURITY_CA_FILE", "/nowhere/ca.pem")], "KAFKA_SECURITY_CA_FILE");
        refused(&[tls, ("KAFKA_SECURITY_CERTIFICATE_FILE", "/dev/null")], "KAFKA_SECURITY_KEY_FILE");
        refused(&[("KAFKA_SECURITY_CA_FILE", "/dev/null")], "KAFKA_SECURITY_CA_FILE");
        refused(&[("KAFKA_SECURITY_SCOPE", "a")], "KAFKA_SECURITY_SCOPE");
        let mut bearer = vec![
            ("KAFKA_SECURITY_PROTOCOL", "sasl_plaintext"),
            ("KAFKA_SECURITY_MECHANISM", "OAUTHBEARER"),
            ("KAFKA_SECURITY_USERNAME", "a"),
            ("KAFKA_SECURITY_PASSWORD", "b"),
        ];
        refused(&bearer, "KAFKA_SECURITY_TOKEN_URL");
        bearer.push(("KAFKA_SECURITY_TOKEN_URL", "http://localhost/oauth/token"));
        assert_eq!(client(&bearer).unwrap().get("sasl.password"), None);
    }
}
