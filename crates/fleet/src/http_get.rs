//! An HTTP/1.1 answer read into one reused buffer: head, length or chunks, end. Pure: bytes in, progress out.
//!
//! Scraping asks the same few servers for the same page twenty times a second. Reading into one buffer keeps
//! that free of allocations and its memory flat, which a general client cannot. Chunks are joined in place; the
//! usual single chunk is not moved at all. The body lies in one piece when the answer is whole.

use std::ops::Range;

/// Longest response head in bytes, and slack for the framing of chunks.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Most headers in a response.
const HEADERS_MAX: usize = 64;
/// Longest line that says a chunk's size, in bytes.
const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Room made for a read at least.
const READ_BYTES_MIN: usize = 4 * 1024;
/// Room kept from one answer to the next whatever its size.
const KEEP_BYTES: usize = 16 * 1024;

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to come.
    Part,
    /// The whole answer is here.
    Whole,
}

/// Why an answer cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error("the answer is not HTTP/1")]
    NotHttp,
    #[error("the answer is larger than its bound")]
    TooLarge,
    #[error("the answer broke off")]
    Truncated,
    #[error("the connection was closed before an answer")]
    Closed,
}

/// The buffer and what has been understood of it.
#[derive(Debug)]
pub(crate) struct Answer {
    buffer: Vec<u8>,
    body_bytes_max: usize,
    state: State,
    status: u16,
    keep_alive: bool,
    body: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    /// The body ends at this offset of the buffer.
    Sized(usize),
    /// The next chunk's size line begins at this offset.
    ChunkSize(usize),
    /// `left` bytes of a chunk begin at `at`.
    ChunkData {
        at: usize,
        left: usize,
    },
    /// The line feed behind a chunk begins at this offset.
    ChunkEnd(usize),
    /// A trailer line begins at this offset.
    Trailer(usize),
    /// The body ends with the connection.
    UntilClose,
    Whole,
}

impl Answer {
    /// Reads bodies of up to `body_bytes_max` bytes.
    pub(crate) fn new(body_bytes_max: usize) -> Answer {
        Answer {
            buffer: Vec::new(),
            body_bytes_max,
            state: State::Head,
            status: 0,
            keep_alive: false,
            body: 0..0,
        }
    }

    /// Forgets the last answer and keeps its memory, unless that is far larger than the answer was.
    pub(crate) fn start(&mut self) {
        let room = KEEP_BYTES.max(self.buffer.len().saturating_mul(4));
        self.buffer.clear();
        self.buffer.shrink_to(room);
        self.state = State::Head;
        self.status = 0;
        self.keep_alive = false;
        self.body = 0..0;
    }

    /// The buffer to append received bytes to; has room for some. Call [`Answer::advance`] after.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        let wanted = match self.state {
            State::Sized(end) => end.saturating_sub(self.buffer.len()),
            State::ChunkData { at, left } => (at + left).saturating_sub(self.buffer.len()),
            _ => 0,
        };
        self.buffer.reserve(wanted.max(READ_BYTES_MIN));
        &mut self.buffer
    }

    /// Whether any byte has come.
    pub(crate) fn begun(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Whether the head has come: an HTTP server lives there.
    pub(crate) fn has_head(&self) -> bool {
        self.state != State::Head
    }

    /// The status; 0 before the head has come.
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the connection can be used again; false before the answer is whole.
    pub(crate) fn keep_alive(&self) -> bool {
        self.state == State::Whole && self.keep_alive
    }

    /// The body, so far.
    pub(crate) fn body(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    /// Understands what was appended.
    pub(crate) fn advance(&mut self) -> Result<Progress, AnswerError> {
        loop {
            let before = self.state;
            match self.state {
                State::Head => self.head()?,
                State::Sized(end) => {
                    self.body.end = end.min(self.buffer.len());
                    if self.buffer.len() >= end {
                        self.finish(end);
                    }
                }
                State::ChunkSize(at) => self.chunk_size(at)?,
                State::ChunkData { at, left } => self.chunk_data(at, left),
                State::ChunkEnd(at) => self.chunk_end(at)?,
                State::Trailer(at) => self.trailer(at)?,
                State::UntilClose => self.body.end = self.buffer.len(),
                State::Whole => {}
            }
            if self.state == State::Whole {
                return Ok(Progress::Whole);
            }
            if self.state == before {
                break;
            }
        }
        // What chunks cost in framing counts: a page in one-byte chunks is no page.
        if self.buffer.len() > self.body_bytes_max.saturating_add(HEAD_BYTES_MAX) {
            return Err(AnswerError::TooLarge);
        }
        Ok(Progress::Part)
    }

    /// The connection has ended.
    pub(crate) fn end(&mut self) -> Result<Progress, AnswerError> {
        match self.state {
            State::UntilClose if self.body.len() > self.body_bytes_max => Err(AnswerError::TooLarge),
            State::UntilClose => {
                self.state = State::Whole;
                Ok(Progress::Whole)
            }
            State::Whole => Ok(Progress::Whole),
            State::Head if self.buffer.is_empty() => Err(AnswerError::Closed),
            State::Head => Err(AnswerError::NotHttp),
            _ => Err(AnswerError::Truncated),
        }
    }

    /// Gives the memory back, after an answer that was too large.
    pub(crate) fn release(&mut self) {
        self.buffer = Vec::new();
        self.start();
    }

    fn head(&mut self) -> Result<(), AnswerError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&self.buffer).map_err(|_| AnswerError::NotHttp)?;
        let httparse::Status::Complete(length) = parsed else {
            let fits = self.buffer.len() < HEAD_BYTES_MAX;
            return if fits { Ok(()) } else { Err(AnswerError::NotHttp) };
        };
        let status = response.code.unwrap_or(0);
        let framing = Framing::of(response.headers, response.version == Some(1))?;
        if (100..200).contains(&status) {
            // An interim answer; the real one follows.
            self.buffer.drain(..length);
            return self.head();
        }
        self.status = status;
        self.keep_alive = framing.keep_alive;
        self.body = length..length;
        self.state = match (status, framing.chunked, framing.length) {
            (204 | 304, _, _) => State::Sized(length),
            (_, true, _) => State::ChunkSize(length),
            (_, false, Some(bytes)) if bytes > self.body_bytes_max => return Err(AnswerError::TooLarge),
            (_, false, Some(bytes)) => State::Sized(length + bytes),
            (_, false, None) => {
                self.keep_alive = false;
                State::UntilClose
            }
        };
        Ok(())
    }

    fn chunk_size(&mut self, at: usize) -> Result<(), AnswerError> {
        let Some(line) = self.line(at)? else { return Ok(()) };
        let next = at + line.len() + 1;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let hex = !digits.is_empty() && digits.len() <= 8 && digits.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(digits).ok().filter(|_| hex);
        let size = size.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.ok_or(AnswerError::NotHttp)?;
        if size > self.body_bytes_max - self.body.len().min(self.body_bytes_max) {
            return Err(AnswerError::TooLarge);
        }
        if size == 0 {
            self.state = State::Trailer(next);
            return Ok(());
        }
        if self.body.is_empty() {
            self.body = next..next;
        }
        self.state = State::ChunkData { at: next, left: size };
        Ok(())
    }

    fn chunk_data(&mut self, at: usize, left: usize) {
        let here = left.min(self.buffer.len() - at);
        if at != self.body.end {
            self.buffer.copy_within(at..at + here, self.body.end);
        }
        self.body.end += here;
        self.state = match left - here {
            0 => State::ChunkEnd(at + here),
            left => State::ChunkData { at: at + here, left },
        };
    }

    fn chunk_end(&mut self, at: usize) -> Result<(), AnswerError> {
        match &self.buffer[at..] {
            [b'\r', b'\n', ..] => self.state = State::ChunkSize(at + 2),
            [b'\n', ..] => self.state = State::ChunkSize(at + 1),
            [] | [b'\r'] => {}
            _ => return Err(AnswerError::NotHttp),
        }
        Ok(())
    }

    fn trailer(&mut self, at: usize) -> Result<(), AnswerError> {
        let Some(line) = self.line(at)? else { return Ok(()) };
        let next = at + line.len() + 1;
        if line.trim_ascii().is_empty() {
            self.finish(next);
        } else {
            self.state = State::Trailer(next);
        }
        Ok(())
    }

    /// The line at `at` without its line feed, once it is complete.
    fn line(&self, at: usize) -> Result<Option<&[u8]>, AnswerError> {
        let rest = &self.buffer[at..];
        let seen = &rest[..rest.len().min(CHUNK_LINE_BYTES_MAX)];
        match seen.iter().position(|byte| *byte == b'\n') {
            Some(end) => Ok(Some(&rest[..end])),
            None if rest.len() >= CHUNK_LINE_BYTES_MAX => Err(AnswerError::NotHttp),
            None => Ok(None),
        }
    }

    /// The answer ends at `end`. Bytes beyond it were not asked for: that connection is not used again.
    fn finish(&mut self, end: usize) {
        self.keep_alive &= self.buffer.len() == end;
        self.state = State::Whole;
    }
}

/// What the headers say of the body's end and the connection's.
struct Framing {
    length: Option<usize>,
    chunked: bool,
    keep_alive: bool,
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>], http_1_1: bool) -> Result<Framing, AnswerError> {
        let mut framing = Framing { length: None, chunked: false, keep_alive: http_1_1 };
        for header in headers {
            let value = header.value.trim_ascii();
            if header.name.eq_ignore_ascii_case("content-length") {
                let length = length(value).ok_or(AnswerError::NotHttp)?;
                if framing.length.is_some_and(|other| other != length) {
                    return Err(AnswerError::NotHttp);
                }
                framing.length = Some(length);
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                framing.chunked = value.eq_ignore_ascii_case(b"chunked");
                if !framing.chunked {
                    return Err(AnswerError::NotHttp);
                }
            } else if header.name.eq_ignore_ascii_case("connection") {
                framing.keep_alive = if value.eq_ignore_ascii_case(b"close") {
                    false
                } else {
                    framing.keep_alive || value.eq_ignore_ascii_case(b"keep-alive")
                };
            }
        }
        Ok(framing)
    }
}

fn length(value: &[u8]) -> Option<usize> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    // Longer than any number of bytes that we would read, but still a number.
    let digits = std::str::from_utf8(value).ok().filter(|_| digits)?;
    Some(digits.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
