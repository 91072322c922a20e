//! Gauges that take a query: read when somebody asks for them, so that they cost nothing where nobody does.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;

use crate::db::BoxFuture;

/// A part that does not answer must not take the other figures with it.
const PATIENCE: Duration = Duration::from_secs(2);

type Measure = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

#[derive(Clone, Default)]
pub struct Measurements {
    measures: Arc<Mutex<Vec<Measure>>>,
}

impl Measurements {
    /// `measure` sets its gauges; one that cannot leaves them as they were.
    pub fn add<F: Future<Output = ()> + Send + 'static>(&self, measure: impl Fn() -> F + Send + Sync + 'static) {
        let measure: Measure = Box::new(move || Box::pin(measure()));
        self.measures.lock().unwrap_or_else(PoisonError::into_inner).push(measure);
    }

    /// Takes all of them at once.
    pub async fn take(&self) {
        let under_way: Vec<_> =
            self.measures.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|measure| measure()).collect();
        let each = under_way.into_iter().map(|measuring| tokio::time::timeout(PATIENCE, measuring));
        let late = join_all(each).await.iter().filter(|ended| ended.is_err()).count();
        if late > 0 {
            tracing::debug!(late, "some figures could not be measured in time");
        }
    }
}
