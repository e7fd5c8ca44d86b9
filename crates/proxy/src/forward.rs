//! The path of a request, from its head to the head of its answer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use hyper::body::Incoming;
use roadstead_core::{Refusal, RetryClass};
use roadstead_epp::FailureKind;
use roadstead_epp::{BodyUse, Exchange, Intake, Resolved};
use roadstead_net::collect_bounded;
use tokio::time::{sleep, timeout};

use crate::attempt::{Tried, Upstreamed, attempt};
use crate::models;
use crate::record::Record;
use crate::refuse::{Refused, discard};
use crate::request_head::{self, Client, Outgoing};
use crate::response::{self, Answer};
use crate::service::Front;
use crate::upload::Upload;

/// Answers one request.
pub(crate) async fn forward(
    front: &Arc<Front>,
    client: &Client,
    request: Request<Incoming>,
) -> Response<Answer> {
    let (mut head, body) = request.into_parts();
    let request_id = request_head::request_id(&mut head.headers);
    let mut record = Record::begin(front, &head.method, &head.uri, request_id);
    match answer(front, client, head, body, &mut record).await {
        Ok(Answered::Endpoint(answer, wants_load)) => {
            response::relay(answer, record, &front.limits, wants_load)
        }
        Ok(Answered::Own(answer)) => response::own(answer, record),
        Err(refused) => {
            record.refused(refused.refusal);
            response::own(refused.answer(), record)
        }
    }
}

enum Answered {
    Endpoint(Upstreamed, bool),
    Own(Response<Answer>),
}

async fn answer(
    front: &Arc<Front>,
    client: &Client,
    head: Parts,
    body: Incoming,
    record: &mut Record,
) -> Result<Answered, Refused> {
    request_head::admit(&head)?;
    if let Some(listing) = models::listing(&head) {
        return models::answer(front, &head, listing).await.map(Answered::Own);
    }
    let upload = take_body(front, &head, body).await?;
    let intake = look_at(front, &head, &upload, record)?;
    let movable = intake.retry == RetryClass::UntilFirstByte;
    let resolved = Resolved::of(intake, &head.headers);
    let exchange = front.pool.pick(resolved).await.map_err(|refusal| in_words(refusal, record))?;
    let exchange = record.exchange.insert(exchange);
    let outgoing = Outgoing::new(head, upload, client, movable);
    let answer = until_answered(front, &outgoing, exchange, movable).await?;
    Ok(Answered::Endpoint(answer, outgoing.wants_load))
}

/// Reads the body whole where the place depends on it.
async fn take_body(front: &Front, head: &Parts, body: Incoming) -> Result<Upload, Refused> {
    if BodyUse::of(&head.method, &head.uri, &head.headers) == BodyUse::Passing {
        return Ok(Upload::passing(body));
    }
    let limits = &front.limits;
    if request_head::announced_bytes(&head.headers) > limits.body_bytes_max as u64 {
        // A client that waits to be told to go on has sent nothing yet; any other may be sending.
        if !request_head::expects_continue(head) {
            discard(body).await;
        }
        return Err(roadstead_net::CollectError::TooLarge { max_bytes: limits.body_bytes_max }.into());
    }
    let reading = collect_bounded(body, limits.body_bytes_max);
    match unless_late(limits.body_timeout, reading).await {
        Some(whole) => Ok(Upload::Whole(whole?)),
        None => Err(Refusal::ClientTimeout.into()),
    }
}

/// The output of `future` if it comes within `limit`. What is ready at once needs no timer.
async fn unless_late<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return Some(output);
    }
    timeout(limit, future).await.ok()
}

fn look_at(front: &Front, head: &Parts, upload: &Upload, record: &mut Record) -> Result<Intake, Refused> {
    let body: Option<&Bytes> = match upload {
        Upload::Whole(bytes) => Some(bytes),
        Upload::Nothing | Upload::Passing(_) => None,
    };
    record.bytes_in = body.map_or(0, |body| body.len() as u64);
    let shape = front.pool.prefix_shape();
    let intake = Intake::of(&head.method, &head.uri, &head.headers, body.map(|body| &body[..]), shape)?;
    record.asks_for(&intake.model);
    Ok(intake)
}

/// Sends the request wherever the machine says, until an endpoint answers or the machine gives up.
async fn until_answered(
    front: &Front,
    outgoing: &Outgoing,
    exchange: &mut Exchange,
    movable: bool,
) -> Result<Upstreamed, Refused> {
    let mut late = pin!(sleep(front.limits.answer_timeout));
    loop {
        let target = front.targets.of(exchange.endpoint(), &front.pool);
        // Cancel safety: a try that is too late is given up, which closes its connection.
        let tried = tokio::select! {
            biased;
            tried = attempt(&front.upstreams, target, outgoing.request(), exchange, movable) => tried,
            () = &mut late => {
                exchange.broke(FailureKind::Timeout);
                return Err(Refusal::UpstreamTimeout.into());
            }
        };
        let failed = match tried {
            Tried::Answered(answer) => return Ok(answer),
            Tried::Moved => continue,
            Tried::Refused(refusal) => return Err(refusal.into()),
            Tried::Failed(failed) => failed,
        };
        let next = if outgoing.at_hand() {
            exchange.failed(failed.kind).await
        } else {
            exchange.broke(failed.kind);
            Err(Refusal::UpstreamFailed)
        };
        if let Err(refusal) = next {
            // Nobody takes it: the endpoint's own answer says more than ours.
            return failed.said.ok_or_else(|| refusal.into());
        }
    }
}

fn in_words(refusal: Refusal, record: &Record) -> Refused {
    match (refusal, record.model()) {
        (Refusal::UnknownModel, Some(model)) => Refused::unknown_model(model),
        _ => refusal.into(),
    }
}
