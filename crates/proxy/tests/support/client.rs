//! A client that speaks bytes.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

/// An answer as the client got it.
#[derive(Clone, Debug)]
pub struct Got {
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    pub body: String,
}

impl Got {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// A member of the OpenAI error object.
    pub fn error(&self, member: &str) -> serde_json::Value {
        let body: serde_json::Value =
            serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"));
        body["error"][member].clone()
    }
}

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    #[allow(clippy::disallowed_methods)] // a client as others write it
    pub async fn connect(addr: SocketAddr) -> Client {
        Client { stream: TcpStream::connect(addr).await.unwrap(), buffer: Vec::new() }
    }

    /// Says `text`.
    pub async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    /// Says `bytes`. A gateway that closes first is no fault.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Asks and takes the whole answer.
    pub async fn ask(&mut self, text: &str) -> Got {
        self.send(text).await;
        self.answer().await
    }

    /// The next answer, which must be whole.
    pub async fn answer(&mut self) -> Got {
        let head = self.head().await;
        let header = |name: &str| {
            Got { status: 0, head: head.clone(), body: String::new() }.header(name).map(str::to_owned)
        };
        let body = if header("transfer-encoding").is_some() {
            self.chunks().await
        } else {
            let length = header("content-length").map_or(0, |length| length.parse().unwrap());
            String::from_utf8(self.take(length).await).unwrap()
        };
        Got { status: status(&head), head, body }
    }

    /// The next answer's head.
    pub async fn head(&mut self) -> String {
        self.until_text("\r\n\r\n").await
    }

    /// Reads until what comes has `text` in it, and gives all of that.
    pub async fn until_text(&mut self, text: &str) -> String {
        soon(async {
            loop {
                let at = self.buffer.windows(text.len()).position(|window| window == text.as_bytes());
                if let Some(at) = at {
                    return String::from_utf8(self.take(at + text.len()).await).unwrap();
                }
                let read = self.stream.read_buf(&mut self.buffer).await.unwrap_or(0);
                let so_far = String::from_utf8_lossy(&self.buffer);
                assert!(read > 0, "closed before {text:?} came, after {so_far:?}");
            }
        })
        .await
    }

    /// What comes until the gateway closes.
    pub async fn rest(&mut self) -> String {
        // A reset ends it as well as an orderly close.
        let _ = soon(self.stream.read_to_end(&mut self.buffer)).await;
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// Closes the sending side.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    async fn chunks(&mut self) -> String {
        let mut body = String::new();
        loop {
            let size = self.until_text("\r\n").await;
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            if size == 0 {
                while self.until_text("\r\n").await != "\r\n" {}
                return body;
            }
            let data = self.take(size + 2).await;
            body.push_str(std::str::from_utf8(&data[..size]).unwrap());
        }
    }

    async fn take(&mut self, count: usize) -> Vec<u8> {
        soon(async {
            while self.buffer.len() < count {
                let read = self.stream.read_buf(&mut self.buffer).await.unwrap_or(0);
                let so_far = String::from_utf8_lossy(&self.buffer);
                assert!(read > 0, "closed before {count} bytes came, after {so_far:?}");
            }
        })
        .await;
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }
}

/// The status of a head.
pub fn status(head: &str) -> u16 {
    head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line")
}
