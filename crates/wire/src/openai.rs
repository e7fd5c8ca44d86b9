//! What a client asks: the kind of API from the path, and the few facts of the body that placing it needs.
//!
//! First stage of a request's path (intake). The body is scanned in one pass and never re-serialised: what is
//! forwarded are the client's own bytes. A body that passes is valid JSON to its last byte. It must not know
//! what is done with the facts.

use http::Method;

pub use self::error::error_body;
pub use self::prompt::{PromptView, block_hashes, estimate_tokens, hash_seed, prompt_bytes, prompt_tokens};
pub use self::request::{RequestView, scan_request};
pub use self::usage::usage_of;
pub use crate::json::{BodyError, BodyErrorKind};

pub mod error;
pub mod prompt;
pub mod request;
pub mod usage;

/// Which API a request calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `…/completions`.
    Completions,
    /// `…/chat/completions`.
    ChatCompletions,
    /// `…/responses`.
    Responses,
    /// `…/messages` (Anthropic).
    Messages,
    /// `…/embeddings`.
    Embeddings,
    /// `…/rerank`.
    Rerank,
    /// `…/score`.
    Score,
    /// Anything else, also every method but POST.
    Other,
}

impl Api {
    /// Every API, for tables and tests.
    pub const ALL: [Api; 8] = [
        Api::Completions,
        Api::ChatCompletions,
        Api::Responses,
        Api::Messages,
        Api::Embeddings,
        Api::Rerank,
        Api::Score,
        Api::Other,
    ];

    /// The API that `method` on `path` calls. The path's last segments decide, so that a prefix such as
    /// `/team-a/v1` does not matter; a query is ignored.
    pub fn of(method: &Method, path: &str) -> Api {
        if method != Method::POST {
            return Api::Other;
        }
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
        match last {
            "completions" if before == "chat" || before.ends_with("/chat") => Api::ChatCompletions,
            "completions" => Api::Completions,
            "responses" => Api::Responses,
            "messages" => Api::Messages,
            "embeddings" => Api::Embeddings,
            "rerank" => Api::Rerank,
            "score" => Api::Score,
            _ => Api::Other,
        }
    }

    /// Whether answering means running a model, so that repeating it is safe while no answer has begun.
    pub fn is_inference(self) -> bool {
        self != Api::Other
    }

    /// Whether it generates tokens one by one.
    pub fn generates(self) -> bool {
        matches!(self, Api::Completions | Api::ChatCompletions | Api::Responses | Api::Messages)
    }

    /// A short name for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Api::Completions => "completions",
            Api::ChatCompletions => "chat_completions",
            Api::Responses => "responses",
            Api::Messages => "messages",
            Api::Embeddings => "embeddings",
            Api::Rerank => "rerank",
            Api::Score => "score",
            Api::Other => "other",
        }
    }

    /// The members that make up the prompt, in the order in which an engine lays them out in its cache.
    fn prompt_members(self) -> &'static [&'static str] {
        match self {
            Api::Completions => &["prompt"],
            Api::ChatCompletions => &["tools", "messages"],
            Api::Responses => &["instructions", "tools", "input"],
            Api::Messages => &["tools", "system", "messages"],
            Api::Embeddings => &["input"],
            Api::Rerank => &["query", "documents"],
            Api::Score => &["text_1", "text_2"],
            Api::Other => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_path_segments_and_post_decide() {
        for (path, api) in [
            ("/v1/completions", Api::Completions),
            ("/v1/chat/completions", Api::ChatCompletions),
            ("/team/a/v1/chat/completions?beta=true", Api::ChatCompletions),
            ("/notchat/completions", Api::Completions),
            ("/v1/responses", Api::Responses),
            ("/v1/messages?beta=true", Api::Messages),
            ("/v1/messages/count_tokens", Api::Other),
            ("/v1/embeddings", Api::Embeddings),
            ("/v2/rerank", Api::Rerank),
            ("/score", Api::Score),
            ("/v1/score", Api::Score),
            ("/v1/mycompletions", Api::Other),
            ("/v1/completions/", Api::Other),
            ("/v1/models?x=/completions", Api::Other),
            ("", Api::Other),
            ("completions", Api::Completions),
        ] {
            assert_eq!(Api::of(&Method::POST, path), api, "{path}");
        }
        assert_eq!(Api::of(&Method::GET, "/v1/completions"), Api::Other);
    }

    #[test]
    fn names_differ_and_only_other_is_no_inference() {
        let mut names = Api::ALL.map(Api::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(Api::ALL.iter().all(|api| api.is_inference() == (*api != Api::Other)));
    }
}
