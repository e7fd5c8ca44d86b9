//! `GET /v1/models` over several endpoints.

use crate::support::*;

fn page(ids: &[&str]) -> String {
    let entries: Vec<_> = ids.iter().map(|id| format!(r#"{{"id":"{id}","object":"model"}}"#)).collect();
    answer("200 OK", &format!(r#"{{"object":"list","data":[{}]}}"#, entries.join(",")))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: gw\r\n\r\n")
}

#[tokio::test]
async fn the_list_is_the_union_over_the_endpoints_and_is_kept_for_a_moment() {
    let (one, two) = (Endpoint::answering(page(&["a", "org/b"])), Endpoint::answering(page(&["a", "c"])));
    let gateway = Gateway::before(&[&one, &two]);
    let mut client = gateway.client().await;
    let got = client.ask(&get("/v1/models")).await;
    let list: serde_json::Value = serde_json::from_str(&got.body).unwrap();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect();
    assert_eq!(ids, ["a", "org/b", "c"]);

    let got = client.ask(&get("/v1/models/org%2Fb")).await;
    assert_eq!((got.status, got.body.as_str()), (200, r#"{"id":"org/b","object":"model"}"#));
    let got = client.ask(&get("/v1/models/nope")).await;
    assert_eq!((got.status, got.error("code")), (404, "model_not_found".into()));
    assert_eq!((one.seen().len(), two.seen().len()), (1, 1));
}

#[tokio::test]
async fn an_endpoint_that_does_not_list_is_left_out() {
    let (well, ill) = (Endpoint::answering(page(&["a"])), Endpoint::breaking_after(""));
    let gateway = Gateway::before(&[&well, &ill]);
    let got = gateway.client().await.ask(&get("/v1/models")).await;
    assert_eq!(got.status, 200);
    assert!(got.body.contains(r#""id":"a""#), "{}", got.body);
}

#[tokio::test]
async fn credentials_reach_the_endpoints_and_a_refusal_comes_back() {
    let endpoint = Endpoint::answering(answer("401 Unauthorized", r#"{"error":"Unauthorized"}"#));
    let gateway = Gateway::before(&[&endpoint]);
    let request = "GET /v1/models HTTP/1.1\r\nhost: gw\r\nauthorization: Bearer x\r\n\r\n";
    let got = gateway.client().await.ask(request).await;
    assert_eq!((got.status, got.body.as_str()), (401, r#"{"error":"Unauthorized"}"#));
    assert_eq!(endpoint.seen()[0].header("authorization"), Some("Bearer x"));
}

#[tokio::test]
async fn without_an_endpoint_there_is_no_list() {
    let gateway = Gateway::before(&[]);
    let got = gateway.client().await.ask(&get("/v1/models")).await;
    assert_eq!((got.status, got.error("code")), (503, "no_endpoint".into()));
}
