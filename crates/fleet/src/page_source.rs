//! Where pages come from: one path of one endpoint over one keep-alive connection.
//!
//! The seam under the scrape loop and the models poll: their timing is tested with sources that have no sockets.

use std::future::Future;
use std::time::Duration;

use roadstead_net::{Upstream, connect_stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http_get::{Answer, AnswerError, Progress};

/// Time to connect and to write the request, each.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Gets one page again and again.
pub(crate) trait PageSource: Send {
    /// Connects if need be and writes the request. The answer before it is forgotten.
    fn send(&mut self) -> impl Future<Output = Result<(), SourceError>> + Send;

    /// Waits for more of the answer. Cancel safe: what was received stays.
    fn more(&mut self) -> impl Future<Output = Result<Progress, SourceError>> + Send;

    /// Whether the answer's head has come.
    fn has_head(&self) -> bool;

    /// The answer's status.
    fn status(&self) -> u16;

    /// The answer's body, once it is whole.
    fn body(&self) -> &[u8];

    /// Closes the connection. The next `send` makes a new one.
    fn close(&mut self);
}

/// Why no page came. The connection is closed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("no connection")]
    Connect,
    /// The endpoint had closed the idle connection: trying again on a new one is no failure yet.
    #[error("the idle connection was closed")]
    Stale,
    #[error("the connection broke before an answer")]
    Reset,
    #[error(transparent)]
    Answer(AnswerError),
}

/// Pages over a socket.
pub(crate) struct HttpSource {
    upstream: Upstream,
    request: Vec<u8>,
    stream: Option<TcpStream>,
    /// Whether an answer has come over this connection before.
    reused: bool,
    answer: Answer,
}

impl HttpSource {
    /// `GET path` at `upstream`, bodies up to `body_bytes_max`.
    pub(crate) fn new(upstream: Upstream, path: &str, accept: &str, body_bytes_max: usize) -> HttpSource {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: roadstead\r\naccept: {accept}\r\n\
             accept-encoding: identity\r\n\r\n",
            upstream.authority()
        );
        HttpSource {
            upstream,
            request: request.into_bytes(),
            stream: None,
            reused: false,
            answer: Answer::new(body_bytes_max),
        }
    }

    fn broken(&mut self) -> SourceError {
        let stale = self.reused && !self.answer.begun();
        let error = if stale {
            SourceError::Stale
        } else if self.answer.has_head() {
            SourceError::Answer(AnswerError::Truncated)
        } else {
            SourceError::Reset
        };
        self.close();
        error
    }

    fn progressed(&mut self, progress: Result<Progress, AnswerError>) -> Result<Progress, SourceError> {
        match progress {
            Ok(Progress::Part) => Ok(Progress::Part),
            Ok(Progress::Whole) => {
                self.reused = true;
                if !self.answer.keep_alive() {
                    self.close();
                }
                Ok(Progress::Whole)
            }
            Err(AnswerError::Closed) => Err(self.broken()),
            Err(error) => {
                self.close();
                if error == AnswerError::TooLarge {
                    self.answer.release();
                }
                Err(SourceError::Answer(error))
            }
        }
    }
}

impl PageSource for HttpSource {
    async fn send(&mut self) -> Result<(), SourceError> {
        self.answer.start();
        // Taken out while it is used: when this future is dropped half-way, so is the connection.
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                self.reused = false;
                connect_stream(&self.upstream, CONNECT_MAX).await.map_err(|_| SourceError::Connect)?
            }
        };
        match timeout(CONNECT_MAX, stream.write_all(&self.request)).await {
            Ok(Ok(())) => {
                self.stream = Some(stream);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(self.broken()),
        }
    }

    async fn more(&mut self) -> Result<Progress, SourceError> {
        let Some(stream) = &mut self.stream else { return Err(SourceError::Reset) };
        match stream.read_buf(self.answer.room()).await {
            Ok(0) => {
                let ended = self.answer.end();
                self.progressed(ended)
            }
            Ok(_) => {
                let progress = self.answer.advance();
                self.progressed(progress)
            }
            Err(_) => Err(self.broken()),
        }
    }

    fn has_head(&self) -> bool {
        self.answer.has_head()
    }

    fn status(&self) -> u16 {
        self.answer.status()
    }

    fn body(&self) -> &[u8] {
        self.answer.body()
    }

    fn close(&mut self) {
        self.stream = None;
        self.reused = false;
    }
}
