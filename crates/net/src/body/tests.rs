use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Frame;
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;

use super::*;
use crate::testing::fed_body;

#[tokio::test]
async fn one_frame_is_handed_on_without_a_copy() {
    let data = Bytes::from(vec![7; 1000]);
    let whole = collect_bounded(Full::new(data.clone()), 1000).await.unwrap();
    assert_eq!(whole.as_ptr(), data.as_ptr());
}

#[tokio::test]
async fn frames_are_joined_in_order() {
    let (feed, body) = fed_body();
    for part in ["a", "", "bc", "def"] {
        feed.send(Frame::data(part.into())).unwrap();
    }
    feed.send(Frame::trailers(http::HeaderMap::new())).unwrap();
    drop(feed);
    assert_eq!(collect_bounded(body, 6).await.unwrap(), "abcdef");
}

#[tokio::test]
async fn an_announced_length_over_the_bound_is_refused_unread() {
    let full = Full::new(Bytes::from_static(b"12345"));
    let refused = collect_bounded(full, 4).await.unwrap_err();
    assert!(matches!(refused, CollectError::TooLarge { max_bytes: 4 }));
}

#[tokio::test]
async fn an_unannounced_length_is_refused_where_it_crosses_the_bound() {
    for parts in [&["12345"][..], &["12", "3", "45"]] {
        let (feed, body) = fed_body();
        for part in parts {
            feed.send(Frame::data(Bytes::from_static(part.as_bytes()))).unwrap();
        }
        // The feed stays open: the end is not needed to know.
        let refused = collect_bounded(body, 4).await.unwrap_err();
        assert!(matches!(refused, CollectError::TooLarge { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_falls_silent_is_given_up() {
    let (feed, body) = fed_body();
    feed.send(Frame::data("begun".into())).unwrap();
    let given_up = collect_bounded(body, 100).await.unwrap_err();
    assert!(matches!(given_up, CollectError::Stalled));
    drop(feed);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_slow_but_never_silent_is_read() {
    let (feed, body) = fed_body();
    tokio::spawn(async move {
        for _ in 0..10 {
            tokio::time::sleep(std::time::Duration::from_secs(50)).await;
            feed.send(Frame::data("x".into())).unwrap();
        }
    });
    assert_eq!(collect_bounded(body, 100).await.unwrap().len(), 10);
}

/// Writes down what it sees.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<(Vec<Bytes>, Vec<BodyEnd>)>>);

impl Observe for Notes {
    fn chunk(&mut self, data: &Bytes) {
        self.0.lock().0.push(data.clone());
    }

    fn end(&mut self, how: BodyEnd) {
        self.0.lock().1.push(how);
    }
}

#[tokio::test]
async fn an_observer_sees_all_chunks_and_one_end() {
    let notes = Notes::default();
    let (feed, body) = fed_body();
    let observed = Observed::new(body, notes.clone());
    feed.send(Frame::data("a".into())).unwrap();
    feed.send(Frame::data("b".into())).unwrap();
    drop(feed);
    observed.collect().await.unwrap();
    let seen = notes.0.lock();
    assert_eq!(seen.0, ["a", "b"]);
    assert_eq!(seen.1, [BodyEnd::Complete]);
}

#[tokio::test]
async fn an_observer_learns_that_a_body_was_dropped() {
    let notes = Notes::default();
    let (_feed, body) = fed_body();
    drop(Observed::new(body, notes.clone()));
    assert_eq!(notes.0.lock().1, [BodyEnd::Dropped]);
}

#[tokio::test]
async fn an_observer_learns_that_the_source_failed() {
    let notes = Notes::default();
    let failing = UpstreamBody::streaming(Failing);
    let mut observed = Observed::new(failing, notes.clone());
    assert!(observed.frame().await.unwrap().is_err());
    drop(observed);
    assert_eq!(notes.0.lock().1, [BodyEnd::Failed]);
}

#[tokio::test]
async fn an_empty_body_ends_at_once() {
    let notes = Notes::default();
    let observed = Observed::new(ResponseBody::Empty, notes.clone());
    assert_eq!(notes.0.lock().1, [BodyEnd::Complete]);
    drop(observed);
    assert_eq!(notes.0.lock().1.len(), 1);
}

/// A body of one error.
struct Failing;

impl Body for Failing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(Err("broken".into())))
    }
}
