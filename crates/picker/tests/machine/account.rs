//! What is booked, and what is learned from how it went.

use roadstead_core::{Request, RetryClass, Usage, Work};
use roadstead_picker::{Event, FailureKind};

use crate::support::{Rig, engine, prompt, request};

#[test]
fn a_booking_follows_its_request() {
    let mut rig = Rig::new("least-wait", 1);
    let (ticket, _) = rig.send(prompt(1, 8));
    let account = rig.view(0).account;
    assert_eq!((account.requests, account.sequences, account.decoding), (1, 1, 0));
    assert_eq!((account.prefill_tokens, account.context_tokens), (1_024, 1_024));
    rig.first_byte(ticket);
    rig.progress(ticket, Event::Tokens(40));
    rig.progress(ticket, Event::Tokens(30));
    let account = rig.view(0).account;
    assert_eq!((account.decoding, account.prefill_tokens, account.context_tokens), (1, 0, 1_064));
    rig.finish(ticket);
    assert!(rig.view(0).account.is_empty());
}

#[test]
fn what_is_cached_is_not_booked_as_prefill() {
    let mut rig = Rig::new("least-wait", 1);
    let (ticket, _) = rig.send(prompt(1, 8));
    rig.finish(ticket);
    let longer = Request { prefix: prompt(1, 12).prefix, ..request(12 * 128 + 50) };
    rig.send(longer);
    assert_eq!(rig.view(0).account.prefill_tokens, 4 * 128 + 50);
}

#[test]
fn a_request_with_many_answers_counts_as_many_sequences() {
    let mut rig = Rig::new("least-wait", 1);
    let work = Work { prompt_tokens: 10, output_tokens_max: None, sequences: 5 };
    let (ticket, _) = rig.send(Request { work, ..request(10) });
    assert_eq!((rig.view(0).account.requests, rig.view(0).account.sequences), (1, 5));
    rig.first_byte(ticket);
    assert_eq!(rig.view(0).account.decoding, 5);
    rig.finish(ticket);
    assert!(rig.view(0).account.is_empty());
}

#[test]
fn a_question_without_a_prompt_is_no_sequence() {
    let mut rig = Rig::new("least-wait", 1);
    let (ticket, _) = rig.send(Request::plain());
    assert_eq!((rig.view(0).account.requests, rig.view(0).account.sequences), (1, 0));
    rig.finish(ticket);
}

#[test]
fn a_prompt_of_an_answer_that_comes_whole_counts_as_computed_when_it_should_be() {
    let mut rig = Rig::new("least-wait", 1);
    let (ticket, _) = rig.send(request(4_000));
    assert_eq!(rig.view(0).account.prefill_tokens, 4_000);
    // 4,000 tokens take about 90 ms on the generic engine.
    rig.pass(1_000);
    let (second, _) = rig.send(request(10));
    let account = rig.view(0).account;
    assert_eq!((account.prefill_tokens, account.decoding), (10, 1));
    rig.finish(ticket);
    rig.finish(second);
    assert!(rig.view(0).account.is_empty());
}

#[test]
fn however_a_request_ends_its_booking_is_returned_once() {
    let ends: [fn(&mut Rig, roadstead_picker::Ticket, u32); 4] = [
        |rig, ticket, _| rig.finish(ticket),
        |rig, ticket, _| drop(rig.progress(ticket, Event::Gone)),
        |rig, ticket, at| drop(rig.fail(ticket, at, FailureKind::Reset)),
        |rig, ticket, at| {
            rig.leave(at);
            rig.finish(ticket);
        },
    ];
    for (index, end) in ends.iter().enumerate() {
        let mut rig = Rig::new("least-wait", 1);
        let (ticket, at) = rig.send(Request { retry: RetryClass::OnlyUnprocessed, ..request(10) });
        end(&mut rig, ticket, at);
        rig.finish(ticket);
        rig.progress(ticket, Event::Gone);
        let ledger = rig.machine.ledger();
        assert_eq!((ledger.given, ledger.returned), (1, 1), "end {index}");
    }
}

/// Sends `count` requests one after the other, each answered with a first byte after `ttft_ms` and 64 tokens.
fn stream(rig: &mut Rig, count: u64, ttft_ms: u64, request: impl Fn(u64) -> Request) {
    for index in 0..count {
        let (ticket, _) = rig.send(request(index));
        rig.pass(ttft_ms);
        rig.first_byte(ticket);
        rig.pass(64 * 10);
        let usage = Usage { output_tokens: Some(64), ..Usage::default() };
        rig.progress(ticket, Event::Finished(usage));
    }
}

#[test]
fn prefill_speed_follows_the_first_tokens() {
    let mut rig = Rig::new("least-wait", 1);
    // 4,000 tokens in about a second: eleven times slower than the generic engine.
    stream(&mut rig, 60, 1_000, |_| request(4_000));
    let speed = rig.view(0).prefill_s_per_token;
    assert!((2.2e-4..2.8e-4).contains(&speed), "{speed}");
}

#[test]
fn prompts_that_are_fully_cached_leave_the_prefill_speed_alone() {
    let mut rig = Rig::new("least-wait", 1);
    stream(&mut rig, 30, 100, |index| prompt(index, 32));
    let before = rig.view(0).prefill_s_per_token;
    stream(&mut rig, 300, 6, |_| prompt(1, 32));
    let after = rig.view(0).prefill_s_per_token;
    assert!((after / before - 1.0).abs() < 0.3, "{before} {after}");
}

#[test]
fn errors_and_questions_leave_the_speeds_alone() {
    let mut rig = Rig::new("least-wait", 1);
    let before = (rig.view(0).prefill_s_per_token, rig.view(0).step_scale);
    let (_, _) = rig.send(request(100_000));
    for _ in 0..100 {
        rig.pass(1);
        let (ticket, _) = rig.send(request(4_000));
        rig.progress(ticket, Event::Answered { status: 400 });
        rig.finish(ticket);
        let (ticket, _) = rig.send(Request::plain());
        rig.first_byte(ticket);
        rig.finish(ticket);
    }
    assert_eq!((rig.view(0).prefill_s_per_token, rig.view(0).step_scale), before);
}

#[test]
fn a_hang_does_not_look_like_slowness() {
    let mut rig = Rig::new("least-wait", 1);
    stream(&mut rig, 30, 100, |_| request(4_000));
    let (answering, _) = rig.send(request(4_000));
    rig.first_byte(answering);
    rig.progress(answering, Event::Tokens(32));
    let (waiting, _) = rig.send(request(4_000));
    let before = (rig.view(0).prefill_s_per_token, rig.view(0).step_scale);
    rig.silent(0);
    rig.pass(7_000);
    rig.first_byte(waiting);
    rig.scrape(0);
    rig.progress(answering, Event::Tokens(64));
    assert_eq!((rig.view(0).prefill_s_per_token, rig.view(0).step_scale), before);
}

#[test]
fn an_endpoint_without_work_seems_as_fast_as_the_pool_after_a_while() {
    let mut rig = Rig::new("least-wait", 2);
    rig.drain(1, true);
    stream(&mut rig, 30, 10_000, |_| request(4_000));
    rig.drain(1, false);
    rig.drain(0, true);
    stream(&mut rig, 200, 100, |_| request(4_000));
    let slow = rig.view(0).prefill_s_per_token;
    for _ in 0..100 {
        rig.pass(1_000);
        rig.scrape(0);
    }
    let faded = rig.view(0).prefill_s_per_token;
    assert!(faded < slow / 10.0, "{slow} {faded}");
}

#[test]
fn answers_that_come_whole_teach_the_scale() {
    for slower in [0.2, 1.0, 5.0] {
        let mut rig = Rig::new("least-wait", 1);
        for _ in 0..200 {
            let (ticket, _) = rig.send(request(1_000));
            // What the generic engine takes: 22 ms for the prompt, 4 ms to the next step, 64 steps of 8 ms.
            rig.pass((slower * (22.0 + 4.0 + 64.0 * 8.05)) as u64);
            let usage = Usage { output_tokens: Some(64), ..Usage::default() };
            rig.progress(ticket, Event::Finished(usage));
        }
        let view = rig.view(0);
        let prefill = view.prefill_s_per_token / 2.2e-5;
        assert!((view.step_scale / slower - 1.0).abs() < 0.25, "{slower}: step {}", view.step_scale);
        assert!((prefill / slower - 1.0).abs() < 0.4, "{slower}: prefill {prefill}");
    }
}

#[test]
fn embeddings_teach_prefill_speed_and_no_steps() {
    let mut rig = Rig::new("least-wait", 1);
    for _ in 0..200 {
        let (ticket, _) = rig.send(request(2_000));
        rig.pass(130);
        let usage = Usage { output_tokens: Some(0), ..Usage::default() };
        rig.progress(ticket, Event::Finished(usage));
    }
    let view = rig.view(0);
    assert_eq!(view.step_scale, 1.0);
    assert!((5.0e-5..7.0e-5).contains(&view.prefill_s_per_token), "{}", view.prefill_s_per_token);
}

#[test]
fn work_from_outside_does_not_spoil_the_prefill_speed() {
    let mut rig = Rig::new("least-wait", 1);
    for index in 0..100 {
        // Sixteen strangers decode all the time.
        rig.scrape_state(0, engine(0, 16));
        let (ticket, _) = rig.send(prompt(index, 8));
        rig.scrape_state(0, engine(0, 17));
        rig.pass(4 + 22);
        rig.first_byte(ticket);
        rig.pass(640);
        let usage = Usage { output_tokens: Some(64), ..Usage::default() };
        rig.progress(ticket, Event::Finished(usage));
    }
    let view = rig.view(0);
    assert!((1.2e-5..3.5e-5).contains(&view.prefill_s_per_token), "{}", view.prefill_s_per_token);
    assert!((0.7..1.4).contains(&view.step_scale), "{}", view.step_scale);
}

#[test]
fn a_queue_before_the_batch_does_not_look_like_slow_or_fast_prefill() {
    let mut rig = Rig::new("least-wait", 1);
    // A batch of four that stands still before a queue shows four slots.
    for _ in 0..20 {
        rig.pass(50);
        rig.scrape_state(0, engine(6, 4));
    }
    let before = rig.view(0).prefill_s_per_token;
    for _ in 0..50 {
        let (ticket, _) = rig.send(request(1_000));
        rig.pass(30);
        rig.first_byte(ticket);
        rig.finish(ticket);
    }
    assert_eq!(rig.view(0).prefill_s_per_token, before);
}
