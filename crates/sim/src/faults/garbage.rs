//! A server that speaks no HTTP: it reads what comes and answers with bytes that mean nothing.
//!
//! Takes the listener's place while [`super::Faults::garbage`] is on. `POST /sim/faults` is still understood, in
//! its plainest form, so that the fault can be switched off again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use roadstead_net::Listener;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::read;
use crate::server::Sim;

/// A request read before it is answered: head and body.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Time for it to come.
const REQUEST_WAIT: Duration = Duration::from_secs(1);
const GARBAGE: &[u8] =
    b"\x16\x03\x01\x00\xa5\xff\xfe garbage \x00\x01\x02 no protocol that anybody speaks\r\n\r\n";
const SWITCH: &[u8] = b"POST /sim/faults ";
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Answers connections until the fault is switched off or `stop`.
pub(crate) async fn serve(listener: &Listener, sim: &Arc<Sim>, stop: &CancellationToken) {
    let tasks = TaskTracker::new();
    let mut faults = sim.watch_faults();
    loop {
        // Cancel safety: an accept that loses leaves its connection in the backlog.
        let (stream, _peer) = tokio::select! {
            () = stop.cancelled() => break,
            _ = faults.wait_for(|faults| !faults.garbage) => break,
            accepted = listener.accept() => accepted,
        };
        let sim = sim.clone();
        tasks.spawn(async move {
            // A peer that goes away or says nothing in time gets nothing.
            let _ = tokio::time::timeout(REQUEST_WAIT, answer(stream, &sim)).await;
        });
    }
    tasks.close();
    tasks.wait().await;
}

async fn answer(mut stream: TcpStream, sim: &Sim) -> io::Result<()> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await? == 0 || request.len() > REQUEST_BYTES_MAX {
            return Ok(());
        }
        match body_of(&request) {
            Some(body) if request.starts_with(SWITCH) => {
                let said = match read(&Bytes::copy_from_slice(body)) {
                    Ok(faults) => {
                        sim.set_faults(faults);
                        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                    }
                    Err(_) => "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
                };
                return stream.write_all(said.as_bytes()).await;
            }
            Some(_) => return stream.write_all(GARBAGE).await,
            None => {}
        }
    }
}

/// The body of a request that has come whole.
fn body_of(request: &[u8]) -> Option<&[u8]> {
    let end = request.windows(HEAD_END.len()).position(|window| window == HEAD_END)?;
    let (head, rest) = request.split_at(end);
    let body = &rest[HEAD_END.len()..];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let announced = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length = announced.and_then(|length| length.trim().parse::<usize>().ok()).unwrap_or(0);
    body.get(..length)
}
