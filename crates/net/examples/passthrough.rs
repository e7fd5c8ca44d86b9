//! The smallest proxy on this crate: everything to one endpoint, bodies read whole, answers streamed.
//!
//! `cargo run --release -p roadstead-net --example passthrough -- 127.0.0.1:8080 127.0.0.1:8000 [WORKERS]`
//! listens on the first address and forwards to the second. It shows what the sockets cost by themselves,
//! without picking; put it beside another proxy in one run.

use std::convert::Infallible;
use std::env::args;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use roadstead_net::{
    BoxError, Listener, ResponseBody, ServerLimits, Upstream, UpstreamBody, UpstreamPool, collect_bounded,
    runtime, serve,
};
use tokio_util::sync::CancellationToken;

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

fn main() -> Result<(), BoxError> {
    let (Some(listen), Some(endpoint)) = (args().nth(1), args().nth(2)) else {
        return Err("usage: passthrough LISTEN ENDPOINT [WORKERS]".into());
    };
    let workers = args().nth(3).map(|count| count.parse()).transpose()?;
    runtime::build(workers)?.block_on(async {
        let listener = Listener::bind(listen.parse()?)?;
        let upstream = Upstream::new(endpoint)?;
        let pool = UpstreamPool::default();
        let make_service = |_peer| {
            let pool = pool.clone();
            let upstream = upstream.clone();
            service_fn(move |request| forward(pool.clone(), upstream.clone(), request))
        };
        let shutdown = CancellationToken::new();
        serve(listener, ServerLimits::default(), make_service, shutdown).await;
        Ok(())
    })
}

async fn forward(
    pool: UpstreamPool,
    upstream: Upstream,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = collect_bounded(body, BODY_BYTES_MAX).await else {
        return Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let request = Request::from_parts(head, UpstreamBody::Full(body));
    Ok(match pool.send(&upstream, request).await {
        Ok(response) => response.map(ResponseBody::Pooled),
        Err(_) => refusal(StatusCode::BAD_GATEWAY),
    })
}

fn refusal(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::Empty);
    *response.status_mut() = status;
    response
}
