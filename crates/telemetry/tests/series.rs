//! Every series that this crate can register, with type, labels and buckets. Dashboards and alerts depend on
//! this list: a change here is a change for users.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fmt::Write;

use roadstead_telemetry::{
    Attempt, EndpointReading, InflightMetrics, MetricRegistry, PoolMetrics, RequestMetrics, SchedulerMetrics,
};

#[derive(Default)]
struct Series {
    kind: String,
    labels: String,
    buckets: Vec<String>,
}

/// One line a family: name, type, labels, then buckets.
fn table(page: &str) -> String {
    let mut families: BTreeMap<String, Series> = BTreeMap::new();
    let mut family = String::new();
    for line in page.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            family = name.to_owned();
            families.entry(family.clone()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') {
            read_sample(line, families.get_mut(&family).unwrap());
        }
    }
    let mut out = String::new();
    for (name, series) in families {
        writeln!(out, "{name} {} [{}] {}", series.kind, series.labels, series.buckets.join(" ")).unwrap();
    }
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

fn read_sample(line: &str, series: &mut Series) {
    let Some((_, rest)) = line.split_once('{') else { return };
    let (labels, _) = rest.split_once('}').unwrap();
    let mut names = Vec::new();
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap();
        match name {
            "le" => {
                let bound = value.trim_matches('"').to_owned();
                if !series.buckets.contains(&bound) {
                    series.buckets.push(bound);
                }
            }
            name => names.push(name),
        }
    }
    series.labels = names.join(",");
}

#[test]
fn every_series_has_its_type_labels_and_buckets() {
    let mut registry = MetricRegistry::new();
    let requests = RequestMetrics::register(registry.upstream());
    let scheduler = SchedulerMetrics::register(registry.upstream());
    let pool = PoolMetrics::register(registry.upstream());
    let inflight = InflightMetrics::register(registry.upstream());
    requests.for_labels("m", "t", "f", 0).error("queue_full");
    scheduler.set_build("abc", "main");
    scheduler.attempt(&Attempt {
        status: "success",
        target_model: "t",
        endpoint: "e",
        namespace: "n",
        port: "1",
    });
    pool.update("p", &[EndpointReading { name: "e", ready: true, waiting: Some(1), ..Default::default() }]);
    inflight.for_flow("e", "n", "f", 0).requests.set(1);

    insta::assert_snapshot!(table(&registry.encode()));
}
