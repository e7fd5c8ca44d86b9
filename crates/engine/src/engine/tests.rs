//! What a step does, rule by rule, on engines small enough to follow by hand: each step takes 10 ms, a block is 16 tokens.

use super::*;
use crate::config::TokenOutputs;
use crate::job::{FinishReason, Timings};
use crate::preset::Preset;
use crate::prompt::{Prompt, output_token};
use crate::step::StepLaw;

mod lora;
mod naive;
mod random;

const MS: Duration = Duration::from_millis(1);

/// Every step takes 10 ms; `blocks` KV blocks can be used.
fn small(blocks: u32) -> EngineConfig {
    let preset = Preset::by_name("llama-3.1-8b@h100").expect("known");
    let step = StepLaw {
        weights_ms: 0.0,
        gemm_us_per_token: 0.0,
        p: 1.0,
        base_ms: 10.0,
        per_seq_us: 0.0,
        per_context_token_us: 0.0,
        attention_ps: 0.0,
        lm_head_ms: 0.0,
        host_ms: 0.0,
    };
    EngineConfig { step, kv_blocks: blocks + 1, ..EngineConfig::new(preset) }
}

/// A prompt of so many tokens that shares nothing with one of another name.
fn prompt(name: u8, tokens: usize) -> Prompt {
    Prompt::from_bytes(&vec![name; tokens * 4], 0)
}

fn job(name: u8, prompt_tokens: usize, output_tokens: u32) -> Job {
    Job::new(prompt(name, prompt_tokens), output_tokens)
}

fn submit(engine: &mut Engine, job: Job) -> JobId {
    let now = engine.next_step_end().unwrap_or_default();
    engine.submit(now, job).expect("taken")
}

/// Goes on to the next end of a step, checks all invariants and says what came out.
fn turn(engine: &mut Engine) -> Vec<Output> {
    let mut out = Vec::new();
    let now = engine.next_step_end().expect("there is work");
    engine.advance(now, &mut out);
    assert_eq!(engine.check_invariants(), Ok(()));
    out
}

fn run_until_idle(engine: &mut Engine) -> Vec<Output> {
    let mut out = Vec::new();
    while engine.next_step_end().is_some() {
        out.extend(turn(engine));
    }
    out
}

fn tokens_of(out: &[Output], id: JobId) -> u32 {
    let count = |output: &Output| match output {
        Output::FirstToken { job, .. } if *job == id => 1,
        Output::Tokens { job, count, .. } if *job == id => *count,
        _ => 0,
    };
    out.iter().map(count).sum()
}

fn cached(out: &[Output], id: JobId) -> u32 {
    let of = |output: &Output| match output {
        Output::Finished { job, cached_tokens, .. } if *job == id => Some(*cached_tokens),
        _ => None,
    };
    out.iter().find_map(of).expect("it finished")
}

fn timings(out: &[Output], id: JobId) -> Timings {
    let of = |output: &Output| match output {
        Output::Finished { job, timings, .. } if *job == id => Some(*timings),
        _ => None,
    };
    out.iter().find_map(of).expect("it finished")
}

/// Who ended, in order.
fn ended(out: &[Output]) -> Vec<JobId> {
    out.iter().filter(|o| matches!(o, Output::Finished { .. })).map(Output::job).collect()
}

#[test]
fn a_lone_8b_job_on_h100_has_a_tpot_of_about_8_ms() {
    let mut engine = Engine::new(EngineConfig::new(Preset::by_name("llama-3.1-8b@h100").expect("known")));
    let id = submit(&mut engine, job(b'a', 1000, 101));
    let out = run_until_idle(&mut engine);
    assert_eq!(tokens_of(&out, id), 101);
    let times = timings(&out, id);
    let tpot = (times.finished - times.first_token) / 100;
    assert!((7.8..8.4).contains(&(tpot.as_secs_f64() * 1e3)), "{tpot:?}");
    let prefill = (times.first_token - times.scheduled).as_secs_f64() * 1e3;
    assert!((22.0..24.0).contains(&prefill), "{prefill} ms for 1000 tokens");
}

#[test]
fn a_long_prompt_is_chunked_and_shares_every_step_with_the_decodes() {
    let mut engine = Engine::new(EngineConfig { max_num_seqs: 4, max_batched_tokens: 64, ..small(100) });
    let short = submit(&mut engine, job(b'a', 32, 50));
    turn(&mut engine);
    let long = submit(&mut engine, job(b'b', 160, 2));
    assert_eq!(tokens_of(&turn(&mut engine), short), 1, "its prompt is computed");
    for chunk in [63, 63, 34] {
        assert_eq!((engine.decodes, engine.chunk_tokens), (1, chunk));
        let out = turn(&mut engine);
        assert_eq!(tokens_of(&out, short), 1);
        assert_eq!(tokens_of(&out, long), u32::from(chunk == 34));
    }
}

#[test]
fn the_threshold_for_long_prefills_leaves_budget_for_others() {
    let config = EngineConfig {
        max_num_seqs: 4,
        max_batched_tokens: 64,
        long_prefill_token_threshold: Some(24),
        ..small(100)
    };
    let mut engine = Engine::new(config);
    let long = submit(&mut engine, job(b'a', 60, 1));
    let short = submit(&mut engine, job(b'b', 20, 1));
    let other = submit(&mut engine, job(b'c', 40, 1));
    turn(&mut engine);
    assert_eq!(engine.chunk_tokens, 24 + 20 + 20);
    assert_eq!(ended(&run_until_idle(&mut engine)), [short, other, long]);
}

#[test]
fn a_job_that_lacks_blocks_holds_up_those_behind_it() {
    let mut engine = Engine::new(small(10));
    let first = submit(&mut engine, job(b'a', 100, 10));
    turn(&mut engine);
    let wide = submit(&mut engine, job(b'b', 80, 4));
    let narrow = submit(&mut engine, job(b'c', 8, 1));
    turn(&mut engine);
    assert_eq!(engine.stats().running, 1, "5 blocks do not fit in 3, and 1 block waits behind");
    assert_eq!(engine.stats().waiting_capacity, 2);
    assert_eq!(ended(&run_until_idle(&mut engine)), [first, narrow, wide]);
}

#[test]
fn the_whole_prompt_must_fit_though_a_chunk_would() {
    let mut engine = Engine::new(EngineConfig { max_num_seqs: 4, max_batched_tokens: 16, ..small(10) });
    submit(&mut engine, job(b'a', 16, 40));
    submit(&mut engine, job(b'b', 150, 1));
    turn(&mut engine);
    turn(&mut engine);
    assert_eq!(engine.stats().running, 1);
    assert_eq!(engine.stats().waiting_capacity, 1);
}

#[test]
fn the_last_of_the_running_is_preempted_to_the_front_of_the_queue_and_recomputes_what_the_cache_lost() {
    let mut engine = Engine::new(small(6));
    let first = submit(&mut engine, job(b'a', 40, 40));
    let second = submit(&mut engine, job(b'b', 40, 24));
    turn(&mut engine);
    let third = submit(&mut engine, job(b'c', 16, 1));
    let mut out = Vec::new();
    while engine.stats().counters.preemptions == 0 {
        out.extend(turn(&mut engine));
    }
    assert_eq!(engine.decodes, 1, "the first goes on");
    assert_eq!(engine.waiting, [second.slot, third.slot]);
    let produced = tokens_of(&out, second);
    assert_eq!(produced, 9, "40 computed at its prefill, 48 when it needs a fourth block");
    // the first took one of the freed blocks: the last of the second's three, since leaves go first
    assert_eq!(engine.pool.free(), 2);
    out.extend(run_until_idle(&mut engine));
    assert_eq!(ended(&out), [first, third, second], "admitted together, and the third has but one token");
    assert_eq!((tokens_of(&out, first), tokens_of(&out, second)), (40, 24));
    let firsts = out.iter().filter(|o| matches!(o, Output::FirstToken { job, .. } if *job == second)).count();
    assert_eq!(firsts, 1, "the first token comes once");
}

#[test]
fn a_preempted_job_finds_its_old_blocks() {
    let mut engine = Engine::new(small(6));
    submit(&mut engine, job(b'a', 40, 12));
    submit(&mut engine, job(b'b', 40, 24));
    while engine.stats().counters.preemptions == 0 {
        turn(&mut engine);
    }
    while engine.chunk_tokens == 0 {
        turn(&mut engine);
    }
    assert_eq!(engine.found.len(), 2, "two of three full blocks have survived");
    assert_eq!(engine.chunk_tokens, 40 + 9 - 32);
    assert_eq!(engine.stats().counters.prefix_cache_queries, 80, "only first admissions are counted");
}

#[test]
fn a_full_prefix_hit_still_computes_the_last_block() {
    let mut engine = Engine::new(small(20));
    let first = submit(&mut engine, job(b'a', 64, 1));
    let out = run_until_idle(&mut engine);
    assert_eq!(cached(&out, first), 0);
    let again = submit(&mut engine, job(b'a', 64, 1));
    let longer = submit(&mut engine, job(b'a', 70, 1));
    turn(&mut engine);
    assert_eq!(engine.chunk_tokens, 16 + 6);
    let out = run_until_idle(&mut engine);
    assert_eq!((cached(&out, again), cached(&out, longer)), (48, 64));
    let counters = engine.stats().counters;
    assert_eq!((counters.prefix_cache_queries, counters.prefix_cache_hits), (64 + 64 + 70, 48 + 64));
    assert_eq!((counters.prompt_tokens, counters.prompt_tokens_cached), (64 + 64 + 70, 48 + 64));
}

#[test]
fn a_prompt_is_found_while_it_is_still_being_computed() {
    let mut engine = Engine::new(small(20));
    let first = submit(&mut engine, job(b'a', 64, 1));
    let second = submit(&mut engine, job(b'a', 64, 1));
    let out = run_until_idle(&mut engine);
    assert_eq!((cached(&out, first), cached(&out, second)), (0, 48));
}

#[test]
fn without_prefix_caching_nothing_is_found() {
    let mut engine = Engine::new(EngineConfig { prefix_caching: false, ..small(20) });
    submit(&mut engine, job(b'a', 64, 1));
    run_until_idle(&mut engine);
    let again = submit(&mut engine, job(b'a', 64, 1));
    assert_eq!(cached(&run_until_idle(&mut engine), again), 0);
}

#[test]
fn the_next_turn_of_a_conversation_finds_the_answers_blocks() {
    let mut engine = Engine::new(small(40));
    let question = vec![b'q'; 100];
    let first = Job { output_seed: 7, ..Job::new(Prompt::from_bytes(&question, 0), 60) };
    submit(&mut engine, first);
    run_until_idle(&mut engine);
    let mut next = question;
    for index in 0..60 {
        next.extend(output_token(7, index));
    }
    next.extend([b'n'; 40]);
    let id = submit(&mut engine, Job::new(Prompt::from_bytes(&next, 0), 1));
    // 25 + 60 tokens, of which the last was never computed: 84 = 5 blocks and 4 tokens
    assert_eq!(cached(&run_until_idle(&mut engine), id), 80);
}

#[test]
fn cached_blocks_count_as_free_and_are_taken_when_needed() {
    let mut engine = Engine::new(small(10));
    submit(&mut engine, job(b'a', 100, 1));
    run_until_idle(&mut engine);
    assert_eq!(engine.stats().kv_usage, 0.0);
    submit(&mut engine, job(b'b', 80, 1));
    turn(&mut engine);
    assert_eq!(engine.stats().kv_usage, 0.5);
    run_until_idle(&mut engine);
    // 100 tokens left 6 full blocks and one that is blank; 80 took the blank, 3 untouched ones and 1 leaf
    let id = submit(&mut engine, job(b'a', 100, 1));
    assert_eq!(cached(&run_until_idle(&mut engine), id), 80);
}

#[test]
fn no_more_sequences_run_than_may() {
    let mut engine = Engine::new(EngineConfig { max_num_seqs: 2, ..small(100) });
    for name in 0..5 {
        submit(&mut engine, job(name, 10, 3));
    }
    turn(&mut engine);
    assert_eq!((engine.stats().running, engine.stats().waiting()), (2, 3));
    assert_eq!(ended(&run_until_idle(&mut engine)).len(), 5);
}

#[test]
fn what_cannot_be_taken_is_refused_with_the_reason() {
    let mut engine = Engine::new(EngineConfig { max_num_seqs: 1, max_queued_requests: Some(1), ..small(10) });
    let too_long = engine.submit(Duration::ZERO, job(b'a', 150, 11));
    assert_eq!(too_long, Err(Refused::TooLong { tokens: 161, max: 160 }));
    let unknown = Job { adapter: Some(AdapterId(0)), ..job(b'a', 1, 1) };
    assert_eq!(engine.submit(Duration::ZERO, unknown), Err(Refused::UnknownAdapter));
    submit(&mut engine, job(b'a', 150, 10));
    turn(&mut engine);
    submit(&mut engine, job(b'b', 1, 1));
    let full = engine.submit(MS, job(b'c', 1, 1));
    assert_eq!(full, Err(Refused::QueueFull { waiting: 1, max: 1 }));
    assert_eq!(engine.stats().counters.refused_queue_full, 1);
    assert_eq!(ended(&run_until_idle(&mut engine)).len(), 2);
}

#[test]
fn a_late_driver_does_not_slow_the_engine() {
    let (mut prompt_one, mut late_one) = (Engine::new(small(10)), Engine::new(small(10)));
    submit(&mut prompt_one, job(b'a', 16, 5));
    submit(&mut late_one, job(b'a', 16, 5));
    let expected = run_until_idle(&mut prompt_one);
    let mut late = Vec::new();
    late_one.advance(Duration::ZERO, &mut late);
    late_one.advance(37 * MS, &mut late);
    assert_eq!(late.len(), 3);
    // what arrives in between finds the engine as it is by then
    let id = late_one.submit(45 * MS, job(b'b', 16, 1)).expect("taken");
    assert_eq!(late_one.next_step_end(), Some(Duration::ZERO), "outputs are ready");
    late_one.advance(200 * MS, &mut late);
    assert_eq!(late[..expected.len() - 2], expected[..expected.len() - 2]);
    assert_eq!(timings(&late, id).scheduled, 50 * MS);
}

#[test]
fn jobs_that_come_to_an_idle_engine_at_once_share_the_first_step() {
    let mut engine = Engine::new(small(10));
    for name in 0..3 {
        engine.submit(5 * MS, job(name, 8, 1)).expect("taken");
    }
    assert_eq!(engine.next_step_end(), Some(5 * MS));
    turn(&mut engine);
    assert_eq!(engine.next_step_end(), Some(15 * MS));
    assert_eq!(ended(&turn(&mut engine)).len(), 3);
    assert_eq!(engine.next_step_end(), None);
}

#[test]
fn the_priority_policy_admits_the_lowest_first_and_preempts_the_highest() {
    let config = EngineConfig { policy: Policy::Priority, max_num_seqs: 2, ..small(6) };
    let mut engine = Engine::new(config);
    let ranked = |name, priority, prompt, output| Job { priority, ..job(name, prompt, output) };
    let late = submit(&mut engine, ranked(b'a', 5, 40, 24));
    let soon = submit(&mut engine, ranked(b'b', 1, 40, 40));
    let last = submit(&mut engine, ranked(b'c', 9, 16, 1));
    turn(&mut engine);
    assert_eq!(engine.running.iter(&engine.slots).collect::<Vec<_>>(), [soon.slot, late.slot]);
    while engine.stats().counters.preemptions == 0 {
        turn(&mut engine);
    }
    assert_eq!(engine.waiting, [late.slot, last.slot]);
    run_until_idle(&mut engine);
}

#[test]
fn the_scheduler_sees_a_request_after_the_api_overhead() {
    let mut engine = Engine::new(EngineConfig { api_overhead: 7 * MS, ..small(10) });
    let id = engine.submit(2 * MS, job(b'a', 16, 2)).expect("taken");
    assert_eq!(engine.next_step_end(), Some(9 * MS));
    assert_eq!(engine.stats().waiting(), 0);
    let times = timings(&run_until_idle(&mut engine), id);
    assert_eq!(
        times,
        Timings { arrived: 2 * MS, scheduled: 9 * MS, first_token: 19 * MS, finished: 29 * MS }
    );
}

#[test]
fn an_embedding_ends_with_its_prefill() {
    let mut engine = Engine::new(small(10));
    let id = submit(&mut engine, Job { finish: FinishReason::Stop, ..job(b'a', 16, 0) });
    let out = run_until_idle(&mut engine);
    assert_eq!(tokens_of(&out, id), 0);
    assert_eq!(timings(&out, id).finished, 10 * MS);
    assert_eq!(engine.stats().counters.finished_stop, 1);
}

#[test]
fn a_cancelled_job_leaves_at_once_in_whatever_state_and_says_no_more() {
    let config = EngineConfig {
        max_num_seqs: 2,
        max_batched_tokens: 16,
        api_overhead: MS,
        max_loras: 1,
        loras: vec![("x".into(), 8), ("y".into(), 8)],
        ..small(20)
    };
    let mut engine = Engine::new(config);
    let on = |engine: &Engine, name: &str, job: Job| Job { adapter: engine.adapter(name), ..job };
    let decoding = on(&engine, "x", job(b'a', 8, 90));
    let decoding = submit(&mut engine, decoding);
    turn(&mut engine);
    let deferred = on(&engine, "y", job(b'b', 8, 90));
    let deferred = submit(&mut engine, deferred);
    let prefilling = submit(&mut engine, job(b'c', 100, 5));
    let waiting = submit(&mut engine, job(b'd', 8, 5));
    turn(&mut engine);
    turn(&mut engine);
    let arriving = engine.submit(engine.next_step_end().expect("busy"), job(b'e', 8, 5)).expect("taken");
    let states = [decoding, deferred, prefilling, waiting, arriving].map(|id| engine.slots[id.slot].state);
    assert_eq!(states, [State::Decode, State::Deferred, State::Prefill, State::Waiting, State::Arriving]);
    let now = engine.next_step_end().expect("busy");
    for id in [decoding, deferred, prefilling, waiting, arriving] {
        assert!(engine.cancel(now, id));
        assert!(!engine.cancel(now, id), "it is gone");
        assert_eq!(engine.check_invariants(), Ok(()));
    }
    assert!(engine.is_idle());
    assert_eq!((engine.stats().kv_usage, engine.stats().counters.cancelled), (0.0, 5));
    assert_eq!(run_until_idle(&mut engine), []);
    submit(&mut engine, job(b'f', 8, 1));
    assert_eq!(ended(&run_until_idle(&mut engine)).len(), 1);
}

#[test]
fn an_old_id_does_not_name_the_job_that_took_its_slot() {
    let mut engine = Engine::new(small(10));
    let old = submit(&mut engine, job(b'a', 8, 1));
    run_until_idle(&mut engine);
    let new = submit(&mut engine, job(b'a', 8, 1));
    assert_eq!(old.slot, new.slot);
    assert!(!engine.cancel(Duration::ZERO, old));
    assert!(engine.cancel(Duration::ZERO, new));
}

#[test]
fn reporting_every_block_changes_nothing_but_the_reports() {
    let run = |token_outputs| {
        let mut engine = Engine::new(EngineConfig { token_outputs, ..small(12) });
        let ids: Vec<_> = (0..4).map(|n| submit(&mut engine, job(n, 30, 30 + u32::from(n)))).collect();
        let out = run_until_idle(&mut engine);
        let totals: Vec<_> = ids.iter().map(|id| tokens_of(&out, *id)).collect();
        let ends: Vec<_> = out.iter().filter(|o| matches!(o, Output::Finished { .. })).copied().collect();
        (totals, ends, engine.stats(), out.len())
    };
    let (each, block) = (run(TokenOutputs::EveryStep), run(TokenOutputs::EveryBlock));
    assert!(each.2.counters.preemptions > 0);
    assert_eq!((each.0, each.1, each.2), (block.0, block.1, block.2));
    assert!(block.3 * 4 < each.3, "{} reports against {}", block.3, each.3);
}
