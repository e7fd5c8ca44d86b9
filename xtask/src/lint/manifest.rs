//! A line reader for the dependency sections of a `Cargo.toml`.
//!
//! Cargo's metadata does not tell how a dependency was written, and a comment is in no parsed form; so this reads lines.
//! It knows one entry a line, which is the only form that the repository uses.

/// One dependency line.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The section without brackets, such as `workspace.dependencies`.
    pub section: &'a str,
    pub name: &'a str,
    /// What stands after the `=`.
    pub value: &'a str,
    /// Counted from 1.
    pub line: usize,
    /// The line above is a comment other than a heading (`# --- …`).
    pub has_reason: bool,
    /// Taken from the root with `workspace = true`.
    pub inherited: bool,
}

/// All entries of all sections whose name ends with `dependencies`.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut section = "";
    let mut above = "";
    let mut found = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let line = raw.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if section.ends_with("dependencies")
            && !line.starts_with('#')
            && let Some((key, value)) = line.split_once('=')
        {
            let (key, value) = (key.trim(), value.trim());
            let dotted = key.strip_suffix(".workspace");
            let inherited =
                (dotted.is_some() && value == "true") || value.replace(' ', "").contains("{workspace=true");
            let has_reason = above.starts_with('#') && !above.starts_with("# ---");
            found.push(Entry {
                section,
                name: dotted.unwrap_or(key),
                value,
                line: index + 1,
                has_reason,
                inherited,
            });
        }
        above = line;
    }
    found
}

/// The line on which a manifest names this dependency, counted from 1; 1 when it does not.
pub fn line_of(text: &str, name: &str) -> usize {
    entries(text).iter().find(|entry| entry.name == name).map_or(1, |entry| entry.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: &str = "[package]\nname = \"x\"\n\n[dependencies]\nbytes.workspace = true\nhttp = { workspace = true, features = [\"std\"] }\n\n[dev-dependencies]\n# why\nproptest = \"1\"\n";

    #[test]
    fn both_ways_of_inheriting_are_seen() {
        let entries = entries(MEMBER);
        let seen: Vec<_> =
            entries.iter().map(|entry| (entry.name, entry.line, entry.inherited, entry.has_reason)).collect();
        assert_eq!(
            seen,
            [("bytes", 5, true, false), ("http", 6, true, false), ("proptest", 10, false, true)]
        );
        assert_eq!(entries[2].section, "dev-dependencies");
    }

    #[test]
    fn a_heading_is_no_reason() {
        let entries = entries("[workspace.dependencies]\n# --- ours ---\na = \"1\"\n# locks\nb = \"1\"\n");
        assert_eq!(entries.iter().map(|entry| entry.has_reason).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_line_is_found_by_its_name() {
        assert_eq!(line_of(MEMBER, "http"), 6);
        assert_eq!(line_of(MEMBER, "absent"), 1);
    }
}
