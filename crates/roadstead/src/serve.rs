//! `roadstead serve`: the gateway before model servers that are already there.

use std::process::ExitCode;

use anyhow::{Context, bail};
use roadstead_telemetry::logs;

use crate::cli::ServeArgs;
use crate::gateway::{Gateway, GatewayConfig, Listeners};
use crate::signals;

/// Runs until a signal.
pub fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    logs::init(args.gateway.logs.log_format, &args.gateway.logs.log)?;
    let config = GatewayConfig::of(&args.gateway, true)?;
    let authorities = authorities(&args.endpoints)?;
    let runtime = roadstead_net::runtime::build(args.gateway.workers)?;
    runtime.block_on(async {
        let shutdown = signals::shutdown()?;
        let gateway = Gateway::start(config, Listeners::open(&args.gateway)?, &authorities)?;
        eprintln!("Gateway  http://{}", gateway.address());
        eprintln!("Admin    http://{}  (/pools /metrics /readyz)", gateway.admin_address());
        shutdown.cancelled().await;
        eprintln!("Draining; once more to stop at once.");
        gateway.drain().await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Checks addresses; the same one twice is a mistake.
fn authorities(urls: &[String]) -> anyhow::Result<Vec<String>> {
    let mut authorities = Vec::with_capacity(urls.len());
    for url in urls {
        let authority = roadstead_fleet::parse_address(url).with_context(|| format!("bad address {url}"))?;
        if authorities.contains(&authority) {
            bail!("{url} is given twice");
        }
        authorities.push(authority);
    }
    Ok(authorities)
}
