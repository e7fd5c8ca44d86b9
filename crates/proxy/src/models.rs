//! `GET /v1/models` and `/v1/models/{id}`: one list over all endpoints.
//!
//! The endpoints are asked when a client asks, a bounded number at a time; the list is given again for a
//! moment. Entries stand as the endpoints wrote them. A client's credentials go to the endpoints, and what they
//! brought is given to nobody else.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use roadstead_core::{Endpoint, Refusal};
use roadstead_net::{UpstreamBody, collect_bounded};
use roadstead_wire::models::union_models;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};

use crate::limits::{MODELS_CONCURRENT_MAX, MODELS_FRESH, MODELS_PAGE_BYTES_MAX, MODELS_TIMEOUT};
use crate::refuse::{Refused, json};
use crate::response::Answer;
use crate::service::Front;

const PATH: &str = "/v1/models";

/// What of the list is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// All of it.
    All,
    /// One entry.
    One(String),
}

/// The list of a moment ago.
#[derive(Default)]
pub(crate) struct ModelLists {
    fresh: Mutex<Option<(Instant, Bytes)>>,
    /// One client asks the endpoints, the others wait for what it gets.
    asking: tokio::sync::Mutex<()>,
}

/// Whether a request asks for models.
pub(crate) fn listing(head: &Parts) -> Option<Listing> {
    if head.method != Method::GET {
        return None;
    }
    match head.uri.path().strip_prefix(PATH)? {
        "" => Some(Listing::All),
        rest => rest.strip_prefix('/').filter(|id| !id.is_empty()).map(|id| Listing::One(decoded(id))),
    }
}

/// Answers with what is asked for.
pub(crate) async fn answer(
    front: &Front,
    head: &Parts,
    listing: Listing,
) -> Result<Response<Answer>, Refused> {
    let list = match list(front, head).await? {
        List::Union(list) => list,
        List::Refused(status, body) => {
            let mut response = json(body);
            *response.status_mut() = status;
            return Ok(response);
        }
    };
    match listing {
        Listing::All => Ok(json(list)),
        Listing::One(id) => match entry(&list, &id) {
            Some(entry) => Ok(json(entry)),
            None => Err(Refused::unknown_model(&id)),
        },
    }
}

enum List {
    Union(Bytes),
    /// No endpoint listed its models; this is what one of them said instead.
    Refused(StatusCode, Bytes),
}

async fn list(front: &Front, head: &Parts) -> Result<List, Refused> {
    if head.headers.contains_key(AUTHORIZATION) {
        return ask_all(front, head).await;
    }
    let _turn = front.models.asking.lock().await;
    if let Some((at, list)) = &*front.models.fresh.lock()
        && at.elapsed() < MODELS_FRESH
    {
        return Ok(List::Union(list.clone()));
    }
    let list = ask_all(front, head).await?;
    if let List::Union(list) = &list {
        *front.models.fresh.lock() = Some((Instant::now(), list.clone()));
    }
    Ok(list)
}

async fn ask_all(front: &Front, head: &Parts) -> Result<List, Refused> {
    let asked = stream::iter(ready_endpoints(front)).map(|endpoint| ask(front, head, endpoint));
    let mut answers = pin!(asked.buffered(MODELS_CONCURRENT_MAX));
    let mut pages = Vec::new();
    let mut refusal = None;
    while let Some(answer) = answers.next().await {
        match answer {
            Some((StatusCode::OK, page)) => pages.push(page),
            Some(other) => refusal = refusal.or(Some(other)),
            None => {}
        }
    }
    if !pages.is_empty() {
        return Ok(List::Union(union_models(pages.iter().map(|page| &page[..]))));
    }
    match refusal {
        Some((status, body)) => Ok(List::Refused(status, body)),
        None => Err(Refusal::NoEndpoint.into()),
    }
}

fn ready_endpoints(front: &Front) -> Vec<Arc<Endpoint>> {
    let view = front.pool.view();
    let ready = view.endpoints.into_iter().filter(|endpoint| endpoint.barred.is_none());
    ready
        .map(|endpoint| {
            let (name, authority) = (endpoint.name, endpoint.authority);
            Arc::new(Endpoint { id: endpoint.id, name, authority })
        })
        .collect()
}

/// One endpoint's answer; `None` where there is none of use in time.
async fn ask(front: &Front, head: &Parts, endpoint: Arc<Endpoint>) -> Option<(StatusCode, Bytes)> {
    let target = front.targets.of(&endpoint, &front.pool);
    let mut request = Request::get(PATH).body(UpstreamBody::Empty).ok()?;
    if let Some(credentials) = head.headers.get(AUTHORIZATION) {
        request.headers_mut().insert(AUTHORIZATION, credentials.clone());
    }
    let asking = async {
        let response = front.upstreams.send(target.upstream.as_ref()?, request).await.ok()?;
        let status = response.status();
        Some((status, collect_bounded(response.into_body(), MODELS_PAGE_BYTES_MAX).await.ok()?))
    };
    timeout(MODELS_TIMEOUT, asking).await.ok().flatten()
}

/// The entry called `id`, as it stands in `list`.
fn entry(list: &[u8], id: &str) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Page<'a> {
        #[serde(borrow)]
        data: Vec<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        id: Cow<'a, str>,
    }
    let page: Page<'_> = serde_json::from_slice(list).ok()?;
    let named =
        |entry: &&RawValue| serde_json::from_str::<Named<'_>>(entry.get()).is_ok_and(|named| named.id == id);
    page.data.into_iter().find(named).map(|entry| Bytes::copy_from_slice(entry.get().as_bytes()))
}

/// `text` with its percent escapes undone; an escape that is none stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                digit(*high).zip(digit(*low)).map(|(high, low)| (high << 4 | low) as u8)
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, path: &str) -> Option<Listing> {
        let (head, ()) = Request::builder().method(method).uri(path).body(()).unwrap().into_parts();
        listing(&head)
    }

    #[test]
    fn model_names_may_hold_slashes_and_escapes() {
        assert_eq!(asked(Method::GET, "/v1/models"), Some(Listing::All));
        assert_eq!(asked(Method::GET, "/v1/models?limit=3"), Some(Listing::All));
        for (path, id) in [
            ("/v1/models/tiny", "tiny"),
            ("/v1/models/meta-llama/Llama-3", "meta-llama/Llama-3"),
            ("/v1/models/meta-llama%2FLlama%", "meta-llama/Llama%"),
            ("/v1/models/a%zzb%2", "a%zzb%2"),
        ] {
            assert_eq!(asked(Method::GET, path), Some(Listing::One(id.to_owned())));
        }
    }

    #[test]
    fn other_requests_are_not_about_models() {
        assert_eq!(asked(Method::POST, "/v1/models"), None);
        assert_eq!(asked(Method::GET, "/v1/modelsx"), None);
        assert_eq!(asked(Method::GET, "/v1/models/"), None);
        assert_eq!(asked(Method::GET, "/v2/models"), None);
    }

    #[test]
    fn an_entry_is_given_as_written() {
        let list = br#"{"object":"list","data":[{"id":"a"},{ "id" : "b", "x":1 }]}"#;
        assert_eq!(entry(list, "b").unwrap(), r#"{ "id" : "b", "x":1 }"#);
        assert_eq!(entry(list, "c"), None);
    }
}
