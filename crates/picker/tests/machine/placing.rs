//! A request finds an endpoint.

use roadstead_core::{EndpointId, Request};
use roadstead_picker::{Event, Policy};

use crate::support::{Rig, engine, for_model, prompt, request};

#[test]
fn every_policy_dispatches_at_once_where_an_endpoint_is_ready() {
    for policy in Policy::NAMES {
        let mut rig = Rig::new(policy, 3);
        let (ticket, endpoint) = rig.send(request(100));
        assert!(endpoint < 3, "{policy}");
        assert_eq!(rig.view(endpoint).account.requests, 1, "{policy}");
        rig.finish(ticket);
        assert_eq!(rig.view(endpoint).account.requests, 0, "{policy}");
    }
}

#[test]
fn equal_endpoints_get_equal_shares() {
    for policy in Policy::NAMES {
        let mut rig = Rig::new(policy, 4);
        let places = rig.spread(400);
        for endpoint in 0..4 {
            let share = places.iter().filter(|at| **at == endpoint).count();
            assert!((60..=140).contains(&share), "{policy}: {share} of 400 on e{endpoint}");
        }
    }
}

#[test]
fn round_robin_goes_round() {
    let mut rig = Rig::new("round-robin", 3);
    assert_eq!(rig.spread(7), [0, 1, 2, 0, 1, 2, 0]);
    rig.drain(1, true);
    assert_eq!(rig.spread(4), [2, 0, 2, 0]);
}

#[test]
fn least_request_takes_the_one_with_the_fewest_in_flight() {
    let mut rig = Rig::new("least-request", 3);
    let mut places: Vec<u32> = (0..3).map(|_| rig.send(request(8)).1).collect();
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
}

#[test]
fn least_wait_avoids_the_endpoint_with_prompts_ahead() {
    let mut rig = Rig::new("least-wait", 2);
    let (_, busy) = rig.send(request(8_000));
    for _ in 0..3 {
        let (ticket, other) = rig.send(request(100));
        assert_ne!(other, busy);
        rig.finish(ticket);
    }
}

#[test]
fn least_wait_avoids_load_from_outside() {
    let mut rig = Rig::new("least-wait", 2);
    for _ in 0..2 {
        rig.pass(50);
        rig.scrape_state(0, engine(4, 30));
        rig.scrape_state(1, engine(0, 0));
    }
    assert_eq!(rig.spread(50), vec![1; 50]);
}

#[test]
fn least_wait_returns_to_where_the_prompt_is_cached() {
    let mut rig = Rig::new("least-wait", 4);
    let (first, home) = rig.send(prompt(1, 32));
    rig.finish(first);
    for _ in 0..20 {
        let (ticket, endpoint) = rig.send(prompt(1, 32));
        assert_eq!(endpoint, home);
        rig.finish(ticket);
    }
}

#[test]
fn least_wait_leaves_a_warm_endpoint_that_is_too_far_behind() {
    let mut rig = Rig::new("least-wait", 2);
    let (first, home) = rig.send(prompt(1, 16));
    rig.finish(first);
    // 60 k tokens are ahead there, against 2 k to compute anew elsewhere.
    rig.drain(1 - home, true);
    rig.send(request(60_000));
    rig.drain(1 - home, false);
    assert_eq!(rig.send(prompt(1, 16)).1, 1 - home);
}

#[test]
fn only_endpoints_that_serve_the_model_get_it() {
    let mut rig = Rig::new("least-wait", 3);
    rig.models(0, &["a"], &[]);
    rig.models(1, &["b"], &[]);
    rig.models(2, &["a", "b"], &[]);
    for _ in 0..20 {
        assert_ne!(rig.send(for_model("a")).1, 1);
        assert_ne!(rig.send(for_model("b")).1, 0);
    }
}

#[test]
fn a_list_that_was_not_read_serves_whatever_is_asked() {
    let mut rig = Rig::new("least-wait", 2);
    rig.models(0, &["a"], &[]);
    assert_eq!(rig.send(for_model("z")).1, 1);
}

#[test]
fn a_request_without_a_model_goes_anywhere() {
    let mut rig = Rig::new("least-wait", 1);
    rig.models(0, &["a"], &[]);
    rig.send(Request::plain());
}

#[test]
fn a_request_that_fits_nowhere_goes_to_the_least_loaded() {
    let mut rig = Rig::new("least-wait", 2);
    let (_, busy) = rig.send(request(1_000));
    assert_eq!(rig.send(request(10_000_000)).1, 1 - busy);
}

#[test]
fn a_proxy_that_chose_for_itself_moves_the_booking() {
    let mut rig = Rig::new("least-wait", 2);
    let (ticket, first) = rig.send(request(500));
    let other = 1 - first;
    rig.progress(ticket, Event::ServedBy(EndpointId(other)));
    assert!(rig.view(first).account.is_empty());
    assert_eq!(rig.view(other).account.prefill_tokens, 500);
    let speed = rig.view(other).prefill_s_per_token;
    rig.first_byte(ticket);
    assert_eq!(rig.view(other).prefill_s_per_token, speed, "its time there is not known");
    rig.progress(ticket, Event::ServedBy(EndpointId(99)));
    assert_eq!(rig.view(other).account.decoding, 1);
    rig.progress(ticket, Event::ServedBy(EndpointId(first)));
    assert_eq!(rig.view(first).account.decoding, 1);
    rig.finish(ticket);
    assert!(rig.view(first).account.is_empty() && rig.view(other).account.is_empty());
}
