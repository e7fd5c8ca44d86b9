//! Ports that were asked for, and ports that were not.

use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use roadstead_net::Listener;

/// Ports tried after the usual one.
const TRIES: u16 = 100;

/// Listens on the port that was asked for, or on the usual one or the next free after it, which is said.
///
/// # Errors
/// The port is taken or may not be used.
pub fn listen(what: &str, host: IpAddr, asked: Option<u16>, usual: u16) -> anyhow::Result<Listener> {
    if let Some(port) = asked {
        let address = SocketAddr::new(host, port);
        return Listener::bind(address).with_context(|| format!("cannot listen on {address} for the {what}"));
    }
    let address = SocketAddr::new(host, usual);
    let (listener, moved) = roadstead_net::bind_or_next(address, TRIES).with_context(|| {
        format!("cannot listen on {address} or the {TRIES} ports after it for the {what}")
    })?;
    if moved {
        eprintln!("Port {usual} is taken; the {what} uses {}.", listener.local_addr()?.port());
    }
    Ok(listener)
}
