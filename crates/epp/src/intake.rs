//! Intake: the head and body of a request become what placing it needs to know.
//!
//! First stage. The body is scanned once and never changed. Requests that are no inference pass with as little
//! as possible known of them: what is wrong with them is for the endpoint to say. Must not know the pool.

use std::sync::{Arc, LazyLock};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Uri};
use roadstead_core::{BlockHash, RetryClass, Work};
use roadstead_picker::PrefixShape;
use roadstead_wire::headers;
use roadstead_wire::openai::{
    Api, BodyError, BodyErrorKind, RequestView, block_hashes, hash_seed, prompt_tokens, scan_request,
};

static NO_PREFIX: LazyLock<Arc<[BlockHash]>> = LazyLock::new(|| Arc::from([]));

/// How a front must treat a request's body before it asks for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyUse {
    /// Read it whole: the place depends on it, and it may have to be sent more than once.
    Whole,
    /// Pass it on as it comes.
    Passing,
}

/// What is known of a request after its bytes were looked at.
#[derive(Clone, Debug)]
pub struct Intake {
    /// The API that it calls.
    pub api: Api,
    /// The model or adapter asked for, as the client wrote it.
    pub model: Option<Arc<str>>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// Whether the client wants the usage at the end of the stream.
    pub include_usage: bool,
    /// Expected cost.
    pub work: Work,
    /// Chained hashes of the prompt's full blocks.
    pub prefix: Arc<[BlockHash]>,
    /// When it may be sent again.
    pub retry: RetryClass,
    /// Whether the client wants to know why it was placed as it was.
    pub explain: bool,
    /// Size of the body where it was read whole.
    pub request_bytes: usize,
}

/// The request makes no sense; answer it with [`roadstead_core::Refusal::BadRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct BadRequest {
    /// What is wrong with the body, and where.
    pub error: BodyError,
    /// The member of the body that is to blame.
    pub param: Option<&'static str>,
}

impl BodyUse {
    /// What the head alone says. Inference is always read, and so is any other POST of JSON, which may name
    /// a model.
    pub fn of(method: &Method, uri: &Uri, headers: &HeaderMap) -> BodyUse {
        let reads =
            Api::of(method, uri.path()).is_inference() || (method == Method::POST && is_json(headers));
        if reads { BodyUse::Whole } else { BodyUse::Passing }
    }
}

impl Intake {
    /// Looks at a request whose body, if it was read whole, is `body`.
    ///
    /// # Errors
    /// An inference request whose body is no JSON object, or whose `model` is no string.
    pub fn of(
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        shape: &PrefixShape,
    ) -> Result<Intake, BadRequest> {
        let api = Api::of(method, uri.path());
        let explain = headers.get(&headers::EXPLAIN).is_some_and(|value| value == "1");
        let plain = Intake { explain, ..Intake::plain(body.map_or(0, <[u8]>::len)) };
        let Some(body) = body else { return Ok(plain) };
        match scan_request(api, body) {
            Ok(view) => Ok(plain.seen(api, &view, shape)),
            Err(_) if !api.is_inference() => Ok(plain),
            Err(error) => Err(BadRequest::from(error)),
        }
    }

    /// A request of which nothing matters for its place.
    fn plain(request_bytes: usize) -> Intake {
        Intake {
            api: Api::Other,
            model: None,
            stream: false,
            include_usage: false,
            work: Work::default(),
            prefix: NO_PREFIX.clone(),
            retry: RetryClass::OnlyUnprocessed,
            explain: false,
            request_bytes,
        }
    }

    fn seen(self, api: Api, view: &RequestView<'_>, shape: &PrefixShape) -> Intake {
        let model = view.model.as_deref();
        let seed = hash_seed(model.unwrap_or_default(), view.cache_salt.as_deref());
        Intake {
            api,
            model: model.map(Arc::from),
            stream: view.stream,
            include_usage: view.include_usage,
            work: Work {
                prompt_tokens: prompt_tokens(view),
                output_tokens_max: view.output_tokens_max,
                sequences: view.sequences,
            },
            prefix: prefix(block_hashes(view, seed, shape.block_bytes, shape.blocks_max)),
            retry: if api.is_inference() { RetryClass::UntilFirstByte } else { RetryClass::OnlyUnprocessed },
            ..self
        }
    }
}

impl From<BodyError> for BadRequest {
    fn from(error: BodyError) -> BadRequest {
        let param = (error.kind == BodyErrorKind::ModelNotString).then_some("model");
        BadRequest { error, param }
    }
}

fn prefix(hashes: Vec<BlockHash>) -> Arc<[BlockHash]> {
    if hashes.is_empty() { NO_PREFIX.clone() } else { hashes.into() }
}

/// Whether the body is said to be JSON (`application/json` or any `+json`).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let media = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let ends_with = |suffix: &[u8]| {
        media.len() > suffix.len() && media[media.len() - suffix.len()..].eq_ignore_ascii_case(suffix)
    };
    media.eq_ignore_ascii_case(b"application/json") || ends_with(b"+json")
}

#[cfg(test)]
mod tests;
