//! Tells an endpoint who asked: `x-forwarded-for`, `-proto`, `-host`, and `forwarded` (RFC 7239).
//!
//! Applied to a request's headers just before it is forwarded. The client's address is always appended, so
//! what a client claims stands before what we saw. It must not know connections.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::headers::{FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};

/// How a request reached us.
#[derive(Clone, Copy, Debug)]
pub struct Hop<'a> {
    /// The address at the other end of the connection.
    pub peer: IpAddr,
    /// Whether it came over TLS.
    pub tls: bool,
    /// The authority asked for.
    pub host: Option<&'a HeaderValue>,
}

/// Appends `hop`. `x-forwarded-proto` and `-host` that a proxy before us wrote are kept; `forwarded` is only
/// continued where it is there already.
pub fn append(headers: &mut HeaderMap, hop: Hop<'_>) {
    let proto = if hop.tls { "https" } else { "http" };
    // An IPv4 client of a dual-stack listener is shown as the IPv4 client that it is.
    let peer = hop.peer.to_canonical();
    extend(headers, &X_FORWARDED_FOR, &peer.to_string());
    headers.entry(X_FORWARDED_PROTO).or_insert(HeaderValue::from_static(proto));
    if let Some(host) = hop.host {
        headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
    }
    if headers.contains_key(FORWARDED) {
        let node = match peer {
            IpAddr::V4(address) => format!("for={address};proto={proto}"),
            IpAddr::V6(address) => format!("for=\"[{address}]\";proto={proto}"),
        };
        extend(headers, &FORWARDED, &node);
    }
}

/// Makes one comma-separated line of all values of `name`, with `last` at its end.
fn extend(headers: &mut HeaderMap, name: &HeaderName, last: &str) {
    let mut line = Vec::new();
    for value in headers.get_all(name) {
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(last.as_bytes());
    let line = HeaderValue::from_bytes(&line).expect("made of valid values and plain text");
    headers.insert(name, line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(before: &[(HeaderName, &'static str)], peer: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in before {
            headers.append(name, HeaderValue::from_static(value));
        }
        let host = HeaderValue::from_static("models.example");
        append(&mut headers, Hop { peer: peer.parse().unwrap(), tls: false, host: Some(&host) });
        headers
    }

    #[test]
    fn a_first_hop_is_written_whole() {
        let headers = after(&[], "::ffff:10.0.0.7");
        assert_eq!(headers[X_FORWARDED_FOR], "10.0.0.7");
        assert_eq!(headers[X_FORWARDED_PROTO], "http");
        assert_eq!(headers[X_FORWARDED_HOST], "models.example");
        assert!(!headers.contains_key(FORWARDED));
    }

    #[test]
    fn earlier_hops_are_kept_and_ours_comes_last() {
        let headers = after(
            &[
                (X_FORWARDED_FOR, "1.1.1.1"),
                (X_FORWARDED_FOR, "2.2.2.2, 3.3.3.3"),
                (X_FORWARDED_PROTO, "https"),
                (X_FORWARDED_HOST, "edge.example"),
                (FORWARDED, "for=1.1.1.1"),
            ],
            "2001:db8::1",
        );
        assert_eq!(headers[X_FORWARDED_FOR], "1.1.1.1, 2.2.2.2, 3.3.3.3, 2001:db8::1");
        assert_eq!(headers.get_all(X_FORWARDED_FOR).iter().count(), 1);
        assert_eq!(headers[X_FORWARDED_PROTO], "https");
        assert_eq!(headers[X_FORWARDED_HOST], "edge.example");
        assert_eq!(headers[FORWARDED], "for=1.1.1.1, for=\"[2001:db8::1]\";proto=http");
    }
}
