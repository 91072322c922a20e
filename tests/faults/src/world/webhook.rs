//! Where notice posts its messages to: it remembers what it was sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use super::{WorldError, ports};
use crate::evidence::Post;

#[derive(Clone)]
pub struct Webhook {
    pub address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
}

impl Webhook {
    pub fn listen() -> Result<Self, WorldError> {
        let (listener, address) = ports::listen()?;
        let webhook = Self { address, posts: Arc::default() };
        tokio::spawn(webhook.clone().accept(listener));
        Ok(webhook)
    }

    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            tokio::spawn(self.clone().serve(stream));
        }
    }

    async fn serve(self, stream: TcpStream) {
        let service = service_fn(|request| self.take(request));
        // A connection that breaks is what a fault on this link is for.
        drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
    }

    async fn take(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
        let key = key.unwrap_or_default().to_owned();
        let mut answer = Response::new(Full::default());
        let Ok(body) = request.into_body().collect().await else {
            // It was cut off on its way: another try may come through.
            *answer.status_mut() = hyper::StatusCode::SERVICE_UNAVAILABLE;
            return Ok(answer);
        };
        let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
        self.posts.lock().unwrap_or_else(PoisonError::into_inner).push(Post { key, body });
        Ok(answer)
    }
}
