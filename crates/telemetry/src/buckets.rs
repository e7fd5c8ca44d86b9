//! Histogram buckets, as upstream's where upstream has the series: dashboards and alerts count on them.

/// Durations of whole requests: 5 ms to an hour, in seconds.
pub const GENERAL_SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0, 480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0,
    3600.0,
];

/// Durations inside the scheduler: 0.1 ms to 0.1 s, in seconds.
pub const SCHEDULER_SECONDS: &[f64] = &[0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];

/// Prompt sizes in tokens. 32778 is upstream's, kept so that series can be added up.
pub const PROMPT_TOKENS: &[f64] = &[
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32778.0,
    65536.0, 131072.0, 262144.0, 524288.0, 1048576.0,
];

/// Output sizes in tokens.
pub const OUTPUT_TOKENS: &[f64] =
    &[1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0];

/// Request sizes in bytes: powers of two, 64 B to 1 GiB.
pub const REQUEST_BYTES: &[f64] = &[
    64.0,
    128.0,
    256.0,
    512.0,
    1024.0,
    2048.0,
    4096.0,
    8192.0,
    16384.0,
    32768.0,
    65536.0,
    131072.0,
    262144.0,
    524288.0,
    1048576.0,
    2097152.0,
    4194304.0,
    8388608.0,
    16777216.0,
    33554432.0,
    67108864.0,
    134217728.0,
    268435456.0,
    536870912.0,
    1073741824.0,
];

/// Response sizes in bytes; 32778 as in [`PROMPT_TOKENS`].
pub const RESPONSE_BYTES: &[f64] = &[
    1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32778.0,
    65536.0,
];

/// Request duration over output tokens, in seconds.
pub const NTPOT_SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// Time to first token, in seconds: the general family up to two minutes.
pub const TTFT_SECONDS: &[f64] = &[
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0,
    20.0, 30.0, 45.0, 60.0, 120.0,
];

/// Mean time per output token of one stream, in seconds. 0.00205 is upstream's.
pub const TPOT_SECONDS: &[f64] = &[
    0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8,
    1.0, 1.5, 2.0,
];

/// Time between two chunks of one stream, in seconds.
pub const ITL_SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_ascends() {
        let families = [
            GENERAL_SECONDS,
            SCHEDULER_SECONDS,
            PROMPT_TOKENS,
            OUTPUT_TOKENS,
            REQUEST_BYTES,
            RESPONSE_BYTES,
            NTPOT_SECONDS,
            TTFT_SECONDS,
            TPOT_SECONDS,
            ITL_SECONDS,
        ];
        for family in families {
            assert!(family.is_sorted_by(|a, b| a < b), "{family:?}");
        }
    }
}
