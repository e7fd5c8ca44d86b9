//! A simulated model server: a listener, an engine behind it, and their beginning and end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use roadstead_net::{Listener, ServerLimits, serve};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::api::ApiError;
use crate::api::generate::Target;
use crate::api::lora::Adapters;
use crate::config::SimConfig;
use crate::driver::{Driver, unix_now_s};
use crate::faults::{Faults, garbage};
use crate::route;

/// Time that answers in the making get when the server stops.
const DRAIN_GRACE: Duration = Duration::from_secs(30);
/// Time that a connection may stay open between requests: vLLM's `VLLM_HTTP_TIMEOUT_KEEP_ALIVE`.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Attempts to take the port again when the server changes between HTTP and garbage, and the pause between them.
const REBIND_TRIES: u32 = 200;
const REBIND_PAUSE: Duration = Duration::from_millis(5);
/// Sets the seeds of neighbouring servers and requests apart.
const SEED_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// What the handlers of one server share.
pub(crate) struct Sim {
    pub(crate) model: String,
    pub(crate) max_model_len: u32,
    pub(crate) mean_output_tokens: u32,
    /// `system_fingerprint`, quoted.
    pub(crate) fingerprint: String,
    pub(crate) driver: Arc<Driver>,
    pub(crate) adapters: Adapters,
    faults: watch::Sender<Faults>,
    seed: u64,
    answers: AtomicU64,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Sim {
    fn new(config: SimConfig) -> Sim {
        let engine = config.engine_config();
        let adapters: Vec<String> = engine.loras.iter().map(|(name, _)| name.clone()).collect();
        let driver = Arc::new(Driver::new(&config.model, engine, config.time_scale));
        let model_hash = config
            .model
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Sim {
            max_model_len: driver.config().max_model_len,
            mean_output_tokens: config.mean_output_tokens,
            fingerprint: format!("\"vllm-0.32.0-{model_hash:08x}\""),
            adapters: Adapters::new(&adapters),
            model: config.model,
            driver,
            faults: watch::Sender::new(config.faults),
            seed: config.seed,
            answers: AtomicU64::new(0),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
        }
    }

    /// The model or adapter that a request names; without a name the base model.
    pub(crate) fn target(&self, model: Option<&str>) -> Result<Target, ApiError> {
        match model {
            None => Ok(Target { name: self.model.clone(), adapter: None }),
            Some(name) if name == self.model => Ok(Target { name: name.to_owned(), adapter: None }),
            Some(name) => match self.driver.adapter(name) {
                Some(adapter) => Ok(Target { name: name.to_owned(), adapter: Some(adapter) }),
                None => {
                    let message =
                        format!("The model `{name}` does not exist. Valid aliases: {}.", self.model);
                    Err(ApiError::not_found(message, Some("model")))
                }
            },
        }
    }

    /// The seed of the next answer. A request with a seed of its own gets the same answers every time.
    pub(crate) fn next_seed(&self, asked: Option<i64>, choice: u64) -> u64 {
        let base = match asked {
            Some(asked) => (asked as u64).wrapping_add(choice.wrapping_mul(SEED_STEP)),
            None => {
                self.seed.wrapping_add(self.answers.fetch_add(1, Ordering::Relaxed).wrapping_mul(SEED_STEP))
            }
        };
        fastrand::Rng::with_seed(base).u64(..)
    }

    /// `created` of answers: seconds since the Unix epoch.
    pub(crate) fn created(&self) -> u64 {
        unix_now_s() as u64
    }

    pub(crate) fn takes_adapters(&self) -> bool {
        self.driver.config().max_loras > 0
    }

    pub(crate) fn faults(&self) -> Faults {
        *self.faults.borrow()
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    pub(crate) fn watch_faults(&self) -> watch::Receiver<Faults> {
        self.faults.subscribe()
    }

    /// Waits until the server stops, in whatever way.
    pub(crate) async fn until_stop(&self) {
        self.stop.cancelled().await;
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }
}

/// A running server. Dropping it stops it without waiting.
pub struct Server {
    sim: Arc<Sim>,
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Serves `config` on `listener`, from now on. Must be called inside a tokio runtime.
    pub async fn start(listener: Listener, config: SimConfig) -> Server {
        let address = listener.local_addr().expect("a bound listener has an address");
        let sim = Arc::new(Sim::new(config));
        let stepping_ends = CancellationToken::new();
        let driver = sim.driver.clone();
        let stepping = tokio::spawn({
            let ends = stepping_ends.clone();
            async move { driver.run(ends).await }
        });
        let serving = tokio::spawn({
            let sim = sim.clone();
            async move {
                take_turns(&sim, listener, address).await;
                // Answers that drain need the engine, so it goes last.
                stepping_ends.cancel();
            }
        });
        Server { sim, address, tasks: vec![serving, stepping] }
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Switches faults.
    pub fn set_faults(&self, faults: Faults) {
        self.sim.set_faults(faults);
    }

    /// Takes no more connections, finishes the answers in the making (30 s at most), and ends.
    pub async fn stop(mut self) {
        self.sim.stop.cancel();
        self.join().await;
    }

    /// Closes everything at once, as a crash does: connections break off in the middle of their answers. They and
    /// the port are gone a moment later.
    pub fn abort(self) {
        self.sim.cut.cancel();
        self.sim.driver.cut();
        self.sim.stop.cancel();
    }

    async fn join(&mut self) {
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of a simulated server panicked");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.sim.stop.cancel();
    }
}

/// Starts `n` servers on consecutive ports from `first` on, each with its own seed; port 0 gives any free ports.
///
/// # Errors
/// A port could not be taken; the servers started before it are stopped.
pub async fn start_many(first: SocketAddr, n: usize, config: SimConfig) -> io::Result<Vec<Server>> {
    let mut listeners = Vec::with_capacity(n);
    for index in 0..n {
        let mut address = first;
        if first.port() != 0 {
            let port = u16::try_from(usize::from(first.port()) + index);
            address.set_port(port.map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?);
        }
        listeners.push(Listener::bind(address)?);
    }
    let mut servers = Vec::with_capacity(n);
    for (listener, index) in listeners.into_iter().zip(1u64..) {
        let mut config = config.clone();
        config.seed = config.seed.wrapping_add(index.wrapping_mul(SEED_STEP));
        servers.push(Server::start(listener, config).await);
    }
    Ok(servers)
}

/// Serves HTTP, or garbage while that fault is on, until `stop`.
async fn take_turns(sim: &Arc<Sim>, mut listener: Listener, address: SocketAddr) {
    let limits =
        ServerLimits { drain_grace: DRAIN_GRACE, idle_timeout: KEEP_ALIVE, ..ServerLimits::default() };
    let mut draining = Vec::new();
    while !sim.stop.is_cancelled() {
        if sim.faults().garbage {
            garbage::serve(&listener, sim, &sim.stop).await;
            continue;
        }
        let turn = sim.stop.child_token();
        let make_service = {
            let sim = sim.clone();
            move |_peer| {
                let sim = sim.clone();
                service_fn(move |request| route::answer(sim.clone(), request))
            }
        };
        let mut serving = tokio::spawn(serve(listener, limits.clone(), make_service, turn.clone()));
        let mut faults = sim.watch_faults();
        // Cancel safety: the task goes on by itself, the watch holds no state.
        tokio::select! {
            _ = &mut serving => break,
            _ = faults.wait_for(|faults| faults.garbage) => {}
        }
        turn.cancel();
        draining.push(serving);
        match rebind(address).await {
            Ok(again) => listener = again,
            Err(error) => {
                tracing::error!(%address, %error, "the port was lost");
                break;
            }
        }
    }
    for serving in draining {
        if let Err(error) = serving.await {
            tracing::error!(%error, "serving panicked");
        }
    }
}

async fn rebind(address: SocketAddr) -> io::Result<Listener> {
    let mut tries = 0;
    loop {
        match Listener::bind(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < REBIND_TRIES => {
                tries += 1;
                tokio::time::sleep(REBIND_PAUSE).await;
            }
            bound => return bound,
        }
    }
}
