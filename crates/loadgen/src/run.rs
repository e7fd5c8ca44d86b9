//! One run: stage after stage, each sent, waited for and summed up before the next begins.
//!
//! The thin shell around the pure parts. A stage has one driver (`open`, `closed`, `sessions`, `lpg`) that sends and
//! one collector that sums; between them stands a bounded channel, which holds back finished requests only, never a send.

use crate::args::BenchArgs;
use crate::body::BodyWriter;
use crate::client::{Answer, Call, Client};
use crate::plan::{Load, Plan, PlanError};
use crate::progress::{Bar, Progress};
use crate::prompts::{Drawn, PromptSource};
use crate::random::stage_seed;
use crate::record::{Asked, ErrorClass, Record};
use crate::report::{Report, Row, Stage};
use crate::{closed, lpg, open, sessions};
use std::io::{BufWriter, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Finished requests that may wait for the collector; beyond it their tasks wait.
const RECORDS_MAX: usize = 8192;
/// From the decision to start a stage to its first possible send.
const LEAD: Duration = Duration::from_millis(20);

/// Why a run could not start or its results could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The arguments make no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A target has no address.
    #[error("cannot resolve {target}")]
    Resolve {
        /// As given.
        target: String,
        /// Why; nothing when the name has no addresses.
        source: Option<std::io::Error>,
    },
    /// No model was named and the first target does not list one.
    #[error("no model was given and {target} does not list its models: {reason}")]
    Model {
        /// The target that was asked.
        target: String,
        /// What went wrong.
        reason: String,
    },
    /// A result file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What all stages share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) plan: Plan,
    pub(crate) client: Client,
    pub(crate) stop: CancellationToken,
    bodies: BodyWriter,
    models: Vec<Arc<str>>,
    weights: Vec<f64>,
}

/// One stage while it runs.
#[derive(Debug)]
pub(crate) struct StageRun {
    pub(crate) context: Arc<Context>,
    pub(crate) number: u32,
    /// Everything random of this stage follows from it.
    pub(crate) seed: u64,
    pub(crate) start: Instant,
    pub(crate) tasks: TaskTracker,
    source: PromptSource,
    finished: mpsc::Sender<Record>,
}

/// Does what `roadstead bench` does: runs the plan of `args` with progress on the terminal, prints the table and writes
/// the files. `stop` ends it early, with what there is.
pub async fn bench(args: BenchArgs, stop: CancellationToken) -> Result<Report, RunError> {
    let json = args.json.clone();
    let plan = args.into_plan()?;
    let report = run(&plan, stop, Bar::new()).await?;
    print!("{report}");
    if let Some(path) = json {
        let write = serde_json::to_vec_pretty(&report).map_err(std::io::Error::from);
        let write = write.and_then(|bytes| std::fs::write(&path, bytes));
        write.map_err(|source| RunError::Write { path, source })?;
    }
    Ok(report)
}

/// Runs `plan` to its end, or until `stop`: then nothing more is sent, what is in flight is given up, and the report holds
/// what came so far. Best on a runtime of one thread: more threads cost more per chunk.
pub async fn run(
    plan: &Plan,
    stop: CancellationToken,
    mut progress: impl Progress,
) -> Result<Report, RunError> {
    let context = Arc::new(Context::new(plan.clone(), stop.child_token()).await?);
    let mut records = plan.records.as_deref().map(RecordFile::create).transpose()?;
    let mut report = Report::new(&context.plan);
    for number in 0..plan.stages() {
        if number > 0 {
            let pause = tokio::time::sleep(plan.pause);
            let _ = context.stop.run_until_cancelled(pause).await;
        }
        if context.stop.is_cancelled() {
            break;
        }
        let stage = Stage::of(&context.plan, number);
        progress.stage(&stage);
        let mut row = Row::new(stage);
        let (finished, queue) = mpsc::channel(RECORDS_MAX);
        let drive = drive(context.clone(), number as u32, finished);
        let collect = async {
            let mut queue = queue;
            while let Some(record) = queue.recv().await {
                row.add(&record);
                progress.finished(&record);
                if let Some(file) = &mut records {
                    file.write(&record).inspect_err(|_| context.stop.cancel())?;
                }
            }
            Ok::<(), RunError>(())
        };
        let ((), collected) = tokio::join!(drive, collect);
        collected?;
        report.rows.push(row.finish(context.stop.is_cancelled()));
    }
    progress.end();
    if let Some(file) = records {
        file.close()?;
    }
    Ok(report)
}

impl Context {
    async fn new(mut plan: Plan, stop: CancellationToken) -> Result<Self, RunError> {
        let mut addresses: Vec<SocketAddr> = Vec::with_capacity(plan.targets.len());
        for target in &plan.targets {
            let resolve = |source| RunError::Resolve { target: target.authority.clone(), source };
            let mut found =
                tokio::net::lookup_host(&target.authority).await.map_err(|error| resolve(Some(error)))?;
            addresses.push(found.next().ok_or_else(|| resolve(None))?);
        }
        let reuse = !matches!(plan.load, Load::Lpg(_));
        let client = Client::new(&plan, &addresses, reuse);
        if plan.models.is_empty() {
            let target = plan.targets[0].authority.clone();
            let name = client.first_model(&plan).await;
            let name = name.map_err(|reason| RunError::Model { target, reason })?;
            plan.models.push(crate::plan::Model { name, weight: 1.0 });
        }
        let names: Vec<String> = plan.models.iter().map(|model| model.name.clone()).collect();
        let weights = plan.models.iter().map(|model| model.weight).collect();
        Ok(Self {
            bodies: BodyWriter::new(&names, plan.stream, plan.ignore_eos, &plan.extra_body),
            models: names.into_iter().map(Arc::from).collect(),
            weights,
            client,
            stop,
            plan,
        })
    }
}

impl StageRun {
    /// Request `index` by the plan's prompts.
    pub(crate) fn draw(&self, index: u64) -> Drawn {
        self.source.draw(index, &self.context.plan.output)
    }

    /// Makes `drawn` ready to be sent as number `index`, intended to start `at` after the start of the stage.
    pub(crate) fn prepare(&self, index: u64, drawn: &Drawn, at: Duration) -> (Asked, Call) {
        let context = &self.context;
        let target = (index % context.plan.targets.len() as u64) as u32;
        let asked = Asked {
            stage: self.number,
            index,
            session: None,
            turn: None,
            group: drawn.group,
            model: context.models[drawn.model].clone(),
            target,
            warmup: at < context.plan.warmup,
            input_tokens: drawn.input_tokens,
            max_tokens: drawn.output_tokens,
        };
        let call = Call {
            target,
            body: context.bodies.write(drawn.model, &drawn.content, drawn.output_tokens),
            request_id: format!("{:x}-{}-{index:x}", context.plan.seed, self.number),
            session: None,
            keep_text: false,
        };
        (asked, call)
    }

    /// Sends a call, waits for its end and hands its record to the collector; gives the answer's text and end, nothing if
    /// it failed.
    pub(crate) async fn exchange(
        &self,
        asked: Asked,
        call: Call,
        intended: Instant,
    ) -> Option<(String, Instant)> {
        let begun = Instant::now();
        let send = self.context.client.send(call);
        let mut answer = self.context.stop.run_until_cancelled(send).await.unwrap_or_else(|| Answer {
            error: Some(ErrorClass::Stopped),
            end_at: Instant::now(),
            ..Answer::new(begun)
        });
        let text = std::mem::take(&mut answer.text);
        let (failed, end_at) = (answer.error.is_some(), answer.end_at);
        // The collector goes away early only when a result file cannot be written: then nobody wants the record.
        let _ = self.finished.send(Record::new(asked, self.start, intended, answer)).await;
        (!failed).then_some((text, end_at))
    }

    /// Records a request that the bound on requests in flight kept from being sent. Blocks.
    pub(crate) fn not_sent(&self, asked: Asked, intended: Instant) {
        let answer = Answer::not_sent(Instant::now());
        let _ = self.finished.blocking_send(Record::new(asked, self.start, intended, answer));
    }

    /// Waits until every task of the stage has ended.
    pub(crate) async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Sleeps on this thread until `at`; false when the run was stopped meanwhile. A thread wakes within a tenth of a
/// millisecond, the runtime's timer only at the next full one.
pub(crate) fn sleep_until(at: Instant, stop: &CancellationToken) -> bool {
    const SLICE: Duration = Duration::from_millis(50);
    loop {
        let left = at.saturating_duration_since(Instant::now());
        if stop.is_cancelled() {
            return false;
        }
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(SLICE));
    }
}

async fn drive(context: Arc<Context>, number: u32, finished: mpsc::Sender<Record>) {
    let plan = &context.plan;
    // The Latency Profile Generator draws from one data set at all rates.
    let seed = if let Load::Lpg(_) = plan.load { plan.seed } else { stage_seed(plan.seed, number) };
    let run = Arc::new(StageRun {
        source: PromptSource::new(plan.prompts.clone(), plan.api, seed, context.weights.clone()),
        seed,
        start: Instant::now() + LEAD,
        tasks: TaskTracker::new(),
        number,
        finished,
        context: context.clone(),
    });
    let at = number as usize;
    match &plan.load {
        Load::Open { process, stages } => open::drive(run, *process, stages[at]).await,
        Load::Closed { stages } => closed::drive(run, stages[at]).await,
        Load::Sessions(sessions) => sessions::drive(run, sessions, sessions.stages[at]).await,
        Load::Lpg(lpg) => lpg::drive(run, lpg, lpg.stages[at]).await,
    }
}

/// The file of records.
struct RecordFile {
    path: PathBuf,
    out: BufWriter<std::fs::File>,
}

impl RecordFile {
    fn create(path: &Path) -> Result<Self, RunError> {
        let file = std::fs::File::create(path);
        let file = file.map_err(|source| RunError::Write { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), out: BufWriter::with_capacity(1 << 16, file) })
    }

    fn write(&mut self, record: &Record) -> Result<(), RunError> {
        let line = serde_json::to_writer(&mut self.out, record).map_err(std::io::Error::from);
        let line = line.and_then(|()| self.out.write_all(b"\n"));
        line.map_err(|source| RunError::Write { path: self.path.clone(), source })
    }

    fn close(mut self) -> Result<(), RunError> {
        self.out.flush().map_err(|source| RunError::Write { path: self.path, source })
    }
}
