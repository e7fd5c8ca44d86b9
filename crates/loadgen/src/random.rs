//! Seeded random numbers, split into independent streams.
//!
//! Each use has its own stream, keyed by what it is for and which item it is for, so that adding a draw in one place
//! changes nothing elsewhere and request 17 is the same request whatever was sent before it.

/// What a stream of random numbers is used for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Use {
    Arrivals = 1,
    Request = 2,
    GroupText = 3,
    GroupQuestion = 4,
    GroupOrder = 5,
    Session = 6,
    SharedText = 7,
    Lpg = 8,
}

/// The stream for item `index` of `what`.
pub(crate) fn stream(seed: u64, what: Use, index: u64) -> fastrand::Rng {
    fastrand::Rng::with_seed(mix(mix(mix(seed) ^ what as u64) ^ index))
}

/// The seed of stage `stage` of a run: rows of one run share no text, or the caches that one fills would help the next.
pub(crate) fn stage_seed(seed: u64, stage: u32) -> u64 {
    if stage == 0 { seed } else { mix(mix(seed) ^ (u64::from(stage) << 32)) }
}

/// An exponential draw with mean 1.
pub(crate) fn exponential(rng: &mut fastrand::Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// A standard normal draw (Box–Muller).
pub(crate) fn normal(rng: &mut fastrand::Rng) -> f64 {
    (2.0 * exponential(rng)).sqrt() * (std::f64::consts::TAU * rng.f64()).cos()
}

/// The finaliser of splitmix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
