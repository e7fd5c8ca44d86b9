//! The HTTP/1.1 client: one call in, one timed answer out.
//!
//! Connections are driven by the task that waits for the answer, so a chunk costs one wake-up. They are this crate's
//! own and not the gateway's pool: what measures must not share the retries and limits of what is measured. A call is
//! sent once, never again. Nothing here decides when to send.

mod connection;

use crate::plan::{Plan, Target};
use crate::record::ErrorClass;
use crate::stream::{Event, Scanner, Usage, usage_at};
use bytes::Bytes;
use connection::{Connection, Pool, class_of_body_error, class_of_error};
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The largest answer that is not streamed, and the largest text kept of a streamed one, in bytes.
const ANSWER_MAX_BYTES: usize = 16 << 20;
/// How much of an error answer is read, in bytes.
const ERROR_MAX_BYTES: usize = 16 << 10;
/// How much of a server's message is kept, in characters.
const MESSAGE_MAX_CHARS: usize = 200;
/// Response headers that may tell which endpoint served a request, best first.
const SERVED_BY: [&str; 2] = ["x-roadstead-endpoint", "x-inference-pod"];

/// One request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) target: u32,
    pub(crate) body: Bytes,
    pub(crate) request_id: String,
    /// Key of the session, with the header that carries it.
    pub(crate) session: Option<(HeaderName, String)>,
    /// Whether the text of the answer is wanted.
    pub(crate) keep_text: bool,
}

/// What came back, also when the call failed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) sent_at: Instant,
    pub(crate) first_at: Option<Instant>,
    pub(crate) last_at: Option<Instant>,
    pub(crate) end_at: Instant,
    pub(crate) gaps_us: Vec<u32>,
    pub(crate) events: u32,
    pub(crate) usage: Option<Usage>,
    /// Text as the inside of a JSON string, if it was wanted.
    pub(crate) text: String,
    pub(crate) status: Option<u16>,
    pub(crate) endpoint: Option<String>,
    pub(crate) error: Option<ErrorClass>,
    pub(crate) message: Option<String>,
}

/// Sends calls.
#[derive(Debug)]
pub(crate) struct Client {
    targets: Vec<Pool>,
    uris: Vec<Uri>,
    hosts: Vec<HeaderValue>,
    headers: HeaderMap,
    chat: bool,
    stream: bool,
    connect_timeout: Duration,
    timeout: Duration,
}

#[derive(Deserialize)]
struct Models {
    data: Vec<ModelRow>,
}

#[derive(Deserialize)]
struct ModelRow {
    id: String,
}

#[derive(Deserialize)]
struct Unary<'a> {
    #[serde(borrow)]
    choices: Vec<UnaryChoice<'a>>,
}

#[derive(Deserialize)]
struct UnaryChoice<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<UnaryMessage<'a>>,
}

#[derive(Deserialize)]
struct UnaryMessage<'a> {
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

impl Client {
    /// `addresses` are those of the plan's targets, in order; `reuse`: keep connections for the next call.
    pub(crate) fn new(plan: &Plan, addresses: &[SocketAddr], reuse: bool) -> Self {
        let mut headers = plan.headers.clone();
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        let idle_max = if reuse { plan.in_flight_max } else { 0 };
        let path = |target: &Target| [&target.base_path, plan.api.path()].concat();
        Self {
            targets: addresses.iter().map(|address| Pool::new(*address, idle_max)).collect(),
            uris: plan.targets.iter().map(|t| path(t).parse().expect("checked by Target::parse")).collect(),
            hosts: plan
                .targets
                .iter()
                .map(|t| t.authority.parse().expect("checked by Target::parse"))
                .collect(),
            headers,
            chat: plan.api == crate::body::Api::Chat,
            stream: plan.stream,
            connect_timeout: plan.connect_timeout,
            timeout: plan.timeout,
        }
    }

    /// Sends `call` and waits for its end.
    pub(crate) async fn send(&self, call: Call) -> Answer {
        let mut answer = Answer::new(Instant::now());
        let result = tokio::time::timeout(self.timeout, self.exchange(call, &mut answer)).await;
        answer.end_at = Instant::now();
        answer.error = result.unwrap_or(Err(ErrorClass::Timeout)).err();
        answer
    }

    /// The first model that the first target lists.
    pub(crate) async fn first_model(&self, plan: &Plan) -> Result<String, String> {
        let request = Request::builder()
            .uri([&plan.targets[0].base_path, "/v1/models"].concat())
            .header(HOST, &self.hosts[0])
            .body(Bytes::new().into())
            .map_err(|error| error.to_string())?;
        let ask = async {
            let mut connection = self.connect(0).await.map_err(|class| class.name())?;
            let response = connection.send(request).await.map_err(|error| error.to_string())?;
            let (parts, mut body) = response.into_parts();
            let bytes =
                collect(&mut connection, &mut body, ANSWER_MAX_BYTES).await.map_err(|class| class.name())?;
            if parts.status != StatusCode::OK {
                return Err(format!("status {}", parts.status));
            }
            let models: Models = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            models.data.into_iter().next().map(|row| row.id).ok_or_else(|| "the list is empty".to_owned())
        };
        tokio::time::timeout(self.connect_timeout * 2, ask).await.unwrap_or(Err("timeout".into()))
    }

    async fn exchange(&self, call: Call, answer: &mut Answer) -> Result<(), ErrorClass> {
        let target = call.target as usize;
        let keep_text = call.keep_text;
        let request = self.request(call);
        let mut connection = match self.targets[target].take().await {
            Some(idle) => idle,
            None => self.connect(target).await?,
        };
        let response = connection.send(request).await.map_err(|error| class_of_error(&error))?;
        let (parts, mut body) = response.into_parts();
        answer.status = Some(parts.status.as_u16());
        answer.endpoint = served_by(&parts.headers);
        if parts.status != StatusCode::OK {
            let bytes = collect(&mut connection, &mut body, ERROR_MAX_BYTES).await.unwrap_or_default();
            answer.message = Some(message(&bytes));
            self.targets[target].give(connection);
            return Err(ErrorClass::Status(parts.status.as_u16()));
        }
        if self.stream {
            if !is_event_stream(&parts.headers) {
                answer.message = Some("the answer is not an event stream".into());
                return Err(ErrorClass::Malformed);
            }
            self.read_stream(&mut connection, &mut body, keep_text, answer).await?;
        } else {
            let bytes = collect(&mut connection, &mut body, ANSWER_MAX_BYTES).await?;
            read_unary(&bytes, keep_text, answer)?;
        }
        self.targets[target].give(connection);
        Ok(())
    }

    async fn read_stream(
        &self,
        connection: &mut Connection,
        body: &mut Incoming,
        keep_text: bool,
        answer: &mut Answer,
    ) -> Result<(), ErrorClass> {
        let mut scanner = Scanner::new(self.chat);
        let mut first_event = None;
        let (mut done, mut failure) = (false, None);
        while let Some(frame) = connection.drive(body.frame()).await {
            let frame = frame.map_err(|error| class_of_body_error(&error))?;
            let Ok(data) = frame.into_data() else { continue };
            let now = Instant::now();
            scanner.feed(&data, |event| {
                first_event.get_or_insert(now);
                match event {
                    Event::Text(text) => answer.text_event(now, text, keep_text),
                    Event::Empty => {}
                    Event::Usage(usage) => answer.usage = Some(usage),
                    Event::Error(json) => {
                        answer.message = Some(message(json));
                        failure = Some(ErrorClass::StreamError);
                    }
                    Event::Done => done = true,
                    Event::TooLong => failure = Some(ErrorClass::Malformed),
                }
            });
            if let Some(class) = failure {
                return Err(class);
            }
        }
        // A token that is half a character has no text: the event that carried it is the best that is known.
        if answer.usage.is_some_and(|usage| usage.completion_tokens > 0) {
            answer.first_at = answer.first_at.or(first_event);
        }
        if done { Ok(()) } else { Err(ErrorClass::Truncated) }
    }

    async fn connect(&self, target: usize) -> Result<Connection, ErrorClass> {
        let connect = Connection::open(self.targets[target].address());
        tokio::time::timeout(self.connect_timeout, connect).await.unwrap_or(Err(ErrorClass::Connect))
    }

    fn request(&self, call: Call) -> Request<http_body_util::Full<Bytes>> {
        let target = call.target as usize;
        let mut request = Request::new(call.body.into());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uris[target].clone();
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        headers.insert(HOST, self.hosts[target].clone());
        let value = |text: String| HeaderValue::try_from(text).expect("ids are plain ascii");
        headers.insert("x-request-id", value(call.request_id));
        if let Some((name, key)) = call.session {
            headers.insert(name, value(key));
        }
        request
    }
}

impl Answer {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            sent_at: now,
            first_at: None,
            last_at: None,
            end_at: now,
            gaps_us: Vec::new(),
            events: 0,
            usage: None,
            text: String::new(),
            status: None,
            endpoint: None,
            error: None,
            message: None,
        }
    }

    /// An answer that never was: the call was not sent.
    pub(crate) fn not_sent(now: Instant) -> Self {
        Self { error: Some(ErrorClass::NotSent), ..Self::new(now) }
    }

    fn text_event(&mut self, now: Instant, text: &[u8], keep: bool) {
        self.events += 1;
        self.first_at.get_or_insert(now);
        if let Some(last) = self.last_at.replace(now) {
            self.gaps_us.push(now.duration_since(last).as_micros().try_into().unwrap_or(u32::MAX));
        }
        if keep && self.text.len() + text.len() <= ANSWER_MAX_BYTES {
            self.text.push_str(&String::from_utf8_lossy(text));
        }
    }
}

fn read_unary(bytes: &[u8], keep_text: bool, answer: &mut Answer) -> Result<(), ErrorClass> {
    let unary: Unary<'_> = serde_json::from_slice(bytes).map_err(|_| ErrorClass::Malformed)?;
    let choice = unary.choices.first().ok_or(ErrorClass::Malformed)?;
    answer.usage = memmem::rfind(bytes, b"\"usage\":").and_then(|at| usage_at(&bytes[at + 8..]));
    if keep_text {
        let text = choice.text.or_else(|| choice.message.as_ref().and_then(|message| message.content));
        let quoted = text.map_or("", RawValue::get);
        answer.text =
            quoted.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or_default().to_owned();
    }
    Ok(())
}

/// The whole body, at most `max_bytes` of it.
async fn collect(
    connection: &mut Connection,
    body: &mut Incoming,
    max_bytes: usize,
) -> Result<Vec<u8>, ErrorClass> {
    let mut bytes = Vec::new();
    while let Some(frame) = connection.drive(body.frame()).await {
        let frame = frame.map_err(|error| class_of_body_error(&error))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > max_bytes {
                return Err(ErrorClass::Malformed);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

fn served_by(headers: &HeaderMap) -> Option<String> {
    let value = SERVED_BY.iter().find_map(|name| headers.get(*name))?;
    Some(value.to_str().ok()?.to_owned())
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

fn message(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().chars().take(MESSAGE_MAX_CHARS).collect()
}
