//! Helpers of this crate's tests: a server in a task, raw clients, bodies fed by hand.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{BoxError, Drained, Listener, ResponseBody, ServerLimits, serve};

/// Longest that any test waits for what it expects.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
pub(crate) const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

pub(crate) fn loopback() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// The result of `future`, which must come in time.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("did not happen in time")
}

/// Waits until `condition` holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// A server under test.
pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Drained>,
}

impl TestServer {
    /// Serves every request with `answer`.
    pub(crate) fn start<F, A>(limits: ServerLimits, answer: F) -> TestServer
    where
        F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
        A: Future<Output = Response<ResponseBody>> + Send + 'static,
    {
        let listener = Listener::bind(loopback()).unwrap();
        let addr = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let make_service = move |_peer| {
            let answer = answer.clone();
            service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            })
        };
        let task = tokio::spawn(serve(listener, limits, make_service, shutdown.clone()));
        TestServer { addr, shutdown, task }
    }

    pub(crate) fn upstream(&self) -> crate::Upstream {
        self.addr.into()
    }
}

/// A client that speaks bytes.
pub(crate) struct RawClient(pub(crate) TcpStream);

impl RawClient {
    #[allow(clippy::disallowed_methods)] // a client as others write it
    pub(crate) async fn connect(addr: SocketAddr) -> RawClient {
        RawClient(TcpStream::connect(addr).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Reads until what came contains `text`.
    pub(crate) async fn expect(&mut self, text: &str) -> String {
        let mut got = Vec::new();
        soon(async {
            while !String::from_utf8_lossy(&got).contains(text) {
                let read = self.0.read_buf(&mut got).await.unwrap();
                let so_far = String::from_utf8_lossy(&got);
                assert!(read > 0, "closed before {text:?} came, after {so_far:?}");
            }
        })
        .await;
        String::from_utf8(got).unwrap()
    }

    /// What comes until the server closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut got = Vec::new();
        // A reset ends it as well as an orderly close.
        let _ = soon(self.0.read_to_end(&mut got)).await;
        String::from_utf8(got).unwrap()
    }
}

/// A body fed by hand; ends when the sender is dropped.
pub(crate) struct FedBody(mpsc::UnboundedReceiver<Frame<Bytes>>);

pub(crate) type Feed = mpsc::UnboundedSender<Frame<Bytes>>;

pub(crate) fn fed_body() -> (Feed, FedBody) {
    let (feed, frames) = mpsc::unbounded_channel();
    (feed, FedBody(frames))
}

impl Body for FedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// Tells when it is dropped.
pub(crate) struct DropSignal(mpsc::UnboundedSender<()>);

pub(crate) fn drop_signal() -> (DropSignal, mpsc::UnboundedReceiver<()>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (DropSignal(sender), receiver)
}

impl Drop for DropSignal {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}
