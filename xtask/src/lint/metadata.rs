//! The part of `cargo metadata` that the checks read.
//!
//! It is read with `--locked`: a lock file that does not match the manifests is a fault of its own.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process;

/// All packages of the build, ours and others'.
#[derive(Deserialize, Default)]
pub struct Metadata {
    pub packages: Vec<Package>,
    pub workspace_members: Vec<String>,
    #[serde(default)]
    pub workspace_root: String,
}

#[derive(Deserialize, Default, Clone)]
pub struct Package {
    pub id: String,
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub manifest_path: String,
    pub dependencies: Vec<Dependency>,
}

#[derive(Deserialize, Default, Clone)]
pub struct Dependency {
    pub name: String,
    pub kind: Option<Kind>,
}

/// What a dependency is for; none in the metadata means: for the crate itself.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Dev,
    Build,
}

impl Metadata {
    /// Asks cargo about the workspace at this root.
    pub fn read(root: &Path) -> Result<Self> {
        let mut command = process::cargo();
        command.current_dir(root).args(["metadata", "--format-version", "1", "--locked"]);
        let text =
            process::output(&mut command).context("cargo metadata failed: is Cargo.lock up to date?")?;
        serde_json::from_str(&text).context("cargo metadata printed something unexpected")
    }

    /// The packages of this workspace.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// The manifest's path from the root.
    pub fn manifest<'a>(&self, package: &'a Package) -> &'a str {
        let path = package.manifest_path.strip_prefix(&self.workspace_root).unwrap_or(&package.manifest_path);
        path.trim_start_matches('/')
    }
}
