//! A dispatch fails.

use roadstead_core::{EndpointId, Refusal, Request};
use roadstead_picker::limits::RESEND_BURST;
use roadstead_picker::{Event, Failure, FailureKind};

use crate::support::{Rig, Said, for_model, request};

const KINDS: [FailureKind; 6] = [
    FailureKind::Connect,
    FailureKind::Reset,
    FailureKind::Protocol,
    FailureKind::Timeout,
    FailureKind::Overloaded,
    FailureKind::Truncated,
];

#[test]
fn a_failure_before_the_first_byte_is_tried_elsewhere() {
    for kind in KINDS {
        let mut rig = Rig::new("least-wait", 2);
        let (ticket, first) = rig.send(request(10));
        assert_eq!(rig.fail(ticket, first, kind), [Said::Dispatch(ticket, 1 - first)], "{kind:?}");
        assert!(rig.view(first).account.is_empty(), "{kind:?}");
    }
}

#[test]
fn a_request_is_never_sent_where_it_failed() {
    let mut rig = Rig::new("least-wait", 3);
    let (ticket, first) = rig.send(request(10));
    let [Said::Dispatch(_, second)] = rig.fail(ticket, first, FailureKind::Reset)[..] else { panic!() };
    rig.scrape(first);
    let [Said::Dispatch(_, third)] = rig.fail(ticket, second, FailureKind::Reset)[..] else { panic!() };
    let mut tried = [first, second, third];
    tried.sort_unstable();
    assert_eq!(tried, [0, 1, 2]);
}

#[test]
fn tries_are_bounded() {
    let mut rig = Rig::new("least-wait", 8);
    let (ticket, mut at) = rig.send(request(10));
    for _ in 0..rig.limits.resends_max {
        let [Said::Dispatch(_, next)] = rig.fail(ticket, at, FailureKind::Reset)[..] else { panic!() };
        at = next;
    }
    let said = rig.fail(ticket, at, FailureKind::Reset);
    assert_eq!(said, [Said::Refuse(ticket, Refusal::UpstreamFailed)]);
}

#[test]
fn the_resend_budget_is_bounded() {
    let mut rig = Rig::new("least-request", 2);
    let tickets: Vec<_> = (0..2 * RESEND_BURST).map(|_| rig.send(request(10))).collect();
    let resent = tickets
        .into_iter()
        .filter(|(ticket, at)| {
            matches!(rig.fail(*ticket, *at, FailureKind::Overloaded)[..], [Said::Dispatch(..)])
        })
        .count();
    assert_eq!(resent as u64, RESEND_BURST);
}

#[test]
fn what_ends_when_nothing_is_left_to_try_names_the_failure() {
    for (kind, refusal) in [
        (FailureKind::Connect, Refusal::UpstreamFailed),
        (FailureKind::Reset, Refusal::UpstreamFailed),
        (FailureKind::Truncated, Refusal::UpstreamFailed),
        (FailureKind::Protocol, Refusal::UpstreamProtocol),
        (FailureKind::Timeout, Refusal::UpstreamTimeout),
        (FailureKind::Overloaded, Refusal::NoEndpoint),
    ] {
        let mut rig = Rig::new("least-wait", 1);
        let (ticket, at) = rig.send(request(10));
        assert_eq!(rig.fail(ticket, at, kind), [Said::Refuse(ticket, refusal)], "{kind:?}: at once");
    }
}

#[test]
fn endpoints_that_do_not_serve_the_model_are_not_waited_for() {
    let mut rig = Rig::new("least-wait", 2);
    rig.models(0, &["a"], &[]);
    rig.models(1, &["b"], &[]);
    let (ticket, at) = rig.send(for_model("a"));
    let said = rig.fail(ticket, at, FailureKind::Reset);
    assert_eq!(said, [Said::Refuse(ticket, Refusal::UpstreamFailed)]);
}

#[test]
fn after_the_first_byte_nothing_is_sent_again() {
    let mut rig = Rig::new("least-wait", 2);
    let (ticket, at) = rig.send(request(10));
    rig.first_byte(ticket);
    let failure = Failure { endpoint: EndpointId(at), kind: FailureKind::Truncated, offer_again: false };
    let said = rig.progress(ticket, Event::Failed(failure));
    assert_eq!(said, [Said::Refuse(ticket, Refusal::UpstreamFailed)]);
}

#[test]
fn what_is_not_inference_is_sent_again_only_where_it_was_not_processed() {
    for kind in KINDS {
        let mut rig = Rig::new("least-wait", 2);
        let (ticket, at) = rig.send(Request::plain());
        let said = rig.fail(ticket, at, kind);
        assert_eq!(matches!(said[..], [Said::Dispatch(..)]), kind.unprocessed(), "{kind:?}");
    }
}

#[test]
fn a_failure_of_a_try_that_was_left_is_ignored() {
    let mut rig = Rig::new("least-wait", 3);
    let (ticket, first) = rig.send(request(10));
    let [Said::Dispatch(_, second)] = rig.fail(ticket, first, FailureKind::Reset)[..] else { panic!() };
    assert_eq!(rig.fail(ticket, first, FailureKind::Reset), []);
    assert_eq!(rig.view(second).account.requests, 1);
}

#[test]
fn a_closed_ticket_hears_nothing_more() {
    let mut rig = Rig::new("least-wait", 2);
    let (ticket, at) = rig.send(request(10));
    rig.finish(ticket);
    for event in [
        Event::FirstByte,
        Event::Tokens(9),
        Event::Answered { status: 500 },
        Event::ServedBy(EndpointId(0)),
        Event::Gone,
    ] {
        assert_eq!(rig.progress(ticket, event), []);
    }
    assert_eq!(rig.fail(ticket, at, FailureKind::Reset), []);
    let (next, _) = rig.send(request(10));
    assert_ne!(next, ticket, "a ticket is not reused while an old one may name it");
}

#[test]
fn a_waiting_ticket_is_sent_again_once_an_endpoint_it_has_not_tried_is_ready() {
    let mut rig = Rig::new("least-wait", 2);
    let (ticket, first) = rig.send(request(10));
    rig.silent(1 - first);
    assert_eq!(rig.fail(ticket, first, FailureKind::Reset), []);
    rig.scrape(first);
    assert_eq!(rig.said(), [], "it failed there");
    rig.scrape(1 - first);
    assert_eq!(rig.said(), [Said::Dispatch(ticket, 1 - first)]);
}
