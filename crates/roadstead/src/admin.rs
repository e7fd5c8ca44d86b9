//! The admin port, on loopback only: health, metrics, what the pool looks like, and draining of endpoints.

mod pools;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use roadstead_epp::PoolHandle;
use roadstead_fleet::Fleet;
use roadstead_net::{Drained, Listener, ServerLimits, serve};
use roadstead_picker::PoolView;
use roadstead_telemetry::{CONTENT_TYPE, EndpointReading, InflightMetrics, MetricRegistry, PoolMetrics};
use tokio_util::sync::CancellationToken;

/// The only pool's name until pools are configured.
const POOL: &str = "default";
const NAMESPACE: &str = "default";
const FLOW: &str = "default-flow";

const PATHS: &str = "\
GET  /healthz                this process runs
GET  /readyz                 some endpoint takes work
GET  /metrics                metrics, OpenMetrics text
GET  /pools                  endpoints, facts with their ages, what is in flight
POST /drain?endpoint=NAME    no new work for an endpoint
POST /undrain?endpoint=NAME  work again
";

/// What the admin port shows.
pub struct Admin {
    pool: PoolHandle,
    fleet: Arc<Fleet>,
    registry: MetricRegistry,
    pools: PoolMetrics,
    inflight: InflightMetrics,
    draining: CancellationToken,
}

impl Admin {
    /// An admin port for `pool`, whose endpoints `fleet` looks at; not ready any more once `draining` is cancelled.
    pub fn new(
        pool: PoolHandle,
        fleet: Arc<Fleet>,
        mut registry: MetricRegistry,
        draining: CancellationToken,
    ) -> Admin {
        let pools = PoolMetrics::register(registry.upstream());
        let inflight = InflightMetrics::register(registry.upstream());
        Admin { pool, fleet, registry, pools, inflight, draining }
    }

    /// Serves until `stop`.
    pub async fn serve(self, listener: Listener, stop: CancellationToken) -> Drained {
        let admin = Arc::new(self);
        let make_service = move |_client| {
            let admin = admin.clone();
            service_fn(move |request: Request<Incoming>| {
                let response = admin.answer(request.method(), request.uri());
                async move { Ok::<_, Infallible>(response) }
            })
        };
        serve(listener, ServerLimits::default(), make_service, stop).await
    }

    fn answer(&self, method: &Method, uri: &Uri) -> Response<Full<Bytes>> {
        let reads = method == Method::GET || method == Method::HEAD;
        match uri.path() {
            "/drain" | "/undrain" if method != Method::POST => only("POST"),
            "/drain" => self.drain(uri, true),
            "/undrain" => self.drain(uri, false),
            _ if !reads => only("GET, HEAD"),
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.readiness(),
            "/metrics" => self.metrics(),
            "/pools" => self.pools(),
            "/" => text(StatusCode::OK, PATHS),
            _ => text(StatusCode::NOT_FOUND, &format!("not found; there are:\n{PATHS}")),
        }
    }

    /// Stops or resumes new work for `?endpoint=NAME`.
    fn drain(&self, uri: &Uri, on: bool) -> Response<Full<Bytes>> {
        let name = uri.query().and_then(|query| query.strip_prefix("endpoint="));
        let endpoints = self.fleet.endpoints();
        match endpoints.iter().find(|endpoint| Some(&*endpoint.name) == name) {
            Some(endpoint) => {
                self.fleet.drain(endpoint.id, on);
                text(StatusCode::OK, "ok\n")
            }
            None => {
                text(StatusCode::NOT_FOUND, "say which as ?endpoint=NAME, with a name that /pools shows\n")
            }
        }
    }

    /// Ready: not draining, and some endpoint takes work.
    fn readiness(&self) -> Response<Full<Bytes>> {
        if self.draining.is_cancelled() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        if self.pool.view().endpoints.iter().any(|endpoint| endpoint.barred.is_none()) {
            text(StatusCode::OK, "ok\n")
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "no endpoint takes work\n")
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        self.read_pool(&self.pool.view());
        reply(StatusCode::OK, CONTENT_TYPE, self.registry.encode())
    }

    /// Sets the gauges that are read from the pool when somebody looks.
    fn read_pool(&self, view: &PoolView) {
        let readings: Vec<_> = view
            .endpoints
            .iter()
            .map(|endpoint| EndpointReading {
                name: &endpoint.name,
                ready: endpoint.barred.is_none(),
                waiting: endpoint.waiting.as_ref().map(|fact| fact.value),
                running: endpoint.running.as_ref().map(|fact| fact.value),
                kv_usage: endpoint.kv_usage.as_ref().map(|fact| fact.value),
            })
            .collect();
        self.pools.update(POOL, &readings);
        for endpoint in &view.endpoints {
            let handles = self.inflight.for_flow(&endpoint.name, NAMESPACE, FLOW, 0);
            handles.requests.set(i64::from(endpoint.account.requests));
            handles.tokens.set(i64::try_from(endpoint.account.context_tokens).unwrap_or(i64::MAX));
        }
    }

    fn pools(&self) -> Response<Full<Bytes>> {
        let view = pools::Pools::of(POOL, &self.pool.view());
        match serde_json::to_string_pretty(&view) {
            Ok(json) => reply(StatusCode::OK, "application/json", json + "\n"),
            Err(error) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot write the pools: {error}\n"))
            }
        }
    }
}

fn only(methods: &'static str) -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {methods}\n"));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
    response
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    reply(status, "text/plain; charset=utf-8", body.to_owned())
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
