//! `roadstead sim`: simulated model servers alone; and their configuration for `up`.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, bail};
use roadstead_engine::{EngineConfig, Preset};
use roadstead_sim::{SimConfig, start_many};
use roadstead_telemetry::logs;

use crate::cli::{ServerArgs, SimArgs};
use crate::signals;

/// Runs until a signal.
pub fn run(args: SimArgs) -> anyhow::Result<ExitCode> {
    logs::init(args.logs.log_format, &args.logs.log)?;
    let config = config(&args.servers)?;
    let runtime = roadstead_net::runtime::build(None)?;
    runtime.block_on(async {
        let shutdown = signals::shutdown()?;
        let first = SocketAddr::new(args.host, args.port);
        let servers = start_many(first, args.replicas.into(), config)
            .await
            .with_context(|| format!("cannot listen on {first} and the ports after it"))?;
        for server in &servers {
            eprintln!("Server   http://{}", server.local_addr());
        }
        shutdown.cancelled().await;
        for server in servers {
            server.stop().await;
        }
        anyhow::Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Checks what was typed about the servers.
///
/// # Errors
/// No such preset, or a value out of range.
pub fn config(args: &ServerArgs) -> anyhow::Result<SimConfig> {
    let Some(preset) = Preset::by_name(&args.preset) else {
        let names: Vec<_> = Preset::all().iter().map(|preset| preset.name).collect();
        let nearest = Preset::nearest(&args.preset);
        bail!("no preset is called {}; did you mean {nearest}? There are {}", args.preset, names.join(", "));
    };
    if !(args.time_scale.is_finite() && args.time_scale > 0.0) {
        bail!("the time scale must be a number above 0");
    }
    let mut engine = EngineConfig::new(preset);
    engine.kv_blocks = args.kv_blocks.unwrap_or(engine.kv_blocks);
    engine.max_num_seqs = args.max_num_seqs.unwrap_or(engine.max_num_seqs);
    engine.max_model_len = args.max_model_len.unwrap_or(engine.max_model_len);
    engine.max_loras = args.max_loras.unwrap_or(engine.max_loras);
    let model = args.model.clone().unwrap_or_else(|| preset.model.to_owned());
    let defaults = SimConfig::new(model, engine);
    Ok(SimConfig {
        time_scale: args.time_scale,
        seed: args.seed,
        loras: args.loras.clone(),
        mean_output_tokens: args.mean_output_tokens.unwrap_or(defaults.mean_output_tokens),
        ..defaults
    })
}
