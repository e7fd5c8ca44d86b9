//! Random calls, hostile values and a clock that steps back, against a naive model of what is open and where.

mod naive;

use std::sync::Arc;
use std::time::Duration;

use naive::{Call, Naive};
use proptest::prelude::*;
use roadstead_core::{AdapterState, EngineState, Request, RetryClass, Work};
use roadstead_picker::{FailureKind, Policy};

const ENDPOINTS: u32 = 5;
const MODELS: [&str; 4] = ["base", "x", "y", "nowhere"];

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0u32..2_000, 1 => Just(0), 1 => Just(u32::MAX), 1 => Just(1_000_000_000)]
}

fn hostile<T: Clone + std::fmt::Debug>(values: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.8, values)
}

fn engine() -> impl Strategy<Value = EngineState> {
    let usage =
        prop_oneof![4 => 0.0f32..1.0, 1 => Just(f32::NAN), 1 => Just(f32::INFINITY), 1 => Just(-1.0f32)];
    let adapters =
        (count(), prop::collection::vec(0usize..3, 0..3)).prop_map(|(slots, running)| AdapterState {
            slots,
            running: running.into_iter().map(|name| Arc::from(MODELS[name])).collect(),
            waiting: Vec::new(),
        });
    let counts = (hostile(count()), hostile(count()), hostile(count()), hostile(count()));
    (counts, hostile(usage), prop::option::weighted(0.3, adapters)).prop_map(
        |((waiting, running, block_tokens, kv_blocks), kv_usage, adapters)| EngineState {
            waiting,
            running,
            kv_usage,
            block_tokens,
            kv_blocks,
            adapters,
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let work =
        (count(), hostile(count()), count()).prop_map(|(prompt_tokens, output_tokens_max, sequences)| Work {
            prompt_tokens,
            output_tokens_max,
            sequences: if sequences == 1 { 0 } else { sequences },
        });
    let model = prop::option::weighted(0.4, 0usize..4);
    (work, model, 0u64..6, 0u64..20, any::<bool>(), any::<bool>()).prop_map(
        |(work, model, seed, blocks, inference, explain)| Request {
            model: model.map(|name| Arc::from(MODELS[name])),
            priority: 0,
            work,
            prefix: (0..blocks)
                .map(|block| (seed << 16 | block).wrapping_mul(0x9e37_79b9_7f4a_7c15))
                .collect(),
            retry: if inference { RetryClass::UntilFirstByte } else { RetryClass::OnlyUnprocessed },
            explain,
        },
    )
}

fn kind() -> impl Strategy<Value = FailureKind> {
    prop::sample::select(vec![
        FailureKind::Connect,
        FailureKind::Reset,
        FailureKind::Protocol,
        FailureKind::Timeout,
        FailureKind::Overloaded,
        FailureKind::Truncated,
    ])
}

fn call() -> impl Strategy<Value = Call> {
    let status = prop::sample::select(vec![200u16, 200, 400, 429, 500, 503]);
    let ticket = any::<prop::sample::Index>;
    let endpoint = || 0..ENDPOINTS;
    prop_oneof![
        8 => request().prop_map(Call::Offer),
        1 => endpoint().prop_map(Call::Join),
        1 => endpoint().prop_map(Call::Leave),
        1 => (endpoint(), any::<bool>()).prop_map(|(endpoint, on)| Call::Drain(endpoint, on)),
        5 => (endpoint(), engine()).prop_map(|(endpoint, state)| Call::Scrape(endpoint, state)),
        1 => (endpoint(), engine()).prop_map(|(endpoint, state)| Call::Load(endpoint, state)),
        1 => (endpoint(), 0usize..4).prop_map(|(endpoint, names)| Call::Models(endpoint, names)),
        1 => endpoint().prop_map(Call::Silent),
        1 => endpoint().prop_map(Call::Unreachable),
        2 => (ticket(), status).prop_map(|(ticket, status)| Call::Answered(ticket, status)),
        3 => ticket().prop_map(Call::FirstByte),
        3 => (ticket(), count()).prop_map(|(ticket, tokens)| Call::Tokens(ticket, tokens)),
        1 => (ticket(), endpoint()).prop_map(|(ticket, endpoint)| Call::ServedBy(ticket, endpoint)),
        3 => (ticket(), hostile(count())).prop_map(|(ticket, tokens)| Call::Finished(ticket, tokens)),
        3 => (ticket(), kind(), any::<bool>()).prop_map(|(ticket, kind, again)| Call::Failed(ticket, kind, again)),
        2 => ticket().prop_map(Call::Gone),
        3 => (0u64..3_000).prop_map(|ms| Call::Pass(Duration::from_millis(ms))),
        1 => (0u64..2_000).prop_map(|ms| Call::StepBack(Duration::from_millis(ms))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_keeps_its_books(
        policy in prop::sample::select(Policy::NAMES.to_vec()),
        calls in prop::collection::vec(call(), 1..200),
    ) {
        let mut naive = Naive::new(policy);
        for id in 0..2 {
            naive.call(&Call::Join(id));
        }
        for call in &calls {
            naive.call(call);
        }
        naive.end();
    }
}
