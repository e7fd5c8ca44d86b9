//! Adapters: the gate, the slots, and what loads cost.

use super::*;
use crate::lora::LoraError;

fn with_loras(max_loras: u32, max_cpu_loras: u32, names: &[&str]) -> Engine {
    let loras = names.iter().map(|name| (name.to_string(), 8)).collect();
    Engine::new(EngineConfig { max_loras, max_cpu_loras, loras, ..small(100) })
}

fn submit_on(engine: &mut Engine, adapter: &str, name: u8, output_tokens: u32) -> JobId {
    let adapter = engine.adapter(adapter).expect("loaded");
    submit(engine, Job { adapter: Some(adapter), ..job(name, 16, output_tokens) })
}

#[test]
fn a_job_without_an_adapter_slot_is_passed_over_and_blocks_nobody() {
    let mut engine = with_loras(1, 2, &["x", "y"]);
    let first = submit_on(&mut engine, "x", 1, 5);
    let gated = submit_on(&mut engine, "y", 2, 1);
    let base = submit(&mut engine, job(3, 16, 2));
    let same = submit_on(&mut engine, "x", 4, 3);
    turn(&mut engine);
    assert_eq!((engine.stats().running, engine.stats().waiting_deferred), (3, 1));
    assert_eq!(engine.stats().waiting_capacity, 0);
    let y = engine.loras().find(|l| l.name == "y").expect("loaded");
    assert_eq!((y.running, y.waiting), (0, 1));
    assert_eq!(ended(&run_until_idle(&mut engine)), [base, same, first, gated]);
}

#[test]
fn deferred_jobs_go_before_those_that_came_later() {
    let mut engine = with_loras(1, 2, &["x", "y"]);
    let first = submit_on(&mut engine, "x", 1, 3);
    let gated = submit_on(&mut engine, "y", 2, 3);
    turn(&mut engine);
    turn(&mut engine);
    let late = submit_on(&mut engine, "x", 3, 1);
    let out = run_until_idle(&mut engine);
    assert_eq!(ended(&out), [first, late, gated], "the late one joins its adapter while that runs");
    let gated = timings(&out, gated);
    assert_eq!(gated.scheduled, timings(&out, late).finished.max(timings(&out, first).finished));
}

#[test]
fn a_load_from_host_memory_stalls_the_step_and_one_from_disk_longer() {
    // rank 8 of an 8B model is 16 MB: 1.5 + 8 ms to the GPU, 50 + 8 ms more from disk
    let mut engine = with_loras(1, 2, &["x", "y", "z"]);
    let cost = |engine: &mut Engine, adapter| {
        let id = submit_on(engine, adapter, 1, 1);
        let times = timings(&run_until_idle(engine), id);
        times.finished - times.scheduled - 10 * MS
    };
    assert_eq!(cost(&mut engine, "z"), Duration::ZERO, "it came last and is there");
    assert_eq!(cost(&mut engine, "y"), Duration::from_micros(9_500), "y and z are in host memory");
    assert_eq!(cost(&mut engine, "y"), Duration::ZERO);
    assert_eq!(cost(&mut engine, "x"), Duration::from_micros(67_500));
    assert_eq!(cost(&mut engine, "y"), Duration::from_micros(9_500), "z was used longest ago");
    assert_eq!(cost(&mut engine, "z"), Duration::from_micros(67_500));
}

#[test]
fn loading_takes_its_time_and_the_next_step_waits_for_it() {
    let mut engine = with_loras(2, 2, &[]);
    let load = Duration::from_micros(67_500);
    assert_eq!(engine.load_lora(MS, "x", 8), Ok(load));
    assert_eq!(engine.load_lora(MS, "y", 8), Ok(2 * load), "loads follow one another");
    let id = engine.submit(2 * MS, job(1, 16, 1)).expect("taken");
    assert_eq!(timings(&run_until_idle(&mut engine), id).finished, MS + 2 * load + 10 * MS);
    assert!(engine.loras().all(|l| l.on_gpu && l.on_host && l.running == 0 && l.rank == 8));
}

#[test]
fn wrong_loads_and_unloads_say_why() {
    let mut engine = with_loras(1, 1, &["x"]);
    assert_eq!(engine.load_lora(MS, "x", 8), Err(LoraError::AlreadyLoaded));
    assert_eq!(engine.load_lora(MS, "y", 65), Err(LoraError::Rank { rank: 65, max: 64 }));
    assert_eq!(engine.load_lora(MS, "y", 0), Err(LoraError::Rank { rank: 0, max: 64 }));
    assert_eq!(engine.unload_lora("y"), Err(LoraError::NotLoaded));
    assert_eq!(engine.unload_lora("x"), Ok(()));
    assert_eq!(engine.unload_lora("x"), Err(LoraError::NotLoaded));
    assert_eq!(engine.loras().count(), 0);
    assert_eq!(with_loras(0, 0, &["x"]).load_lora(MS, "y", 8), Err(LoraError::Disabled));
}

#[test]
fn an_unloaded_adapter_takes_no_new_jobs_and_ends_those_it_has() {
    let mut engine = with_loras(1, 1, &["x"]);
    let x = engine.adapter("x");
    let running = submit_on(&mut engine, "x", 1, 5);
    turn(&mut engine);
    let waiting = submit_on(&mut engine, "x", 2, 5);
    engine.unload_lora("x").expect("loaded");
    assert_eq!(engine.adapter("x"), None);
    let refused = engine.submit(MS, Job { adapter: x, ..job(3, 16, 1) });
    assert_eq!(refused, Err(Refused::UnknownAdapter));
    assert_eq!(ended(&run_until_idle(&mut engine)), [running, waiting]);
    assert_eq!(engine.loras().count(), 0);
    engine.load_lora(100 * MS, "x", 16).expect("unloaded before");
    assert_eq!(engine.adapter("x"), x, "a name keeps its id");
}
