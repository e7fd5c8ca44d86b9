use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue, TE, TRAILER};
use http_body::Frame;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::*;
use crate::body::{ResponseBody, collect_bounded};
use crate::testing::{RawClient, TestServer, fed_body, loopback, soon, until};
use crate::{Listener, ServerLimits};

fn get() -> Request<UpstreamBody> {
    Request::get("/").body(UpstreamBody::Empty).unwrap()
}

fn post(body: UpstreamBody) -> Request<UpstreamBody> {
    Request::post("/").body(body).unwrap()
}

async fn text(response: Response<PooledBody>) -> String {
    let whole = soon(collect_bounded(response.into_body(), 1 << 20)).await;
    String::from_utf8(whole.unwrap().to_vec()).unwrap()
}

/// Answers with what was sent.
async fn echo(request: Request<Incoming>) -> Response<ResponseBody> {
    Response::new(ResponseBody::streaming(request.into_body()))
}

/// An endpoint that speaks bytes: each accepted connection is handed to `script` with its number.
fn scripted<F, A>(script: F) -> Upstream
where
    F: Fn(usize, RawClient) -> A + Send + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let listener = Listener::bind(loopback()).unwrap();
    let upstream = listener.local_addr().unwrap().into();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await;
            tokio::spawn(script(number, RawClient(stream)));
        }
    });
    upstream
}

async fn answer(endpoint: &mut RawClient, bytes: &[u8]) {
    endpoint.expect("\r\n\r\n").await;
    endpoint.send(bytes).await;
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn a_connection_is_used_again_once_the_body_has_ended() {
    let server = TestServer::start(ServerLimits::default(), echo);
    let pool = UpstreamPool::default();
    for _ in 0..3 {
        let response = soon(pool.send(&server.upstream(), post(Bytes::from("hi").into()))).await;
        assert_eq!(text(response.unwrap()).await, "hi");
        until(|| pool.stats().idle == 1).await;
    }
    assert_eq!(pool.stats().connected_total, 1);
}

#[tokio::test]
async fn a_connection_is_not_shared_while_a_body_is_open() {
    let server = TestServer::start(ServerLimits::default(), |_| async {
        Response::new(ResponseBody::from("0123456789".repeat(100_000)))
    });
    let pool = UpstreamPool::default();
    let first = soon(pool.send(&server.upstream(), get())).await.unwrap();
    let second = soon(pool.send(&server.upstream(), get())).await.unwrap();
    assert_eq!(pool.stats().connected_total, 2);
    assert_eq!(pool.stats().idle, 0);
    assert_eq!(text(first).await.len(), 1_000_000);
    assert_eq!(text(second).await.len(), 1_000_000);
    assert_eq!(pool.stats().idle, 2);
}

#[tokio::test]
async fn upstream_sockets_do_not_wait_for_acknowledgements() {
    let listener = Listener::bind(loopback()).unwrap();
    let addr = listener.local_addr().unwrap();
    let stream: TcpStream = connect::open(addr).await.unwrap();
    assert!(stream.nodelay().unwrap());
}

#[tokio::test]
async fn a_connection_that_the_endpoint_closed_while_idle_is_replaced_unseen() {
    let upstream = scripted(|_, mut endpoint| async move {
        answer(&mut endpoint, OK).await;
        // Closes although it did not say so.
    });
    let pool = UpstreamPool::default();
    for round in 1..=20 {
        let response = soon(pool.send(&upstream, get())).await.unwrap();
        assert_eq!(text(response).await, "ok");
        assert_eq!(pool.stats().connected_total, round);
    }
}

#[tokio::test]
async fn a_reset_after_the_request_was_written_is_told_with_its_doubt() {
    let upstream = scripted(|_, mut endpoint| async move {
        endpoint.expect("\r\n\r\n").await;
    });
    let pool = UpstreamPool::default();
    let error = soon(pool.send(&upstream, get())).await.unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Reset);
    assert_eq!(error.processed, Processed::MaybeProcessed);
    assert!(!error.reused);
}

#[tokio::test]
async fn a_refused_connection_is_certainly_not_processed() {
    let listener = Listener::bind(loopback()).unwrap();
    let upstream = listener.local_addr().unwrap().into();
    drop(listener);
    let pool = UpstreamPool::default();
    let error = soon(pool.send(&upstream, get())).await.unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Connect);
    assert_eq!(error.processed, Processed::NotSent);
    assert_eq!(pool.stats().open, 0);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told() {
    let pool = UpstreamPool::default();
    let upstream = Upstream::new("no-such-host.invalid:80").unwrap();
    let error = soon(pool.send(&upstream, get())).await.unwrap_err();
    assert_eq!(error.processed, Processed::NotSent);
    assert!(matches!(error.kind, UpstreamErrorKind::Resolve | UpstreamErrorKind::Timeout));
}

#[tokio::test]
async fn all_addresses_of_a_name_are_tried() {
    // "localhost" is ::1 and 127.0.0.1 on most machines; only the latter listens.
    let server = TestServer::start(ServerLimits::default(), echo);
    let upstream = Upstream::new(format!("localhost:{}", server.addr.port())).unwrap();
    let pool = UpstreamPool::default();
    let response = soon(pool.send(&upstream, get())).await.unwrap();
    assert_eq!(response.status(), 200);

    let dead = Listener::bind(loopback()).unwrap().local_addr().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
    assert!(connect::try_each(&[dead, server.addr], deadline).await.is_ok());
}

#[tokio::test]
async fn garbage_is_a_protocol_error() {
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.9\r\n\r\n"[..],
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    ] {
        let upstream = scripted(move |_, mut endpoint| async move {
            answer(&mut endpoint, garbage).await;
        });
        let pool = UpstreamPool::default();
        let error = soon(pool.send(&upstream, get())).await.unwrap_err();
        assert_eq!(error.kind, UpstreamErrorKind::Protocol);
        assert_eq!(error.processed, Processed::MaybeProcessed);
    }
}

#[tokio::test]
async fn a_response_head_over_the_bound_is_a_protocol_error() {
    let upstream = scripted(|_, mut endpoint| async move {
        endpoint.expect("\r\n\r\n").await;
        let head = format!("HTTP/1.1 200 OK\r\nbig: {}", "x".repeat(200 * 1024));
        let _ = endpoint.0.write_all(head.as_bytes()).await;
        endpoint.rest().await;
    });
    let pool = UpstreamPool::default();
    let error = soon(pool.send(&upstream, get())).await.unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Protocol);
}

#[tokio::test]
async fn a_body_shorter_than_announced_is_a_reset() {
    let upstream = scripted(|_, mut endpoint| async move {
        answer(&mut endpoint, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort").await;
    });
    let pool = UpstreamPool::default();
    let response = soon(pool.send(&upstream, get())).await.unwrap();
    let error = soon(response.into_body().collect()).await.unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Reset);
    assert_eq!(pool.stats().open, 0);
}

#[tokio::test]
async fn a_malformed_chunk_is_a_protocol_error() {
    let upstream = scripted(|_, mut endpoint| async move {
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
        answer(&mut endpoint, head).await;
        endpoint.rest().await;
    });
    let pool = UpstreamPool::default();
    let response = soon(pool.send(&upstream, get())).await.unwrap();
    let error = soon(response.into_body().collect()).await.unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Protocol);
}

#[tokio::test]
async fn bytes_after_the_body_do_not_reach_the_next_exchange() {
    let upstream = scripted(|_, mut endpoint| async move {
        answer(&mut endpoint, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok surplus").await;
        endpoint.rest().await;
    });
    let pool = UpstreamPool::default();
    for _ in 0..3 {
        let response = soon(pool.send(&upstream, get())).await.unwrap();
        assert_eq!(text(response).await, "ok");
        until(|| {
            let pool = pool.clone();
            let slot = pool.inner.slot(&upstream);
            slot.take_idle().is_none()
        })
        .await;
    }
}

#[tokio::test]
async fn dropping_a_body_early_closes_the_connection() {
    let (closed, mut closings) = mpsc::unbounded_channel();
    let upstream = scripted(move |_, mut endpoint| {
        let closed = closed.clone();
        async move {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n";
            answer(&mut endpoint, head).await;
            endpoint.rest().await;
            closed.send(()).unwrap();
        }
    });
    let pool = UpstreamPool::default();
    let mut response = soon(pool.send(&upstream, get())).await.unwrap();
    soon(response.body_mut().frame()).await.unwrap().unwrap();
    drop(response);
    soon(closings.recv()).await;
    assert_eq!(pool.stats().open, 0);
}

#[tokio::test]
async fn dropping_a_send_closes_the_connection() {
    let (event, mut events) = mpsc::unbounded_channel();
    let upstream = scripted(move |_, mut endpoint| {
        let event = event.clone();
        async move {
            endpoint.expect("\r\n\r\n").await;
            event.send("asked").unwrap();
            endpoint.rest().await;
            event.send("closed").unwrap();
        }
    });
    let pool = UpstreamPool::default();
    let sending = tokio::spawn({
        let pool = pool.clone();
        async move { pool.send(&upstream, get()).await }
    });
    assert_eq!(soon(events.recv()).await, Some("asked"));
    sending.abort();
    assert_eq!(soon(events.recv()).await, Some("closed"));
    until(|| pool.stats().open == 0).await;
}

#[tokio::test]
async fn dropping_the_pool_closes_idle_connections() {
    let (closed, mut closings) = mpsc::unbounded_channel();
    let upstream = scripted(move |_, mut endpoint| {
        let closed = closed.clone();
        async move {
            answer(&mut endpoint, OK).await;
            endpoint.rest().await;
            closed.send(()).unwrap();
        }
    });
    let pool = UpstreamPool::default();
    text(soon(pool.send(&upstream, get())).await.unwrap()).await;
    drop(pool);
    soon(closings.recv()).await;
}

#[tokio::test]
async fn a_forgotten_endpoint_keeps_no_connection() {
    let server = TestServer::start(ServerLimits::default(), echo);
    let upstream = server.upstream();
    let pool = UpstreamPool::default();
    let in_use = soon(pool.send(&upstream, post(Bytes::from("hi").into()))).await;
    pool.forget(upstream.authority());
    assert_eq!(text(in_use.unwrap()).await, "hi");
    let next = soon(pool.send(&upstream, post(Bytes::from("hi").into()))).await;
    assert_eq!(text(next.unwrap()).await, "hi");
    assert_eq!(pool.stats().connected_total, 2);
}

#[tokio::test]
async fn idle_connections_are_closed_after_their_time() {
    let server = TestServer::start(ServerLimits::default(), echo);
    let pool =
        UpstreamPool::new(PoolLimits { idle_timeout: Duration::from_millis(40), ..PoolLimits::default() });
    let response = soon(pool.send(&server.upstream(), post(Bytes::from("hi").into()))).await;
    assert_eq!(text(response.unwrap()).await, "hi");
    until(|| pool.stats() == PoolStats { connected_total: 1, ..PoolStats::default() }).await;
}

#[tokio::test]
async fn beyond_the_idle_bound_connections_are_closed() {
    let server = TestServer::start(ServerLimits::default(), echo);
    let upstream = server.upstream();
    let pool = UpstreamPool::new(PoolLimits { idle_max: 1, ..PoolLimits::default() });
    let (first, second) = soon(async {
        tokio::join!(
            pool.send(&upstream, post(Bytes::from("a").into())),
            pool.send(&upstream, post(Bytes::from("b").into()))
        )
    })
    .await;
    text(first.unwrap()).await;
    text(second.unwrap()).await;
    assert_eq!((pool.stats().idle, pool.stats().open), (1, 1));
}

#[tokio::test]
async fn beyond_the_connection_bound_a_request_is_refused_unsent() {
    let server = TestServer::start(ServerLimits::default(), |_| async {
        Response::new(ResponseBody::from("x".repeat(1_000_000)))
    });
    let upstream = server.upstream();
    let pool = UpstreamPool::new(PoolLimits { connections_max: Some(1), ..PoolLimits::default() });
    let first = soon(pool.send(&upstream, get())).await.unwrap();
    let error = soon(pool.send(&upstream, get())).await.unwrap_err();
    assert_eq!(error.kind, UpstreamErrorKind::Busy);
    assert_eq!(error.processed, Processed::NotSent);
    text(first).await;
    assert!(soon(pool.send(&upstream, get())).await.is_ok());
}

#[tokio::test]
async fn uploads_stream_with_their_trailers_both_ways() {
    let server = TestServer::start(ServerLimits::default(), |request: Request<Incoming>| async {
        let mut response = Response::new(ResponseBody::Empty);
        let trailer = request.headers()[TRAILER].clone();
        response.headers_mut().insert(TRAILER, trailer);
        *response.body_mut() = ResponseBody::streaming(request.into_body());
        response
    });
    let (feed, body) = fed_body();
    let mut request = post(UpstreamBody::streaming(body));
    let name = HeaderValue::from_static("x-sum");
    request.headers_mut().insert(TRAILER, name);
    let trailers = HeaderValue::from_static("trailers");
    request.headers_mut().insert(TE, trailers);

    let pool = UpstreamPool::default();
    let mut response = soon(pool.send(&server.upstream(), request)).await.unwrap();
    assert!(!response.headers().contains_key(CONTENT_LENGTH));
    for part in ["one", "two"] {
        feed.send(Frame::data(part.into())).unwrap();
        let frame = soon(response.body_mut().frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    let mut sum = http::HeaderMap::new();
    sum.insert("x-sum", HeaderValue::from_static("6"));
    feed.send(Frame::trailers(sum)).unwrap();
    drop(feed);
    let frame = soon(response.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap()["x-sum"], "6");
    assert!(soon(response.body_mut().frame()).await.is_none());
}

#[tokio::test]
async fn an_upload_whose_sender_fails_is_not_the_endpoints_fault() {
    let server = TestServer::start(ServerLimits::default(), |request: Request<Incoming>| async {
        let _ = request.into_body().collect().await;
        Response::new(ResponseBody::Empty)
    });
    let pool = UpstreamPool::default();
    let error = soon(pool.send(&server.upstream(), post(UpstreamBody::streaming(Broken)))).await;
    assert_eq!(error.unwrap_err().kind, UpstreamErrorKind::RequestBody);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_ended_gives_no_connection_back() {
    let upstream = scripted(|_, mut endpoint| async move {
        answer(&mut endpoint, OK).await;
        endpoint.rest().await;
    });
    let (feed, body) = fed_body();
    let pool = UpstreamPool::default();
    let response = soon(pool.send(&upstream, post(UpstreamBody::streaming(body)))).await;
    assert_eq!(text(response.unwrap()).await, "ok");
    assert_eq!(pool.stats().idle, 0);
    until(|| feed.is_closed()).await;
}

#[tokio::test]
async fn requests_are_sent_in_origin_form_with_a_host() {
    let server = TestServer::start(ServerLimits::default(), |request: Request<Incoming>| async move {
        let host = request.headers()["host"].to_str().unwrap();
        Response::new(format!("{host} {}", request.uri()).into())
    });
    let pool = UpstreamPool::default();
    let request = Request::get("http://example.com/a?b").body(()).unwrap();
    let response = soon(pool.send(&server.upstream(), request)).await.unwrap();
    assert_eq!(text(response).await, format!("{} /a?b", server.addr));
}

/// A body whose source is gone.
struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = crate::BoxError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, crate::BoxError>>> {
        std::task::Poll::Ready(Some(Err("client gone".into())))
    }
}
