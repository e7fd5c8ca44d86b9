//! From a request's method and path to its handler, and the headers that every answer carries.
//!
//! A table and a match instead of a router: there are sixteen paths. Faults that concern whole answers are
//! applied here.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, SERVER, VARY};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Incoming;
use roadstead_core::EngineState;
use roadstead_net::{CollectError, ResponseBody, collect_bounded};
use roadstead_wire::{headers, orca};

use crate::api::{
    ApiError, Reply, chat, completions, embeddings, json, lora, messages, models, plain, responses, tokenize,
};
use crate::driver::Gone;
use crate::faults::{self, Hang};
use crate::server::Sim;

/// Longest request body; 413 beyond.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// What vLLM's HTTP server calls itself.
const SERVER_NAME: HeaderValue = HeaderValue::from_static("uvicorn");
const VARY_BY: HeaderValue = HeaderValue::from_static("Origin");
/// The release whose answers these are.
const VERSION: &str = "{\"version\":\"0.32.0\"}";

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Completions,
    Chat,
    Responses,
    Messages,
    Embeddings,
    Models,
    LoadLora,
    UnloadLora,
    Tokenize,
    Detokenize,
    Metrics,
    Health,
    Ping,
    Version,
    Load,
    Faults,
}

impl Route {
    fn find(path: &str, sim: &Sim) -> Option<Route> {
        Some(match path {
            "/v1/completions" => Route::Completions,
            "/v1/chat/completions" => Route::Chat,
            "/v1/responses" => Route::Responses,
            "/v1/messages" => Route::Messages,
            "/v1/embeddings" => Route::Embeddings,
            "/v1/models" => Route::Models,
            // vLLM has these only where adapters are turned on.
            "/v1/load_lora_adapter" if sim.takes_adapters() => Route::LoadLora,
            "/v1/unload_lora_adapter" if sim.takes_adapters() => Route::UnloadLora,
            "/tokenize" => Route::Tokenize,
            "/detokenize" => Route::Detokenize,
            "/metrics" => Route::Metrics,
            "/health" => Route::Health,
            "/ping" => Route::Ping,
            "/version" => Route::Version,
            "/load" => Route::Load,
            "/sim/faults" => Route::Faults,
            _ => return None,
        })
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Route::Models | Route::Health | Route::Version | Route::Load => &[Method::GET],
            // The metrics page is an application of its own there and answers whatever the method.
            Route::Metrics => &[Method::GET, Method::POST, Method::HEAD],
            Route::Ping | Route::Faults => &[Method::GET, Method::POST],
            _ => &[Method::POST],
        }
    }

    fn is_inference(self) -> bool {
        matches!(
            self,
            Route::Completions | Route::Chat | Route::Responses | Route::Messages | Route::Embeddings
        )
    }
}

/// Answers one request. An error closes the connection.
pub(crate) async fn answer(sim: Arc<Sim>, request: Request<Incoming>) -> Result<Reply, Gone> {
    let faults = sim.faults();
    let route = Route::find(request.uri().path(), &sim);
    let inference = route.is_some_and(Route::is_inference);
    let hangs = match faults.hang {
        Hang::Nothing => false,
        Hang::Inference => inference,
        Hang::Everything => route != Some(Route::Faults),
    };
    let (head, body) = request.into_parts();
    if hangs {
        // The body is read, as a process does that hangs later on.
        let _read = collect_bounded(body, BODY_BYTES_MAX).await;
        sim.until_stop().await;
        return Err(Gone);
    }
    let reply = match route {
        None => Err(ApiError::detail(StatusCode::NOT_FOUND, "Not Found")),
        Some(route) if !route.methods().contains(&head.method) => Ok(wrong_method(route)),
        Some(route) => match (faults.status, read(body).await) {
            (_, Err(error)) => Err(error),
            (Some(status), Ok(_)) if inference => Ok(faults::status_reply(status)),
            (_, Ok(body)) => handle(&sim, route, &head.method, &head.headers, body).await,
        },
    };
    if sim.is_cut() {
        return Err(Gone);
    }
    let mut reply = reply.unwrap_or_else(|error| error.reply());
    if inference && faults.wrong_content_length {
        reply = faults::lengthen(reply);
    }
    let fields = reply.headers_mut();
    fields.insert(SERVER, SERVER_NAME);
    fields.insert(VARY, VARY_BY);
    Ok(reply)
}

async fn read(body: Incoming) -> Result<Bytes, ApiError> {
    collect_bounded(body, BODY_BYTES_MAX).await.map_err(|error| match error {
        CollectError::TooLarge { .. } => {
            ApiError::detail(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
        }
        _ => ApiError::detail(StatusCode::BAD_REQUEST, "There was an error parsing the body"),
    })
}

async fn handle(
    sim: &Arc<Sim>,
    route: Route,
    method: &Method,
    head: &HeaderMap,
    body: Bytes,
) -> Result<Reply, ApiError> {
    match route {
        Route::Completions => {
            completions::serve(sim, head, &body).await.map(|reply| with_load(sim, head, reply))
        }
        Route::Chat => chat::serve(sim, head, &body).await.map(|reply| with_load(sim, head, reply)),
        Route::Responses => responses::serve(sim, head, &body).await,
        Route::Messages => messages::serve(sim, head, &body).await,
        Route::Embeddings => embeddings::serve(sim, head, &body).await,
        Route::Models => Ok(models::serve(sim)),
        Route::LoadLora => lora::load(sim, head, &body),
        Route::UnloadLora => lora::unload(sim, head, &body),
        Route::Tokenize => tokenize::tokenize(sim, head, &body),
        Route::Detokenize => tokenize::detokenize(sim, head, &body),
        Route::Metrics => Ok(metrics(sim)),
        Route::Health | Route::Ping => Ok(plain(StatusCode::OK, Bytes::new())),
        Route::Version => Ok(json(StatusCode::OK, VERSION)),
        Route::Load => {
            let stats = sim.driver.stats();
            let load = stats.running + stats.waiting();
            Ok(json(StatusCode::OK, format!("{{\"server_load\":{load}}}")))
        }
        Route::Faults => {
            if method == Method::POST {
                sim.set_faults(faults::read(&body)?);
            }
            Ok(faults::show(&sim.faults()))
        }
    }
}

fn metrics(sim: &Sim) -> Reply {
    let mut reply = faults::break_page(sim.faults().metrics, sim.driver.page());
    reply.headers_mut().insert(CONTENT_TYPE, METRICS_TYPE);
    reply
}

/// Adds the load header where the request asks for it. vLLM 0.32 does so on whole answers only.
fn with_load(sim: &Sim, head: &HeaderMap, mut reply: Reply) -> Reply {
    let asked = head.get(headers::ENDPOINT_LOAD_METRICS_FORMAT);
    let format = asked.and_then(|value| orca::Format::asked(value.as_bytes()));
    if let (Some(format), ResponseBody::Full(_)) = (format, reply.body()) {
        let stats = sim.driver.stats();
        let state = EngineState {
            waiting: Some(stats.waiting()),
            kv_usage: Some(stats.kv_usage as f32),
            ..EngineState::default()
        };
        if let Ok(value) = HeaderValue::from_str(&orca::write(&state, format)) {
            reply.headers_mut().insert(headers::ENDPOINT_LOAD_METRICS, value);
        }
    }
    reply
}

fn wrong_method(route: Route) -> Reply {
    let mut reply = ApiError::detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed").reply();
    let allowed = route.methods().first().map_or("GET", Method::as_str);
    if let Ok(value) = HeaderValue::from_str(allowed) {
        reply.headers_mut().insert(ALLOW, value);
    }
    reply
}
