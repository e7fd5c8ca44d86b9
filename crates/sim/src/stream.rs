//! The body of a streamed answer: one event a token, written when hyper asks for it.
//!
//! A script, made once per request, holds all text around the tokens, so that a token costs one copy of its
//! event. Events exist only once the connection has room for them: a slow reader holds back nothing but itself,
//! and what it has missed comes as many events in one frame. Dropping the body cancels what still runs.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use roadstead_engine::output_token;

use crate::api::generate::Answers;
use crate::driver::{Answer, Progress};

/// Events in one frame; further ones wait for the next.
const FRAME_EVENTS_MAX: u32 = 64;

/// The text around one answer's tokens.
#[derive(Debug, Default)]
pub(crate) struct ChoiceScript {
    /// Before each token.
    pub(crate) before: Vec<u8>,
    /// After each token but the last.
    pub(crate) after: Vec<u8>,
    /// After the last token.
    pub(crate) last: Vec<u8>,
    /// Where events are numbered: the number of the first, written after `after` and before this.
    pub(crate) numbered: Option<(u32, &'static [u8])>,
}

/// What is sent after all answers have ended; gets the answers for what quotes them.
pub(crate) type Closing = Box<dyn FnOnce(&[Answer]) -> Vec<u8> + Send>;

/// All text of a stream but the tokens.
pub(crate) struct Script {
    /// Sent with the first token.
    pub(crate) opening: Vec<u8>,
    /// By choice index.
    pub(crate) choices: Vec<ChoiceScript>,
    pub(crate) closing: Closing,
}

/// A stream of server-sent events.
pub(crate) struct EventStream {
    answers: Answers,
    script: Script,
    /// Tokens sent, by choice index.
    sent: Vec<u32>,
    opened: bool,
    over: bool,
    /// A fault: events after which the connection breaks.
    events_left: Option<u32>,
    breaking: bool,
}

impl EventStream {
    /// A stream of `answers`; with `break_after`, the connection breaks after so many token events.
    pub(crate) fn new(answers: Answers, script: Script, break_after: Option<u32>) -> EventStream {
        let sent = vec![0; answers.answers.len()];
        EventStream {
            answers,
            script,
            sent,
            opened: false,
            over: false,
            events_left: break_after,
            breaking: false,
        }
    }

    /// Writes what there is of choice `index`. Says whether the choice is through.
    fn write_choice(&mut self, index: usize, cx: &mut Context<'_>, out: &mut Vec<u8>) -> io::Result<bool> {
        let answer = &self.answers.answers[index];
        let from = self.sent[index];
        if from == answer.output_tokens {
            return Ok(true);
        }
        let produced = match answer.poll_progress(cx, from) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Progress::Tokens(produced) | Progress::Finished(produced)) => produced,
            Poll::Ready(Progress::Gone) => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        let mut to = produced.min(from + FRAME_EVENTS_MAX);
        if let Some(left) = &mut self.events_left {
            to = to.min(from + *left);
            *left -= to - from;
        }
        let script = &self.script.choices[index];
        out.reserve((to - from) as usize * (script.before.len() + script.last.len() + 16));
        if !self.opened {
            out.extend_from_slice(&self.script.opening);
            self.opened = true;
        }
        for token in from..to {
            out.extend_from_slice(&script.before);
            out.extend_from_slice(&output_token(answer.seed, token));
            let last = token + 1 == answer.output_tokens;
            out.extend_from_slice(if last { &script.last } else { &script.after });
            if let Some((first, end)) = script.numbered {
                write_number(out, first + token);
                out.extend_from_slice(end);
            }
        }
        self.sent[index] = to;
        Ok(to == answer.output_tokens)
    }

    /// Breaks the connection, but not before what was written has been sent: an error makes hyper drop that, so
    /// it gets one turn without news first.
    fn break_off(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if !self.breaking {
            self.breaking = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.over = true;
        Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
    }

    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut out = Vec::new();
        let mut through = true;
        for index in 0..self.sent.len() {
            match self.write_choice(index, cx, &mut out) {
                Ok(done) => through &= done,
                Err(error) => {
                    self.over = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        if out.is_empty() && self.events_left == Some(0) {
            return self.break_off(cx);
        }
        if through {
            self.over = true;
            let closing = std::mem::replace(&mut self.script.closing, Box::new(|_| Vec::new()));
            out.extend_from_slice(&closing(&self.answers.answers));
        }
        if out.is_empty() { Poll::Pending } else { Poll::Ready(Some(Ok(out.into()))) }
    }
}

impl Body for EventStream {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.get_mut().next(cx).map(|next| next.map(|read| read.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}

fn write_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(number.to_string().as_bytes());
}
