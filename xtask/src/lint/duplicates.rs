//! One version of every crate whose types or global state cross the borders between crates.
//!
//! Two versions of `http` compile until their types meet, two of `tokio` until a task looks for its runtime. Small
//! helper crates may exist twice; they only cost compile time and are counted.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Report, Workspace};
use crate::source::Finding;

const SINGLE: &[&str] = &[
    "arc-swap",
    "axum",
    "bytes",
    "clap",
    "http",
    "http-body",
    "http-body-util",
    "hyper",
    "hyper-util",
    "k8s-openapi",
    "kube",
    "parking_lot",
    "prometheus-client",
    "prost",
    "rustls",
    "serde",
    "serde_json",
    "socket2",
    "thiserror",
    "tokio",
    "tokio-rustls",
    "tokio-util",
    "tonic",
    "tower",
    "tracing",
    "tracing-subscriber",
];

/// Refuses a second version of any crate in the list.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let packages = &workspace.metadata.packages;
    let pairs = packages.iter().map(|package| (package.name.as_str(), package.version.as_str()));
    let several = several_versions(pairs);
    let mut findings = Vec::new();
    let mut others = Vec::new();
    for (name, versions) in several {
        if SINGLE.contains(&name) {
            let message = format!("{name} is built in {} versions: {}", versions.len(), versions.join(", "));
            findings.push(Finding::at("Cargo.lock", lock_line(workspace, name), message));
        } else {
            others.push(name);
        }
    }
    let others = if others.is_empty() { "none".to_owned() } else { others.join(", ") };
    let did = format!("{} packages; in several versions, which is allowed: {others}", packages.len());
    Ok(Report { did, findings })
}

fn several_versions<'a>(
    packages: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, version) in packages {
        versions.entry(name).or_default().push(version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    versions
}

fn lock_line(workspace: &Workspace, name: &str) -> usize {
    let wanted = format!("name = \"{name}\"");
    let lock = workspace.tree.get("Cargo.lock").map_or("", |file| &file.text);
    lock.lines().position(|line| line == wanted).map_or(1, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::super::metadata::{Metadata, Package};
    use super::*;
    use crate::source::Tree;

    fn workspace(packages: &[(&str, &str)]) -> Workspace {
        let package = |(name, version): &(&str, &str)| Package {
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            ..Package::default()
        };
        let metadata = Metadata { packages: packages.iter().map(package).collect(), ..Metadata::default() };
        Workspace { tree: Tree::of(&[("Cargo.lock", "[[package]]\nname = \"http\"\n")]), metadata }
    }

    #[test]
    fn a_second_http_is_refused_and_a_second_syn_is_counted() {
        let report =
            check(&workspace(&[("http", "0.2.9"), ("http", "1.1.0"), ("syn", "2.0.0"), ("syn", "3.0.0")]))
                .unwrap();
        assert_eq!(
            report.findings,
            [Finding::at("Cargo.lock", 2, "http is built in 2 versions: 0.2.9, 1.1.0")]
        );
        assert!(report.did.contains("allowed: syn"));
    }

    #[test]
    fn one_version_each_is_fine() {
        assert!(check(&workspace(&[("http", "1.1.0"), ("tokio", "1.54.0")])).unwrap().findings.is_empty());
    }
}
