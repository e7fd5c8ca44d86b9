//! Which crate may use which: the workspace's layers as a table.
//!
//! The table says the same as ARCHITECTURE.md. A crate that is not in it may use nothing of ours, so a new crate starts
//! with a line here. A second table keeps heavy or far-reaching dependencies inside the crates that own them.

use anyhow::Result;

use super::manifest;
use super::metadata::{Kind, Package};
use super::{Report, Workspace};
use crate::source::Finding;

/// A crate of ours, what it may use of ours, and what its tests may use besides (`testkit` always).
struct Layer {
    name: &'static str,
    may_use: May,
    tests_may_use: &'static [&'static str],
}

enum May {
    Only(&'static [&'static str]),
    Everything,
}

const LAYERS: &[Layer] = &[
    layer("roadstead-core", &[]),
    layer("roadstead-wire", &["roadstead-core"]),
    layer("roadstead-engine", &["roadstead-core"]),
    layer("roadstead-api", &["roadstead-core"]),
    layer("roadstead-index", &["roadstead-core", "roadstead-api"]),
    layer("roadstead-picker", &["roadstead-core"]),
    layer("roadstead-net", &[]),
    layer("roadstead-telemetry", &[]),
    layer(
        "roadstead-fleet",
        &["roadstead-core", "roadstead-wire", "roadstead-picker", "roadstead-net", "roadstead-telemetry"],
    ),
    layer("roadstead-extproc", &["roadstead-core", "roadstead-wire", "roadstead-net", "roadstead-telemetry"]),
    layer(
        "roadstead-epp",
        &[
            "roadstead-core",
            "roadstead-wire",
            "roadstead-picker",
            "roadstead-fleet",
            "roadstead-extproc",
            "roadstead-telemetry",
        ],
    ),
    Layer {
        name: "roadstead-proxy",
        may_use: May::Only(&[
            "roadstead-core",
            "roadstead-wire",
            "roadstead-epp",
            "roadstead-net",
            "roadstead-telemetry",
        ]),
        // Its tests play the fleet: they make a machine and tell it facts.
        tests_may_use: &["roadstead-picker", "roadstead-fleet"],
    },
    layer("roadstead-kube", &["roadstead-core", "roadstead-api", "roadstead-index", "roadstead-telemetry"]),
    layer(
        "roadstead-sim",
        &["roadstead-core", "roadstead-wire", "roadstead-engine", "roadstead-net", "roadstead-telemetry"],
    ),
    layer("roadstead-lab", &["roadstead-core", "roadstead-engine", "roadstead-picker", "roadstead-loadgen"]),
    layer("roadstead-loadgen", &["roadstead-core", "roadstead-wire", "roadstead-net"]),
    layer("roadstead-testkit", &["roadstead-core", "roadstead-engine", "roadstead-picker"]),
    Layer { name: "roadstead", may_use: May::Everything, tests_may_use: &[] },
    Layer { name: "roadstead-bench", may_use: May::Everything, tests_may_use: &[] },
    layer("xtask", &[]),
];

/// Used by tests only, wherever it is used, and by the benchmarks.
const TESTS_ONLY: &str = "roadstead-testkit";
const BENCHMARKS: &str = "roadstead-bench";

/// Other people's crates that stop at a border, with the crates of ours inside it. A name ending in `*` is a prefix.
const BORDERS: &[(&[&str], &[&str])] = &[
    (&["kube", "kube-*", "k8s-openapi"], &["roadstead-api", "roadstead-kube"]),
    (&["envoy-types"], &["roadstead-extproc"]),
    (
        &["hyper", "hyper-util"],
        &[
            "roadstead-net",
            "roadstead-proxy",
            "roadstead-fleet",
            "roadstead-sim",
            "roadstead-loadgen",
            "roadstead",
            "roadstead-bench",
        ],
    ),
    (&["axum"], &["roadstead-sim", "roadstead"]),
];

const fn layer(name: &'static str, may_use: &'static [&'static str]) -> Layer {
    Layer { name, may_use: May::Only(may_use), tests_may_use: &[] }
}

/// Checks every edge between crates of ours, and every border.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let metadata = &workspace.metadata;
    let ours: Vec<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    let mut edges = 0;
    for package in metadata.members() {
        let path = metadata.manifest(package);
        let text = workspace.tree.get(path).map_or("", |file| &file.text);
        edges +=
            package.dependencies.iter().filter(|dependency| ours.contains(&dependency.name.as_str())).count();
        for (name, message) in faults(package, &ours) {
            findings.push(Finding::at(path, manifest::line_of(text, name), message));
        }
    }
    Ok(Report { did: format!("{edges} edges between {} crates", ours.len()), findings })
}

/// The dependencies of one crate that it may not have, each with what is wrong.
fn faults<'a>(package: &'a Package, ours: &[&str]) -> Vec<(&'a str, String)> {
    let user = package.name.as_str();
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == user) else {
        return vec![("", format!("{user} is not in the table of layers (xtask/src/lint/layers.rs)"))];
    };
    let mut found = Vec::new();
    for dependency in &package.dependencies {
        let used = dependency.name.as_str();
        let for_tests = dependency.kind == Some(Kind::Dev);
        if ours.contains(&used) {
            if used == TESTS_ONLY && !for_tests && user != BENCHMARKS {
                found.push((used, format!("{used} is for tests only: take it as a dev-dependency")));
            } else if used != TESTS_ONLY && !layer.allows(used, for_tests) {
                found.push((used, format!("{user} may not use {used} (xtask/src/lint/layers.rs)")));
            }
        } else if let Some((_, inside)) =
            BORDERS.iter().find(|(names, _)| names.iter().any(|name| matches(name, used)))
            && !inside.contains(&user)
        {
            found.push((used, format!("{used} stops at {}: {user} may not use it", inside.join(", "))));
        }
    }
    found
}

impl Layer {
    fn allows(&self, used: &str, for_tests: bool) -> bool {
        match self.may_use {
            May::Everything => true,
            May::Only(names) => names.contains(&used) || (for_tests && self.tests_may_use.contains(&used)),
        }
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::Dependency;
    use super::*;

    const OURS: &[&str] = &["roadstead-core", "roadstead-wire", "roadstead-picker", "roadstead-testkit"];

    fn uses(name: &str, dependencies: &[(&str, Option<Kind>)]) -> Package {
        let dependency =
            |(name, kind): &(&str, Option<Kind>)| Dependency { name: (*name).to_owned(), kind: *kind };
        Package {
            name: name.to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
            ..Package::default()
        }
    }

    fn messages(package: &Package) -> Vec<String> {
        faults(package, OURS).into_iter().map(|(_, message)| message).collect()
    }

    #[test]
    fn an_edge_of_the_table_is_fine() {
        assert!(messages(&uses("roadstead-wire", &[("roadstead-core", None), ("bytes", None)])).is_empty());
    }

    #[test]
    fn an_edge_outside_the_table_is_found_also_for_tests() {
        let expected = ["roadstead-picker may not use roadstead-wire (xtask/src/lint/layers.rs)"];
        assert_eq!(messages(&uses("roadstead-picker", &[("roadstead-wire", None)])), expected);
        assert_eq!(messages(&uses("roadstead-picker", &[("roadstead-wire", Some(Kind::Dev))])), expected);
    }

    #[test]
    fn tests_may_use_more_where_the_table_says_so() {
        let ours = ["roadstead-picker"];
        let uses_picker = |kind| uses("roadstead-proxy", &[("roadstead-picker", kind)]);
        assert!(faults(&uses_picker(Some(Kind::Dev)), &ours).is_empty());
        assert_eq!(faults(&uses_picker(None), &ours).len(), 1);
    }

    #[test]
    fn the_testkit_is_for_tests_and_benchmarks_only() {
        assert!(messages(&uses("roadstead-wire", &[("roadstead-testkit", Some(Kind::Dev))])).is_empty());
        assert_eq!(messages(&uses("roadstead", &[("roadstead-testkit", None)])).len(), 1);
        assert!(messages(&uses("roadstead-bench", &[("roadstead-testkit", None)])).is_empty());
    }

    #[test]
    fn a_crate_outside_the_table_is_found() {
        assert!(messages(&uses("roadstead-new", &[]))[0].contains("not in the table"));
    }

    #[test]
    fn borders_hold_and_know_prefixes() {
        assert_eq!(messages(&uses("roadstead-picker", &[("hyper", None)])).len(), 1);
        assert_eq!(messages(&uses("roadstead-core", &[("kube-runtime", None)])).len(), 1);
        assert!(messages(&uses("roadstead-net", &[("hyper", None)])).is_empty());
        assert!(messages(&uses("roadstead-kube", &[("kube-runtime", None)])).is_empty());
    }

    #[test]
    fn the_table_names_each_crate_once_and_has_no_circle() {
        // Each line uses only lines that the table can place before it.
        let mut placed: Vec<&str> = Vec::new();
        let only = |layer: &Layer| match layer.may_use {
            May::Only(names) => names.to_vec(),
            May::Everything => Vec::new(),
        };
        while placed.len() < LAYERS.len() {
            let ready = |layer: &&Layer| {
                !placed.contains(&layer.name) && only(layer).iter().all(|name| placed.contains(name))
            };
            let next = LAYERS
                .iter()
                .find(ready)
                .expect("the table of layers has a circle or names a crate that it lacks");
            placed.push(next.name);
        }
        assert!(
            LAYERS
                .iter()
                .enumerate()
                .all(|(i, layer)| LAYERS[..i].iter().all(|other| other.name != layer.name))
        );
    }
}
