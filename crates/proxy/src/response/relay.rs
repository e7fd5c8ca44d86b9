//! An endpoint's body on its way to the client, and the account of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use roadstead_core::Usage;
use roadstead_epp::FailureKind;
use roadstead_net::{PooledBody, UpstreamError, UpstreamErrorKind};
use roadstead_wire::openai::usage_of;
use roadstead_wire::sse::EventScanner;

use super::stall::Stall;
use crate::record::Record;

/// Bytes at the end of an answer that came whole in which its usage is looked for.
const USAGE_TAIL_BYTES: usize = 16 << 10;

/// The endpoint's answer did not end as it should; the client's connection is cut, so that it sees that too.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Its connection ended, or it broke its own framing.
    #[error("the endpoint's answer broke off")]
    Broken(#[source] UpstreamError),
    /// It fell silent.
    #[error("the endpoint fell silent in the middle of its answer")]
    Stalled,
}

/// A body that passes.
pub(super) struct Relay {
    first: Option<Frame<Bytes>>,
    rest: PooledBody,
    record: Box<Record>,
    watch: Watch,
    stall: Stall,
    begun: bool,
    ended: bool,
}

/// How the account learns what the answer used.
enum Watch {
    /// From its events.
    Events(EventScanner),
    /// From the end of it.
    Tail(Tail),
}

/// The last chunks of an answer.
#[derive(Default)]
struct Tail {
    before: Bytes,
    last: Bytes,
}

impl Relay {
    pub(super) fn new(
        (first, rest): (Option<Frame<Bytes>>, PooledBody),
        record: Box<Record>,
        streams: bool,
        stall_timeout: Duration,
    ) -> Relay {
        let watch = if streams { Watch::Events(EventScanner::new()) } else { Watch::Tail(Tail::default()) };
        let stall = Stall::after(stall_timeout);
        let mut relay = Relay { first, rest, record, watch, stall, begun: false, ended: false };
        if relay.is_end_stream() {
            relay.end();
        }
        relay
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let frame = match self.first.take() {
            Some(first) => Some(Ok(first)),
            None => match Pin::new(&mut self.rest).poll_frame(cx) {
                Poll::Ready(frame) => frame.map(|frame| frame.map_err(RelayError::Broken)),
                Poll::Pending => {
                    ready!(self.stall.poll(cx));
                    Some(Err(RelayError::Stalled))
                }
            },
        };
        match &frame {
            Some(Ok(frame)) => {
                self.stall.heard();
                if let Some(data) = frame.data_ref() {
                    self.saw(data);
                }
                // Nobody asks further once the last frame says so.
                if self.rest.is_end_stream() {
                    self.end();
                }
            }
            Some(Err(error)) => self.broke(error),
            None => self.end(),
        }
        Poll::Ready(frame)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let held = self.first.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + held);
        }
        hint
    }

    fn saw(&mut self, data: &Bytes) {
        self.record.bytes_out += data.len() as u64;
        let Some(exchange) = &mut self.record.exchange else { return };
        if !std::mem::replace(&mut self.begun, true) {
            exchange.first_byte();
        }
        match &mut self.watch {
            Watch::Events(scanner) => {
                scanner.feed(data);
                exchange.streamed(u32::try_from(scanner.token_events()).unwrap_or(u32::MAX));
            }
            Watch::Tail(tail) => tail.push(data),
        }
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let usage = match &self.watch {
            Watch::Events(scanner) => scanner.usage(),
            Watch::Tail(tail) => tail.usage(),
        };
        let bytes_out = self.record.bytes_out;
        if let Some(exchange) = &mut self.record.exchange {
            exchange.finished(usage.unwrap_or_default(), bytes_out);
        }
    }

    fn broke(&mut self, error: &RelayError) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let (said, kind) = match error {
            RelayError::Stalled => ("endpoint_stalled", FailureKind::Timeout),
            RelayError::Broken(error) if error.kind == UpstreamErrorKind::Protocol => {
                ("endpoint_protocol", FailureKind::Protocol)
            }
            RelayError::Broken(_) => ("endpoint_truncated", FailureKind::Truncated),
        };
        self.record.broke(said);
        if let Some(exchange) = &mut self.record.exchange {
            exchange.broke(kind);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.ended {
            self.record.broke("client_gone");
        }
    }
}

impl Tail {
    fn push(&mut self, data: &Bytes) {
        self.before = std::mem::replace(&mut self.last, data.clone());
    }

    fn usage(&self) -> Option<Usage> {
        let end = |chunk: &Bytes| chunk.slice(chunk.len().saturating_sub(USAGE_TAIL_BYTES)..);
        if self.last.first() == Some(&b'{') || self.before.is_empty() {
            return usage_of(&end(&self.last));
        }
        let mut joined = BytesMut::from(&end(&self.before)[..]);
        joined.extend_from_slice(&end(&self.last));
        usage_of(&joined)
    }
}
