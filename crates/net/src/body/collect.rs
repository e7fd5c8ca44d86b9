//! Reads a body whole, within a bound.
//!
//! Used by intake before a request is parsed. A body that came in one piece is handed on without a copy,
//! any other is copied once into one buffer. Memory held never exceeds the bound plus one read buffer,
//! whatever length the client announces. Must not know what status an error becomes.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

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
    let Some(first) = next_data(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > max_bytes {
        return Err(too_large);
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let Some(second) = next_data(&mut body).await? else {
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
        next = next_data(&mut body).await?;
    }
    Ok(whole.freeze())
}

/// The next chunk, skipping empty ones and trailers; `None` at the end.
async fn next_data<B>(body: &mut Pin<&mut B>) -> Result<Option<Bytes>, CollectError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    loop {
        let frame = poll_fn(|cx| body.as_mut().poll_frame(cx));
        let frame = tokio::time::timeout(STALL_TIMEOUT, frame).await.map_err(|_| CollectError::Stalled)?;
        match frame.map(|read| read.map(Frame::into_data)) {
            None => return Ok(None),
            Some(Err(error)) => return Err(CollectError::Read(error.into())),
            Some(Ok(Ok(data))) if !data.is_empty() => return Ok(Some(data)),
            Some(Ok(_)) => {}
        }
    }
}
