//! What can be seen of a database from here: whether it answers, and how its connections are used.

use std::time::Duration;

use super::{Db, Pool};

/// Whoever takes longer to say nothing is of no use to a request either.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

impl Db {
    pub async fn measure(self) {
        show("reader", &self.reader);
        let asked = sqlx::query("SELECT 1").execute(&self.reader);
        let answers = matches!(tokio::time::timeout(ANSWER_WITHIN, asked).await, Ok(Ok(_)));
        metrics::gauge!("database_up").set(f64::from(u8::from(answers)));
    }
}

fn show(name: &'static str, pool: &Pool) {
    let (most, all, idle) = pool.count();
    let states = [("idle", idle), ("used", all.saturating_sub(idle))];
    for (state, count) in states {
        metrics::gauge!(
            "db_client_connection_count",
            "db_client_connection_pool_name" => name,
            "db_client_connection_state" => state
        )
        .set(count as f64);
    }
    metrics::gauge!("db_client_connection_max", "db_client_connection_pool_name" => name).set(most as f64);
}
