//! What is compared.

use clap::ValueEnum;
use serde::Serialize;

/// How requests are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// nginx, `hash` of the session's header, consistent.
    Hash,
    LeastWait,
    UpstreamDefault,
    LeastRequest,
    RoundRobin,
}

impl Arm {
    pub const ALL: [Arm; 5] =
        [Arm::Hash, Arm::LeastWait, Arm::UpstreamDefault, Arm::LeastRequest, Arm::RoundRobin];

    /// Name in tables.
    pub fn name(self) -> &'static str {
        self.policy().unwrap_or("hash")
    }

    /// The gateway's policy; none where nginx places.
    pub fn policy(self) -> Option<&'static str> {
        match self {
            Arm::Hash => None,
            Arm::LeastWait => Some("least-wait"),
            Arm::UpstreamDefault => Some("upstream-default"),
            Arm::LeastRequest => Some("least-request"),
            Arm::RoundRobin => Some("round-robin"),
        }
    }
}
