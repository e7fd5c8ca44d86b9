//! Seeded noise on step times. Off by default, so that a run is exactly its law.
//!
//! Three parts, each off at zero: a log-normal factor per step, rare stalls, and one speed factor per replica.

use fastrand::Rng;

const STALL_MS: core::ops::Range<f64> = 20.0..50.0;

/// How noisy step times are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Standard deviation of the logarithm of each step's factor.
    pub sigma: f64,
    /// Share of steps that stall for another 20 to 50 ms.
    pub stall_share: f64,
    /// Standard deviation of this replica's constant speed factor around 1.
    pub speed_spread: f64,
}

impl Noise {
    /// What real replicas look like: 5 % per step, 1 % of steps stall, replicas 3 % apart.
    pub const REALISTIC: Noise = Noise { sigma: 0.05, stall_share: 0.01, speed_spread: 0.03 };
}

/// The generator behind the noise of one engine.
#[derive(Clone, Debug)]
pub(crate) struct NoiseSource {
    noise: Noise,
    speed: f64,
    rng: Rng,
}

impl NoiseSource {
    pub fn new(noise: Noise, seed: u64) -> NoiseSource {
        let mut rng = Rng::with_seed(seed);
        let speed = (1.0 + noise.speed_spread * normal(&mut rng)).max(0.1);
        NoiseSource { noise, speed, rng }
    }

    /// The step's time with noise, in ms.
    pub fn apply(&mut self, step_ms: f64) -> f64 {
        if self.noise == Noise::default() {
            return step_ms;
        }
        let mut noisy_ms = step_ms * self.speed * (self.noise.sigma * normal(&mut self.rng)).exp();
        if self.rng.f64() < self.noise.stall_share {
            noisy_ms += STALL_MS.start + self.rng.f64() * (STALL_MS.end - STALL_MS.start);
        }
        noisy_ms
    }
}

/// A standard normal deviate (Box and Muller).
fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (core::f64::consts::TAU * rng.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_noise_a_step_takes_what_the_law_says() {
        assert_eq!(NoiseSource::new(Noise::default(), 1).apply(8.0), 8.0);
    }

    #[test]
    fn noise_keeps_the_mean_and_has_the_stated_spread() {
        let mut source = NoiseSource::new(Noise { sigma: 0.05, ..Noise::default() }, 7);
        let logs: Vec<f64> = (0..20_000).map(|_| source.apply(1.0).ln()).collect();
        let mean = logs.iter().sum::<f64>() / logs.len() as f64;
        let variance = logs.iter().map(|l| (l - mean).powi(2)).sum::<f64>() / logs.len() as f64;
        assert!(mean.abs() < 0.002, "{mean}");
        assert!((variance.sqrt() - 0.05).abs() < 0.002, "{variance}");
    }

    #[test]
    fn stalls_come_as_often_as_asked() {
        let mut source = NoiseSource::new(Noise { stall_share: 0.01, ..Noise::default() }, 7);
        let stalls = (0..20_000).filter(|_| source.apply(1.0) > 20.0).count();
        assert!((150..250).contains(&stalls), "{stalls}");
    }
}
