//! What a user typed as an endpoint, read into an authority; or told what is wrong with it.
//!
//! Used at start and when manifests change, never on the request's path.

use std::net::Ipv6Addr;

/// Port of `http` URLs without one.
const HTTP_PORT: u16 = 80;

/// Why a text names no endpoint. The text itself is part of each message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("an endpoint must not be empty; write http://host:port")]
    Empty,
    /// `https://…`.
    #[error("{0:?} asks for https, which is not spoken to endpoints yet; write http://host:port")]
    Https(String),
    /// Another scheme than `http`.
    #[error("{0:?} has an unknown scheme; write http://host:port")]
    Scheme(String),
    /// `user:password@host`.
    #[error("{0:?} carries a user name or password, which endpoints do not take; leave out what is before @")]
    UserInfo(String),
    /// Something follows the authority.
    #[error("{0:?} has a path or query; an endpoint is host and port only, requests bring their own path")]
    Path(String),
    /// The port is no number from 1 to 65535.
    #[error("{0:?} has no valid port; ports are 1 to 65535")]
    Port(String),
    /// The host is empty or has characters that no host has.
    #[error("{0:?} has no valid host; write http://host:port, an IPv6 address in brackets")]
    Host(String),
}

/// The authority (`host:port`) that `text` names: `http://host:port`, `host:port`, `host`, `http://[::1]:8000/`.
/// Without a port it is 80.
///
/// # Errors
/// One variant for each thing that users get wrong.
pub fn parse_address(text: &str) -> Result<String, AddressError> {
    let trimmed = text.trim();
    let fail = |error: fn(String) -> AddressError| Err(error(trimmed.to_owned()));
    if trimmed.is_empty() {
        return Err(AddressError::Empty);
    }
    let rest = match trimmed.split_once("://") {
        None => trimmed,
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => return fail(AddressError::Https),
        Some(_) => return fail(AddressError::Scheme),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    if authority.contains('@') {
        return fail(AddressError::UserInfo);
    }
    if !matches!(tail, "" | "/") {
        return fail(AddressError::Path);
    }
    let Some((host, port)) = split(authority) else { return fail(AddressError::Host) };
    let port = match port {
        None => HTTP_PORT,
        Some(digits) => match parse_port(digits) {
            Some(port) => port,
            None => return fail(AddressError::Port),
        },
    };
    Ok(format!("{host}:{port}"))
}

/// Host, still in its brackets if it has some, and the text of the port.
fn split(authority: &str) -> Option<(String, Option<&str>)> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, after) = bracketed.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        let port = match after {
            "" => None,
            after => Some(after.strip_prefix(':')?),
        };
        return Some((format!("[{address}]"), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    // A second colon is an IPv6 address without brackets.
    let valid = !host.is_empty() && host.bytes().all(named) && !port.is_some_and(|port| port.contains(':'));
    valid.then(|| (host.to_ascii_lowercase(), port))
}

/// Digits only: `parse` alone would take `+80`.
fn parse_port(digits: &str) -> Option<u16> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_type_becomes_host_and_port() {
        for (typed, authority) in [
            ("http://10.0.0.1:8000", "10.0.0.1:8000"),
            ("HTTP://Vllm-0.svc:8000/", "vllm-0.svc:8000"),
            ("localhost:8000", "localhost:8000"),
            ("localhost", "localhost:80"),
            ("http://host", "host:80"),
            ("http://[::1]:8000/", "[::1]:8000"),
            ("[2001:DB8::0:1]", "[2001:db8::1]:80"),
            ("  http://a:1 ", "a:1"),
        ] {
            assert_eq!(parse_address(typed).as_deref(), Ok(authority), "{typed:?}");
        }
    }

    #[test]
    fn every_authority_can_be_connected_to() {
        for typed in ["http://10.0.0.1:8000", "localhost", "http://[::1]:8000/", "a_b.c-d:1"] {
            let authority = parse_address(typed).unwrap();
            assert!(roadstead_net::Upstream::new(authority).is_ok(), "{typed:?}");
        }
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        use AddressError as E;
        type Mistake = (&'static str, fn(String) -> E);
        let cases: [Mistake; 17] = [
            ("https://host:8000", E::Https),
            ("ftp://host", E::Scheme),
            ("://host", E::Scheme),
            ("http://me:secret@host:80", E::UserInfo),
            ("http://host:80/v1", E::Path),
            ("http://host:80//", E::Path),
            ("host:80?x=1", E::Path),
            ("host:80#x", E::Path),
            ("host:", E::Port),
            ("host:0", E::Port),
            ("host:65536", E::Port),
            ("host:+80", E::Port),
            ("host:http", E::Port),
            ("::1:8000", E::Host),
            ("[::1:8000", E::Host),
            ("http://:8000", E::Host),
            ("a b:80", E::Host),
        ];
        for (typed, error) in cases {
            assert_eq!(parse_address(typed), Err(error(typed.to_owned())), "{typed:?}");
        }
        assert_eq!(parse_address(" "), Err(E::Empty));
    }
}
