use super::*;
use crate::testing::{RawClient, loopback, soon};

#[tokio::test]
async fn accepted_sockets_do_not_wait_for_acknowledgements() {
    let listener = Listener::bind(loopback()).unwrap();
    let addr = listener.local_addr().unwrap();
    let (_client, (stream, peer)) =
        soon(async { tokio::join!(RawClient::connect(addr), listener.accept()) }).await;
    assert!(stream.nodelay().unwrap());
    assert_eq!(peer.ip(), addr.ip());
}

#[tokio::test]
async fn a_taken_port_moves_to_the_next_free_one() {
    let (first, moved) = bind_or_next(loopback(), 0).unwrap();
    assert!(!moved);
    let taken = first.local_addr().unwrap();
    let (second, moved) = bind_or_next(taken, 50).unwrap();
    assert!(moved);
    assert!(second.local_addr().unwrap().port() > taken.port());
}

#[tokio::test]
async fn a_taken_port_is_an_error_when_no_other_may_be_tried() {
    let first = Listener::bind(loopback()).unwrap();
    let error = bind_or_next(first.local_addr().unwrap(), 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_no_reason_to_move() {
    let foreign: SocketAddr = "192.0.2.1:8080".parse().unwrap();
    let error = bind_or_next(foreign, 50).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
}

#[tokio::test]
async fn shared_listeners_have_the_same_port() {
    let first = Listener::bind_shared(loopback()).unwrap();
    let addr = first.local_addr().unwrap();
    let second = Listener::bind_shared(addr).unwrap();
    assert_eq!(second.local_addr().unwrap(), addr);
}
