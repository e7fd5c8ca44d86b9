use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use http::{HeaderMap, Method, Uri};
use roadstead_core::{EndpointId, EngineState};
use roadstead_picker::{FailureKind, Limits, Policy};
use roadstead_telemetry::MetricRegistry;

use super::*;
use crate::intake::Intake;

pub(crate) fn pool() -> PoolHandle {
    let policy = Policy::by_name("round-robin").unwrap();
    let metrics = EppMetrics::register(&mut MetricRegistry::new());
    PoolHandle::new(Machine::new(policy, Limits::default(), 1), metrics)
}

pub(crate) fn join(pool: &PoolHandle, ids: &[u32]) {
    for &id in ids {
        let (name, authority) = (format!("endpoint-{id}").into(), format!("10.0.0.{id}:8000").into());
        pool.observe(Fact::Joined(Endpoint { id: EndpointId(id), name, authority }));
        answer_scrape(pool, id);
    }
}

pub(crate) fn answer_scrape(pool: &PoolHandle, id: u32) {
    pool.observe(Fact::Scraped { endpoint: EndpointId(id), state: EngineState::default() });
}

pub(crate) fn resolved() -> Resolved {
    let body = br#"{"model":"m","prompt":"hello","stream":true}"#;
    let shape = *pool().prefix_shape();
    let uri = Uri::from_static("/v1/completions");
    let intake = Intake::of(&Method::POST, &uri, &HeaderMap::new(), Some(body), &shape).unwrap();
    Resolved::of(intake, &HeaderMap::new())
}

/// Requests in flight by the machine's account.
pub(crate) fn booked(pool: &PoolHandle) -> u32 {
    pool.view().endpoints.iter().map(|endpoint| endpoint.account.requests).sum()
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_free_endpoint_is_given_at_once_without_a_waker() {
    let pool = pool();
    join(&pool, &[1]);
    let mut picking = pin!(pool.pick(resolved()));
    let Poll::Ready(Ok(exchange)) = picking.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a ready endpoint must be given in the same call");
    };
    assert_eq!(&*exchange.endpoint().name, "endpoint-1");
    assert_eq!(booked(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_endpoint_waits_and_is_woken_by_one() {
    let pool = pool();
    let mut picking = pin!(pool.pick(resolved()));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&waker);
    assert!(picking.as_mut().poll(&mut cx).is_pending());
    assert_eq!(pool.view().queued, 1);

    join(&pool, &[1]);

    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    assert!(matches!(picking.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
    assert_eq!(pool.view().queued, 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_its_deadline() {
    let pool = pool();
    let stop = CancellationToken::new();
    let driver = tokio::spawn({
        let (pool, stop) = (pool.clone(), stop.clone());
        async move { pool.drive(stop).await }
    });
    let begun = Instant::now();
    let refused = pool.pick(resolved()).await.err();
    assert_eq!(refused, Some(Refusal::NoEndpoint));
    let limit = Limits::default().queue_wait_max;
    assert!(begun.elapsed() >= limit && begun.elapsed() < limit + Duration::from_millis(10));
    assert_eq!(pool.view().queued, 0);
    stop.cancel();
    driver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn giving_a_wait_up_leaves_nothing_behind() {
    let pool = pool();
    {
        let mut picking = pin!(pool.pick(resolved()));
        assert!(picking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(pool.view().queued, 0);
    join(&pool, &[1]);
    assert_eq!(booked(&pool), 0);
    assert_eq!(pool.shared.verdicts_kept(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_verdict_that_nobody_took_goes_with_its_ticket() {
    let pool = pool();
    {
        let mut picking = pin!(pool.pick(resolved()));
        assert!(picking.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        join(&pool, &[1]);
        assert_eq!(pool.shared.verdicts_kept(), 1);
    }
    assert_eq!(pool.shared.verdicts_kept(), 0);
    assert_eq!(booked(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_left_is_unknown() {
    let pool = pool();
    join(&pool, &[1, 2]);
    let endpoints = pool.endpoints();
    assert!(endpoints.iter().all(|endpoint| pool.has(endpoint)));
    pool.observe(Fact::Left(EndpointId(1)));
    assert_eq!(pool.endpoints().len(), 1);
    let exchange = pool.pick(resolved()).await.unwrap();
    assert_eq!(exchange.endpoint().id, EndpointId(2));
}

#[tokio::test(start_paused = true)]
async fn a_pool_whose_only_endpoint_failed_refuses() {
    let pool = pool();
    join(&pool, &[1]);
    let mut exchange = pool.pick(resolved()).await.unwrap();
    assert_eq!(exchange.failed(FailureKind::Reset).await, Err(Refusal::UpstreamFailed));
    assert_eq!(booked(&pool), 0);
    drop(exchange);
    assert_eq!(booked(&pool), 0);
}
