use super::*;
use proptest::prelude::*;

const BOUND: usize = 1000;

/// Feeds `bytes` in pieces of `piece` bytes, then closes when asked to.
fn read(bytes: &[u8], piece: usize, close: bool) -> (Answer, Result<Progress, AnswerError>) {
    let mut answer = Answer::new(BOUND);
    answer.start();
    for piece in bytes.chunks(piece) {
        answer.room().extend_from_slice(piece);
        match answer.advance() {
            Ok(Progress::Part) => {}
            ended => return (answer, ended),
        }
    }
    let ended = if close { answer.end() } else { Ok(Progress::Part) };
    (answer, ended)
}

/// The same whatever the pieces are.
fn whole(bytes: &[u8], close: bool) -> (u16, Vec<u8>, bool) {
    let mut answers: Vec<_> = [1, 2, 3, 7, 4096]
        .iter()
        .map(|piece| {
            let (answer, ended) = read(bytes, *piece, close);
            assert_eq!(ended, Ok(Progress::Whole), "in pieces of {piece}");
            (answer.status(), answer.body().to_vec(), answer.keep_alive())
        })
        .collect();
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

fn fails(bytes: &[u8], close: bool) -> AnswerError {
    let errors: Vec<_> = [1, 5, 4096].iter().map(|piece| read(bytes, *piece, close).1).collect();
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
    errors[0].unwrap_err()
}

#[test]
fn a_sized_answer_ends_with_its_length() {
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(whole(bytes, false), (200, b"hello".to_vec(), true));
}

#[test]
fn chunks_are_joined() {
    let one = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    assert_eq!(whole(one, false), (200, b"hello".to_vec(), true));
    let many = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
        5;x=y\r\nhello\r\nA\r\n, world in\r\n007\r\n chunks\r\n0\r\ntrailer: x\r\n\r\n";
    assert_eq!(whole(many, false), (200, b"hello, world in chunks".to_vec(), true));
}

#[test]
fn an_answer_without_length_ends_with_the_connection() {
    let bytes = b"HTTP/1.0 200 OK\r\n\r\nuntil the end";
    assert_eq!(whole(bytes, true), (200, b"until the end".to_vec(), false));
}

#[test]
fn connection_headers_decide_on_reuse() {
    let keep = |head: &str| whole(format!("{head}content-length: 0\r\n\r\n").as_bytes(), false).2;
    assert!(keep("HTTP/1.1 200 OK\r\n"));
    assert!(!keep("HTTP/1.1 200 OK\r\nconnection: close\r\n"));
    assert!(!keep("HTTP/1.0 200 OK\r\n"));
    assert!(keep("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n"));
}

#[test]
fn bytes_behind_the_answer_end_the_connection() {
    let (answer, ended) = read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1", 4096, false);
    assert_eq!(ended, Ok(Progress::Whole));
    assert_eq!(answer.body(), b"ok");
    assert!(!answer.keep_alive());
}

#[test]
fn interim_answers_are_passed_over() {
    let bytes = b"HTTP/1.1 103 Early\r\nx: y\r\n\r\nHTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno";
    assert_eq!(whole(bytes, false), (404, b"no".to_vec(), true));
}

#[test]
fn answers_without_a_body_end_with_the_head() {
    assert_eq!(whole(b"HTTP/1.1 204 No\r\n\r\n", false), (204, vec![], true));
}

#[test]
fn what_is_not_http_is_refused() {
    for bytes in [
        &b"\x00\x01\x02\x03"[..],
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
    ] {
        assert_eq!(fails(bytes, false), AnswerError::NotHttp, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn endless_heads_and_chunk_lines_are_refused() {
    let head = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; HEAD_BYTES_MAX]].concat();
    assert_eq!(read(&head, 4096, false).1, Err(AnswerError::NotHttp));
    let line = [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), vec![b'0'; 300]].concat();
    assert_eq!(fails(&line, false), AnswerError::NotHttp);
}

#[test]
fn a_connection_that_ends_early_tells_how_far_it_came() {
    assert_eq!(fails(b"", true), AnswerError::Closed);
    assert_eq!(fails(b"HTTP/1.1 200", true), AnswerError::NotHttp);
    assert_eq!(fails(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", true), AnswerError::Truncated);
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    assert_eq!(fails(chunked, true), AnswerError::Truncated);
}

#[test]
fn a_body_beyond_the_bound_is_refused_however_it_is_framed() {
    let sized = b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n";
    assert_eq!(fails(sized, false), AnswerError::TooLarge);
    let huge = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n";
    assert_eq!(fails(huge, false), AnswerError::TooLarge);
    let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3E9\r\n";
    assert_eq!(fails(chunk, false), AnswerError::TooLarge);
    let tiny_chunks = [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        b"1\r\nx\r\n".repeat(HEAD_BYTES_MAX),
    ]
    .concat();
    assert_eq!(read(&tiny_chunks, 512, false).1, Err(AnswerError::TooLarge));
    let until_close = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; BOUND + 1]].concat();
    assert_eq!(read(&until_close, 512, true).1, Err(AnswerError::TooLarge));
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 2 * HEAD_BYTES_MAX]].concat();
    assert_eq!(read(&endless, 512, false).1, Err(AnswerError::TooLarge));
}

#[test]
fn memory_follows_the_size_of_answers_down() {
    let mut answer = Answer::new(1 << 20);
    let fill = |answer: &mut Answer, bytes: usize| {
        answer.start();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
        answer.room().extend_from_slice(head.as_bytes());
        answer.advance().unwrap();
        answer.room().extend(std::iter::repeat_n(b'x', bytes));
        assert_eq!(answer.advance(), Ok(Progress::Whole));
    };
    fill(&mut answer, 1 << 20);
    fill(&mut answer, 1000);
    answer.start();
    assert!(answer.buffer.capacity() <= KEEP_BYTES, "{}", answer.buffer.capacity());
    fill(&mut answer, 50_000);
    let capacity = answer.buffer.capacity();
    for _ in 0..10 {
        fill(&mut answer, 50_000);
    }
    assert_eq!(answer.buffer.capacity(), capacity);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_the_body_stays_within_its_bound(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        chunked in any::<bool>(),
        piece in 1usize..40,
    ) {
        let head = if chunked { "transfer-encoding: chunked" } else { "content-length: 100" };
        let bytes = [format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n").as_bytes(), &bytes].concat();
        let (answer, _) = read(&bytes, piece, true);
        prop_assert!(answer.body().len() <= BOUND);
    }

    #[test]
    fn any_chunking_gives_back_the_body(
        body in prop::collection::vec(any::<u8>(), 0..400),
        sizes in prop::collection::vec(1usize..60, 1..20),
        piece in 1usize..50,
    ) {
        let mut bytes = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        let mut rest = &body[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at((*size).min(rest.len()));
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
            rest = after;
        }
        bytes.extend(b"0\r\n\r\n");
        let (answer, ended) = read(&bytes, piece, false);
        prop_assert_eq!(ended, Ok(Progress::Whole));
        prop_assert_eq!(answer.body(), &body[..]);
        prop_assert!(answer.keep_alive());
    }
}
