//! Opens upstream connections: resolve, try each address, speak HTTP/1.1.
//!
//! Every connection gets `TCP_NODELAY` and a task of its own that drives hyper.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::upstream::Host;
use super::{PoolLimits, Upstream, UpstreamError};
use crate::body::UpstreamBody;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Makes connections within the pool's limits.
pub(super) struct Connector {
    http1: Builder,
    connect_timeout: Duration,
}

impl Connector {
    pub(super) fn new(limits: &PoolLimits) -> Connector {
        let mut http1 = Builder::new();
        http1.max_header_size(limits.head_bytes_max).max_buf_size(limits.buffer_bytes_max);
        Connector { http1, connect_timeout: limits.connect_timeout }
    }

    /// A fresh connection and the task that drives it.
    pub(super) async fn connect(
        &self,
        upstream: &Upstream,
    ) -> Result<(SendRequest<UpstreamBody>, JoinHandle<()>), UpstreamError> {
        let stream = connect_stream(upstream, self.connect_timeout).await?;
        let (sender, connection) = self
            .http1
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| UpstreamError::never_written(&error))?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection ended early");
            }
        });
        Ok((sender, task))
    }
}

/// A connection to `upstream` for a caller that frames its own exchange, such as the scraper, which reads every
/// answer into one buffer. `limit` bounds resolving and connecting together.
pub async fn connect_stream(upstream: &Upstream, limit: Duration) -> Result<TcpStream, UpstreamError> {
    let deadline = Instant::now() + limit;
    let stream = match upstream.host() {
        Host::Address(address) => {
            let address = SocketAddr::new(*address, upstream.port());
            try_each(&[address], deadline).await
        }
        Host::Name(name) => {
            let addresses = resolve(name, upstream.port(), limit).await?;
            try_each(&addresses, deadline).await
        }
    };
    stream.map_err(UpstreamError::connect)
}

async fn resolve(name: &str, port: u16, limit: Duration) -> Result<Vec<SocketAddr>, UpstreamError> {
    let addresses = timeout(limit, tokio::net::lookup_host((name, port)))
        .await
        .map_err(|_| UpstreamError::connect(io::ErrorKind::TimedOut.into()))?
        .map_err(UpstreamError::resolve)?;
    Ok(addresses.take(ADDRESSES_MAX).collect())
}

/// The first address that connects; each gets an equal share of the time left.
pub(super) async fn try_each(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for (tried, &address) in addresses.iter().enumerate() {
        let untried = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()) / untried;
        match timeout(share, open(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

pub(super) async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.set_keepalive(true)?;
    socket.connect(address).await
}
