use std::sync::Arc;

use fastrand::Rng;
use roadstead_core::{AdapterState, Endpoint, EndpointId, EngineState, Request, RetryClass, Time, Work};

use super::pickers::{LeastRequestPicker, MaxScorePicker, RandomPicker, RoundRobinPicker};
use super::scorers::{
    ActiveRequestScorer, KvCacheUtilizationScorer, LeastWaitScorer, LoraAffinityScorer, PrefixCacheScorer,
    QueueScorer, RunningRequestsSizeScorer, TokenLoadScorer,
};
use super::{Cycle, Picker, Policy, Scorer, Scratch};
use crate::cost::Learned;
use crate::pool::{Booking, Pool, Slot};
use crate::prefix::PrefixIndex;

const NOW: Time = Time::from_millis(1_000);

/// A pool whose endpoints have said `states`.
fn pool(states: &[EngineState]) -> Pool {
    let mut pool = Pool::default();
    for (id, state) in states.iter().enumerate() {
        let name: Arc<str> = format!("e{id}").into();
        let endpoint = Endpoint { id: EndpointId(id as u32), name: name.clone(), authority: name };
        let slot = pool.join(endpoint).expect("a new endpoint");
        pool.update(slot, |known| {
            known.report(NOW, state.clone(), true);
            known.health.answered(NOW);
        });
    }
    pool
}

fn request(model: Option<&str>, blocks: u64) -> Request {
    Request {
        model: model.map(Arc::from),
        work: Work { prompt_tokens: blocks as u32 * 64 + 10, output_tokens_max: None, sequences: 1 },
        prefix: (1..=blocks).map(|block| block.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect(),
        retry: RetryClass::UntilFirstByte,
        ..Request::plain()
    }
}

/// Runs `with` on a cycle over all endpoints of `pool`, of which `held` says how many prompt blocks each has.
fn over<R>(pool: &Pool, request: &Request, held: &[usize], with: impl FnOnce(&Cycle<'_>, &[Slot]) -> R) -> R {
    let index = PrefixIndex::default();
    for (slot, blocks) in held.iter().enumerate() {
        index.set_capacity(Slot::new(slot as u16), 1_000);
        index.record(NOW, Slot::new(slot as u16), &request.prefix[..*blocks]);
    }
    let mut scratch = Scratch::default();
    scratch.candidates.collect(pool.open(), |_| {});
    let candidates = scratch.candidates.all().to_vec();
    let shape = Policy::by_name("upstream-default").expect("a known policy").shape;
    let learned = Learned::default();
    let cycle = scratch.prepare((NOW, pool, &index, &learned), request, shape, true);
    with(&cycle, &candidates)
}

fn scores(scorer: &dyn Scorer, pool: &Pool, request: &Request, held: &[usize]) -> Vec<f32> {
    over(pool, request, held, |cycle, candidates| {
        let mut scores = vec![0.0; candidates.len()];
        scorer.score(cycle, candidates, &mut scores);
        scores
    })
}

fn with_queue(waiting: u32) -> EngineState {
    EngineState { waiting: Some(waiting), ..EngineState::default() }
}

fn with_running(running: u32) -> EngineState {
    EngineState { running: Some(running), ..EngineState::default() }
}

fn with_usage(kv_usage: Option<f32>) -> EngineState {
    EngineState { kv_usage, ..EngineState::default() }
}

fn with_adapters(slots: u32, running: &[&str], waiting: &[&str]) -> EngineState {
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
    let adapters = AdapterState { slots, running: names(running), waiting: names(waiting) };
    EngineState { adapters: Some(adapters), ..EngineState::default() }
}

/// Books `requests` requests of `tokens` prompt tokens on endpoint `slot`.
fn book(pool: &mut Pool, slot: u16, requests: u32, tokens: u32) {
    for _ in 0..requests {
        let work = Work { prompt_tokens: tokens, output_tokens_max: None, sequences: 1 };
        pool.update(Slot::new(slot), |state| state.account.give(&Booking::new(NOW, &work, 0)));
    }
}

#[test]
fn queue_and_running_scorers_normalise_between_least_and_most() {
    for (values, expected) in [
        (vec![0, 5, 10], vec![1.0, 0.5, 0.0]),
        (vec![3, 3, 3], vec![1.0, 1.0, 1.0]),
        (vec![0, 0], vec![1.0, 1.0]),
        (vec![7], vec![1.0]),
        (vec![100, 101], vec![1.0, 0.0]),
        (vec![0, u32::MAX], vec![1.0, 0.0]),
    ] {
        let queues = pool(&values.iter().map(|value| with_queue(*value)).collect::<Vec<_>>());
        assert_eq!(scores(&QueueScorer, &queues, &request(None, 0), &[]), expected, "{values:?}");
        let running = pool(&values.iter().map(|value| with_running(*value)).collect::<Vec<_>>());
        assert_eq!(
            scores(&RunningRequestsSizeScorer, &running, &request(None, 0), &[]),
            expected,
            "{values:?}"
        );
    }
}

#[test]
fn what_an_endpoint_did_not_say_counts_as_zero() {
    let pool = pool(&[with_queue(4), EngineState::default()]);
    assert_eq!(scores(&QueueScorer, &pool, &request(None, 0), &[]), [0.0, 1.0]);
    assert_eq!(scores(&RunningRequestsSizeScorer, &pool, &request(None, 0), &[]), [1.0, 1.0]);
}

#[test]
fn kv_scorer_is_what_is_free() {
    let pool = pool(&[
        with_usage(Some(0.0)),
        with_usage(Some(0.25)),
        with_usage(Some(1.0)),
        with_usage(None),
        with_usage(Some(7.0)),
        with_usage(Some(f32::NAN)),
    ]);
    let scores = scores(&KvCacheUtilizationScorer, &pool, &request(None, 0), &[]);
    assert_eq!(scores, [1.0, 0.75, 0.0, 1.0, 1.0, 1.0], "a share that is none is not believed");
}

#[test]
fn prefix_scorer_is_the_matched_share_of_blocks() {
    let pool = pool(&vec![EngineState::default(); 4]);
    assert_eq!(scores(&PrefixCacheScorer, &pool, &request(None, 8), &[0, 2, 8, 4]), [0.0, 0.25, 1.0, 0.5]);
    assert_eq!(scores(&PrefixCacheScorer, &pool, &request(None, 0), &[0, 0, 0, 0]), [0.0; 4]);
}

#[test]
fn lora_scorer_has_upstreams_tiers() {
    let states = [
        with_adapters(2, &["x", "y"], &[]),
        with_adapters(2, &["y"], &[]),
        with_adapters(2, &["y"], &["x"]),
        with_adapters(2, &["y", "z"], &[]),
        with_adapters(2, &["y"], &["z"]),
        with_adapters(3, &["y"], &["x"]),
        EngineState::default(),
        with_adapters(0, &[], &[]),
    ];
    let scores_of = |model| scores(&LoraAffinityScorer, &pool(&states), &request(model, 0), &[]);
    assert_eq!(scores_of(Some("x")), [1.0, 0.8, 0.6, 0.0, 0.0, 0.8, 0.0, 0.0]);
    assert_eq!(scores_of(None), [0.0; 8]);
}

#[test]
fn active_request_scorer_counts_what_we_have_in_flight() {
    let mut pool = pool(&vec![EngineState::default(); 4]);
    assert_eq!(scores(&ActiveRequestScorer, &pool, &request(None, 0), &[]), [1.0; 4]);
    book(&mut pool, 1, 1, 10);
    book(&mut pool, 2, 4, 10);
    book(&mut pool, 3, 2, 10);
    assert_eq!(scores(&ActiveRequestScorer, &pool, &request(None, 0), &[]), [1.0, 0.75, 0.0, 0.5]);
}

#[test]
fn token_load_scorer_counts_tokens_against_its_threshold() {
    let mut pool = pool(&vec![EngineState::default(); 3]);
    book(&mut pool, 1, 1, 1_048_576);
    book(&mut pool, 2, 9, 1_048_576);
    assert_eq!(scores(&TokenLoadScorer, &pool, &request(None, 0), &[]), [1.0, 0.75, 0.0]);
}

#[test]
fn least_wait_scorer_keeps_magnitudes() {
    let mut pool = pool(&vec![EngineState::default(); 3]);
    assert_eq!(scores(&LeastWaitScorer, &pool, &request(None, 4), &[0, 0, 0]), [1.0; 3]);
    book(&mut pool, 1, 1, 1_000);
    book(&mut pool, 2, 100, 10_000);
    let scores = scores(&LeastWaitScorer, &pool, &request(None, 4), &[0, 0, 0]);
    assert_eq!(scores[0], 1.0);
    assert!((0.9..1.0).contains(&scores[1]), "a little more is a little worse: {}", scores[1]);
    assert!(scores[2] < 0.2, "{}", scores[2]);
}

#[test]
fn keeping_the_best_keeps_who_scores_best() {
    let mut rng = Rng::with_seed(4);
    for endpoints in [1, 3, 64, 65, 200] {
        let mut pool = pool(&vec![EngineState::default(); endpoints]);
        for slot in 0..endpoints as u16 {
            book(&mut pool, slot, rng.u32(..3), rng.u32(..3) * 500);
        }
        let held: Vec<usize> = (0..endpoints).map(|_| rng.usize(..3)).collect();
        let request = request(None, 8);
        let scores = scores(&LeastWaitScorer, &pool, &request, &held);
        let best = (0..endpoints).filter(|slot| scores[*slot] == 1.0).map(|slot| Slot::new(slot as u16));
        over(&pool, &request, &held, |cycle, candidates| {
            let mut kept = candidates.to_vec();
            assert!(LeastWaitScorer.keep_best(cycle, &mut kept));
            assert_eq!(kept, best.collect::<Vec<_>>(), "{endpoints} endpoints");
            let mut some = candidates[..endpoints.div_ceil(2)].to_vec();
            assert!(LeastWaitScorer.keep_best(cycle, &mut some));
            assert!(!some.is_empty());
        });
    }
}

#[test]
fn the_warmest_is_who_alone_has_most() {
    let pool = pool(&vec![EngineState::default(); 3]);
    for (held, expected) in [
        ([0, 0, 0], None),
        ([5, 5, 1], None),
        ([2, 6, 1], Some((1, 4 * 64))),
        ([0, 0, 3], Some((2, 3 * 64))),
        // Ten tokens more than eight blocks: all of it is never cached.
        ([8, 0, 0], Some((0, 8 * 64))),
    ] {
        over(&pool, &request(None, 8), &held, |cycle, candidates| {
            let expected = expected.map(|(slot, tokens)| (Slot::new(slot), tokens));
            assert_eq!(cycle.warmest(candidates), expected, "{held:?}");
        });
    }
    over(&pool, &request(None, 8), &[2, 6, 1], |cycle, candidates| {
        let others = [candidates[0], candidates[2]];
        assert_eq!(cycle.warmest(&others), Some((candidates[0], 64)), "among those that are left");
    });
}

#[test]
fn pickers_choose_as_they_are_called() {
    let mut pool = pool(&vec![EngineState::default(); 4]);
    book(&mut pool, 0, 2, 10);
    book(&mut pool, 1, 1, 10);
    book(&mut pool, 3, 1, 10);
    book(&mut pool, 2, 3, 10);
    over(&pool, &request(None, 0), &[], |cycle, candidates| {
        let mut rng = Rng::with_seed(1);
        let mut picked = |picker: &mut dyn Picker, scores: &[f32]| {
            let mut counts = [0; 4];
            (0..400).for_each(|_| counts[picker.pick(cycle, candidates, scores, &mut rng)] += 1);
            counts
        };
        assert_eq!(picked(&mut MaxScorePicker, &[0.1, 0.9, 0.2, 0.3]), [0, 400, 0, 0]);
        let equals = picked(&mut MaxScorePicker, &[0.9, 0.1, 0.9, 0.9]);
        assert!(equals[1] == 0 && equals[0] > 90 && equals[2] > 90 && equals[3] > 90, "{equals:?}");
        assert_eq!(picked(&mut RoundRobinPicker::default(), &[0.0; 4]), [100; 4]);
        let random = picked(&mut RandomPicker, &[9.0, 0.0, 0.0, 0.0]);
        assert!(random.iter().all(|count| (60..140).contains(count)), "{random:?}");
        let fewest = picked(&mut LeastRequestPicker, &[9.0, 0.0, 0.0, 0.0]);
        assert!(fewest[0] == 0 && fewest[2] == 0 && fewest[1] > 150 && fewest[3] > 150, "{fewest:?}");
    });
}

#[test]
fn upstream_default_has_upstreams_plugins_and_weights() {
    let policy = Policy::by_name("upstream-default").expect("a known policy");
    let weights: Vec<_> =
        policy.profile.scorers.iter().map(|(scorer, weight)| (scorer.name(), *weight)).collect();
    let expected =
        [("queue-scorer", 2.0), ("kv-cache-utilization-scorer", 2.0), ("prefix-cache-scorer", 3.0)];
    assert_eq!(weights, expected);
    assert_eq!(policy.profile.picker.name(), "max-score-picker");
    assert!(policy.profile.filters.is_empty());
    // 16-token blocks are raised to 64 tokens of 4 bytes; 2,048 of them are 131,072 tokens.
    assert_eq!((policy.shape.block_bytes, policy.shape.blocks_max), (256, 2_048));
}

#[test]
fn every_policy_has_its_name() {
    for name in Policy::NAMES {
        assert_eq!(Policy::by_name(name).expect("a known policy").name, name);
    }
    assert!(Policy::by_name("best").is_none());
}
