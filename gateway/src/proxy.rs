//! One request on its way through: admitted, sent on, answered. Bodies stream both ways.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, EXPECT, ORIGIN, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::uri::{PathAndQuery, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use chassis::failpoint::crash_point;
use chassis::http::edge::known;
use chassis::http::extract::{BODY_LIMIT, TIMEOUT_HEADER};
use chassis::http::problem::{Problem, chain};
use chassis::http::trace::{REQUEST_ID, TraceContext};
use chassis::telemetry::{Kind, Span};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::error::Elapsed;

use crate::App;
use crate::config::ProxySettings;
use crate::cors::Cors;
use crate::error::Error;
use crate::headers::{self, Arrival};
use crate::limits;
use crate::routes::{Route, Upstream};
use crate::upload::{self, Progress, Upload, Watch};

pub type Client = legacy::Client<HttpConnector, Upload>;

/// Below the services' own limit for idle connections, so that none is used that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(5);
const MAX_IDLE: usize = 1024;
/// How long a client may go on sending a body that is refused.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

pub fn client(settings: &ProxySettings) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(settings.connect_timeout));
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(MAX_IDLE)
        .set_host(false)
        .build(connector)
}

/// The state of one route's handler.
#[derive(Clone)]
pub struct Proxied {
    pub app: Arc<App>,
    pub route: Arc<Route>,
}

pub async fn handle(State(proxied): State<Proxied>, request: Request) -> Response {
    let cors = &proxied.app.cors;
    if Cors::is_preflight(request.method(), request.headers()) {
        let mut response = StatusCode::OK.into_response();
        cors.permit(request.headers(), response.headers_mut());
        return response;
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = match proxied.forward(request).await {
        Ok(response) => response,
        Err(error) => Problem::from(error).into_response(),
    };
    let headers = response.headers_mut();
    cors.mark(origin.as_ref(), headers);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The address at the other end of the connection.
pub fn peer(request: &Parts) -> IpAddr {
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip().to_canonical())
}

impl Proxied {
    async fn forward(&self, request: Request) -> Result<Response, Error> {
        // First of all, so that a refusal costs next to nothing.
        let upstream = &self.route.upstream;
        let place = upstream.places.enter();
        let _place = place.ok_or_else(|| Error::Overloaded { service: upstream.name.clone() })?;
        let (mut parts, body) = request.into_parts();
        let arrival = Arrival { peer: peer(&parts), trust_forwarded: self.app.trust_forwarded };
        self.admit(&parts.headers, arrival.client(&parts.headers)).await?;
        let body = fitting(&parts.headers, body).await?;

        let is_safe = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let is_head = parts.method == Method::HEAD;
        let mut step = self.step(&parts.method);
        self.dress(&mut parts, &arrival, step.context());

        let (upload, watch) = Upload::of(body);
        let uri = address(upstream, parts.uri.path_and_query().cloned());
        let spare = (is_safe && upload.is_end_stream())
            .then(|| outgoing(parts.method.clone(), uri.clone(), parts.headers.clone(), Upload::empty()));
        let method = parts.method.clone();
        let outgoing = outgoing(parts.method, uri, parts.headers, upload);

        let asked = Instant::now();
        crash_point("proxy.before-call");
        let answer = tokio::time::timeout(self.route.timeout, self.send(outgoing, spare)).await;
        crash_point("proxy.after-answer");
        self.record(&method, asked, &answer, &mut step);
        match answer {
            Ok(Ok(answer)) if answer.status() != StatusCode::SWITCHING_PROTOCOLS => Ok(passed_back(answer, is_head)),
            Ok(Ok(_)) => Err(Error::Failed { service: upstream.name.clone(), is_safe }),
            Ok(Err(error)) => Err(self.explained(&error, &watch, is_safe)),
            Err(_) if watch.progress() == Progress::TooLarge => Err(Error::BodyTooLarge),
            Err(_) if watch.progress() == Progress::Sending => Err(Error::BodyLate),
            Err(_) => Err(Error::Timeout { service: upstream.name.clone(), is_safe }),
        }
    }

    /// Checks the token and the client's rate. Refused tokens count as well, for the address they come from.
    async fn admit(&self, headers: &HeaderMap, address: IpAddr) -> Result<(), Error> {
        let caller = match self.route.is_public {
            true => None,
            false => Some(self.app.verifier.caller(headers).await),
        };
        let client = match &caller {
            Some(Ok(caller)) if headers.contains_key(AUTHORIZATION) => limits::Client::Subject(caller.subject.clone()),
            _ => limits::Client::at(address),
        };
        self.app.rate_limit.take(client, Instant::now()).map_err(|wait| Error::TooMany { wait })?;
        match caller {
            Some(Err(problem)) => Err(Error::Token(problem)),
            _ => Ok(()),
        }
    }

    /// The headers as the service gets them.
    fn dress(&self, parts: &mut Parts, arrival: &Arrival, trace: TraceContext) {
        let headers = &mut parts.headers;
        // The edge gave it; `Connection` may not take it away.
        let request_id = headers.get(REQUEST_ID).cloned();
        let takes_trailers = headers::takes_trailers(headers);
        headers::end_hop(headers);
        if takes_trailers {
            headers::take_trailers(headers);
        }
        arrival.introduce(headers, &parts.uri, &self.route.upstream.host);
        if let Some(request_id) = request_id {
            headers.insert(REQUEST_ID, request_id);
        }
        trace.insert_into(headers);
        headers.insert(HeaderName::from_static(TIMEOUT_HEADER), self.route.timeout_header.clone());
    }

    /// `spare` is the same request once more where it changes nothing and has no body. A request that was never
    /// written, because the idle connection for it had just been closed, the client itself sends again.
    async fn send(
        &self,
        request: hyper::Request<Upload>,
        spare: Option<hyper::Request<Upload>>,
    ) -> Result<hyper::Response<Incoming>, legacy::Error> {
        let first = self.app.client.request(request).await;
        let (Err(error), Some(spare)) = (&first, spare) else { return first };
        let service = &self.route.upstream.name;
        tracing::debug!(service, error = chain(error), "a request is tried once more");
        metrics::counter!("gateway_retries_total", "peer_service" => service.clone()).increment(1);
        self.app.client.request(spare).await
    }

    /// The call of the service as a span of the request's trace.
    fn step(&self, method: &Method) -> Span {
        let (method, service) = (known(method), &self.route.upstream.name);
        let mut span = Span::begin(Kind::Client, TraceContext::current(), || format!("{method} {service}"));
        span.set("http.request.method", method);
        span.set("peer.service", service.as_str());
        span
    }

    fn record(
        &self,
        method: &Method,
        asked: Instant,
        answer: &Result<Result<hyper::Response<Incoming>, legacy::Error>, Elapsed>,
        step: &mut Span,
    ) {
        let (status, error) = match answer {
            Ok(Ok(answer)) => (answer.status().as_u16().to_string(), ""),
            Ok(Err(error)) if error.is_connect() => (String::new(), "connect"),
            Ok(Err(_)) => (String::new(), "broken"),
            Err(_) => (String::new(), "timeout"),
        };
        match answer {
            Ok(Ok(answer)) => step.answered(answer.status().as_u16()),
            Ok(Err(_)) | Err(_) => step.fail(error),
        }
        metrics::histogram!(
            "http_client_request_duration_seconds",
            "peer_service" => self.route.upstream.name.clone(),
            "http_request_method" => known(method),
            "http_response_status_code" => status,
            "error_type" => error
        )
        .record(asked.elapsed());
    }

    fn explained(&self, error: &legacy::Error, watch: &Watch, is_safe: bool) -> Error {
        match watch.progress() {
            Progress::TooLarge => return Error::BodyTooLarge,
            Progress::Broken => return Error::BodyBroken,
            Progress::Complete | Progress::Sending => {}
        }
        let service = self.route.upstream.name.clone();
        let reason = chain(error);
        if error.is_connect() {
            tracing::warn!(service, reason, "a service cannot be reached");
            return Error::Unavailable { service };
        }
        tracing::warn!(service, reason, "a service gave no answer");
        Error::Failed { service, is_safe }
    }
}

/// Refuses what is too large by its own word or coded in a way that only this hop could undo.
async fn fitting(headers: &HeaderMap, body: Body) -> Result<Body, Error> {
    if headers.get(TRANSFER_ENCODING).is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Error::TransferCoding);
    }
    if body.size_hint().lower() <= BODY_LIMIT as u64 {
        return Ok(body);
    }
    // Who asked first has sent nothing yet.
    if !headers.contains_key(EXPECT) && tokio::time::timeout(DISCARD_TIMEOUT, upload::discard(body)).await.is_err() {
        tracing::debug!("a refused body went on arriving");
    }
    Err(Error::BodyTooLarge)
}

/// Where a request goes to at the service.
pub fn address(upstream: &Upstream, path: Option<PathAndQuery>) -> Uri {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream.authority.clone());
    parts.path_and_query = path.or(Some(PathAndQuery::from_static("/")));
    // With all three parts there it is complete.
    Uri::from_parts(parts).unwrap_or_default()
}

fn outgoing(method: Method, uri: Uri, headers: HeaderMap, body: Upload) -> hyper::Request<Upload> {
    let mut request = hyper::Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    request
}

fn passed_back(answer: hyper::Response<Incoming>, is_head: bool) -> Response {
    let (mut parts, body) = answer.into_parts();
    parts.version = Version::HTTP_11;
    headers::end_hop(&mut parts.headers);
    // An answer without a body by its nature says with Content-Length what a GET would bring. Where it does not say,
    // nobody on the way may make that zero.
    let has_no_body_by_nature = is_head || parts.status == StatusCode::NOT_MODIFIED;
    let body = match has_no_body_by_nature && !parts.headers.contains_key(CONTENT_LENGTH) {
        true => Body::new(OfUntoldLength),
        false => Body::new(body),
    };
    Response::from_parts(parts, body)
}

struct OfUntoldLength;

impl HttpBody for OfUntoldLength {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::convert::Infallible>>> {
        Poll::Ready(None)
    }
}
