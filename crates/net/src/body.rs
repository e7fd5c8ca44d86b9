//! The bodies that travel through a front: read whole within a bound, sent upstream, answered downstream.
//!
//! [`collect_bounded`] is used by intake, [`UpstreamBody`] by the forward stage, [`ResponseBody`] and
//! [`Observed`] on the way back. Chunks pass as they come; nothing here buffers a stream or copies a chunk.
//! Must not know what the bytes mean.

mod collect;
mod observed;
mod response;
mod upstream;

use std::pin::Pin;

use bytes::Bytes;
use http_body::Body;

use crate::BoxError;

pub use collect::{CollectError, collect_bounded};
pub use observed::{BodyEnd, Observe, Observed};
pub use response::ResponseBody;
pub use upstream::UpstreamBody;

/// A streaming body of any kind.
pub type BoxBody = Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// Boxes `body`, whatever its error.
pub fn boxed<B>(body: B) -> BoxBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    use http_body_util::BodyExt;
    Box::pin(body.map_err(Into::into))
}

#[cfg(test)]
mod tests;
