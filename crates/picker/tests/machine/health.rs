//! Endpoints that are silent, unreachable, failing, draining or gone.

use std::time::Duration;

use roadstead_core::EndpointId;
use roadstead_picker::{Event, Fact, FailureKind};

use crate::support::{Rig, Said, engine, prompt, request};

#[test]
fn a_silent_endpoint_gets_no_new_work_until_it_answers() {
    for policy in ["least-wait", "round-robin"] {
        let mut rig = Rig::new(policy, 2);
        rig.silent(0);
        assert_eq!(rig.spread(10), vec![1; 10]);
        rig.scrape(0);
        assert!(rig.spread(20).contains(&0), "{policy}");
    }
}

#[test]
fn requests_without_a_byte_are_moved_from_a_silent_endpoint_and_those_with_bytes_stay() {
    let mut rig = Rig::new("least-wait", 1);
    let (begun, _) = rig.send(request(10));
    let (answered, _) = rig.send(request(10));
    let (stuck, _) = rig.send(request(10));
    rig.first_byte(begun);
    rig.progress(answered, Event::Answered { status: 200 });
    rig.join(1);
    rig.scrape(1);
    rig.silent(0);
    let move_after = rig.limits.move_after;
    assert_eq!(rig.machine.next_deadline(), Some(rig.now + move_after));
    rig.pass(100);
    rig.silent(0);
    assert_eq!(rig.expire_after(move_after.as_millis() as u64 - 101), []);
    assert_eq!(rig.expire_after(1), [Said::Dispatch(stuck, 1)]);
    assert_eq!(rig.machine.next_deadline(), None);
    assert_eq!((rig.view(0).account.requests, rig.view(1).account.requests), (2, 1));
    rig.finish(begun);
}

#[test]
fn an_unreachable_endpoint_gets_no_work_and_its_hanging_requests_are_moved() {
    let mut rig = Rig::new("least-wait", 1);
    let (stuck, _) = rig.send(request(10));
    rig.join(1);
    rig.scrape(1);
    rig.silent(0);
    rig.pass(1_000);
    rig.unreachable(0);
    assert_eq!(rig.view(0).barred, Some("unreachable"));
    assert_eq!(rig.spread(10), vec![1; 10]);
    let left = rig.limits.move_after - Duration::from_secs(1);
    assert_eq!(rig.machine.next_deadline(), Some(rig.now + left), "counted from the silence");
    assert_eq!(rig.expire_after(left.as_millis() as u64), [Said::Dispatch(stuck, 1)]);
}

#[test]
fn what_cannot_be_moved_stays_and_is_tried_again_later() {
    let mut rig = Rig::new("least-wait", 1);
    let (stuck, _) = rig.send(request(10));
    rig.silent(0);
    let move_after = rig.limits.move_after.as_millis() as u64;
    assert_eq!(rig.expire_after(move_after), []);
    assert_eq!(rig.view(0).account.requests, 1);
    rig.join(1);
    rig.scrape(1);
    assert_eq!(rig.machine.next_deadline(), Some(rig.now + rig.limits.move_after));
    assert_eq!(rig.expire_after(move_after), [Said::Dispatch(stuck, 1)]);
}

#[test]
fn an_endpoint_that_answers_again_in_time_keeps_its_requests() {
    let mut rig = Rig::new("least-wait", 2);
    let (ticket, at) = rig.send(request(10));
    rig.silent(at);
    rig.pass(2_000);
    rig.scrape(at);
    assert_eq!(rig.machine.next_deadline(), None);
    assert_eq!(rig.expire_after(10_000), []);
    rig.finish(ticket);
}

#[test]
fn a_connect_failure_keeps_work_away_until_the_next_answered_scrape() {
    let mut rig = Rig::new("least-wait", 2);
    let (ticket, at) = rig.send(request(10));
    rig.fail(ticket, at, FailureKind::Connect);
    assert_eq!(rig.view(at).barred, Some("unreachable"));
    rig.scrape(at);
    assert_eq!(rig.view(at).barred, None);
}

#[test]
fn an_endpoint_that_went_away_has_lost_its_cache() {
    let mut rig = Rig::new("least-wait", 2);
    let (ticket, home) = rig.send(prompt(1, 32));
    rig.finish(ticket);
    assert_eq!(rig.view(home).history.blocks, 32);
    rig.unreachable(home);
    assert_eq!(rig.view(home).history.blocks, 0);
}

#[test]
fn three_failures_in_a_row_eject_and_one_trial_brings_back() {
    let mut rig = Rig::new("random", 2);
    rig.answer_on(0, 500, 2);
    rig.answer_on(0, 200, 1);
    rig.answer_on(0, 500, 2);
    assert_eq!(rig.view(0).barred, None, "a success in between counts");
    rig.answer_on(0, 500, 1);
    assert_eq!(rig.view(0).barred, Some("ejected"));
    assert_eq!(rig.spread(20), vec![1; 20]);

    rig.pass(rig.limits.ejection_base.as_millis() as u64);
    let trial = loop {
        let (ticket, at) = rig.send(request(8));
        if at == 0 {
            break ticket;
        }
    };
    assert_eq!(rig.spread(20), vec![1; 20], "one trial at a time");
    rig.progress(trial, Event::Answered { status: 200 });
    assert_eq!(rig.view(0).barred, None);
    assert!(rig.spread(50).contains(&0));
}

#[test]
fn a_failed_trial_doubles_the_ejection_up_to_its_bound() {
    let mut rig = Rig::new("random", 2);
    rig.answer_on(0, 500, 3);
    let mut length = rig.limits.ejection_base;
    for _ in 0..8 {
        rig.pass(length.as_millis() as u64 - 1);
        assert_eq!(rig.view(0).barred, Some("ejected"), "{length:?}");
        rig.pass(1);
        rig.answer_on(0, 503, 1);
        length = (length * 2).min(rig.limits.ejection_max);
    }
    assert_eq!(length, rig.limits.ejection_max);
    rig.pass(length.as_millis() as u64);
    assert_eq!(rig.view(0).barred, None);
}

#[test]
fn a_trial_whose_client_leaves_frees_the_next_trial() {
    let mut rig = Rig::new("random", 2);
    rig.answer_on(0, 500, 3);
    rig.pass(rig.limits.ejection_base.as_millis() as u64);
    let trial = loop {
        let (ticket, at) = rig.send(request(8));
        if at == 0 {
            break ticket;
        }
    };
    assert_eq!(rig.view(0).barred, Some("ejected"));
    rig.progress(trial, Event::Gone);
    assert_eq!(rig.view(0).barred, None);
}

#[test]
fn a_trial_that_is_moved_or_cannot_connect_does_not_bar_for_ever() {
    for connect in [false, true] {
        let mut rig = Rig::new("random", 2);
        rig.answer_on(0, 500, 3);
        rig.pass(rig.limits.ejection_base.as_millis() as u64);
        let trial = loop {
            let (ticket, at) = rig.send(request(8));
            if at == 0 {
                break ticket;
            }
        };
        if connect {
            assert_eq!(rig.fail(trial, 0, FailureKind::Connect), [Said::Dispatch(trial, 1)]);
        } else {
            rig.silent(0);
            let said = rig.expire_after(rig.limits.move_after.as_millis() as u64);
            assert_eq!(said, [Said::Dispatch(trial, 1)]);
        }
        rig.scrape(0);
        assert_eq!(rig.view(0).barred, None, "connect {connect}");
    }
}

#[test]
fn when_every_endpoint_is_ejected_requests_are_still_served() {
    let mut rig = Rig::new("random", 2);
    rig.answer_on(0, 500, 3);
    rig.answer_on(1, 500, 3);
    assert_eq!((rig.view(0).barred, rig.view(1).barred), (Some("ejected"), Some("ejected")));
    let (ticket, at) = rig.send(request(8));
    rig.progress(ticket, Event::Answered { status: 200 });
    assert_eq!(rig.view(at).barred, None);
}

#[test]
fn an_overloaded_endpoint_is_not_at_fault() {
    let mut rig = Rig::new("random", 2);
    for _ in 0..20 {
        let (ticket, at) = rig.send(request(8));
        rig.fail(ticket, at, FailureKind::Overloaded);
    }
    assert_eq!((rig.view(0).barred, rig.view(1).barred), (None, None));
}

#[test]
fn a_broken_exchange_counts_once_even_after_a_bad_head() {
    let mut rig = Rig::new("random", 2);
    rig.answer_on(0, 500, 1);
    let (ticket, _) = loop {
        let (ticket, at) = rig.send(request(8));
        if at == 0 {
            break (ticket, at);
        }
    };
    rig.progress(ticket, Event::Answered { status: 500 });
    rig.fail(ticket, 0, FailureKind::Truncated);
    assert_eq!(rig.view(0).barred, None, "two failures, not three");
}

#[test]
fn a_draining_endpoint_keeps_its_work_and_gets_no_more() {
    let mut rig = Rig::new("round-robin", 2);
    let (ticket, at) = rig.send(request(10));
    rig.drain(at, true);
    assert_eq!(rig.view(at).barred, Some("draining"));
    assert_eq!(rig.spread(5), vec![1 - at; 5]);
    rig.first_byte(ticket);
    rig.finish(ticket);
    rig.drain(at, false);
    assert!(rig.spread(4).contains(&at));
}

#[test]
fn an_endpoint_that_leaves_lets_its_work_finish_and_its_slot_is_used_again() {
    let mut rig = Rig::new("round-robin", 2);
    let (ticket, at) = rig.send(prompt(1, 8));
    rig.leave(at);
    assert_eq!(rig.view(at).barred, Some("leaving"));
    assert_eq!(rig.spread(5), vec![1 - at; 5]);
    rig.join(7);
    rig.scrape(7);
    rig.first_byte(ticket);
    rig.finish(ticket);
    assert_eq!(rig.machine.view(rig.now).endpoints.len(), 2);
    rig.join(8);
    rig.scrape(8);
    assert!(rig.view(8).history.blocks == 0, "nothing is known of who had the slot before");
    let spread = rig.spread(6);
    assert!(spread.contains(&7) && spread.contains(&8) && !spread.contains(&at));
}

#[test]
fn an_endpoint_that_comes_back_while_its_work_ends_stays() {
    let mut rig = Rig::new("round-robin", 1);
    let (ticket, _) = rig.send(request(10));
    rig.leave(0);
    rig.join(0);
    rig.finish(ticket);
    assert_eq!(rig.spread(1), [0]);
}

#[test]
fn a_failure_on_a_leaving_endpoint_is_tried_elsewhere() {
    let mut rig = Rig::new("round-robin", 2);
    let (ticket, at) = rig.send(request(10));
    rig.leave(at);
    assert_eq!(rig.fail(ticket, at, FailureKind::Reset), [Said::Dispatch(ticket, 1 - at)]);
    assert_eq!(rig.machine.view(rig.now).endpoints.len(), 1);
}

#[test]
fn facts_about_strangers_change_nothing() {
    let mut rig = Rig::new("least-wait", 1);
    let stranger = EndpointId(42);
    for fact in [
        Fact::Left(stranger),
        Fact::Silent(stranger),
        Fact::Unreachable(stranger),
        Fact::Draining { endpoint: stranger, on: true },
        Fact::Scraped { endpoint: stranger, state: engine(1, 1) },
        Fact::Load { endpoint: stranger, state: engine(1, 1) },
        Fact::Models { endpoint: stranger, models: Vec::new() },
    ] {
        rig.observe(fact);
    }
    rig.join(0);
    assert_eq!(rig.machine.view(rig.now).endpoints.len(), 1);
    assert_eq!(rig.spread(3), [0, 0, 0]);
}
