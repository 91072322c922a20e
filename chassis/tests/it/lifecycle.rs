//! How a stop goes, and what a crashed task does.

use std::convert::Infallible;

use chassis::config::Database;
use chassis::testing::Rig;
use chassis::{About, DbError, Lifecycle, Secret};
use tokio::sync::oneshot;

#[tokio::test]
async fn a_stop_waits_for_work_and_then_tells_the_background() {
    let lifecycle = Lifecycle::default();
    let (let_go, held) = oneshot::channel::<()>();
    let work = lifecycle.spawn_work(async move { held.await.is_ok() });
    let background = lifecycle.clone();
    lifecycle.spawn_background("test", async move {
        background.stopping().await;
        Ok::<_, Infallible>(())
    });
    lifecycle.drain();
    assert!(lifecycle.is_draining() && !lifecycle.is_stopping());
    let mut finishing = Box::pin(lifecycle.finish());
    assert!(futures_util::poll!(&mut finishing).is_pending());
    assert!(!lifecycle.is_stopping(), "work goes first");
    let_go.send(()).unwrap();
    finishing.await;
    assert!(work.await.unwrap() && !lifecycle.has_crashed());
}

#[tokio::test]
async fn a_background_task_that_ends_by_itself_stops_the_process() {
    for kind in ["error", "panic", "end"] {
        let lifecycle = Lifecycle::default();
        lifecycle.spawn_background("test", async move {
            match kind {
                "error" => Err("on purpose"),
                "panic" => panic!("on purpose"),
                _ => Ok(()),
            }
        });
        lifecycle.draining().await;
        assert!(lifecycle.has_crashed(), "{kind}");
    }
}

#[tokio::test]
async fn a_background_task_that_crashes_while_it_finishes_is_no_clean_stop() {
    let lifecycle = Lifecycle::default();
    let background = lifecycle.clone();
    lifecycle.spawn_background("test", async move {
        background.stopping().await;
        Err::<(), _>("on purpose")
    });
    lifecycle.finish().await;
    assert!(lifecycle.has_crashed());
}

#[tokio::test]
async fn a_database_is_written_back_and_closed_at_the_end() {
    let rig = Rig::new(About { name: "test", version: "1", summary: "", port: 8080, defaults: "" });
    let path = std::env::temp_dir().join(format!("closed_{}.db", rand::random::<u32>()));
    let settings = Database {
        url: Secret::new(format!("sqlite:{}", path.display())),
        password: Secret::default(),
        max_connections: 1,
    };
    let db = rig.chassis.open(&settings, &[]).await.unwrap();
    let written = db.write(|tx| {
        Box::pin(async move {
            sqlx::query("CREATE TABLE visit (id INTEGER PRIMARY KEY)").execute(&mut **tx).await?;
            Ok::<_, DbError>(())
        })
    });
    written.await.unwrap();
    assert!(path.with_extension("db-wal").exists());
    rig.chassis.lifecycle.finish().await;
    assert!(path.exists() && !path.with_extension("db-wal").exists());
}
