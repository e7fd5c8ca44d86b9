//! The name of an endpoint as the pool knows it: host and port.
//!
//! Parsed once when the endpoint is configured; cloning it is cheap.

use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;

/// An authority is not "host:port".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{authority:?} is not of the form host:port")]
pub struct BadAuthority {
    /// What was given.
    pub authority: String,
}

/// Where to send: an authority, checked.
#[derive(Clone, Debug)]
pub struct Upstream {
    authority: Arc<str>,
    host: Host,
    port: u16,
    host_header: HeaderValue,
}

/// The host of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Address(IpAddr),
    /// To be resolved each time a connection is made.
    Name(Arc<str>),
}

impl Upstream {
    /// Parses "host:port"; an IPv6 host stands in brackets.
    ///
    /// # Errors
    /// [`BadAuthority`] where host or port are missing or malformed.
    pub fn new(authority: impl Into<Arc<str>>) -> Result<Upstream, BadAuthority> {
        let authority = authority.into();
        match split(&authority) {
            Some((host, port, host_header)) => Ok(Upstream { authority, host, port, host_header }),
            None => Err(BadAuthority { authority: authority.to_string() }),
        }
    }

    /// "host:port", as given.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn shared_authority(&self) -> Arc<str> {
        self.authority.clone()
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }
}

impl std::str::FromStr for Upstream {
    type Err = BadAuthority;

    fn from_str(authority: &str) -> Result<Upstream, BadAuthority> {
        Upstream::new(authority)
    }
}

impl From<std::net::SocketAddr> for Upstream {
    fn from(addr: std::net::SocketAddr) -> Upstream {
        Upstream::new(addr.to_string()).expect("a socket address prints as host:port")
    }
}

fn split(authority: &str) -> Option<(Host, u16, HeaderValue)> {
    let (host, port) = authority.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|&port| port > 0)?;
    let host = if let Some(bracketed) = host.strip_prefix('[') {
        let address = bracketed.strip_suffix(']')?;
        Host::Address(IpAddr::V6(address.parse().ok()?))
    } else if let Ok(address) = host.parse::<IpAddr>() {
        // An IPv6 address without brackets cannot be told from its port.
        Host::Address(address).filter_v4()?
    } else {
        let named = !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
        named.then(|| Host::Name(host.into()))?
    };
    let header = HeaderValue::from_str(authority).ok()?;
    Some((host, port, header))
}

impl Host {
    fn filter_v4(self) -> Option<Host> {
        matches!(self, Host::Address(IpAddr::V4(_))).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_told_apart() {
        let host = |authority: &str| Upstream::new(authority).unwrap().host;
        assert_eq!(host("vllm-0.svc:8000"), Host::Name("vllm-0.svc".into()));
        assert_eq!(host("10.0.0.1:80"), Host::Address([10, 0, 0, 1].into()));
        assert_eq!(host("[::1]:80"), Host::Address(IpAddr::V6("::1".parse().unwrap())));
    }

    #[test]
    fn what_is_not_host_and_port_is_refused() {
        for bad in [
            "",
            "host",
            "host:",
            ":80",
            "host:0",
            "host:65536",
            "::1:80",
            "[::1]",
            "[x]:80",
            "a b:80",
            "a/b:80",
            "user@host:80",
        ] {
            assert!(Upstream::new(bad).is_err(), "{bad:?}");
        }
    }
}
