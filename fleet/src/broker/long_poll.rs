//! Fetches that wait for records and answer at once when there are some.

use std::{sync::Arc, time::Duration};

use rama::{Context, Service};
use tansu_broker::Error;
use tansu_sans_io::{ApiKey as _, Body, FetchRequest, Frame, ProduceRequest};
use tansu_service::FrameRouteService;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// tansu's own fetch sleeps through its waiting time whether there are records or not, so that a consumer either
/// lags by that time or keeps polling. Here a fetch never waits inside tansu; it is repeated when something was
/// produced, until it brings records or its time is up.
#[derive(Clone, Debug)]
pub struct LongPoll {
    routes: FrameRouteService<(), Error>,
    produced: Arc<Notify>,
}

impl LongPoll {
    pub fn new(routes: FrameRouteService<(), Error>) -> Self {
        Self { routes, produced: Arc::new(Notify::new()) }
    }

    async fn fetch(&self, ctx: Context<()>, mut frame: Frame) -> Result<Frame, Error> {
        let Body::FetchRequest(ref mut request) = frame.body else {
            return self.routes.serve(ctx, frame).await;
        };
        let patience = u64::try_from(request.max_wait_ms).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_millis(patience);
        request.max_wait_ms = 0;
        loop {
            let produced = self.produced.notified();
            tokio::pin!(produced);
            // Listening starts before the fetch, so that nothing produced during it goes unnoticed.
            produced.as_mut().enable();
            let response = self.routes.serve(ctx.clone(), frame.clone()).await?;
            if has_news(&response.body) || Instant::now() >= deadline {
                return Ok(response);
            }
            tokio::select! {
                () = produced => {}
                () = sleep_until(deadline) => return Ok(response),
            }
        }
    }
}

impl Service<(), Frame> for LongPoll {
    type Response = Frame;
    type Error = Error;

    async fn serve(&self, ctx: Context<()>, frame: Frame) -> Result<Frame, Error> {
        match frame.api_key()? {
            FetchRequest::KEY => self.fetch(ctx, frame).await,
            ProduceRequest::KEY => {
                let response = self.routes.serve(ctx, frame).await;
                self.produced.notify_waiters();
                response
            }
            _ => self.routes.serve(ctx, frame).await,
        }
    }
}

/// Records or an error: what a consumer must hear without delay.
fn has_news(body: &Body) -> bool {
    let Body::FetchResponse(response) = body else {
        return true;
    };
    response
        .responses
        .iter()
        .flatten()
        .flat_map(|topic| topic.partitions.iter().flatten())
        .any(|partition| partition.records.is_some() || partition.error_code != 0)
}
