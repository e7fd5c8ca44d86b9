//! What always holds for an engine, as predicates: cheap ones after every step in debug builds, all of them in tests.

use crate::blocks::BlockPool;
use crate::engine::Engine;
use crate::job::{NONE, State};
use crate::running::Wheel;

/// The step just scheduled keeps its bounds. Cheap.
pub(crate) fn step_within_bounds(engine: &Engine) -> Result<(), String> {
    let tokens = engine.decodes + engine.chunk_tokens;
    let config = &engine.config;
    ensure(tokens > 0, || "an empty step".into())?;
    ensure(tokens <= config.max_batched_tokens, || format!("{tokens} tokens in a step"))?;
    ensure(engine.running.len <= config.max_num_seqs, || format!("{} sequences run", engine.running.len))?;
    ensure(engine.decodes + engine.prefills.len() as u32 == engine.running.len, || {
        format!("{} decode, {} prefill, {} run", engine.decodes, engine.prefills.len(), engine.running.len)
    })?;
    ensure(engine.loras.distinct_running <= config.max_loras, || {
        format!("{} adapters run", engine.loras.distinct_running)
    })
}

/// Free and used blocks are all blocks, and the index leads to every cached one.
pub(crate) fn pool_is_whole(pool: &BlockPool) -> Result<(), String> {
    let free: Vec<u32> = pool.free_list().take(pool.total() as usize + 1).collect();
    ensure(free.len() as u32 == pool.free(), || format!("{} listed, {} free", free.len(), pool.free()))?;
    for block in &free {
        ensure(pool.refs(*block) == 0, || format!("free block {block} is in use"))?;
    }
    let used = (0..pool.total()).filter(|block| pool.refs(*block) > 0).count() as u32;
    ensure(pool.free() + used == pool.total(), || format!("{} free, {used} used", pool.free()))?;
    for block in 0..pool.total() {
        if let Some(hash) = pool.hash(block) {
            let found = pool.find(hash).and_then(|first| pool.hash(first));
            ensure(found == Some(hash), || format!("block {block} is not indexed"))?;
        }
    }
    Ok(())
}

/// Everything that holds between two calls. Walks the whole engine: for tests.
pub(crate) fn engine_is_whole(engine: &Engine) -> Result<(), String> {
    pool_is_whole(&engine.pool)?;
    references_are_accounted(engine)?;
    running_jobs_are_accounted(engine)?;
    waiting_jobs_are_accounted(engine)
}

/// Every reference to a block is a job's, and only running jobs hold any.
fn references_are_accounted(engine: &Engine) -> Result<(), String> {
    let mut refs = vec![0; engine.pool.total() as usize];
    for record in engine.slots.all.iter().filter(|r| r.state != State::Vacant) {
        for block in &record.blocks {
            refs[*block as usize] += 1;
        }
        let runs = matches!(record.state, State::Prefill | State::Decode);
        ensure(runs || record.blocks.is_empty(), || {
            format!("a job holds blocks in state {:?}", record.state)
        })?;
    }
    for (block, held) in (0..).zip(refs) {
        let counted = engine.pool.refs(block);
        ensure(counted == held, || format!("block {block} is held {held} times and counts {counted}"))?;
    }
    Ok(())
}

/// List, wheel and sums agree with the records.
fn running_jobs_are_accounted(engine: &Engine) -> Result<(), String> {
    let (mut decodes, mut prefills, mut context, mut last) = (0, Vec::new(), 0, 0);
    for slot in engine.running.iter(&engine.slots).take(engine.slots.all.len() + 1) {
        let record = &engine.slots[slot];
        ensure(record.admitted > last, || "the running list is out of order".into())?;
        last = record.admitted;
        match record.state {
            State::Prefill => prefills.push(slot),
            State::Decode => {
                decodes += 1;
                context += u64::from(record.computed_at(engine.step));
                let in_wheel = engine.wheel.jobs(record.bucket).get(record.position as usize) == Some(&slot);
                ensure(in_wheel, || format!("job {slot} is not in its bucket"))?;
            }
            other => return Err(format!("a job runs in state {other:?}")),
        }
    }
    let in_wheel: usize = (0..Wheel::BUCKETS).map(|bucket| engine.wheel.jobs(bucket).len()).sum();
    ensure(in_wheel == decodes as usize, || format!("{in_wheel} in the wheel, {decodes} decode"))?;
    ensure(decodes == engine.decodes, || format!("{decodes} decode, {} counted", engine.decodes))?;
    ensure(prefills == engine.prefills, || "the list of prefills is not that of the running list".into())?;
    ensure(context == engine.context_tokens, || {
        format!("{context} context, {} counted", engine.context_tokens)
    })?;
    ensure(engine.running.len as usize == decodes as usize + prefills.len(), || {
        "the list's length is off".into()
    })?;
    ensure(engine.running.head != NONE || engine.running.tail == NONE, || {
        "a list without head has a tail".into()
    })
}

/// Every waiting job is in the queue of its state, and in no other.
fn waiting_jobs_are_accounted(engine: &Engine) -> Result<(), String> {
    let count = |state| engine.slots.all.iter().filter(|r| r.state == state).count();
    let queues = [
        (State::Waiting, engine.waiting.iter().copied().collect::<Vec<_>>()),
        (State::Deferred, engine.deferred.iter().copied().collect()),
        (State::Arriving, engine.arriving.iter().map(|(_, slot)| *slot).collect()),
    ];
    for (state, queue) in queues {
        ensure(queue.len() == count(state), || {
            format!("{} queued, {} are {state:?}", queue.len(), count(state))
        })?;
        ensure(queue.iter().all(|slot| engine.slots[*slot].state == state), || {
            format!("a stranger is {state:?}")
        })?;
    }
    let on_adapters = |wanted: &[State]| {
        let jobs = engine.slots.all.iter().filter(|r| r.job.adapter.is_some() && wanted.contains(&r.state));
        jobs.count() as u32
    };
    let running: u32 = engine.loras.states().map(|l| l.running).sum();
    let waiting: u32 = engine.loras.states().map(|l| l.waiting).sum();
    let distinct = engine.loras.states().filter(|l| l.running > 0).count() as u32;
    ensure(running == on_adapters(&[State::Prefill, State::Decode]), || {
        format!("{running} run on adapters")
    })?;
    ensure(waiting == on_adapters(&[State::Waiting, State::Deferred, State::Arriving]), || {
        format!("{waiting} wait on adapters")
    })?;
    ensure(distinct == engine.loras.distinct_running, || format!("{distinct} adapters run"))
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
