//! The command line of `roadstead bench`, and its way to a checked plan.
//!
//! The texts here are the manual. Nothing behind [`BenchArgs::into_plan`] sees a string that was not read.

use crate::lengths::{Side, duration};
use crate::plan::{
    Api, ClosedStage, Groups, LengthLaw, Load, Lpg, Model, OpenStage, Plan, PlanError, Process, PromptFile,
    Prompts, REQUESTS_MAX, STAGES_MAX, Sessions, Target, ThinkLaw,
};
use clap::{Args, ValueEnum};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Send load to an OpenAI-style server and measure how it answers.
///
/// Four kinds of load: open loop at a rate (the default), closed loop with --concurrency, multi-turn --sessions, and
/// --lpg. A list (--rate 10,20,40) gives one row for each value. Latencies count from the moment at which a request was
/// meant to be sent. A row is FLAGGED when this generator itself could not keep up.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Base URL of a server; give it several times to go round robin over several.
    #[arg(long = "url", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub urls: Vec<String>,
    /// Model or adapter, or several with their shares: base=0.4,lora-1=0.3,lora-2=0.3. Default: the first that the first
    /// server lists.
    #[arg(long = "model", value_name = "NAME[=WEIGHT]", value_delimiter = ',')]
    pub models: Vec<String>,
    /// API that is called.
    #[arg(long, value_enum, default_value = "completions")]
    pub api: ApiArg,
    /// Ask for streamed answers. Without streaming there are no TTFT, TPOT and ITL. Default: true, with --lpg false.
    #[arg(long, value_name = "BOOL")]
    pub stream: Option<bool>,
    /// Ask for answers of exactly the asked length. Default: true, with --lpg false.
    #[arg(long, value_name = "BOOL")]
    pub ignore_eos: Option<bool>,
    /// Header of every request.
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Members added to every request body, as a JSON object: '{"temperature": 0}'.
    #[arg(long, value_name = "JSON")]
    pub extra_body: Option<String>,

    /// Requests per second. Default: 10.
    #[arg(long, value_name = "RATES", value_delimiter = ',', conflicts_with_all = ["concurrency", "sessions"])]
    pub rate: Vec<f64>,
    /// Law of the arrivals: poisson or constant.
    #[arg(long, value_name = "LAW", default_value = "poisson")]
    pub arrivals: String,
    /// Closed loop: requests in flight; the next is sent when one has ended.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', conflicts_with = "sessions")]
    pub concurrency: Vec<u32>,
    /// How long requests are sent, for each row; answers are waited for beyond it. Default: 20s, or what --requests takes.
    #[arg(long, value_name = "TIME")]
    pub duration: Option<String>,
    /// Requests per row; without --duration the row lasts as long as they take.
    #[arg(long, value_name = "COUNT", conflicts_with = "sessions")]
    pub requests: Option<u64>,
    /// Beginning of each row that the summary leaves out.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub warmup: String,
    /// Pause between rows.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub pause: String,
    /// Requests that may be in flight; beyond it requests are not sent, and the row is flagged.
    #[arg(long, value_name = "COUNT", default_value_t = 20_000)]
    pub in_flight_max: usize,

    /// Prompt tokens, of four bytes each: 128, uniform:16,512, `lognormal:MEAN,SD[,MIN,MAX]` or sharegpt. Default: sharegpt.
    #[arg(long, value_name = "LAW", conflicts_with_all = ["prompts", "prefix_groups", "sessions"])]
    pub input_tokens: Option<String>,
    /// Answer tokens, in the same forms; sent as max_tokens.
    #[arg(long, value_name = "LAW", default_value = "sharegpt")]
    pub output_tokens: String,
    /// Prompts from a file of JSON lines: {"prompt": "…", "output_tokens": 12} or {"messages": […]}; in order, again from
    /// the start after the last.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["prefix_groups", "sessions"])]
    pub prompts: Option<PathBuf>,
    /// Shared prefixes: number of groups. Each prompt is --system-tokens that its group shares and --question-tokens of its
    /// own; every prompt is sent once per pass, in shuffled order.
    #[arg(long, value_name = "COUNT", conflicts_with = "sessions")]
    pub prefix_groups: Option<u32>,
    /// Shared prefixes: prompts in each group.
    #[arg(long, value_name = "COUNT", default_value_t = 5, requires = "prefix_groups")]
    pub prefix_prompts: u32,
    /// Shared beginning of a prefix group (default 1000), or of all sessions (default none).
    #[arg(long, value_name = "LAW")]
    pub system_tokens: Option<String>,
    /// Own part of a prompt of a prefix group, or question of a session.
    #[arg(long, value_name = "LAW", default_value = "100")]
    pub question_tokens: String,

    /// Multi-turn sessions alive at a time. With --duration a finished session is followed by a new one, without it each
    /// runs once.
    #[arg(long, value_name = "COUNTS", value_delimiter = ',')]
    pub sessions: Vec<u32>,
    /// Turns of a session.
    #[arg(long, value_name = "LAW", default_value = "5")]
    pub turns: String,
    /// Time from an answer to the next turn: 5s, exp:5s or uniform:1s,10s.
    #[arg(long, value_name = "LAW", default_value = "1s")]
    pub think: String,
    /// First question of a session. Default: as --question-tokens.
    #[arg(long, value_name = "LAW")]
    pub first_tokens: Option<String>,
    /// Time over which the first sessions start, by --arrivals.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub session_ramp: String,
    /// Meet the first sessions at a random turn, with as much history as belongs to it, so that the load is the same
    /// from the start; without it they grow old together.
    #[arg(long, requires = "sessions")]
    pub sessions_under_way: bool,
    /// Header that carries the key of a session, for proxies that hash it.
    #[arg(long, value_name = "NAME", default_value = "x-session-id")]
    pub session_header: String,

    /// Load as the Latency Profile Generator makes it, at nominal --rate: prompts at random with replacement, an exponential
    /// gap after each send, a new connection per request, no streaming. The achieved rate drifts below the nominal one.
    #[arg(long, conflicts_with_all = ["concurrency", "sessions"])]
    pub lpg: bool,
    /// LPG: prompts to draw from (a file has its own number).
    #[arg(long, value_name = "COUNT", default_value_t = 30_000)]
    pub lpg_prompts: u64,
    /// LPG: time that each send costs on top of its gap; the default is what the original costs.
    #[arg(long, value_name = "TIME", default_value = "810us")]
    pub lpg_send_cost: String,

    /// The same seed gives the same requests at the same times, whatever the server. Rows of one run share no generated
    /// text; two runs with one seed do, so give each arm of a comparison servers with empty caches.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Time limit of a request.
    #[arg(long, value_name = "TIME", default_value = "600s")]
    pub timeout: String,
    /// Time limit of a connect.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub connect_timeout: String,
    /// Write the summary there, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write one JSON line per request there.
    #[arg(long, value_name = "FILE")]
    pub records: Option<PathBuf>,
}

/// API on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ApiArg {
    /// /v1/completions
    Completions,
    /// /v1/chat/completions
    Chat,
}

impl BenchArgs {
    /// Checks everything and gives the plan, or says which argument is wrong.
    pub fn into_plan(self) -> Result<Plan, PlanError> {
        let api = match self.api {
            ApiArg::Completions => Api::Completions,
            ApiArg::Chat => Api::Chat,
        };
        let positive = |argument, time: Duration| {
            if time.is_zero() { Err(wrong(argument, "must be more than zero")) } else { Ok(time) }
        };
        let load = self.load()?;
        let warmup = time("--warmup", &self.warmup)?;
        if load_span(&load).is_some_and(|span| warmup >= span) {
            return Err(wrong("--warmup", "leaves nothing of a row"));
        }
        if self.in_flight_max == 0 {
            return Err(wrong("--in-flight-max", "must be more than zero"));
        }
        Ok(Plan {
            targets: each("--url", &self.urls, Target::parse)?,
            models: each("--model", &self.models, Model::parse)?,
            api,
            stream: self.stream.unwrap_or(!self.lpg),
            ignore_eos: self.ignore_eos.unwrap_or(!self.lpg),
            extra_body: self.extra_members()?,
            headers: self.header_map()?,
            prompts: self.prompts(api)?,
            output: output_law(&self.output_tokens)?,
            load,
            warmup,
            pause: time("--pause", &self.pause)?,
            timeout: positive("--timeout", time("--timeout", &self.timeout)?)?,
            connect_timeout: positive(
                "--connect-timeout",
                time("--connect-timeout", &self.connect_timeout)?,
            )?,
            in_flight_max: self.in_flight_max,
            seed: self.seed,
            records: self.records,
        })
    }

    fn load(&self) -> Result<Load, PlanError> {
        let process = Process::from_str(&self.arrivals).map_err(|reason| wrong("--arrivals", reason))?;
        let duration = self.duration.as_deref().map(|text| time("--duration", text)).transpose()?;
        if duration.is_some_and(|span| span.is_zero()) || self.requests == Some(0) {
            return Err(wrong("--duration", "a row without requests"));
        }
        let load = if !self.sessions.is_empty() {
            Load::Sessions(Box::new(self.session_plan(process, duration)?))
        } else if !self.concurrency.is_empty() {
            let span = duration.or((self.requests.is_none()).then_some(Duration::from_secs(20)));
            let stage = |&concurrency| ClosedStage { concurrency, span, requests: self.requests };
            Load::Closed { stages: self.concurrency.iter().map(stage).collect() }
        } else if self.lpg {
            let stages = self.open_stages(duration)?;
            let send_cost = time("--lpg-send-cost", &self.lpg_send_cost)?;
            if self.lpg_prompts == 0 {
                return Err(wrong("--lpg-prompts", "must be more than zero"));
            }
            Load::Lpg(Lpg { stages, prompts: self.lpg_prompts, send_cost })
        } else {
            Load::Open { process, stages: self.open_stages(duration)? }
        };
        if self.rate.len().max(self.concurrency.len()).max(self.sessions.len()) > STAGES_MAX {
            return Err(wrong("--rate", format!("more than {STAGES_MAX} rows")));
        }
        if self.concurrency.iter().chain(&self.sessions).any(|&count| count == 0 || count > 1_000_000) {
            return Err(wrong("--concurrency", "not between 1 and 1000000"));
        }
        Ok(load)
    }

    fn open_stages(&self, duration: Option<Duration>) -> Result<Vec<OpenStage>, PlanError> {
        let rates = if self.rate.is_empty() { vec![10.0] } else { self.rate.clone() };
        let stage = |rate: f64| {
            if !(rate.is_finite() && rate > 0.0) {
                return Err(wrong("--rate", format!("{rate} is not a rate")));
            }
            let (requests, span) = match (duration, self.requests) {
                (None, Some(requests)) => (requests, Duration::from_secs_f64(requests as f64 / rate)),
                (span, most) => {
                    let span = span.unwrap_or(Duration::from_secs(20));
                    let requests = ((rate * span.as_secs_f64()).round() as u64).max(1);
                    match most {
                        Some(most) if most < requests => (most, span.mul_f64(most as f64 / requests as f64)),
                        _ => (requests, span),
                    }
                }
            };
            if requests > REQUESTS_MAX {
                return Err(wrong(
                    "--rate",
                    format!("{requests} requests in one row, at most {REQUESTS_MAX}"),
                ));
            }
            Ok(OpenStage { rate, requests, span })
        };
        rates.into_iter().map(stage).collect()
    }

    fn session_plan(&self, process: Process, span: Option<Duration>) -> Result<Sessions, PlanError> {
        let question = input_law("--question-tokens", &self.question_tokens)?;
        let first = self.first_tokens.as_deref().map(|text| input_law("--first-tokens", text)).transpose()?;
        let system =
            self.system_tokens.as_deref().map(|text| input_law("--system-tokens", text)).transpose()?;
        let header = HeaderName::from_str(&self.session_header);
        Ok(Sessions {
            stages: self.sessions.clone(),
            span,
            ramp: time("--session-ramp", &self.session_ramp)?,
            process,
            under_way: self.sessions_under_way,
            turns: input_law("--turns", &self.turns)?,
            think: ThinkLaw::parse(&self.think).map_err(|reason| wrong("--think", reason))?,
            system,
            first: first.unwrap_or_else(|| question.clone()),
            question,
            output: output_law(&self.output_tokens)?,
            header: header.map_err(|error| wrong("--session-header", error))?,
        })
    }

    fn prompts(&self, api: Api) -> Result<Prompts, PlanError> {
        let output = output_law(&self.output_tokens)?;
        if let Some(path) = &self.prompts {
            let file = PromptFile::load(path, api).map_err(|reason| wrong("--prompts", reason))?;
            return Ok(Prompts::File(file));
        }
        let Some(groups) = self.prefix_groups else {
            return Ok(Prompts::Law {
                input: input_law("--input-tokens", self.input_tokens.as_deref().unwrap_or("sharegpt"))?,
                output,
            });
        };
        let prompts = self.prefix_prompts;
        if groups == 0 || prompts == 0 || groups > 1_000_000 {
            return Err(wrong("--prefix-groups", "not between 1 and 1000000 groups of at least one prompt"));
        }
        let system = input_law("--system-tokens", self.system_tokens.as_deref().unwrap_or("1000"))?;
        let question = input_law("--question-tokens", &self.question_tokens)?;
        Ok(Prompts::Groups(Groups { groups, prompts, system, question, output }))
    }

    fn header_map(&self) -> Result<HeaderMap, PlanError> {
        let mut map = HeaderMap::new();
        for line in &self.headers {
            let (name, value) =
                line.split_once(':').ok_or_else(|| wrong("--header", format!("no colon in {line:?}")))?;
            let name = HeaderName::from_str(name.trim()).map_err(|error| wrong("--header", error))?;
            let value = HeaderValue::from_str(value.trim()).map_err(|error| wrong("--header", error))?;
            map.append(name, value);
        }
        Ok(map)
    }

    /// The inside of the object to add to every body.
    fn extra_members(&self) -> Result<String, PlanError> {
        let text = match (&self.extra_body, self.lpg) {
            (Some(text), _) => text.as_str(),
            (None, true) => r#"{"temperature":1.0}"#,
            (None, false) => return Ok(String::new()),
        };
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).map_err(|error| wrong("--extra-body", error))?;
        let text = serde_json::Value::from(object).to_string();
        Ok(text[1..text.len() - 1].to_owned())
    }
}

fn load_span(load: &Load) -> Option<Duration> {
    match load {
        Load::Open { stages, .. } => stages.iter().map(|stage| stage.span).min(),
        Load::Lpg(lpg) => lpg.stages.iter().map(|stage| stage.span).min(),
        Load::Closed { stages } => stages.first().and_then(|stage| stage.span),
        Load::Sessions(sessions) => sessions.span,
    }
}

fn each<T>(
    argument: &'static str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, PlanError> {
    texts.iter().map(|text| parse(text).map_err(|reason| wrong(argument, reason))).collect()
}

fn time(argument: &'static str, text: &str) -> Result<Duration, PlanError> {
    duration(text).map_err(|reason| wrong(argument, reason))
}

fn input_law(argument: &'static str, text: &str) -> Result<LengthLaw, PlanError> {
    LengthLaw::parse(text, Side::Input).map_err(|reason| wrong(argument, reason))
}

fn output_law(text: &str) -> Result<LengthLaw, PlanError> {
    LengthLaw::parse(text, Side::Output).map_err(|reason| wrong("--output-tokens", reason))
}

fn wrong(argument: &'static str, reason: impl Display) -> PlanError {
    PlanError { argument, reason: reason.to_string() }
}

#[cfg(test)]
mod tests;
