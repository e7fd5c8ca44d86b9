//! Nothing can take a request now.

use std::time::Duration;

use roadstead_core::Refusal;
use roadstead_picker::{Event, FailureKind, Limits};

use crate::support::{Rig, Said, for_model, request};

#[test]
fn a_request_waits_for_the_first_scrape_and_is_placed_by_it() {
    let mut rig = Rig::new("least-wait", 0);
    rig.join(0);
    let ticket = rig.offer(request(10));
    assert_eq!((rig.said(), rig.queued()), (vec![], 1));
    rig.pass(100);
    rig.scrape(0);
    assert_eq!(rig.said(), [Said::Dispatch(ticket, 0)]);
    assert_eq!((rig.queued(), rig.machine.next_deadline()), (0, None));
}

#[test]
fn waiting_requests_are_placed_in_order_of_arrival() {
    let mut rig = Rig::new("least-wait", 0);
    rig.join(0);
    let mut tickets = Vec::new();
    for _ in 0..5 {
        tickets.push(rig.offer(request(10)));
        rig.pass(1);
    }
    rig.scrape(0);
    assert_eq!(rig.said(), tickets.iter().map(|ticket| Said::Dispatch(*ticket, 0)).collect::<Vec<_>>());
}

#[test]
fn a_wait_ends_at_its_deadline() {
    let mut rig = Rig::new("least-wait", 0);
    let wait = rig.limits.queue_wait_max;
    let ticket = rig.offer(request(10));
    assert_eq!(rig.machine.next_deadline(), Some(rig.now + wait));
    let almost = wait.as_millis() as u64 - 1;
    assert_eq!(rig.expire_after(almost), []);
    assert_eq!(rig.expire_after(1), [Said::Refuse(ticket, Refusal::NoEndpoint)]);
    assert_eq!((rig.queued(), rig.machine.next_deadline()), (0, None));
}

#[test]
fn the_queue_is_bounded() {
    let limits = Limits { queue_max: 2, ..Limits::default() };
    let mut rig = Rig::with_limits("least-wait", 0, limits);
    rig.offer(request(10));
    let second = rig.offer(request(10));
    let third = rig.offer(request(10));
    assert_eq!(rig.said(), [Said::Refuse(third, Refusal::QueueFull)]);
    rig.progress(second, Event::Gone);
    rig.offer(request(10));
    assert_eq!((rig.said(), rig.queued()), (vec![], 2));
}

#[test]
fn who_leaves_the_queue_is_not_placed() {
    let mut rig = Rig::new("least-wait", 0);
    rig.join(0);
    let ticket = rig.offer(request(10));
    rig.progress(ticket, Event::Gone);
    rig.scrape(0);
    assert_eq!((rig.said(), rig.queued()), (vec![], 0));
}

#[test]
fn an_unknown_model_is_refused_once_every_list_is_known() {
    let mut rig = Rig::new("least-wait", 2);
    rig.models(0, &["a"], &["lora"]);
    rig.models(1, &["b"], &[]);
    let ticket = rig.offer(for_model("z"));
    assert_eq!(rig.said(), [Said::Refuse(ticket, Refusal::UnknownModel)]);
    rig.send(for_model("lora"));
}

#[test]
fn a_list_that_arrives_refuses_who_waits_for_an_unknown_model() {
    let mut rig = Rig::new("least-wait", 0);
    rig.join(0);
    let ticket = rig.offer(for_model("z"));
    assert_eq!(rig.said(), []);
    rig.models(0, &["a"], &[]);
    assert_eq!(rig.said(), [Said::Refuse(ticket, Refusal::UnknownModel)]);
}

#[test]
fn a_known_model_waits_for_its_endpoint() {
    let mut rig = Rig::new("least-wait", 2);
    rig.models(0, &["a"], &[]);
    rig.models(1, &["b"], &[]);
    rig.silent(0);
    let ticket = rig.offer(for_model("a"));
    assert_eq!(rig.said(), []);
    rig.scrape(0);
    assert_eq!(rig.said(), [Said::Dispatch(ticket, 0)]);
}

#[test]
fn one_that_cannot_be_placed_does_not_hold_up_those_behind_it() {
    let mut rig = Rig::new("least-wait", 2);
    rig.models(0, &["a"], &[]);
    rig.models(1, &["b"], &[]);
    rig.silent(0);
    rig.silent(1);
    rig.offer(for_model("a"));
    let behind = rig.offer(for_model("b"));
    rig.scrape(1);
    assert_eq!(rig.said(), [Said::Dispatch(behind, 1)]);
    assert_eq!(rig.queued(), 1);
}

#[test]
fn an_offer_again_keeps_its_first_arrival() {
    let mut rig = Rig::new("least-wait", 2);
    let (ticket, first) = rig.send(request(10));
    rig.silent(1 - first);
    rig.pass(3_000);
    assert_eq!(rig.fail(ticket, first, FailureKind::Connect), []);
    assert_eq!(rig.queued(), 1);
    let left = rig.limits.queue_wait_max - Duration::from_secs(3);
    assert_eq!(rig.machine.next_deadline(), Some(rig.now + left));
    assert_eq!(rig.expire_after(left.as_millis() as u64), [Said::Refuse(ticket, Refusal::NoEndpoint)]);
}

#[test]
fn an_ejection_that_is_over_does_not_wake_anybody_again_and_again() {
    let mut rig = Rig::new("random", 2);
    rig.models(0, &["a"], &[]);
    rig.models(1, &["b"], &[]);
    for _ in 0..rig.limits.ejection_failures {
        let (ticket, _) = rig.send(for_model("a"));
        rig.progress(ticket, Event::Answered { status: 500 });
        rig.finish(ticket);
    }
    rig.silent(1);
    rig.offer(for_model("b"));
    assert_eq!(rig.machine.next_deadline(), Some(rig.now + rig.limits.ejection_base));
    assert_eq!(rig.expire_after(rig.limits.ejection_base.as_millis() as u64), []);
    assert!(rig.machine.next_deadline().unwrap() > rig.now, "what is over is not due");
}
