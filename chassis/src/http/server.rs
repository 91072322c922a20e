//! The listening side: the whole router with its layers, connections, and the drain at the end.

use std::io::ErrorKind;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::{TcpListener, TcpSocket};
use tower::Layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::normalize_path::{NormalizePath, NormalizePathLayer};
use utoipa_axum::router::OpenApiRouter;

use super::admission::{self, Admission};
use super::connections::{self, Connections};
use super::extract::BODY_LIMIT;
use super::problem::Problem;
use super::{actuator, docs, edge};
use crate::config::Http;
use crate::lifecycle::stop_signal;
use crate::{Chassis, StartError};

/// Waiting connections the kernel holds for us; a burst beyond it is refused by the kernel.
const BACKLOG: u32 = 4096;

pub type Service = NormalizePath<Router>;

pub struct Listener {
    pub address: SocketAddr,
    inner: TcpListener,
}

pub async fn listen(http: &Http) -> Result<Listener, StartError> {
    let address = format!("{}:{}", http.host, http.port);
    let failed = |source| StartError::Listen { address: address.clone(), source };
    let resolved = tokio::net::lookup_host(&address)
        .await
        .map_err(failed)?
        .next()
        .ok_or_else(|| failed(ErrorKind::AddrNotAvailable.into()))?;
    connections::allow_many();
    let socket = if resolved.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.map_err(failed)?;
    socket.set_reuseaddr(true).map_err(failed)?;
    socket.bind(resolved).map_err(failed)?;
    let inner = socket.listen(BACKLOG).map_err(failed)?;
    let address = inner.local_addr().map_err(failed)?;
    Ok(Listener { address, inner })
}

/// The whole service as it is served, and as tests call it.
pub fn service(chassis: &Chassis, api: OpenApiRouter, metrics: PrometheusHandle) -> Service {
    let (api, document) = api.split_for_parts();
    let router = api
        .layer(from_fn_with_state(Admission::new(&chassis.config.http), admission::admit))
        .merge(actuator::router(chassis, metrics))
        .merge(docs::router(chassis.about, document))
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed")
                .detail("This address does not know that method; Allow lists those it knows.")
        })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(CatchPanicLayer::custom(edge::panicked))
        .layer(from_fn_with_state(chassis.lifecycle.clone(), edge::edge));
    NormalizePathLayer::trim_trailing_slash().layer(router)
}

/// Serves until a signal or a crashed task asks for a stop, then drains.
pub async fn until_stopped(chassis: &Chassis, listener: Listener, service: Service) -> Result<(), StartError> {
    let lifecycle = &chassis.lifecycle;
    let connections = Connections::new(&chassis.config.http, service);
    let stopped = async {
        tokio::select! {
            signal = stop_signal() => match signal {
                Ok(signal) => tracing::info!(signal, "stopping"),
                Err(error) => tracing::error!(%error, "signals cannot be received; stopping"),
            },
            () = lifecycle.draining() => {}
        }
        lifecycle.drain();
        tokio::time::sleep(chassis.config.http.lame_duck).await;
    };
    tokio::select! {
        () = connections.accept(&listener.inner) => {}
        () = stopped => {}
    }
    drop(listener);

    let graceful = async {
        connections.drain().await;
        lifecycle.finish().await;
    };
    tokio::select! {
        drained = tokio::time::timeout(chassis.config.http.drain_timeout, graceful) => {
            if drained.is_err() {
                tracing::warn!("the drain timeout passed with work still running; what is left is cut off");
            }
        }
        _ = stop_signal() => tracing::warn!("asked to stop a second time; what is left is cut off"),
    }
    Ok(())
}
