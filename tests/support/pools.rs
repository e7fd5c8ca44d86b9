//! What the admin port and metrics pages say.

use std::net::SocketAddr;

use serde_json::Value;

use super::client;

/// The endpoints of the only pool.
pub async fn endpoints(admin: SocketAddr) -> Vec<Value> {
    let page = client::get(admin, "/pools").await.json();
    page["pools"][0]["endpoints"].as_array().unwrap_or_else(|| panic!("no endpoints in {page}")).clone()
}

/// One endpoint.
pub async fn endpoint(admin: SocketAddr, name: &str) -> Value {
    let all = endpoints(admin).await;
    let found = all.iter().find(|endpoint| endpoint["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} among {all:?}")).clone()
}

/// The sum of the values of the series that begin with `series`.
pub async fn metric(from: SocketAddr, series: &str) -> f64 {
    let page = client::get(from, "/metrics").await.body;
    let lines = page.lines().filter(|line| line.starts_with(series));
    let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value)).unwrap_or_else(|| panic!("no {series}"))
}
