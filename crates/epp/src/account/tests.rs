use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use roadstead_core::EndpointId;
use roadstead_fleet::FactSink;
use tokio::time::advance;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::pick::PoolHandle;
use crate::pick::tests::{answer_scrape, booked, join, pool, resolved};

async fn begun() -> (PoolHandle, Exchange) {
    let pool = pool();
    join(&pool, &[1, 2]);
    let exchange = pool.pick(resolved()).await.unwrap();
    (pool, exchange)
}

/// Context tokens held by the pool's endpoints.
fn context_tokens(pool: &PoolHandle) -> u64 {
    pool.view().endpoints.iter().map(|endpoint| endpoint.account.context_tokens).sum()
}

/// One endpoint falls silent for so long that its requests are sent elsewhere.
async fn hang(pool: &PoolHandle, endpoint: EndpointId) {
    let stop = CancellationToken::new();
    let driver = tokio::spawn({
        let (pool, stop) = (pool.clone(), stop.clone());
        async move { pool.drive(stop).await }
    });
    pool.observe(Fact::Silent(endpoint));
    advance(Duration::from_secs(5)).await;
    tokio::task::yield_now().await;
    stop.cancel();
    driver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_finished_exchange_returns_its_booking_once() {
    let (pool, mut exchange) = begun().await;
    exchange.answered(200);
    exchange.first_byte();
    exchange.finished(Usage { output_tokens: Some(3), ..Usage::default() }, 100);
    assert_eq!(booked(&pool), 0);
    exchange.finished(Usage::default(), 0);
    assert_eq!(exchange.timeline().usage.output_tokens, Some(3));
    drop(exchange);
    assert_eq!(booked(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_an_exchange_at_any_point_returns_its_booking() {
    for steps in 0..4 {
        let (pool, mut exchange) = begun().await;
        if steps > 0 {
            exchange.answered(200);
        }
        if steps > 1 {
            exchange.first_byte();
        }
        if steps > 2 {
            exchange.streamed(40);
        }
        assert_eq!(booked(&pool), 1);
        drop(exchange);
        assert_eq!(booked(&pool), 0, "after {steps} steps");
        assert_eq!(context_tokens(&pool), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_returns_the_booking() {
    let (pool, exchange) = begun().await;
    let caught = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _held = exchange;
        panic!("on purpose");
    }));
    assert!(caught.is_err());
    assert_eq!(booked(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_told_in_steps_or_after_a_while() {
    let (pool, mut exchange) = begun().await;
    let prompt = context_tokens(&pool);
    exchange.answered(200);
    exchange.streamed(1);
    exchange.streamed(TOKENS_REPORT_STEP - 1);
    assert_eq!(context_tokens(&pool), prompt);
    exchange.streamed(TOKENS_REPORT_STEP);
    assert_eq!(context_tokens(&pool), prompt + u64::from(TOKENS_REPORT_STEP));
    advance(TOKENS_REPORT_INTERVAL).await;
    exchange.streamed(TOKENS_REPORT_STEP + 1);
    assert_eq!(context_tokens(&pool), prompt + u64::from(TOKENS_REPORT_STEP) + 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_try_is_followed_elsewhere_at_once() {
    let (pool, mut exchange) = begun().await;
    let first = exchange.endpoint().id;
    let polled = {
        let mut failing = pin!(exchange.failed(FailureKind::Reset));
        failing.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    assert_eq!(polled, Poll::Ready(Ok(())));
    assert_ne!(exchange.endpoint().id, first);
    assert_eq!(exchange.timeline().attempts, 2);
    assert_eq!(booked(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn a_broken_answer_ends_the_account() {
    let (pool, mut exchange) = begun().await;
    exchange.answered(200);
    exchange.first_byte();
    exchange.broke(FailureKind::Truncated);
    assert_eq!(booked(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hung_endpoint_loses_the_requests_that_showed_nothing() {
    let (pool, mut exchange) = begun().await;
    let hung = exchange.endpoint().id;
    {
        let mut moved = pin!(exchange.moved());
        assert!(moved.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        hang(&pool, hung).await;
        assert_eq!(moved.await, Ok(()));
    }
    assert_ne!(exchange.endpoint().id, hung);
    assert_eq!(booked(&pool), 1);
    exchange.finished(Usage::default(), 0);
    assert_eq!(booked(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_beats_the_move_counts_where_it_came_from() {
    let (pool, mut exchange) = begun().await;
    let slow = exchange.endpoint().id;
    hang(&pool, slow).await;
    answer_scrape(&pool, slow.0);
    exchange.answered(200);
    exchange.streamed(1);
    let view = pool.view();
    let busy: Vec<_> = view.endpoints.iter().filter(|endpoint| endpoint.account.requests > 0).collect();
    assert_eq!(busy.iter().map(|endpoint| endpoint.id).collect::<Vec<_>>(), [slow]);
    exchange.finished(Usage::default(), 0);
    assert_eq!(booked(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_a_try_that_was_left_already_follows_the_move() {
    let (pool, mut exchange) = begun().await;
    let hung = exchange.endpoint().id;
    hang(&pool, hung).await;
    assert_eq!(exchange.failed(FailureKind::Reset).await, Ok(()));
    assert_ne!(exchange.endpoint().id, hung);
    assert_eq!(exchange.timeline().attempts, 2);
    assert_eq!(booked(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn errors_and_first_tokens_are_counted_in_the_series() {
    let (_pool, mut exchange) = begun().await;
    let handles = exchange.handles.clone().unwrap();
    assert_eq!(handles.running.get(), 1);
    exchange.answered(503);
    exchange.finished(Usage::default(), 10);
    assert_eq!(handles.running.get(), 0);
    assert_eq!(handles.total.get(), 1);
}
