//! The fleet against real sockets on loopback: endpoints that answer, hang, refuse, flood, drip and break off.
//! Each must give the facts that it deserves, cost bounded memory, and be back with its next good page.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use roadstead_core::{Endpoint, EndpointId};
use roadstead_fleet::metrics::ScrapeError;
use roadstead_fleet::{FactSink, Fleet, FleetConfig, FleetMetrics};
use roadstead_net::Listener;
use roadstead_picker::fact::Fact;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const PAGE: &str = include_str!("fixtures/metrics-loaded.txt");
const MODELS: &str = include_str!("fixtures/models.json");
/// Longest that any test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(20);
const PAGE_BYTES_MAX: usize = 256 * 1024;

/// How the server answers `/metrics`.
#[derive(Clone)]
enum Reply {
    /// These bytes; the connection stays.
    Bytes(Vec<u8>),
    /// These bytes, then the end.
    Ends(Vec<u8>),
    /// Nothing, ever.
    Hangs,
    /// A head, then a byte now and then.
    Drips,
    /// A head, then chunks without end.
    Floods,
}

struct Server {
    addr: SocketAddr,
    reply: Arc<Mutex<Reply>>,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    flooded_bytes: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

fn sized(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// As uvicorn sends vLLM's page.
fn chunked(body: &str) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ndate: x\r\nserver: uvicorn\r\ncontent-type: text/plain; version=1.0.0; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n";
    format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes()
}

fn good() -> Reply {
    Reply::Bytes(chunked(PAGE))
}

impl Server {
    fn start(reply: Reply) -> Server {
        Server::start_at((Ipv4Addr::LOCALHOST, 0).into(), reply)
    }

    fn start_at(addr: SocketAddr, reply: Reply) -> Server {
        let listener = Listener::bind(addr).unwrap();
        let addr = listener.local_addr().unwrap();
        let reply = Arc::new(Mutex::new(reply));
        let [connections, open, flooded_bytes]: [Arc<AtomicUsize>; 3] = Default::default();
        let (replies, made, opened, flooded) =
            (reply.clone(), connections.clone(), open.clone(), flooded_bytes.clone());
        let task = tokio::spawn(async move {
            let mut running = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await;
                made.fetch_add(1, Ordering::SeqCst);
                opened.fetch_add(1, Ordering::SeqCst);
                let (replies, opened, flooded) = (replies.clone(), opened.clone(), flooded.clone());
                running.spawn(async move {
                    let _ = talk(stream, &replies, &flooded).await;
                    opened.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Server { addr, reply, connections, open, flooded_bytes, task }
    }

    fn answer(&self, reply: Reply) {
        *self.reply.lock() = reply;
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Ends the server and its connections, as a killed process does.
    async fn kill(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers requests of one connection until it ends.
async fn talk(mut stream: TcpStream, reply: &Mutex<Reply>, flooded: &AtomicUsize) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        if request.starts_with(b"GET /v1/models ") {
            stream.write_all(&sized("200 OK", MODELS.as_bytes())).await?;
            continue;
        }
        let reply = reply.lock().clone();
        match reply {
            Reply::Bytes(bytes) => stream.write_all(&bytes).await?,
            Reply::Ends(bytes) => return stream.write_all(&bytes).await,
            Reply::Hangs => {
                // Ends when the peer gives up.
                stream.read_buf(&mut request).await?;
                return Ok(());
            }
            Reply::Drips => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n").await?;
                loop {
                    stream.write_all(b"x").await?;
                    sleep(Duration::from_millis(50)).await;
                }
            }
            Reply::Floods => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
                let chunk = [b"4000\r\n".to_vec(), vec![b'#'; 0x4000], b"\r\n".to_vec()].concat();
                loop {
                    stream.write_all(&chunk).await?;
                    flooded.fetch_add(chunk.len(), Ordering::SeqCst);
                }
            }
        }
    }
}

#[derive(Clone, Default)]
struct Facts(Arc<Mutex<Vec<Fact>>>);

impl FactSink for Facts {
    fn observe(&self, fact: Fact) {
        self.0.lock().push(fact);
    }
}

impl Facts {
    fn count(&self, is: impl Fn(&Fact) -> bool) -> usize {
        self.0.lock().iter().filter(|fact| is(fact)).count()
    }

    fn pages(&self) -> usize {
        self.count(|fact| matches!(fact, Fact::Scraped { state, .. } if state.waiting == Some(28)))
    }

    fn empty_answers(&self) -> usize {
        self.count(|fact| matches!(fact, Fact::Scraped { state, .. } if state.waiting.is_none()))
    }

    fn silent(&self) -> usize {
        self.count(|fact| matches!(fact, Fact::Silent(_)))
    }

    fn unreachable(&self) -> usize {
        self.count(|fact| matches!(fact, Fact::Unreachable(_)))
    }
}

/// A fleet of one endpoint and what it saw.
struct Look {
    fleet: Fleet,
    facts: Facts,
    metrics: FleetMetrics,
}

impl Look {
    fn at(addr: SocketAddr) -> Look {
        let (facts, metrics) = (Facts::default(), FleetMetrics::default());
        let config = FleetConfig {
            scrape_interval: Duration::from_millis(10),
            page_bytes_max: PAGE_BYTES_MAX,
            metrics: metrics.clone(),
            ..FleetConfig::default()
        };
        let fleet = Fleet::start(config, facts.clone());
        fleet.join(endpoint(1, addr)).unwrap();
        Look { fleet, facts, metrics }
    }

    /// Waits for `more` further good pages.
    async fn back(&self, more: usize) {
        let before = self.facts.pages();
        until("good pages", || self.facts.pages() >= before + more).await;
    }

    async fn counted(&self, error: ScrapeError) {
        let before = self.metrics.scrape_errors(error);
        until(error.reason(), || self.metrics.scrape_errors(error) > before).await;
    }
}

fn endpoint(id: u32, addr: SocketAddr) -> Endpoint {
    Endpoint { id: EndpointId(id), name: format!("e{id}").into(), authority: addr.to_string().into() }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not come in time");
}

#[tokio::test]
async fn a_good_endpoint_is_read_over_one_connection_each_for_metrics_and_models() {
    let server = Server::start(good());
    let look = Look::at(server.addr);
    look.back(20).await;
    until("models", || look.facts.count(|fact| matches!(fact, Fact::Models { .. })) == 1).await;

    assert!(matches!(&look.facts.0.lock()[0], Fact::Joined(endpoint) if &*endpoint.name == "e1"));
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
    assert_eq!(look.fleet.models_json(), [(EndpointId(1), MODELS.as_bytes().to_vec().into())]);
    let facts = look.facts.0.lock();
    let models = facts.iter().find_map(|fact| match fact {
        Fact::Models { models, .. } => Some(models.iter().map(|model| &*model.id).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(models.unwrap(), ["tiny", "sql-lora"]);
}

#[tokio::test]
async fn a_hung_endpoint_is_silent_and_back_when_it_answers() {
    let server = Server::start(good());
    let look = Look::at(server.addr);
    look.back(2).await;
    server.answer(Reply::Hangs);
    until("silence", || look.facts.silent() == 1).await;
    server.answer(good());
    look.back(2).await;
    assert_eq!((look.facts.silent(), look.facts.unreachable()), (1, 0));
}

#[tokio::test]
async fn a_killed_endpoint_is_unreachable_and_back_when_it_listens_again() {
    let mut server = Server::start(good());
    let look = Look::at(server.addr);
    look.back(2).await;
    server.kill().await;
    until("refusals", || look.facts.unreachable() >= 3).await;
    assert!(look.metrics.scrape_errors(ScrapeError::Connect) >= 3);
    let _again = Server::start_at(server.addr, good());
    look.back(2).await;
    assert_eq!(look.facts.silent(), 0);
}

#[tokio::test]
async fn a_huge_page_is_not_read_and_costs_bounded_memory() {
    let server = Server::start(good());
    let look = Look::at(server.addr);
    look.back(1).await;
    let endless_length = b"HTTP/1.1 200 OK\r\ncontent-length: 9000000000\r\n\r\n".to_vec();
    server.answer(Reply::Bytes(endless_length));
    look.counted(ScrapeError::TooLarge).await;
    server.answer(Reply::Floods);
    until("floods", || server.flooded_bytes.load(Ordering::SeqCst) > 0).await;
    look.counted(ScrapeError::TooLarge).await;
    server.answer(good());
    look.back(2).await;
    assert!(look.facts.empty_answers() >= 2, "an endpoint that floods lives");
    assert_eq!(look.facts.unreachable(), 0);
}

#[tokio::test]
async fn binary_wrong_and_half_pages_prove_life_and_the_next_good_one_counts() {
    let server = Server::start(good());
    let look = Look::at(server.addr);
    look.back(1).await;
    let binary: Vec<u8> = (0..=255).cycle().take(50_000).collect();
    let half = &chunked(PAGE)[..20_000];
    let cases = [
        (Reply::Bytes(sized("200 OK", &binary)), ScrapeError::Unreadable),
        (Reply::Bytes(sized("200 OK", b"")), ScrapeError::Unreadable),
        (Reply::Bytes(sized("404 Not Found", b"{}")), ScrapeError::Status),
        (Reply::Bytes(sized("503 Busy", PAGE.as_bytes())), ScrapeError::Status),
        (Reply::Ends(half.to_vec()), ScrapeError::Truncated),
    ];
    for (reply, error) in cases {
        let (alive, dead) = (look.facts.empty_answers(), look.facts.unreachable());
        server.answer(reply);
        look.counted(error).await;
        server.answer(good());
        look.back(2).await;
        assert!(look.facts.empty_answers() > alive, "{error:?}");
        assert_eq!(look.facts.unreachable(), dead, "{error:?}");
    }
}

#[tokio::test]
async fn a_slow_page_proves_life_and_is_given_up() {
    let server = Server::start(Reply::Drips);
    let look = Look::at(server.addr);
    look.counted(ScrapeError::Slow).await;
    server.answer(good());
    look.back(2).await;
    assert!(look.facts.empty_answers() >= 1);
    assert_eq!((look.facts.silent(), look.facts.unreachable()), (0, 0));
}

#[tokio::test]
async fn what_is_not_http_proves_nothing() {
    let server = Server::start(Reply::Bytes(b"\x16\x03\x01\x00\xff garbage\r\n\r\n".to_vec()));
    let look = Look::at(server.addr);
    look.counted(ScrapeError::Protocol).await;
    assert_eq!(look.facts.empty_answers(), 0);
    server.answer(good());
    look.back(2).await;
    assert!(look.facts.unreachable() >= 1);
}

#[tokio::test]
async fn a_server_that_closes_after_each_page_is_read_without_complaint() {
    let with_length = sized("200 OK", PAGE.as_bytes());
    let until_close = format!("HTTP/1.0 200 OK\r\n\r\n{PAGE}").into_bytes();
    for reply in [Reply::Ends(with_length), Reply::Ends(chunked(PAGE)), Reply::Ends(until_close)] {
        let server = Server::start(reply);
        let look = Look::at(server.addr);
        look.back(10).await;
        assert_eq!((look.facts.unreachable(), look.facts.empty_answers()), (0, 0));
    }
}

#[tokio::test]
async fn leaving_closes_the_connections_and_ends_the_facts() {
    let (stays, leaves) = (Server::start(good()), Server::start(good()));
    let look = Look::at(stays.addr);
    look.fleet.join(endpoint(2, leaves.addr)).unwrap();
    look.fleet.join(endpoint(2, stays.addr)).unwrap();
    until("connections", || leaves.open() == 2).await;
    assert_eq!(look.fleet.endpoints().len(), 2);

    look.fleet.leave(EndpointId(2));
    look.fleet.leave(EndpointId(2));

    until("their end", || leaves.open() == 0).await;
    assert_eq!(look.facts.count(|fact| matches!(fact, Fact::Left(id) if id.0 == 2)), 1);
    assert_eq!(look.fleet.endpoints(), [endpoint(1, stays.addr)]);
    look.back(2).await;
    until("the other's connections", || stays.open() == 2).await;
}

#[tokio::test]
async fn stopping_and_dropping_end_every_task() {
    let server = Server::start(Reply::Hangs);
    let look = Look::at(server.addr);
    until("connections", || server.open() == 2).await;
    timeout(PATIENCE, look.fleet.stop()).await.expect("tasks end");
    until("their end", || server.open() == 0).await;
    look.fleet.join(endpoint(9, server.addr)).unwrap();
    assert_eq!(look.fleet.endpoints().len(), 1, "a stopped fleet takes no endpoints");

    let look = Look::at(server.addr);
    until("connections", || server.open() == 2).await;
    drop(look);
    until("their end", || server.open() == 0).await;
}

#[tokio::test]
async fn a_bad_authority_is_refused_before_any_fact() {
    let facts = Facts::default();
    let fleet = Fleet::start(FleetConfig::default(), facts.clone());
    let bad = Endpoint { id: EndpointId(1), name: "x".into(), authority: "nowhere".into() };
    assert!(fleet.join(bad).is_err());
    assert!(facts.0.lock().is_empty());
}
