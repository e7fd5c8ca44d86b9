//! `roadstead up`: simulated model servers and the gateway before them, in one command.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;

use anyhow::Context;
use roadstead_sim::start_many;
use roadstead_telemetry::logs;
use tokio_util::sync::CancellationToken;

use crate::cli::UpArgs;
use crate::gateway::{Gateway, GatewayConfig, Listeners};
use crate::{signals, sim, status_line};

/// Runs until a signal.
pub fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    logs::init(args.gateway.logs.log_format, &args.gateway.logs.log)?;
    let config = GatewayConfig::of(&args.gateway, false)?;
    let servers = sim::config(&args.servers)?;
    let runtime = roadstead_net::runtime::build(args.gateway.workers)?;
    runtime.block_on(async {
        let shutdown = signals::shutdown()?;
        let listeners = Listeners::open(&args.gateway)?;
        let model = servers.model.clone();
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let servers = start_many(any_port, args.replicas.into(), servers)
            .await
            .context("cannot start the model servers")?;
        let authorities: Vec<_> = servers.iter().map(|server| server.local_addr().to_string()).collect();
        let gateway = Gateway::start(config, listeners, &authorities)?;
        greet(&gateway, &authorities, &model, &args.servers.preset);

        let hidden = CancellationToken::new();
        let status = tokio::spawn(status_line::show(gateway.pool().clone(), hidden.clone()));
        shutdown.cancelled().await;
        hidden.cancel();
        status.await.context("the status line ended badly")?;
        eprintln!("Draining; once more to stop at once.");
        gateway.drain().await?;
        for server in servers {
            server.stop().await;
        }
        anyhow::Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

fn greet(gateway: &Gateway, servers: &[String], model: &str, preset: &str) {
    let address = gateway.address();
    println!("Gateway  http://{address}");
    println!("Admin    http://{}  (/pools /metrics /readyz)", gateway.admin_address());
    for server in servers {
        println!("Server   http://{server}  {preset}, simulated");
    }
    println!();
    println!("Try it:");
    println!(
        "  curl -N http://{address}/v1/chat/completions -H 'content-type: application/json' -d \
         '{{\"model\": \"{model}\", \"stream\": true, \"max_tokens\": 40, \
         \"messages\": [{{\"role\": \"user\", \"content\": \"Where should this go?\"}}]}}'"
    );
    println!();
}
