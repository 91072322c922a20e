//! Fetches that wait for records and answer at once when there are some.

use std::{sync::Arc, time::Duration};

use rama::{Context, Service};
use tansu_broker::Error;
use tansu_sans_io::{Body, FetchRequest, Frame, Header, ProduceRequest};
use tansu_service::FrameRouteService;
use tansu_storage::{Storage as _, StorageContainer, TopicId};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::tail::Tail;

/// tansu's own fetch sleeps through its waiting time whether there are records or not, so that a consumer either
/// lags by that time or keeps polling. Here a fetch never waits inside tansu; it is repeated when something was
/// produced, until it brings records or its time is up. Most of them the [`Tail`] answers.
#[derive(Clone, Debug)]
pub struct LongPoll {
    routes: FrameRouteService<(), Error>,
    storage: StorageContainer,
    tail: Arc<Tail>,
    produced: Arc<Notify>,
}

impl LongPoll {
    pub fn new(routes: FrameRouteService<(), Error>, storage: StorageContainer) -> Self {
        Self { routes, storage, tail: Arc::default(), produced: Arc::default() }
    }

    async fn fetch(&self, ctx: Context<()>, header: Header, mut request: FetchRequest) -> Result<Frame, Error> {
        let patience = u64::try_from(request.max_wait_ms).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_millis(patience);
        request.max_wait_ms = 0;
        self.learn_names(&request).await?;
        let frame = Frame { size: 0, header, body: request.clone().into() };
        loop {
            let produced = self.produced.notified();
            tokio::pin!(produced);
            // Listening starts before the fetch, so that nothing produced during it goes unnoticed.
            produced.as_mut().enable();
            let response = self.fetch_now(&ctx, &frame, &request).await?;
            if has_news(&response.body) || Instant::now() >= deadline {
                return Ok(response);
            }
            tokio::select! {
                () = produced => {}
                () = sleep_until(deadline) => return Ok(response),
            }
        }
    }

    /// The request is the frame's body.
    async fn fetch_now(&self, ctx: &Context<()>, frame: &Frame, request: &FetchRequest) -> Result<Frame, Error> {
        if let Some(response) = self.tail.read(request) {
            let correlation_id = frame.correlation_id()?;
            return Ok(Frame { size: 0, header: Header::Response { correlation_id }, body: response.into() });
        }
        let before = self.tail.before();
        let answer = self.routes.serve(ctx.clone(), frame.clone()).await?;
        if let Body::FetchResponse(ref response) = answer.body {
            self.tail.learn(request, response, &before);
        }
        Ok(answer)
    }

    async fn learn_names(&self, request: &FetchRequest) -> Result<(), Error> {
        for id in self.tail.nameless(request) {
            let metadata = self.storage.metadata(Some(&[TopicId::Id(Uuid::from_bytes(id))])).await?;
            let name = metadata.topics().iter().find_map(|topic| topic.name.clone());
            if let Some(name) = name {
                self.tail.name(id, name);
            }
        }
        Ok(())
    }

    async fn produce(&self, ctx: Context<()>, header: Header, request: ProduceRequest) -> Result<Frame, Error> {
        let frame = Frame { size: 0, header, body: request.clone().into() };
        let answer = self.routes.serve(ctx, frame).await;
        let response = match &answer {
            Ok(Frame { body: Body::ProduceResponse(response), .. }) => Some(response),
            _ => None,
        };
        self.tail.took(request, response);
        self.produced.notify_waiters();
        answer
    }
}

impl Service<(), Frame> for LongPoll {
    type Response = Frame;
    type Error = Error;

    async fn serve(&self, ctx: Context<()>, frame: Frame) -> Result<Frame, Error> {
        match frame.body {
            Body::FetchRequest(request) => self.fetch(ctx, frame.header, request).await,
            Body::ProduceRequest(request) => self.produce(ctx, frame.header, request).await,
            Body::CreateTopicsRequest(_) | Body::DeleteTopicsRequest(_) | Body::DeleteRecordsRequest(_) => {
                let answer = self.routes.serve(ctx, frame).await;
                self.tail.forget();
                answer
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
