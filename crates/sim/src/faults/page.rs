//! Broken metrics pages, and the bodies that bring them about.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};
use roadstead_net::ResponseBody;
use tokio::time::{Sleep, sleep};

use super::{PageFault, announce};
use crate::api::{Reply, plain};

const SLOW_BYTES: usize = 1024;
const SLOW_PAUSE: Duration = Duration::from_millis(100);
const HUGE_CHUNKS: usize = 4096;
const HUGE_CHUNK_BYTES: usize = 64 * 1024;
const BINARY_BYTES: usize = 64 * 1024;

/// `page` with `fault`.
pub(crate) fn break_page(fault: PageFault, page: Vec<u8>) -> Reply {
    let page = Bytes::from(page);
    match fault {
        PageFault::None => plain(StatusCode::OK, page),
        PageFault::Slow => streaming(Chunks::new(page, SLOW_BYTES, Some(SLOW_PAUSE))),
        PageFault::Huge => {
            let line = b"nobody:knows_this{endpoint=\"0\"} 1.0\n";
            let chunk: Bytes =
                line.iter().copied().cycle().take(HUGE_CHUNK_BYTES / line.len() * line.len()).collect();
            let mut chunks = Chunks::new(page, usize::MAX, None);
            chunks.before = Some((chunk, HUGE_CHUNKS));
            streaming(chunks)
        }
        PageFault::Binary => {
            let mut random = fastrand::Rng::with_seed(0);
            plain(StatusCode::OK, (0..BINARY_BYTES).map(|_| random.u8(..)).collect::<Bytes>())
        }
        PageFault::Half => {
            let mut reply = streaming(Unsized::new(page.slice(..page.len() / 2)));
            announce(reply.headers_mut(), page.len());
            reply
        }
    }
}

fn streaming<B>(body: B) -> Reply
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    Reply::new(ResponseBody::streaming(body))
}

/// Bytes that do not say beforehand how many they are.
pub(super) struct Unsized {
    bytes: Option<Bytes>,
}

impl Unsized {
    pub(super) fn new(bytes: Bytes) -> Unsized {
        Unsized { bytes: Some(bytes) }
    }
}

impl Body for Unsized {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A page in pieces, after something else, with pauses.
struct Chunks {
    before: Option<(Bytes, usize)>,
    page: Bytes,
    chunk_bytes: usize,
    pause: Option<Duration>,
    sleeping: Option<Pin<Box<Sleep>>>,
}

impl Chunks {
    fn new(page: Bytes, chunk_bytes: usize, pause: Option<Duration>) -> Chunks {
        Chunks { before: None, page, chunk_bytes, pause, sleeping: None }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(sleeping) = &mut this.sleeping {
            ready!(sleeping.as_mut().poll(cx));
            this.sleeping = None;
        }
        if let Some((chunk, left)) = &mut this.before {
            let chunk = chunk.clone();
            *left -= 1;
            if *left == 0 {
                this.before = None;
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if this.page.is_empty() {
            return Poll::Ready(None);
        }
        let chunk = this.page.split_to(this.chunk_bytes.min(this.page.len()));
        this.sleeping = this.pause.map(|pause| Box::pin(sleep(pause)));
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}
