//! The only place that opens listening sockets.
//!
//! First step of every request: a TCP connection is accepted here and handed to [`crate::server`].
//! Every accepted socket has `TCP_NODELAY` (without it small streamed chunks wait for delayed
//! acknowledgements, 40 ms each) and keep-alive probes. Accepting never ends because of a single
//! connection, nor while the process is out of file descriptors: it backs off and goes on.
//! Must not know what is spoken on the connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};

/// Connections that the kernel completes before we accept them; at the bound it drops new SYNs and the
/// client tries again.
const BACKLOG_MAX: i32 = 4096;
/// Silence on a connection after which the kernel asks whether the peer is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Pause after an accept error that another attempt at once would only repeat (out of descriptors, memory).
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A bound TCP listener.
#[derive(Debug)]
pub struct Listener {
    inner: TcpListener,
}

impl Listener {
    /// Binds `addr` with `SO_REUSEADDR`. Must be called inside a tokio runtime.
    pub fn bind(addr: SocketAddr) -> io::Result<Listener> {
        Self::bind_socket(addr, false)
    }

    /// As [`Listener::bind`] with `SO_REUSEPORT` too: several listeners share one port and the kernel
    /// spreads connections over them.
    pub fn bind_shared(addr: SocketAddr) -> io::Result<Listener> {
        Self::bind_socket(addr, true)
    }

    /// The address that is bound, with the port that the kernel chose where 0 was asked for.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// The next connection. Cancel safe: a connection is either returned or still in the backlog.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.inner.accept().await {
                Ok((stream, peer)) => match stream.set_nodelay(true) {
                    Ok(()) => return (stream, peer),
                    Err(error) => tracing::debug!(%peer, %error, "connection gone before use"),
                },
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "connection gone before accept");
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting is failing, trying again");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    fn bind_socket(addr: SocketAddr, shared: bool) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        if shared {
            socket.set_reuse_port(true)?;
        }
        if addr.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER))?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(BACKLOG_MAX)?;
        let inner = TcpListener::from_std(socket.into())?;
        Ok(Listener { inner })
    }
}

/// Binds `addr`, or while that port is taken one of the `tries` ports after it.
///
/// The flag says whether the port moved. Any error other than "address in use" ends the search, as does
/// the last port; port 0 is never taken.
pub fn bind_or_next(addr: SocketAddr, tries: u16) -> io::Result<(Listener, bool)> {
    let mut candidate = addr;
    for moved in 0..=tries {
        match Listener::bind(candidate) {
            Ok(listener) => return Ok((listener, moved > 0)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && moved < tries => {
                let Some(next) = candidate.port().checked_add(1) else {
                    return Err(error);
                };
                candidate.set_port(next);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests;
