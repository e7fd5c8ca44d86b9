//! Random calls: whatever a driver does and in whatever order, the engine stays whole and every job ends once.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::noise::Noise;

#[derive(Clone, Debug)]
enum Call {
    Submit { family: u8, prompt: usize, output: u32, adapter: Option<usize>, priority: i32 },
    Cancel(usize),
    Advance(u32),
    Wait(u32),
    Load(usize),
    Unload(usize),
}

const ADAPTERS: [&str; 4] = ["x", "y", "z", "w"];

fn call() -> impl Strategy<Value = Call> {
    let submit = (0..5u8, 1..150usize, 0..50u32, prop::option::of(0..4usize), 0..3i32).prop_map(
        |(family, prompt, output, adapter, priority)| Call::Submit {
            family,
            prompt,
            output,
            adapter,
            priority,
        },
    );
    prop_oneof![
        6 => submit,
        2 => any::<usize>().prop_map(Call::Cancel),
        6 => (0..400u32).prop_map(Call::Advance),
        2 => (0..60u32).prop_map(Call::Wait),
        1 => (0..4usize).prop_map(Call::Load),
        1 => (0..4usize).prop_map(Call::Unload),
    ]
}

fn config() -> impl Strategy<Value = EngineConfig> {
    let sizes = (5..40u32, 1..6u32, 6..80u32, prop::option::of(1..40u32), prop::option::of(1..10u32));
    (sizes, any::<[bool; 4]>(), 0..3u32, any::<u64>()).prop_map(
        |(sizes, [caching, priority, block, slow], max_loras, seed)| EngineConfig {
            max_num_seqs: sizes.1,
            max_batched_tokens: sizes.2,
            long_prefill_token_threshold: sizes.3,
            max_queued_requests: sizes.4,
            prefix_caching: caching,
            policy: if priority { Policy::Priority } else { Policy::Fcfs },
            token_outputs: if block { TokenOutputs::EveryBlock } else { TokenOutputs::EveryStep },
            api_overhead: if slow { 15 * MS } else { Duration::ZERO },
            max_loras,
            max_cpu_loras: 2,
            loras: ADAPTERS.map(|name| (name.to_owned(), 8)).to_vec(),
            seed,
            noise: Noise::REALISTIC,
            ..small(sizes.0)
        },
    )
}

/// What a driver knows of a job.
struct Seen {
    output_tokens: u32,
    tokens: u32,
    over: bool,
}

#[derive(Default)]
struct Driver {
    ids: Vec<JobId>,
    jobs: HashMap<JobId, Seen>,
    out: Vec<Output>,
    last: Duration,
}

impl Driver {
    fn call(&mut self, engine: &mut Engine, now: &mut Duration, call: &Call) -> Result<(), TestCaseError> {
        match *call {
            Call::Submit { family, prompt, output, adapter, priority } => {
                let adapter = adapter.and_then(|at| engine.adapter(ADAPTERS[at]));
                let submitted = engine.submit(*now, Job { adapter, priority, ..job(family, prompt, output) });
                if let Ok(id) = submitted {
                    let known = self.jobs.insert(id, Seen { output_tokens: output, tokens: 0, over: false });
                    prop_assert!(known.is_none(), "an id twice");
                    self.ids.push(id);
                }
            }
            Call::Cancel(at) if !self.ids.is_empty() => {
                let id = self.ids[at % self.ids.len()];
                if engine.cancel(*now, id) {
                    let seen = self.jobs.get_mut(&id).expect("submitted");
                    prop_assert!(!seen.over, "cancelled after its end");
                    seen.over = true;
                }
            }
            Call::Cancel(_) => {}
            Call::Advance(after_ms) => {
                *now += MS * after_ms;
                self.advance(engine, *now)?;
            }
            Call::Wait(after_ms) => *now += MS * after_ms,
            Call::Load(at) => _ = engine.load_lora(*now, ADAPTERS[at], 8),
            Call::Unload(at) => _ = engine.unload_lora(ADAPTERS[at]),
        }
        prop_assert_eq!(engine.check_invariants(), Ok(()));
        Ok(())
    }

    fn advance(&mut self, engine: &mut Engine, now: Duration) -> Result<(), TestCaseError> {
        let from = self.out.len();
        engine.advance(now, &mut self.out);
        prop_assert!(engine.next_step_end().is_none_or(|at| at > now), "everything due is done");
        for output in &self.out[from..] {
            let seen = self.jobs.get_mut(&output.job()).expect("submitted");
            prop_assert!(!seen.over, "nothing follows the end");
            let at = match *output {
                Output::FirstToken { at, .. } => {
                    prop_assert_eq!(seen.tokens, 0);
                    seen.tokens = 1;
                    at
                }
                Output::Tokens { count, at, .. } => {
                    prop_assert!(seen.tokens > 0 && count > 0);
                    seen.tokens += count;
                    at
                }
                Output::Finished { timings: t, output_tokens, .. } => {
                    prop_assert_eq!((seen.tokens, output_tokens), (seen.output_tokens, seen.output_tokens));
                    prop_assert!(
                        t.arrived <= t.scheduled
                            && t.scheduled < t.first_token
                            && t.first_token <= t.finished
                    );
                    seen.over = true;
                    t.finished
                }
            };
            prop_assert!(self.last <= at && at <= now, "outputs come in order of time");
            self.last = at;
        }
        Ok(())
    }
}

fn drive(config: EngineConfig, calls: &[Call]) -> Result<(Vec<Output>, Stats), TestCaseError> {
    let (mut engine, mut driver, mut now) = (Engine::new(config), Driver::default(), Duration::ZERO);
    for call in calls {
        driver.call(&mut engine, &mut now, call)?;
    }
    while let Some(at) = engine.next_step_end() {
        now = now.max(at);
        driver.advance(&mut engine, now)?;
        prop_assert_eq!(engine.check_invariants(), Ok(()));
    }
    prop_assert!(engine.is_idle() && driver.jobs.values().all(|seen| seen.over), "every job has ended");
    prop_assert_eq!(engine.stats().kv_usage, 0.0);
    prop_assert_eq!((engine.stats().running, engine.stats().waiting()), (0, 0));
    Ok((driver.out, engine.stats()))
}

proptest! {
    #[test]
    fn whatever_is_called_every_job_ends_once_and_the_engine_stays_whole(
        config in config(),
        calls in prop::collection::vec(call(), 0..120),
    ) {
        drive(config, &calls)?;
    }

    #[test]
    fn the_same_seed_and_calls_give_the_same_outputs(
        config in config(),
        calls in prop::collection::vec(call(), 0..60),
    ) {
        let (out, stats) = drive(config.clone(), &calls)?;
        prop_assert_eq!((out, stats), drive(config, &calls)?);
    }
}

#[test]
fn another_seed_gives_other_times() {
    let finished = |seed| {
        let mut engine = Engine::new(EngineConfig { noise: Noise::REALISTIC, seed, ..small(20) });
        let id = submit(&mut engine, job(1, 20, 20));
        timings(&run_until_idle(&mut engine), id).finished
    };
    assert_ne!(finished(1), finished(2));
}
