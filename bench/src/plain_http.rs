//! Small questions to servers on loopback: metrics pages, readiness, faults. Blocking, one kept connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How long a gateway may take until it has seen its endpoints.
const READY_MAX: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(10);

/// A server to ask.
pub struct Asked {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Asked {
    /// Nothing is opened before the first question.
    pub fn new(address: SocketAddr) -> Asked {
        Asked { address, connection: None }
    }

    /// Asks for `path`; once more where a kept connection has ended meanwhile.
    ///
    /// # Errors
    /// No answer, or none with a length.
    pub fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n");
        let kept = self.connection.is_some();
        match self.ask(&head) {
            Err(_) if kept => self.ask(&head),
            answer => answer,
        }
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// No answer, or none with a length.
    pub fn post(&mut self, path: &str, body: &str) -> anyhow::Result<Answer> {
        self.connection = None;
        let length = body.len();
        self.ask(&format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        ))
    }

    fn ask(&mut self, request: &str) -> anyhow::Result<Answer> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect_timeout(&self.address, ANSWER_MAX)?),
        };
        connection.get_ref().set_read_timeout(Some(ANSWER_MAX))?;
        connection.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        connection.read_line(&mut line)?;
        let status = line.split(' ').nth(1).context("no answer")?.parse()?;
        let mut length = 0;
        loop {
            line.clear();
            ensure!(connection.read_line(&mut line)? > 0, "the head ended early");
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body)?;
        self.connection = Some(connection);
        Ok(Answer { status, body: String::from_utf8(body)? })
    }
}

/// Waits until the gateway with this admin port takes requests.
///
/// # Errors
/// It does not in time.
pub fn wait_ready(admin: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_MAX;
    let mut asked = Asked::new(admin);
    while !asked.get("/readyz").is_ok_and(|answer| answer.status == 200) {
        ensure!(Instant::now() < deadline, "the gateway is not ready");
        sleep(READY_POLL);
    }
    Ok(())
}

/// The value of the first series on `page` that begins with `start`.
///
/// # Errors
/// There is none.
pub fn series(page: &str, start: &str) -> anyhow::Result<f64> {
    let line = page.lines().find(|line| line.starts_with(start)).with_context(|| format!("no {start}"))?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_beginning() {
        let page = "# HELP a b\na_total{x=\"1\"} 3\na{x=\"1\"} 4.5\n";
        assert_eq!(series(page, "a{").unwrap(), 4.5);
        assert!(series(page, "b{").is_err());
    }
}
