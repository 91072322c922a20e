//! An authorization server in a test: its users and clients, its clock, and requests to it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::Method;
use chassis::auth::{Claims, Verifier};
use chassis::config::{Auth, AuthMode, Settings};
use chassis::http::server::Service;
use chassis::testing::{Rig, TestAnswer, TestRequest, databases, request, sqlite};
use chassis::{Clock, Db};
use jiff::Timestamp;
use oauth::config::Config;
use oauth::secrets::digest_of;
use oauth::{ABOUT, App, http, store};

/// The password of every user here, and its hash at the least cost.
pub const PASSWORD: &str = "password";
pub const PASSWORD_HASH: &str = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
/// The secret of every client here that has one.
pub const SECRET: &str = "a+secret:with&signs=";

pub struct Oauth {
    pub app: App,
    pub clock: Clock,
    pub file: PathBuf,
    pub service: Service,
}

impl Oauth {
    pub async fn start() -> Self {
        Self::on(sqlite(store::MIGRATIONS).await, &[]).await
    }

    pub async fn with(overrides: &[(&str, &str)]) -> Self {
        Self::on(sqlite(store::MIGRATIONS).await, overrides).await
    }

    /// One server for each kind of database.
    pub async fn on_each_database() -> Vec<Self> {
        let mut all = Vec::new();
        for db in databases(store::MIGRATIONS).await {
            all.push(Self::on(db, &[]).await);
        }
        all
    }

    pub async fn on(db: Db, overrides: &[(&str, &str)]) -> Self {
        // Long ago: not-before is checked by the system's clock, and this one is moved on.
        let clock = Clock::fixed(Timestamp::now() - Duration::from_secs(90 * 24 * 3600));
        Self::at(db, overrides, clock).await
    }

    pub async fn at(db: Db, overrides: &[(&str, &str)], clock: Clock) -> Self {
        let file = users_file();
        let mut rig = Rig::new(ABOUT);
        rig.chassis.clock = clock.clone();
        let app = App::open(config(&file, overrides), &rig.chassis, db).await.unwrap();
        let service = rig.serve(http::router(app.clone()));
        Self { app, clock, file, service }
    }

    pub fn post(&self, path: &str) -> TestRequest {
        request(&self.service, Method::POST, path)
    }

    pub async fn get(&self, path: &str) -> TestAnswer {
        request(&self.service, Method::GET, path).send().await
    }

    pub async fn token(&self, form: &[(&str, &str)]) -> TestAnswer {
        token_request(&self.service, form).send().await
    }

    pub async fn log_in(&self, name: &str) -> TestAnswer {
        self.guess(name, PASSWORD).await
    }

    pub async fn guess(&self, name: &str, password: &str) -> TestAnswer {
        let who = [("client_id", "cli"), ("username", name), ("password", password)];
        self.token(&[&[("grant_type", "password")], who.as_slice()].concat()).await
    }

    pub async fn refresh(&self, token: &str) -> TestAnswer {
        self.token(&[("grant_type", "refresh_token"), ("client_id", "cli"), ("refresh_token", token)]).await
    }

    pub async fn access_token(&self, name: &str) -> String {
        text(&self.log_in(name).await, "access_token")
    }

    /// A verifier of another service, which has the keys that are published now.
    pub async fn verifier(&self) -> Verifier {
        let auth = Auth {
            mode: AuthMode::Token,
            issuer: "http://localhost:8090".to_owned(),
            audience: "fleet".to_owned(),
            jwks_url: "http://127.0.0.1:1/nobody-is-here".to_owned(),
            operator_role: "admin".to_owned(),
        };
        let verifier = Verifier::new(&auth, self.clock.clone()).unwrap();
        verifier.install_keys(&serde_json::from_value(self.get("/.well-known/jwks.json").await.json()).unwrap());
        verifier
    }
}

pub fn token_request(service: &Service, form: &[(&str, &str)]) -> TestRequest {
    let body: String = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    request(service, Method::POST, "/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body)
}

/// A field of an answer that must have it.
pub fn text(answer: &TestAnswer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("no {field} in {}", answer.text)).to_owned()
}

/// Status and error code, and that the answer is what RFC 6749 wants of one.
pub fn refusal(answer: &TestAnswer) -> (u16, String) {
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.header("content-type").starts_with("application/json"));
    assert!(answer.json()["error_description"].is_string());
    (answer.status.as_u16(), text(answer, "error"))
}

pub fn refused(status: u16, error: &str) -> (u16, String) {
    (status, error.to_owned())
}

/// What a token says, without asking whether it is true.
pub fn claims(token: &str) -> Claims {
    serde_json::from_value(part(token, 1)).unwrap()
}

pub fn part(token: &str, index: usize) -> serde_json::Value {
    use base64::Engine;
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Settings as a local fleet has them.
fn config(file: &std::path::Path, overrides: &[(&str, &str)]) -> Config {
    let local = [("grants.password", "true"), ("users.file", file.to_str().unwrap())];
    let all: Vec<_> = local.iter().chain(overrides).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Settings::load(ABOUT, None, &all, |_| None).unwrap().typed().unwrap()
}

pub fn users_file() -> PathBuf {
    let file = unused_path();
    let user = |name: &str, roles: &str| {
        format!(
            "[[users]]\nid = \"id-of-{name}\"\nname = \"{name}\"\nroles = {roles}\npassword_hash = \"{PASSWORD_HASH}\"\n"
        )
    };
    let users = [user("kim", "[\"customer\"]"), user("lee", "[\"desk\", \"vet\"]"), user("park", "[\"admin\"]")];
    let clients = format!(
        "[[clients]]\nid = \"cli\"\npublic = true\n\
         [[clients]]\nid = \"reservation\"\nroles = [\"service\"]\nsecret_hash = \"{}\"\n",
        digest_of(SECRET)
    );
    std::fs::write(&file, users.concat() + &clients).unwrap();
    file
}

pub fn unused_path() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = std::env::temp_dir().join(format!("oauth-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(format!("users-{}.toml", COUNT.fetch_add(1, Ordering::Relaxed)))
}

pub const MINUTE: Duration = Duration::from_secs(60);
