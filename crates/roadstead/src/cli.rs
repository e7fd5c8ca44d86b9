//! What the user typed. Each subcommand's module turns its part into checked configuration.

use std::net::IpAddr;

use clap::{Args, Parser, Subcommand};
use roadstead_loadgen::BenchArgs;
use roadstead_picker::{DEFAULT_POLICY, Policy};
use roadstead_telemetry::LogFormat;

/// An inference gateway that puts every request on the model server where it will finish soonest.
#[derive(Parser)]
#[command(name = "roadstead", version, about, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Starts simulated model servers and the gateway in front of them.
    Up(UpArgs),
    /// Serves the model servers at the given addresses.
    Serve(ServeArgs),
    /// Starts simulated model servers alone.
    Sim(SimArgs),
    /// Sends load to an OpenAI-style server and reports latencies.
    Bench(Box<BenchArgs>),
}

#[derive(Args)]
pub struct UpArgs {
    #[command(flatten)]
    pub servers: ServerArgs,
    /// How many model servers.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub replicas: u16,
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

#[derive(Args)]
pub struct ServeArgs {
    /// Addresses of model servers, such as http://10.0.0.1:8000 or 10.0.0.1:8000.
    #[arg(required = true, value_name = "URL")]
    pub endpoints: Vec<String>,
    #[command(flatten)]
    pub gateway: GatewayArgs,
}

#[derive(Args)]
pub struct SimArgs {
    #[command(flatten)]
    pub servers: ServerArgs,
    /// First port; the servers take consecutive ones.
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// How many servers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub replicas: u16,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    #[command(flatten)]
    pub logs: LogArgs,
}

/// The simulated model servers.
#[derive(Args)]
pub struct ServerArgs {
    /// Model and accelerator that the servers imitate.
    #[arg(long, default_value = "llama-3.1-8b@h100", value_name = "MODEL@ACCELERATOR")]
    pub preset: String,
    /// Name of the served model; the preset's model by default.
    #[arg(long)]
    pub model: Option<String>,
    /// Stretches the servers' clock: 10 is ten times slower than real, 0.1 ten times faster.
    #[arg(long, default_value_t = 1.0)]
    pub time_scale: f64,
    /// LoRA adapters that are loaded from the start. May be repeated.
    #[arg(long = "lora", value_name = "NAME")]
    pub loras: Vec<String>,
    /// Adapters that may run at once; 0 turns adapters off unless some are named.
    #[arg(long)]
    pub max_loras: Option<u32>,
    /// KV blocks of each server, in place of the preset's.
    #[arg(long)]
    pub kv_blocks: Option<u32>,
    /// Sequences that each server runs at once, in place of the preset's.
    #[arg(long)]
    pub max_num_seqs: Option<u32>,
    /// Longest prompt and answer together, tokens.
    #[arg(long)]
    pub max_model_len: Option<u32>,
    /// Mean answer length of requests that do not ignore the end of sequence, tokens.
    #[arg(long)]
    pub mean_output_tokens: Option<u32>,
    /// Seed of answers.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// The gateway.
#[derive(Args)]
pub struct GatewayArgs {
    /// Port of the gateway. Unless given, the next free one from 8080 on.
    #[arg(long)]
    pub port: Option<u16>,
    /// Address that the gateway listens on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Port of health, metrics and pool state, on loopback only. Unless given, the next free one from 9090 on.
    #[arg(long)]
    pub admin_port: Option<u16>,
    /// How endpoints are picked.
    #[arg(long, default_value = DEFAULT_POLICY, value_parser = Policy::NAMES)]
    pub policy: String,
    /// Time from one scrape of an endpoint to the next, milliseconds.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(5..=60_000))]
    pub scrape_interval_ms: u64,
    /// Largest request body that is read, MiB.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub body_max_mib: u32,
    /// How long a request may wait for an endpoint, seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub queue_wait_s: u64,
    /// How long an endpoint may take to the first byte of its answer, seconds.
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub answer_timeout_s: u64,
    /// How long running requests may take to finish on shutdown, seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub drain_s: u64,
    /// Threads; one per core by default.
    #[arg(long)]
    pub workers: Option<usize>,
    /// Whether each request writes a line to standard output.
    #[arg(long, value_enum)]
    pub access_log: Option<OnOff>,
    #[command(flatten)]
    pub logs: LogArgs,
}

/// Logging.
#[derive(Args)]
pub struct LogArgs {
    /// Form of logs: auto is text on a terminal and JSON otherwise.
    #[arg(long, default_value = "auto", value_name = "auto|text|json")]
    pub log_format: LogFormat,
    /// What is logged, such as `info` or `warn,roadstead_fleet=debug`.
    #[arg(long, env = "ROADSTEAD_LOG", default_value = "info")]
    pub log: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnOff {
    On,
    Off,
}
