//! The reasons that come with a dispatch where they were asked for.

use roadstead_core::EndpointId;
use roadstead_picker::{Event, FailureKind, Verdict};

use crate::support::{Rig, for_model, prompt, request};

#[test]
fn nothing_is_explained_unasked() {
    let mut rig = Rig::new("least-wait", 2);
    rig.machine.offer(rig.now, request(10));
    assert!(matches!(rig.machine.next_verdict(), Some(Verdict::Dispatch { why: None, .. })));
}

#[test]
fn every_endpoint_has_its_scores_and_predictions() {
    let mut rig = Rig::new("least-wait", 3);
    let (ticket, home) = rig.send(prompt(1, 16));
    rig.finish(ticket);
    let why = rig.why(prompt(1, 20));
    assert_eq!((why.policy, why.chosen, why.candidates.len()), ("least-wait", EndpointId(home), 3));
    for candidate in &why.candidates {
        let warm = candidate.endpoint == EndpointId(home);
        assert_eq!(candidate.hit_tokens, if warm { 16 * 128 } else { 0 });
        assert!(candidate.ttft_s > 0.0 && candidate.tpot_s > 0.0);
        assert_eq!(candidate.dropped_by, (!warm).then_some("warm-set-filter"));
        assert_eq!(candidate.scores.len(), usize::from(warm));
    }
}

#[test]
fn upstream_scores_go_by_upstream_names() {
    let mut rig = Rig::new("upstream-default", 2);
    let why = rig.why(prompt(1, 16));
    for candidate in &why.candidates {
        assert_eq!(
            candidate.scores,
            [("queue-scorer", 1.0), ("kv-cache-utilization-scorer", 1.0), ("prefix-cache-scorer", 0.0)]
        );
    }
}

#[test]
fn what_keeps_an_endpoint_out_is_said() {
    let mut rig = Rig::new("least-wait", 6);
    for id in [0, 1, 2, 3, 4] {
        rig.models(id, &["a"], &[]);
    }
    rig.models(5, &["b"], &[]);
    rig.silent(0);
    rig.unreachable(1);
    rig.drain(2, true);
    rig.join(6);
    let why = rig.why(for_model("a"));
    let dropped: Vec<_> = why.candidates.iter().map(|candidate| candidate.dropped_by).collect();
    let expected = [
        Some("silent"),
        Some("unreachable"),
        Some("draining"),
        None,
        None,
        Some("model not served"),
        Some("unseen"),
    ];
    assert_eq!(dropped, expected);
}

#[test]
fn a_second_try_says_where_the_first_failed() {
    let mut rig = Rig::new("least-wait", 2);
    let first = rig.why(request(10)).chosen;
    let ticket = rig.machine.view(rig.now).endpoints.len();
    assert_eq!(ticket, 2);
    let asked = roadstead_core::Request { explain: true, ..request(10) };
    let ticket = rig.machine.offer(rig.now, asked);
    let Some(Verdict::Dispatch { placement, .. }) = rig.machine.next_verdict() else { panic!() };
    let at = placement.decode.first();
    assert_ne!(at, first);
    let failure = roadstead_picker::Failure { endpoint: at, kind: FailureKind::Reset, offer_again: true };
    rig.machine.progress(rig.now, ticket, Event::Failed(failure));
    let Some(Verdict::Dispatch { why: Some(why), .. }) = rig.machine.next_verdict() else { panic!() };
    let failed = why.candidates.iter().find(|candidate| candidate.endpoint == at).unwrap();
    assert_eq!(failed.dropped_by, Some("failed before"));
}
