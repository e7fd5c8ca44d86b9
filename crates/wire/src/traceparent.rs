//! W3C Trace Context: reads `traceparent` and writes the one for the next hop.
//! Source: <https://www.w3.org/TR/trace-context-2/> §3.2, §4.
//!
//! Used where a request is forwarded. A header that breaks the rules counts as none, and the trace starts
//! anew. Random numbers come from the caller.

use std::fmt;

/// `sampled` and `random-trace-id`, the flags that have a meaning; the others must be sent as zero (§3.2.2.5).
const FLAGS: u8 = 0b11;
/// Set where the caller may have recorded the trace.
const SAMPLED: u8 = 0b01;
/// Length of a version 00 header.
const LENGTH: usize = 55;

/// Where in which trace a request stands. Its text form is the header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace; never 0.
    pub trace_id: u128,
    /// The span that is the parent of what the receiver does; never 0.
    pub span_id: u64,
    /// Flag bits.
    pub flags: u8,
}

impl TraceContext {
    /// Reads a header value; `None` where it is invalid.
    pub fn parse(value: &[u8]) -> Option<TraceContext> {
        let value = value.trim_ascii();
        let (head, rest) = value.split_at_checked(LENGTH)?;
        let version = hex(&head[..2])?;
        let dashes = [2, 35, 52].iter().all(|at| head[*at] == b'-');
        // Later versions may only append (§4.3.1); ff is forbidden.
        let ends = rest.is_empty() || (version > 0 && rest[0] == b'-');
        if !dashes || !ends || version == 0xff {
            return None;
        }
        let trace_id = hex(&head[3..35])?;
        let span_id = hex(&head[36..52])? as u64;
        let flags = hex(&head[53..])? as u8 & FLAGS;
        (trace_id != 0 && span_id != 0).then_some(TraceContext { trace_id, span_id, flags })
    }

    /// The context for the next hop: the incoming trace where there is a valid one, else a new one, not
    /// sampled, with which an incoming `tracestate` must not go on (§4.2). `trace` and `span` are random; a zero
    /// is replaced.
    pub fn next_hop(incoming: Option<&[u8]>, trace: u128, span: u64) -> TraceContext {
        let span_id = span.max(1);
        match incoming.and_then(TraceContext::parse) {
            Some(context) => TraceContext { span_id, ..context },
            None => TraceContext { trace_id: trace.max(1), span_id, flags: 0 },
        }
    }

    /// Whether the caller may have recorded the trace.
    pub fn sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// Lower-case hexadecimal digits, as the standard demands.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |sum: u128, digit| match digit {
        b'0'..=b'9' => Some(sum << 4 | u128::from(digit - b'0')),
        b'a'..=b'f' => Some(sum << 4 | u128::from(digit - b'a' + 10)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_valid_header_round_trips() {
        let context = TraceContext::parse(VALID.as_bytes()).unwrap();
        assert_eq!(context.trace_id, 0x0af7651916cd43dd8448eb211c80319c);
        assert_eq!(context.span_id, 0xb7ad6b7169203331);
        assert!(context.sampled());
        assert_eq!(context.to_string(), VALID);
    }

    #[test]
    fn a_later_version_may_append_and_is_answered_in_ours() {
        let later = VALID.replacen("00-", "cc-", 1) + "-what-comes";
        assert_eq!(TraceContext::parse(later.as_bytes()).unwrap().to_string(), VALID);
        let unknown_flags = VALID.replace("-01", "-ff");
        assert_eq!(TraceContext::parse(unknown_flags.as_bytes()).unwrap().flags, 0b11);
    }

    #[test]
    fn what_breaks_the_rules_is_none() {
        for broken in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.x",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
            "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::parse(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn the_next_hop_keeps_the_trace_and_takes_a_new_span() {
        let next = TraceContext::next_hop(Some(VALID.as_bytes()), 1, 2);
        assert_eq!(next.to_string(), "00-0af7651916cd43dd8448eb211c80319c-0000000000000002-01");
    }

    #[test]
    fn an_invalid_header_restarts_the_trace() {
        let next = TraceContext::next_hop(Some(b"garbage"), 0xabc, 0);
        assert_eq!(next, TraceContext { trace_id: 0xabc, span_id: 1, flags: 0 });
        assert_eq!(TraceContext::next_hop(None, 0xabc, 0), next);
    }
}
