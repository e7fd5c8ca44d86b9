//! A request for an adapter goes where it is, else where a slot is free, else where it can be loaded.

use crate::support::{Rig, for_model, request, with_adapters};

fn rig(states: [(u32, &[&str]); 3]) -> Rig {
    let mut rig = Rig::new("least-wait", 3);
    for (id, (slots, running)) in states.into_iter().enumerate() {
        rig.models(id as u32, &["base"], &["x", "a", "b"]);
        rig.scrape_state(id as u32, with_adapters(slots, running));
    }
    rig
}

#[test]
fn it_goes_where_the_adapter_runs() {
    let mut rig = rig([(2, &["a", "b"]), (2, &[]), (2, &["x"])]);
    assert_eq!(rig.send(for_model("x")).1, 2);
}

#[test]
fn else_where_a_slot_is_free() {
    let mut rig = rig([(2, &["a", "b"]), (2, &["a"]), (1, &["b"])]);
    assert_eq!(rig.send(for_model("x")).1, 1);
}

#[test]
fn else_where_it_can_be_loaded() {
    let mut rig = rig([(2, &["a", "b"]), (1, &["a"]), (1, &["b"])]);
    rig.send(for_model("x"));
}

#[test]
fn it_stays_where_it_was_last_sent_though_the_page_does_not_show_it() {
    let mut rig = rig([(2, &[]), (2, &[]), (2, &[])]);
    let (ticket, home) = rig.send(for_model("x"));
    rig.finish(ticket);
    for id in 0..3 {
        rig.scrape_state(id, with_adapters(2, &[]));
    }
    for _ in 0..20 {
        let (ticket, at) = rig.send(for_model("x"));
        assert_eq!(at, home);
        rig.finish(ticket);
    }
}

#[test]
fn an_engine_that_started_anew_has_no_adapter_loaded() {
    let mut rig = rig([(1, &[]), (1, &["a"]), (1, &["b"])]);
    let (ticket, home) = rig.send(for_model("x"));
    assert_eq!(home, 0);
    rig.finish(ticket);
    rig.unreachable(0);
    rig.scrape_state(0, with_adapters(1, &["a"]));
    rig.scrape_state(1, with_adapters(1, &[]));
    assert_eq!(rig.send(for_model("x")).1, 1);
}

#[test]
fn a_long_wait_opens_the_next_tier() {
    let mut rig = rig([(2, &["x"]), (2, &[]), (2, &[])]);
    rig.drain(1, true);
    rig.drain(2, true);
    rig.send(request(4_000_000));
    rig.drain(1, false);
    rig.drain(2, false);
    assert_ne!(rig.send(for_model("x")).1, 0);
}

#[test]
fn tiers_hold_though_one_list_is_not_known_yet() {
    let mut rig = Rig::new("least-wait", 3);
    rig.models(1, &["base"], &["x"]);
    rig.models(2, &["base"], &["x"]);
    for id in 0..3 {
        rig.scrape_state(id, with_adapters(2, if id == 2 { &["x"] } else { &[] }));
    }
    for _ in 0..10 {
        let (ticket, at) = rig.send(for_model("x"));
        assert_eq!(at, 2);
        rig.finish(ticket);
    }
}

#[test]
fn the_base_model_goes_anywhere() {
    let mut rig = rig([(1, &["x"]), (1, &[]), (1, &[])]);
    let mut places: Vec<u32> = (0..3).map(|_| rig.send(for_model("base")).1).collect();
    places.sort_unstable();
    assert_eq!(places, [0, 1, 2]);
}
