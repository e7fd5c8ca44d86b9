//! Reads a body whole, within a bound.
//!
//! Used by intake before a request is parsed. A body that came in one piece is handed on without a copy,
//! any other is copied once into one buffer. Memory held never exceeds the bound plus one read buffer,
//! whatever length the client announces. Must not know what status an error becomes.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use crate::BoxError;

/// Silence in the middle of a body after which its sender counts as gone.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Reserved at once for a body of announced length, in bytes; more only as it comes.
const RESERVE_BYTES_MAX: usize = 1024 * 1024;

/// Why a body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Announced or sent more than the bound: the client must send less.
    #[error("body is larger than {max_bytes} bytes")]
    TooLarge {
        /// The bound.
        max_bytes: usize,
    },
    /// The sender went away, reset the stream or sent a malformed body.
    #[error("body could not be read")]
    Read(#[source] BoxError),
    /// The sender stayed silent for too long in the middle of the body.
    #[error("body stalled")]
    Stalled,
}

/// Reads `body` to its end; trailers are dropped.
///
/// # Errors
/// [`CollectError::TooLarge`] without reading anything where the announced length says so already.
pub async fn collect_bounded<B>(body: B, max_bytes: usize) -> Result<Bytes, CollectError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let too_large = CollectError::TooLarge { max_bytes };
    let announced = body.size_hint();
    if announced.lower() > max_bytes as u64 {
        return Err(too_large);
    }
    let mut body = pin!(body);
    let mut silence = Silence::default();
    let Some(first) = next_data(&mut body, &mut silence).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > max_bytes {
        return Err(too_large);
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = next_data(&mut body, &mut silence).await? else {
        return Ok(first);
    };

    let expected = usize::try_from(announced.lower()).unwrap_or(max_bytes);
    let reserved =
        expected.clamp(first.len() + second.len(), RESERVE_BYTES_MAX.max(first.len() + second.len()));
    let mut whole = BytesMut::with_capacity(reserved);
    whole.extend_from_slice(&first);
    drop(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if whole.len() + chunk.len() > max_bytes {
            return Err(too_large);
        }
        whole.extend_from_slice(&chunk);
        if body.is_end_stream() {
            break;
        }
        next = next_data(&mut body, &mut silence).await?;
    }
    Ok(whole.freeze())
}

/// The next chunk, skipping empty ones and trailers; `None` at the end.
async fn next_data<B>(body: &mut Pin<&mut B>, silence: &mut Silence) -> Result<Option<Bytes>, CollectError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    loop {
        let frame = poll_fn(|cx| match body.as_mut().poll_frame(cx) {
            Poll::Ready(frame) => {
                silence.broken = true;
                Poll::Ready(Ok(frame))
            }
            Poll::Pending => silence.poll_too_long(cx).map(|()| Err(CollectError::Stalled)),
        });
        match frame.await?.map(|read| read.map(Frame::into_data)) {
            None => return Ok(None),
            Some(Err(error)) => return Err(CollectError::Read(error.into())),
            Some(Ok(Ok(data))) if !data.is_empty() => return Ok(Some(data)),
            Some(Ok(_)) => {}
        }
    }
}

/// Notices a sender that stays silent for [`STALL_TIMEOUT`].
///
/// Most bodies are there in full, only hyper's connection has not been asked for them yet. So the first wait
/// just looks again, and there is at most one timer per body, which looks back when it fires instead of
/// being set anew for each chunk.
#[derive(Default)]
struct Silence {
    looked_again: bool,
    /// Something came since the timer was set.
    broken: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    fn poll_too_long(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.looked_again {
            self.looked_again = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let timer = self.timer.get_or_insert_with(|| {
            self.broken = false;
            Box::pin(sleep(STALL_TIMEOUT))
        });
        while timer.as_mut().poll(cx).is_ready() {
            if !std::mem::take(&mut self.broken) {
                return Poll::Ready(());
            }
            timer.as_mut().reset(Instant::now() + STALL_TIMEOUT);
        }
        Poll::Pending
    }
}
