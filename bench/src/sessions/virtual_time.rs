//! The scenario in virtual time: the machine and the engines, without sockets. Says what the policies do by themselves;
//! the hash is then an even one of the client, not nginx's ring.

use std::time::Duration;

use roadstead_core::Time;
use roadstead_engine::{EngineConfig, Preset, TokenOutputs};
use roadstead_testkit::{FleetConfig, Placer, Record, Sessions, SessionsConfig, VirtualFleet};

use super::arm::Arm;
use super::figures::{Answered, Beside, Figures};
use super::scenario::{Point, Scenario};

const SCRAPE: Duration = Duration::from_millis(50);

/// Plays one arm.
pub fn play(scenario: &Scenario, point: &Point, arm: Arm, seed: u64) -> Figures {
    let preset = Preset::by_name(&scenario.preset).expect("a scenario is read with a known preset");
    let mut fleet = VirtualFleet::new(FleetConfig {
        endpoints: scenario.servers.into(),
        engine: EngineConfig { token_outputs: TokenOutputs::EveryBlock, ..EngineConfig::new(preset) },
        scrape: SCRAPE,
        placer: arm.policy().map_or(Placer::ClientHash, Placer::Policy),
        seed,
    });
    let mut workload = Sessions::new(SessionsConfig {
        sessions: point.sessions,
        system_tokens: scenario.system_tokens,
        turns: scenario.turns,
        first_tokens: scenario.first_tokens,
        turn_tokens: scenario.turn_tokens,
        output_tokens: scenario.answer_tokens,
        think: Duration::from_secs_f64(point.think_s),
        ramp: Duration::from_secs_f64(scenario.ramp_s),
        under_way: true,
        end: Time::ZERO + Duration::from_secs_f64(scenario.end_s()),
        seed,
    });
    let records = fleet.run(&mut workload, Time::NEVER);
    let answered: Vec<Answered> = records.iter().map(of_record).collect();
    let busy = (0..usize::from(scenario.servers)).map(|server| busy(scenario, &records, server)).collect();
    let counted = records.iter().filter(|record| seconds(record.arrived) >= scenario.warmup_s);
    let (cached, prompt) = counted.fold((0u64, 0u64), |(cached, prompt), record| {
        (cached + u64::from(record.cached_tokens), prompt + u64::from(record.prompt_tokens))
    });
    let cached_share = cached as f64 / prompt.max(1) as f64;
    let beside = Beside { failed: 0, busy, cached_share, cores: None, load_kept_up: true };
    Figures::of(scenario, point, arm, seed, (&answered, beside))
}

fn of_record(record: &Record) -> Answered {
    Answered {
        client: record.client.into(),
        sent_s: seconds(record.arrived),
        end_s: seconds(record.finished),
        ttft_ms: record.ttft_s() * 1e3,
        prompt_tokens: record.prompt_tokens,
        output_tokens: record.output_tokens,
    }
}

/// Share of the measured time in which `server` had a request.
fn busy(scenario: &Scenario, records: &[Record], server: usize) -> f64 {
    let mut spans: Vec<(f64, f64)> = records
        .iter()
        .filter(|record| record.endpoint == server)
        .map(|record| (seconds(record.arrived), seconds(record.finished)))
        .collect();
    spans.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut busy_s, mut until) = (0.0, scenario.warmup_s);
    for (from, to) in spans {
        let (from, to) = (from.max(until), to.min(scenario.end_s()));
        if to > from {
            busy_s += to - from;
            until = to;
        }
    }
    busy_s / scenario.measured_s
}

fn seconds(time: Time) -> f64 {
    time.since(Time::ZERO).as_secs_f64()
}
