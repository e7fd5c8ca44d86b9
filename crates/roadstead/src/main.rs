//! The `roadstead` binary.
fn main() {}
