//! Model servers that die, hang and fail under load, four processes behind one gateway.
//!
//! A steady stream of requests runs through each story and every answer is recorded. The rate is the highest that
//! this machine drives without trouble when nothing is broken, at most 200 requests a second of 50 tokens.

#![allow(clippy::unwrap_used)] // what cannot go on fails its test

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use support::client::SERVED_BY;
use support::fleet::streamed;
use support::process::ms;
use support::{Gateway, MODEL, Server, client, pools, until, until_within};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const TOKENS: usize = 50;
/// Rates to try, from the one that is wanted down, requests a second.
const RATES: [u32; 4] = [200, 100, 50, 20];
const CONTROL: Duration = Duration::from_secs(2);
/// A slower first event in the control run means that the machine is the bottleneck.
const CONTROL_P90_MAX: Duration = Duration::from_millis(150);
/// How soon a server that is well again must be in use.
const BACK_WITHIN: Duration = Duration::from_secs(3);
/// Who waited longer for a first event was on a server that hung.
const MOVED_AFTER: Duration = Duration::from_secs(4);
/// From when on nothing new may go to a server that hangs.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// What became of one request.
#[derive(Clone, Debug)]
struct Record {
    sent: Instant,
    /// Of its first event.
    first: Option<Instant>,
    status: u16,
    endpoint: String,
    events: usize,
    error: Option<String>,
}

impl Record {
    fn good(&self) -> bool {
        self.status == 200 && self.error.is_none() && self.events == TOKENS
    }

    fn to_first(&self) -> Option<Duration> {
        Some(self.first? - self.sent)
    }
}

/// Requests at a steady rate until it is told to stop.
struct Load {
    to: SocketAddr,
    records: Arc<Mutex<Vec<Record>>>,
    bursts: Mutex<JoinSet<()>>,
    stop: CancellationToken,
    sending: JoinHandle<()>,
}

impl Load {
    fn start(gateway: &Gateway, rate: u32) -> Load {
        let records = Arc::new(Mutex::new(Vec::new()));
        let stop = CancellationToken::new();
        let (to, all, until) = (gateway.address, records.clone(), stop.clone());
        let sending = tokio::spawn(async move {
            let mut ticks = interval(Duration::from_secs(1) / rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut running = JoinSet::new();
            while !until.is_cancelled() {
                ticks.tick().await;
                let all = all.clone();
                running.spawn(async move {
                    let record = request(to).await;
                    all.lock().push(record);
                });
            }
            while let Some(ended) = running.join_next().await {
                ended.unwrap();
            }
        });
        Load { to, records, bursts: Mutex::default(), stop, sending }
    }

    /// Sends so many at once.
    fn burst(&self, count: usize) {
        for _ in 0..count {
            let (to, all) = (self.to, self.records.clone());
            self.bursts.lock().spawn(async move {
                let record = request(to).await;
                all.lock().push(record);
            });
        }
    }

    /// Those that have ended so far.
    fn ended(&self) -> Vec<Record> {
        self.records.lock().clone()
    }

    /// Whether `endpoint` has answered a request that was sent after `since`.
    fn uses(&self, endpoint: &str, since: Instant) -> bool {
        self.records
            .lock()
            .iter()
            .any(|record| record.good() && record.endpoint == endpoint && record.sent > since)
    }

    /// Lets the last requests end.
    async fn stop(self) -> Vec<Record> {
        self.stop.cancel();
        tokio::time::timeout(support::PATIENCE, self.sending).await.expect("every request ends").unwrap();
        let bursts = self.bursts.into_inner();
        tokio::time::timeout(support::PATIENCE, bursts.join_all()).await.expect("every request ends");
        std::mem::take(&mut *self.records.lock())
    }
}

async fn request(to: SocketAddr) -> Record {
    let body = streamed(MODEL, "Go on.", TOKENS as u32).to_string();
    let mut record = Record {
        sent: Instant::now(),
        first: None,
        status: 0,
        endpoint: String::new(),
        events: 0,
        error: None,
    };
    let request = client::request(http::Method::POST, "/v1/completions", &[], &body);
    match client::open(to, request).await {
        Ok(mut stream) => {
            record.status = stream.status.as_u16();
            record.endpoint = stream.head.get(SERVED_BY).map_or("", |name| name.to_str().unwrap()).to_owned();
            loop {
                match stream.next().await {
                    Ok(Some(event)) => {
                        record.first.get_or_insert_with(Instant::now);
                        record.events += usize::from(event.contains("\"text\":\""));
                    }
                    Ok(None) => break,
                    Err(error) => {
                        record.error = Some(error.to_string());
                        break;
                    }
                }
            }
        }
        Err(error) => record.error = Some(error.to_string()),
    }
    record
}

/// One story at a time: their loads would be in each other's way.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Four servers, a gateway, and a load that they bear.
struct Scene {
    _turn: tokio::sync::MutexGuard<'static, ()>,
    servers: Vec<Server>,
    gateway: Gateway,
    load: Load,
    control_p99: Duration,
}

impl Scene {
    async fn set() -> Scene {
        let turn = TURN.lock().await;
        let servers = Server::start_many(4, &[]).await;
        let all: Vec<&Server> = servers.iter().collect();
        let gateway = Gateway::before(&all, &[]).await;
        for rate in RATES {
            let load = Load::start(&gateway, rate);
            tokio::time::sleep(CONTROL).await;
            let records = load.stop().await;
            let bad = records.iter().find(|record| !record.good());
            assert!(bad.is_none(), "with nothing broken: {bad:?}");
            let sent = records.len() as f64 / CONTROL.as_secs_f64();
            let p90 = quantile(&records, 0.9);
            println!("control at {rate}/s: {sent:.0}/s sent, first event p90 {:.1} ms", ms(p90));
            if p90 <= CONTROL_P90_MAX && sent >= 0.9 * f64::from(rate) || rate == RATES[RATES.len() - 1] {
                let control_p99 = quantile(&records, 0.99);
                let load = Load::start(&gateway, rate);
                return Scene { _turn: turn, servers, gateway, load, control_p99 };
            }
        }
        unreachable!("the last rate is taken")
    }

    /// Waits until `endpoint`, which is well again since now, answers some of the load. How long that took.
    async fn back_in_use(&self, endpoint: &str) -> Duration {
        let back = Instant::now();
        while !self.load.uses(endpoint, back) {
            if back.elapsed() > BACK_WITHIN {
                let state = pools::endpoint(self.gateway.admin, endpoint).await;
                panic!("not in use again within {BACK_WITHIN:?}: {state:#}");
            }
            tokio::time::sleep(support::LOOK_EVERY).await;
        }
        back.elapsed()
    }

    /// A server in the middle of answers, by number and name.
    async fn at_work(&self) -> (usize, String) {
        let name = loop {
            let endpoints = pools::endpoints(self.gateway.admin).await;
            let answering = |endpoint: &Value| endpoint["in_flight"]["decoding"].as_u64().unwrap();
            let busiest = endpoints.iter().max_by_key(|endpoint| answering(endpoint)).unwrap();
            if answering(busiest) > 0 {
                break busiest["name"].as_str().unwrap().to_owned();
            }
        };
        (self.servers.iter().position(|server| server.name() == name).unwrap(), name)
    }
}

/// A quantile of the time to the first event.
fn quantile(records: &[Record], quantile: f64) -> Duration {
    let mut times: Vec<Duration> = records.iter().filter_map(Record::to_first).collect();
    times.sort();
    times.get((times.len() as f64 * quantile) as usize).copied().unwrap_or_default()
}

#[tokio::test]
async fn a_server_that_dies_costs_only_answers_that_had_begun_and_is_back_soon_after_its_return() {
    let mut scene = Scene::set().await;
    let (number, name) = scene.at_work().await;
    scene.servers[number].process.kill();
    let killed = Instant::now();
    // Dead long enough for everybody to notice.
    until("others answer what is sent now", || async {
        scene.load.ended().iter().filter(|record| record.sent > killed + SEEN_WITHIN).count() >= 20
    })
    .await;
    scene.servers[number].restart().await;
    let took = scene.back_in_use(&name).await;
    let records = scene.load.stop().await;
    let bad: Vec<&Record> = records.iter().filter(|record| !record.good()).collect();
    println!("{} requests, {} broke off, back in use after {:.0} ms", records.len(), bad.len(), ms(took));
    for record in bad {
        assert!(record.first.is_some() && record.endpoint == name && record.sent < killed, "{record:?}");
    }
    scene.gateway.until_settled().await;
}

#[tokio::test]
async fn a_server_that_hangs_gets_no_new_work_and_what_waits_there_is_moved() {
    let scene = Scene::set().await;
    let (number, name) = scene.at_work().await;
    let stopped = &scene.servers[number];
    let in_flight = || async {
        let endpoint = pools::endpoint(scene.gateway.admin, &name).await;
        endpoint["in_flight"]["requests"].as_u64().unwrap()
    };
    stopped.process.signal("STOP");
    let since = Instant::now();
    // Nobody can know yet: some of these go there.
    scene.load.burst(12);
    until_within(SEEN_WITHIN, "the hang is seen", || async {
        pools::endpoint(scene.gateway.admin, &name).await["barred"] == "silent"
    })
    .await;
    let held = in_flight().await;
    // What has no first byte is moved after five seconds; nothing is added meanwhile.
    until("what waited there is answered by others", || async {
        assert!(in_flight().await <= held, "new work went to a server that hangs");
        let ended = scene.load.ended();
        ended.iter().any(|record| record.sent > since + Duration::from_secs(6))
    })
    .await;
    stopped.process.signal("CONT");
    let back = Instant::now();
    let took = scene.back_in_use(&name).await;
    let records = scene.load.stop().await;
    let bad = records.iter().find(|record| !record.good());
    assert!(bad.is_none(), "{bad:?}");
    let late = since + SEEN_WITHIN..back;
    assert!(!records.iter().any(|record| late.contains(&record.sent) && record.endpoint == name));
    let moved = records.iter().filter(|record| record.to_first() > Some(MOVED_AFTER)).count();
    assert!(moved > 0, "nothing without a first byte was there to be moved");
    let never: Vec<Record> = records.iter().filter(|record| late.contains(&record.sent)).cloned().collect();
    println!(
        "{} requests, {held} in flight there when it was seen, {} moved, back in use after {:.0} ms; p99 to the first \
         event of those never sent there {:.1} ms, control {:.1} ms",
        records.len(),
        moved,
        ms(took),
        ms(quantile(&never, 0.99)),
        ms(scene.control_p99),
    );
    scene.gateway.until_settled().await;
}

#[tokio::test]
async fn a_server_that_answers_500_is_ejected_and_only_what_it_processed_fails() {
    let scene = Scene::set().await;
    let (number, name) = scene.at_work().await;
    let failing = &scene.servers[number];
    let since = Instant::now();
    failing.faults(json!({ "status": 500 })).await;
    scene.gateway.until_endpoint(&name, "is ejected", |endpoint| endpoint["barred"] == "ejected").await;
    let ejected = Instant::now();
    until("others answer meanwhile", || async {
        scene.load.ended().iter().filter(|record| record.good() && record.sent > ejected).count() >= 40
    })
    .await;
    failing.faults(json!({})).await;
    let well = Instant::now();
    until("it is in use again", || async { scene.load.uses(&name, well) }).await;
    let records = scene.load.stop().await;
    let bad: Vec<&Record> = records.iter().filter(|record| !record.good()).collect();
    println!("{} requests, {} answered with 500", records.len(), bad.len());
    assert!(!bad.is_empty(), "no request showed that it fails");
    for record in &bad {
        assert!(record.status == 500 && record.endpoint == name && record.sent < well, "{record:?}");
    }
    // Three in a row eject; those already on their way fail too, and one trial now and then.
    let later = bad.iter().filter(|record| record.sent > ejected).count();
    let seconds = (well - since).as_secs() as usize;
    assert!(later <= 2 + seconds, "{later} requests failed after it was ejected, in {seconds} s");
    scene.gateway.until_settled().await;
}
