//! A plain hyper client, and the servers that the tests talk to.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use roadstead_engine::{EngineConfig, Preset};
use roadstead_sim::{Server, SimConfig, start_many};
use tokio::net::TcpStream;

/// Longest that any test waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(20);
/// Fast enough that tests take no time, slow enough that steps are apart.
const TIME_SCALE: f64 = 0.1;

pub fn config() -> SimConfig {
    let preset = Preset::by_name("llama-3.1-8b@h100").unwrap();
    let mut engine = EngineConfig::new(preset);
    engine.max_model_len = 4096;
    let mut config = SimConfig::new("tiny", engine);
    config.time_scale = TIME_SCALE;
    config
}

pub async fn start(config: SimConfig) -> Server {
    let mut servers = start_many((Ipv4Addr::LOCALHOST, 0).into(), 1, config).await.unwrap();
    servers.pop().unwrap()
}

/// The result of `future`, which must come in time.
pub async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("did not happen in time")
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub head: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.head.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// An answer whose body is still coming.
pub struct Stream {
    pub status: StatusCode,
    pub head: HeaderMap,
    body: Incoming,
    read: Vec<u8>,
}

impl Stream {
    /// The next event without its blank line; `None` at the end, an error where the connection broke.
    pub async fn next(&mut self) -> Result<Option<String>, hyper::Error> {
        loop {
            if let Some(end) = self.read.windows(2).position(|window| window == b"\n\n") {
                let event = String::from_utf8(self.read[..end].to_vec()).unwrap();
                self.read.drain(..end + 2);
                return Ok(Some(event));
            }
            match soon(self.body.frame()).await {
                None => return Ok(None),
                Some(frame) => self.read.extend_from_slice(&frame?.into_data().unwrap()),
            }
        }
    }

    /// Takes what comes next, whatever it is, and says how many bytes it was.
    pub async fn skip_frame(&mut self) -> usize {
        let frame = soon(self.body.frame()).await.expect("more was to come").unwrap();
        frame.data_ref().map_or(0, Bytes::len)
    }

    pub async fn rest(mut self) -> Result<Vec<String>, hyper::Error> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

pub fn request(
    method: Method,
    path: &str,
    fields: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "sim");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

pub async fn open(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Stream, hyper::Error> {
    #[allow(clippy::disallowed_methods)] // a client as others write it
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = soon(sender.send_request(request)).await?.into_parts();
    Ok(Stream { status: head.status, head: head.headers, body, read: Vec::new() })
}

pub async fn send(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer, hyper::Error> {
    let Stream { status, head, body, .. } = open(address, request).await?;
    let body = soon(body.collect()).await?.to_bytes();
    Ok(Answer { status, head, body: String::from_utf8_lossy(&body).into_owned() })
}

pub async fn get(server: &Server, path: &str) -> Answer {
    send(server.local_addr(), request(Method::GET, path, &[], "")).await.unwrap()
}

pub async fn post(server: &Server, path: &str, body: &str) -> Answer {
    let json = [("content-type", "application/json")];
    send(server.local_addr(), request(Method::POST, path, &json, body.to_owned())).await.unwrap()
}

pub async fn stream(server: &Server, path: &str, body: &str) -> Stream {
    let json = [("content-type", "application/json")];
    open(server.local_addr(), request(Method::POST, path, &json, body.to_owned())).await.unwrap()
}

/// The value of the first line of the metrics page that begins with `series`.
pub async fn metric(server: &Server, series: &str) -> f64 {
    let page = get(server, "/metrics").await.body;
    let line = page.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

/// Waits until a metric has a value.
pub async fn until_metric(server: &Server, series: &str, wanted: f64) {
    soon(async {
        while metric(server, series).await != wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}
