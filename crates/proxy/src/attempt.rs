//! One try to have a request answered by the endpoint that it was placed on.
//!
//! Called by `forward` as often as the machine sends the request somewhere. For inference the answer counts as
//! begun with the first byte of its body: engines send the head of a stream before they compute anything, and
//! until that byte the machine may send the request elsewhere. Decides nothing.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use http::{Request, StatusCode};
use http_body::{Body, Frame};
use roadstead_core::Refusal;
use roadstead_epp::Exchange;
use roadstead_epp::FailureKind;
use roadstead_net::{PooledBody, Processed, UpstreamBody, UpstreamError, UpstreamErrorKind, UpstreamPool};

use crate::targets::Target;

/// What came of a try.
pub(crate) enum Tried {
    /// The endpoint answers.
    Answered(Upstreamed),
    /// It does not, or says that it cannot take the request now.
    Failed(Failed),
    /// The machine has sent the request elsewhere meanwhile.
    Moved,
    /// The machine has taken the request back, or its client has gone.
    Refused(Refusal),
}

/// An answer as it came from an endpoint.
pub(crate) struct Upstreamed {
    pub(crate) head: Parts,
    /// The part of the body that was waited for.
    pub(crate) first: Option<Frame<Bytes>>,
    pub(crate) rest: PooledBody,
    /// Whose answer it is.
    pub(crate) target: Arc<Target>,
}

/// A try that came to nothing.
pub(crate) struct Failed {
    pub(crate) kind: FailureKind,
    /// The endpoint's own words, if it is to be heard in case nobody else takes the request.
    pub(crate) said: Option<Upstreamed>,
}

/// Sends `request` to the endpoint of `exchange`. `movable`: the request is inference, so it may be sent
/// elsewhere until the first byte of its answer.
pub(crate) async fn attempt(
    upstreams: &UpstreamPool,
    target: Arc<Target>,
    request: Request<UpstreamBody>,
    exchange: &mut Exchange,
    movable: bool,
) -> Tried {
    let Some(upstream) = &target.upstream else { return failed(FailureKind::Connect) };
    let sent = match unless_moved(exchange, movable, upstreams.send(upstream, request)).await {
        Ok(sent) => sent,
        Err(moved) => return moved,
    };
    let (head, mut rest) = match sent {
        Ok(response) => response.into_parts(),
        Err(error) => return broken(&error),
    };
    if !movable {
        return Tried::Answered(Upstreamed { head, first: None, rest, target });
    }
    if head.status == StatusCode::SERVICE_UNAVAILABLE {
        let said = Some(Upstreamed { head, first: None, rest, target });
        return Tried::Failed(Failed { kind: FailureKind::Overloaded, said });
    }
    let first = if rest.is_end_stream() {
        None
    } else {
        let frame = poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx));
        match unless_moved(exchange, movable, frame).await {
            Ok(frame) => frame,
            Err(moved) => return moved,
        }
    };
    match first.transpose() {
        Ok(first) => Tried::Answered(Upstreamed { head, first, rest, target }),
        Err(error) => broken(&error),
    }
}

/// The output of `future`, unless the machine sends the request elsewhere first.
async fn unless_moved<F: Future>(
    exchange: &mut Exchange,
    movable: bool,
    future: F,
) -> Result<F::Output, Tried> {
    let future = pin!(future);
    if !movable {
        return Ok(future.await);
    }
    // Cancel safety: a verdict that loses the race is kept by the exchange; a send or a body that loses it is
    // dropped, which closes its connection.
    tokio::select! {
        biased;
        output = future => Ok(output),
        moved = exchange.moved() => Err(moved.map_or_else(Tried::Refused, |()| Tried::Moved)),
    }
}

fn broken(error: &UpstreamError) -> Tried {
    tracing::debug!(kind = %error.kind, reused = error.reused, "a try failed");
    match error.kind {
        UpstreamErrorKind::Resolve | UpstreamErrorKind::Connect | UpstreamErrorKind::Timeout => {
            failed(FailureKind::Connect)
        }
        UpstreamErrorKind::Busy => failed(FailureKind::Overloaded),
        UpstreamErrorKind::Reset if error.processed == Processed::NotSent => failed(FailureKind::Connect),
        UpstreamErrorKind::Reset => failed(FailureKind::Reset),
        UpstreamErrorKind::Protocol => failed(FailureKind::Protocol),
        UpstreamErrorKind::RequestBody => Tried::Refused(Refusal::ClientGone),
    }
}

fn failed(kind: FailureKind) -> Tried {
    Tried::Failed(Failed { kind, said: None })
}
