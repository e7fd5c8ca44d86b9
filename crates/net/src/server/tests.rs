use http::StatusCode;
use http::header::{CONNECTION, HeaderValue, TRAILER};
use http_body::Frame;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::*;
use crate::body::ResponseBody;
use crate::testing::{DropSignal, Feed, GET, RawClient, TestServer, drop_signal, fed_body, soon, until};

type H2Client = http2::SendRequest<Empty<bytes::Bytes>>;

fn hello(_: Request<Incoming>) -> impl Future<Output = Response<ResponseBody>> + Send {
    std::future::ready(Response::new("hello".into()))
}

/// Short enough to wait for.
fn hasty() -> ServerLimits {
    ServerLimits {
        head_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(100),
        write_stall_timeout: Duration::from_millis(100),
        ..ServerLimits::default()
    }
}

async fn h2_client(addr: SocketAddr) -> (H2Client, tokio::task::JoinHandle<hyper::Result<()>>) {
    h2_client_on(RawClient::connect(addr).await.0).await
}

async fn h2_client_on(stream: TcpStream) -> (H2Client, tokio::task::JoinHandle<hyper::Result<()>>) {
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn h2_get() -> Request<Empty<bytes::Bytes>> {
    Request::get("http://a/").body(Empty::new()).unwrap()
}

/// A server whose answers never come; each call and each dropped future is told.
fn never_answering(
    limits: ServerLimits,
) -> (TestServer, mpsc::UnboundedReceiver<()>, mpsc::UnboundedReceiver<()>) {
    let (called, calls) = mpsc::unbounded_channel();
    let (signal, drops) = drop_signal();
    let signal = Arc::new(Mutex::new(Some(signal)));
    let server = TestServer::start(limits, move |_| {
        let signal = signal.lock().take();
        let called = called.clone();
        async move {
            let _signal = signal;
            called.send(()).unwrap();
            std::future::pending().await
        }
    });
    (server, calls, drops)
}

/// A server that answers with one body that is fed by hand.
fn streaming(limits: ServerLimits) -> (TestServer, Feed) {
    let (feed, body) = fed_body();
    let body = Arc::new(Mutex::new(Some(body)));
    let server = TestServer::start(limits, move |_| {
        let body = body.lock().take();
        let body = body.map_or(ResponseBody::Empty, ResponseBody::streaming);
        std::future::ready(Response::new(body))
    });
    (server, feed)
}

#[tokio::test]
async fn one_port_speaks_http1_and_http2() {
    let server = TestServer::start(ServerLimits::default(), hello);
    let mut client = RawClient::connect(server.addr).await;
    for _ in 0..2 {
        client.send(GET).await;
        client.expect("hello").await;
    }
    let (mut client, _task) = h2_client(server.addr).await;
    for _ in 0..2 {
        let response = soon(client.send_request(h2_get())).await.unwrap();
        let body = soon(response.into_body().collect()).await.unwrap();
        assert_eq!(body.to_bytes(), "hello");
    }
}

#[tokio::test]
async fn a_preface_that_comes_byte_by_byte_is_still_http2() {
    let server = TestServer::start(ServerLimits::default(), hello);
    let mut client = RawClient::connect(server.addr).await;
    client.0.set_nodelay(true).unwrap();
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        client.send(&[*byte]).await;
        tokio::task::yield_now().await;
    }
    client.send(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await; // empty SETTINGS
    // The server's own SETTINGS come first: length, then type 4.
    let mut head = [0; 9];
    soon(tokio::io::AsyncReadExt::read_exact(&mut client.0, &mut head)).await.unwrap();
    assert_eq!(head[3], 4);
}

#[tokio::test]
async fn too_many_header_bytes_are_answered_431() {
    let server = TestServer::start(ServerLimits::default(), hello);
    let mut client = RawClient::connect(server.addr).await;
    let big = "x".repeat(70 * 1024);
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\nbig: {big}").as_bytes()).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn too_many_headers_are_answered_431() {
    let server = TestServer::start(ServerLimits::default(), hello);
    let mut client = RawClient::connect(server.addr).await;
    let many: String = (0..200).map(|n| format!("h{n}: v\r\n")).collect();
    client.send(format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n").as_bytes()).await;
    assert!(client.rest().await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn conflicting_content_lengths_are_answered_400() {
    let server = TestServer::start(ServerLimits::default(), hello);
    let mut client = RawClient::connect(server.addr).await;
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_slow_head_is_answered_408_and_closed() {
    let server = TestServer::start(hasty(), hello);
    let mut client = RawClient::connect(server.addr).await;
    client.send(b"GET / HTTP/1.1\r\nhost:").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn a_second_head_that_is_slow_is_closed_too() {
    let limits = ServerLimits { idle_timeout: Duration::from_secs(60), ..hasty() };
    let server = TestServer::start(limits, hello);
    let mut client = RawClient::connect(server.addr).await;
    client.send(GET).await;
    client.expect("hello").await;
    client.send(b"GET /").await;
    assert!(client.rest().await.starts_with("HTTP/1.1 408"));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_closed_without_an_answer() {
    let server = TestServer::start(hasty(), hello);
    let mut client = RawClient::connect(server.addr).await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = TestServer::start(hasty(), hello);
    let mut client = RawClient::connect(server.addr).await;
    client.send(GET).await;
    client.expect("hello").await;
    assert_eq!(client.rest().await, "");

    let (mut client, task) = h2_client(server.addr).await;
    soon(client.send_request(h2_get())).await.unwrap();
    soon(task).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_that_takes_longer_than_every_limit_is_not_cut() {
    let limits = hasty();
    let wait = (limits.idle_timeout + limits.head_timeout) * 2;
    let server = TestServer::start(limits, move |_| async move {
        tokio::time::sleep(wait).await;
        Response::new("late".into())
    });
    let mut client = RawClient::connect(server.addr).await;
    client.send(GET).await;
    client.expect("late").await;
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_cut() {
    let (server, feed) = streaming(hasty());
    let mut client = RawClient::connect(server.addr).await;
    client.send(GET).await;
    // Far more than socket buffers hold, and nobody reads.
    let chunk = bytes::Bytes::from(vec![b'x'; 1024 * 1024]);
    for _ in 0..64 {
        feed.send(Frame::data(chunk.clone())).unwrap();
    }
    until(|| feed.is_closed()).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_waiting_drops_the_exchange() {
    let (server, mut calls, mut drops) = never_answering(ServerLimits::default());
    let mut client = RawClient::connect(server.addr).await;
    client.send(GET).await;
    soon(calls.recv()).await;
    drop(client);
    soon(drops.recv()).await;
}

#[tokio::test]
async fn a_client_that_leaves_while_waiting_after_a_post_drops_the_exchange() {
    let (called, mut calls) = mpsc::unbounded_channel();
    let (signal, mut drops) = drop_signal();
    let signal = Arc::new(Mutex::new(Some(signal)));
    let server = TestServer::start(ServerLimits::default(), move |request: Request<Incoming>| {
        let signal: Option<DropSignal> = signal.lock().take();
        let called = called.clone();
        async move {
            let _signal = signal;
            let body = crate::collect_bounded(request.into_body(), 100).await;
            called.send(body.unwrap().len()).unwrap();
            std::future::pending().await
        }
    });
    let mut client = RawClient::connect(server.addr).await;
    client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n12345").await;
    assert_eq!(soon(calls.recv()).await, Some(5));
    drop(client);
    soon(drops.recv()).await;
}

#[tokio::test]
async fn a_client_that_leaves_mid_stream_drops_the_body() {
    let (server, feed) = streaming(ServerLimits::default());
    let mut client = RawClient::connect(server.addr).await;
    client.send(GET).await;
    feed.send(Frame::data("part".into())).unwrap();
    client.expect("part").await;
    drop(client);
    until(|| feed.is_closed()).await;
}

#[tokio::test]
async fn an_h2_client_that_resets_a_stream_drops_the_exchange() {
    let (server, mut calls, mut drops) = never_answering(ServerLimits::default());
    let (mut client, task) = h2_client(server.addr).await;
    let waiting = tokio::spawn(client.send_request(h2_get()));
    soon(calls.recv()).await;
    waiting.abort();
    soon(drops.recv()).await;
    assert!(!task.is_finished(), "the connection lives on");
}

#[tokio::test]
async fn an_h2_client_that_leaves_drops_the_exchange() {
    let (server, mut calls, mut drops) = never_answering(ServerLimits::default());
    let stream = RawClient::connect(server.addr).await.0.into_std().unwrap();
    let socket = stream.try_clone().unwrap();
    let (mut client, _task) = h2_client_on(TcpStream::from_std(stream).unwrap()).await;
    let _waiting = tokio::spawn(client.send_request(h2_get()));
    soon(calls.recv()).await;
    socket.shutdown(std::net::Shutdown::Both).unwrap();
    soon(drops.recv()).await;
}

#[tokio::test]
async fn a_panic_ends_one_connection_only() {
    let server = TestServer::start(ServerLimits::default(), |request: Request<Incoming>| async move {
        assert_ne!(request.uri().path(), "/panic", "asked for");
        Response::new("hello".into())
    });
    let mut client = RawClient::connect(server.addr).await;
    client.send(b"GET /panic HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    let mut client = RawClient::connect(server.addr).await;
    client.send(GET).await;
    client.expect("hello").await;
    server.shutdown.cancel();
    assert_eq!(soon(server.task).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn a_drain_finishes_streams_and_takes_nothing_new() {
    let (server, feed) = streaming(ServerLimits::default());
    let mut client = RawClient::connect(server.addr).await;
    client.send(GET).await;
    feed.send(Frame::data("part".into())).unwrap();
    client.expect("part").await;
    let mut idle = RawClient::connect(server.addr).await;
    idle.send(GET).await;
    idle.expect("\r\n\r\n").await;

    server.shutdown.cancel();
    assert_eq!(idle.rest().await, "", "idle connections close");
    until(|| Listener::bind(server.addr).is_ok()).await; // nobody listens any more
    assert!(!server.task.is_finished());

    feed.send(Frame::data("last".into())).unwrap();
    drop(feed);
    client.expect("last\r\n0\r\n\r\n").await;
    assert_eq!(client.rest().await, "");
    assert_eq!(soon(server.task).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn an_answer_given_while_draining_says_connection_close() {
    let (release, released) = tokio::sync::watch::channel(false);
    let (called, mut calls) = mpsc::unbounded_channel();
    let server = TestServer::start(ServerLimits::default(), move |_| {
        let mut released = released.clone();
        called.send(()).unwrap();
        async move {
            released.wait_for(|&go| go).await.unwrap();
            Response::new("hello".into())
        }
    });
    let mut client = RawClient::connect(server.addr).await;
    client.send(GET).await;
    soon(calls.recv()).await;
    server.shutdown.cancel();
    until(|| Listener::bind(server.addr).is_ok()).await;
    release.send(true).unwrap();
    let answer = client.rest().await;
    assert!(answer.contains("connection: close"), "{answer}");
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_drain_lets_h2_streams_finish() {
    let (server, feed) = streaming(ServerLimits::default());
    let (mut client, task) = h2_client(server.addr).await;
    let response = soon(client.send_request(h2_get())).await.unwrap();
    server.shutdown.cancel();
    until(|| Listener::bind(server.addr).is_ok()).await;
    feed.send(Frame::data("last".into())).unwrap();
    drop(feed);
    let body = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(body.to_bytes(), "last");
    soon(task).await.unwrap().unwrap();
    assert_eq!(soon(server.task).await.unwrap(), Drained { cut: 0 });
}

#[tokio::test]
async fn what_outlives_the_grace_is_cut() {
    let limits = ServerLimits { drain_grace: Duration::from_millis(20), ..ServerLimits::default() };
    let (server, mut calls, mut drops) = never_answering(limits);
    let mut http1 = RawClient::connect(server.addr).await;
    http1.send(GET).await;
    soon(calls.recv()).await;
    let (mut http2, _task) = h2_client(server.addr).await;
    let _waiting = tokio::spawn(http2.send_request(h2_get()));
    soon(calls.recv()).await;
    server.shutdown.cancel();
    assert_eq!(soon(server.task).await.unwrap(), Drained { cut: 2 });
    soon(drops.recv()).await;
}

#[tokio::test]
async fn beyond_the_connection_bound_a_client_waits_for_its_turn() {
    let limits = ServerLimits { connections_max: 1, ..ServerLimits::default() };
    let (served, mut servings) = mpsc::unbounded_channel();
    let server = TestServer::start(limits, move |_| {
        served.send(()).unwrap();
        std::future::ready(Response::new("hello".into()))
    });
    let mut first = RawClient::connect(server.addr).await;
    first.send(GET).await;
    first.expect("hello").await;
    soon(servings.recv()).await;

    let mut second = RawClient::connect(server.addr).await;
    second.send(GET).await;
    first.send(GET).await;
    first.expect("hello").await;
    soon(servings.recv()).await;
    assert!(servings.try_recv().is_err(), "only the first is served");

    drop(first);
    second.expect("hello").await;
}

#[tokio::test]
async fn trailers_pass_to_http1_and_http2_clients() {
    let server = TestServer::start(ServerLimits::default(), |_| async {
        let (feed, body) = fed_body();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-usage", HeaderValue::from_static("42"));
        feed.send(Frame::data("data".into())).unwrap();
        feed.send(Frame::trailers(trailers)).unwrap();
        let mut response = Response::new(ResponseBody::streaming(body));
        let name = HeaderValue::from_static("x-usage");
        response.headers_mut().insert(TRAILER, name);
        response
    });
    let mut client = RawClient::connect(server.addr).await;
    client.send(b"GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n").await;
    client.expect("0\r\nx-usage: 42\r\n\r\n").await;

    let (mut client, _task) = h2_client(server.addr).await;
    let response = soon(client.send_request(h2_get())).await.unwrap();
    let body = soon(response.into_body().collect()).await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-usage"], "42");
}

#[tokio::test]
async fn expect_continue_is_answered_when_the_body_is_read() {
    let server = TestServer::start(ServerLimits::default(), |request: Request<Incoming>| async {
        let body = crate::collect_bounded(request.into_body(), 4).await;
        let status = match body {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        let mut response = Response::new(ResponseBody::Empty);
        *response.status_mut() = status;
        response
    });
    let head = |length| {
        format!("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n")
    };
    let mut client = RawClient::connect(server.addr).await;
    client.send(head(4).as_bytes()).await;
    client.expect("100 Continue\r\n\r\n").await;
    client.send(b"1234").await;
    client.expect("200 OK").await;

    let mut client = RawClient::connect(server.addr).await;
    client.send(head(5).as_bytes()).await;
    let answer = client.expect("\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(!answer.contains(CONNECTION.as_str()) || answer.contains("close"));
}
