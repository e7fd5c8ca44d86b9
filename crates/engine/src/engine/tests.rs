use super::*;
use crate::preset::Preset;
use crate::prompt::Prompt;

#[test]
fn a_lone_job_runs_through() {
    let mut engine = Engine::new(EngineConfig::new(Preset::by_name("llama-3.1-8b@h100").expect("known")));
    let id =
        engine.submit(Duration::ZERO, Job::new(Prompt::from_bytes(&[b'a'; 4000], 0), 100)).expect("taken");
    let mut out = Vec::new();
    while let Some(at) = engine.next_step_end() {
        engine.advance(at, &mut out);
    }
    let Some(Output::Finished { job, timings, .. }) = out.last() else { panic!() };
    assert_eq!(*job, id);
    println!("{timings:?} {}", out.len());
    assert_eq!(engine.stats().kv_usage, 0.0);
}
