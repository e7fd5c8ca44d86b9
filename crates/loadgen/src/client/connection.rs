//! Connections to one target: opening, driving, keeping for the next call.
//!
//! A connection has no task of its own: it moves only while a call waits on it, and an idle one is asked once, when it
//! is taken, whether the server has closed it. The error classes of the transport are told apart here.

use crate::record::ErrorClass;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream};

/// How long an idle connection may be used again. Servers close idle ones after five seconds and more; a request that
/// crosses with that close would count as the server's error.
const IDLE_MAX: Duration = Duration::from_secs(4);

type Driver = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// Nothing once it has ended.
    driver: Option<Driver>,
}

/// Idle connections to one address.
#[derive(Debug)]
pub(super) struct Pool {
    address: SocketAddr,
    idle_max: usize,
    idle: Mutex<Vec<(Instant, Connection)>>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, ErrorClass> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let connect = async {
            let stream = socket?.connect(address).await?;
            stream.set_nodelay(true)?;
            io::Result::Ok(stream)
        };
        let stream = connect.await.map_err(|_| ErrorClass::Connect)?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, driver) = handshake.map_err(|_| ErrorClass::Connect)?;
        Ok(Self { sender, driver: Some(driver) })
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let response = self.sender.send_request(request);
        drive(&mut self.driver, response).await
    }

    /// Waits for `future`, which waits for this connection.
    pub(super) async fn drive<F: Future>(&mut self, future: F) -> F::Output {
        drive(&mut self.driver, future).await
    }

    /// Whether another request can be sent. Reads what the server may have sent meanwhile, such as its close.
    async fn usable(&mut self) -> bool {
        poll_fn(|cx| {
            if let Some(driver) = &mut self.driver
                && Pin::new(driver).poll(cx).is_ready()
            {
                self.driver = None;
            }
            Poll::Ready(self.driver.is_some() && self.sender.is_ready())
        })
        .await
    }
}

impl Pool {
    pub(super) fn new(address: SocketAddr, idle_max: usize) -> Self {
        Self { address, idle_max, idle: Mutex::new(Vec::new()) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The idle connection that was used last, if it still is one.
    pub(super) async fn take(&self) -> Option<Connection> {
        loop {
            let (since, mut connection) = self.idle.lock().pop()?;
            if since.elapsed() > IDLE_MAX {
                // All the others are older still.
                self.idle.lock().clear();
                return None;
            }
            if connection.usable().await {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer was read to its end; beyond the bound it is closed.
    pub(super) fn give(&self, connection: Connection) {
        let mut idle = self.idle.lock();
        if connection.driver.is_some() && idle.len() < self.idle_max {
            idle.push((Instant::now(), connection));
        }
    }
}

/// Class of an error before the head of an answer.
pub(super) fn class_of_error(error: &hyper::Error) -> ErrorClass {
    if error.is_parse() { ErrorClass::Malformed } else { ErrorClass::Reset }
}

/// Class of an error while a body was read.
pub(super) fn class_of_body_error(error: &hyper::Error) -> ErrorClass {
    match io_kind(error) {
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => ErrorClass::Reset,
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => ErrorClass::Malformed,
        _ => ErrorClass::Truncated,
    }
}

async fn drive<F: Future>(driver: &mut Option<Driver>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        // The end of a connection reaches `future` as its own error.
        if let Some(running) = driver
            && Pin::new(running).poll(cx).is_ready()
        {
            *driver = None;
        }
        future.as_mut().poll(cx)
    })
    .await
}

fn io_kind(error: &hyper::Error) -> Option<io::ErrorKind> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io.kind());
        }
        source = error.source();
    }
    None
}
