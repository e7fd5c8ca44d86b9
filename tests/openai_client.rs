//! The `openai` Python client against `roadstead up`.

#![allow(clippy::unwrap_used)] // what cannot go on fails its test

mod support;

use std::process::Command;

use support::{Gateway, MODEL, Process, skip};

/// Names a Python that has the client; `cargo xtask test` sets it.
const PYTHON: &str = "ROADSTEAD_PYTHON";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tools/openai/client.py");

#[tokio::test]
async fn the_openai_python_client_works() {
    let Some(python) = std::env::var_os(PYTHON) else {
        return skip("the openai Python client: ROADSTEAD_PYTHON is not set");
    };
    let gateway = Gateway::up(&["--replicas", "2", "--time-scale", "0.2"]).await;
    gateway.until_ready(2).await;
    let url = format!("http://{}/v1", gateway.address);
    let mut script = Process::start(Command::new(python).args([SCRIPT, &url, MODEL]));
    let status = script.ended().await;
    assert!(status.success(), "{}{}", script.out().text(), script.err().text());
    gateway.until_settled().await;
}
