//! What only a server can do: refuse, restart, come up late. Without one there is nothing to test.

use chassis::config::Database;
use chassis::{Db, Secret, StartError};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// The test script's server, without the database's name, and a file that the script made for it.
fn server() -> Option<String> {
    std::env::var("TEST_POSTGRES_URL").ok()
}

fn file(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} belongs to TEST_POSTGRES_URL"))
}

async fn open(url: String, password: &str) -> Result<Db, StartError> {
    Db::open(&Database { url: Secret::new(url), password: Secret::new(password), max_connections: 3 }, &[]).await
}

fn new_database() -> String {
    format!("test_{}_{}", std::process::id(), rand::random::<u32>())
}

async fn number(db: &Db, question: &'static str) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar(question).fetch_one(db.reader()).await
}

const IS_ENCRYPTED: &str = "SELECT CAST(ssl AS INTEGER) FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

#[tokio::test]
async fn a_server_is_reached_over_tls_if_the_right_authority_vouches_for_it() {
    let Some(server) = server() else { return };
    let url = |ca: &str| format!("{server}/{}?sslmode=verify-full&sslrootcert={}", new_database(), file(ca));
    let db = open(url("TEST_POSTGRES_CA"), "").await.unwrap();
    assert_eq!(number(&db, IS_ENCRYPTED).await.unwrap(), 1);

    let refused = open(url("TEST_POSTGRES_OTHER_CA"), "").await.err().unwrap().to_string();
    assert!(refused.contains("certificate"), "{refused}");
}

#[tokio::test]
async fn the_password_may_come_apart_from_the_url_whatever_is_in_it() {
    const PASSWORD: &str = "p@ss/w:rd %41?#";
    let Some(server) = server() else { return };
    let admin = open(format!("{server}/{}", new_database()), "").await.unwrap();
    let role = "DO $$ BEGIN CREATE ROLE keeper LOGIN CREATEDB; EXCEPTION WHEN duplicate_object THEN NULL; END $$";
    sqlx::query(role).execute(admin.reader()).await.unwrap();
    sqlx::query("ALTER ROLE keeper PASSWORD 'p@ss/w:rd %41?#'").execute(admin.reader()).await.unwrap();

    let url = || format!("{}/{}?sslmode=require", server.replace("//test@", "//keeper@"), new_database());
    let db = open(url(), PASSWORD).await.unwrap();
    assert_eq!(number(&db, IS_ENCRYPTED).await.unwrap(), 1);
    let refused = open(url(), "another").await.err().unwrap().to_string();
    assert!(refused.contains("password") && !refused.contains("another"), "{refused}");
    let twice = open(url().replace("keeper@", "keeper:one@"), PASSWORD).await.err().unwrap().to_string();
    assert!(twice.contains("database.password") && twice.contains("DATABASE_PASSWORD"), "{twice}");
}

#[tokio::test]
async fn connections_that_the_server_has_ended_cost_nobody_anything() {
    let Some(server) = server() else { return };
    let db = open(format!("{server}/{}", new_database()), "").await.unwrap();
    let other = open(format!("{server}/{}", new_database()), "").await.unwrap();
    let sessions = async || {
        let (a, b, c) = tokio::join!(
            number(&db, "SELECT pg_backend_pid()"),
            number(&db, "SELECT pg_backend_pid()"),
            number(&db, "SELECT pg_backend_pid()")
        );
        [a.unwrap(), b.unwrap(), c.unwrap()]
    };
    for _ in 0..3 {
        for session in sessions().await {
            let _: bool = sqlx::query_scalar("SELECT pg_terminate_backend($1)")
                .bind(session)
                .fetch_one(other.reader())
                .await
                .unwrap();
        }
    }
    db.write::<_, chassis::DbError>(|tx| {
        Box::pin(async move { Ok(sqlx::query("SELECT 1").execute(&mut **tx).await?) })
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_server_that_comes_up_late_is_waited_for() {
    let Some(server) = server() else { return };
    let address = server.rsplit('@').next().unwrap().to_owned();
    let late = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://test@{}/{}", late.local_addr().unwrap(), new_database());
    tokio::spawn(async move {
        // Hangs up three times, as a server that starts does.
        for _ in 0..3 {
            drop(late.accept().await.unwrap());
        }
        loop {
            let (mut client, _) = late.accept().await.unwrap();
            let mut server = TcpStream::connect(&address).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
        }
    });
    let db = open(url, "").await.unwrap();
    assert_eq!(number(&db, "SELECT 1").await.unwrap(), 1);
}

#[tokio::test]
async fn whoever_asks_next_does_not_wait_for_connections_that_say_nothing_any_more() {
    const SILENT: &str = "SELECT CAST(pg_sleep(3600) AS TEXT)";
    let Some(server) = server() else { return };
    let name = new_database();
    let db = open(format!("{server}/{name}"), "").await.unwrap();
    let other = open(format!("{server}/{}", new_database()), "").await.unwrap();
    let silent = async || sqlx::query_scalar::<_, String>(SILENT).fetch_one(db.reader()).await;
    let all_silent = async {
        let count = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = $1 AND state = 'active' AND query = $2";
        let asked = async || sqlx::query_scalar(count).bind(&name).bind(SILENT).fetch_one(other.reader()).await;
        while asked().await.unwrap_or(0) < 3 {
            tokio::task::yield_now().await;
        }
    };
    // Whoever asked them has gone.
    tokio::select! {
        _ = async { tokio::join!(silent(), silent(), silent()) } => unreachable!("an hour is longer than a test"),
        () = all_silent => {}
    }
    assert_eq!(number(&db, "SELECT 1").await.unwrap(), 1);
}

#[tokio::test]
async fn the_server_ends_what_a_service_has_left_but_not_what_a_command_takes_long_for() {
    const STATEMENT: &str = "SELECT CAST(setting AS INTEGER) FROM pg_settings WHERE name = 'statement_timeout'";
    const IDLE: &str =
        "SELECT CAST(setting AS INTEGER) FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'";
    let Some(server) = server() else { return };
    let url = format!("{server}/{}", new_database());
    let service = open(url.clone(), "").await.unwrap();
    assert_eq!(number(&service, STATEMENT).await.unwrap(), 10_000);
    assert_eq!(number(&service, IDLE).await.unwrap(), 30_000);
    let settings = Database { url: Secret::new(url), password: Secret::default(), max_connections: 1 };
    let command = Db::attach(&settings).await.unwrap();
    assert_eq!(number(&command, STATEMENT).await.unwrap(), 0);
    assert_eq!(number(&command, IDLE).await.unwrap(), 0);
}
