//! The engine's clock, stretched against the wall clock by a factor.
//!
//! Always holds: engine time follows from the wall clock's distance to the start, never from sums of waits, so
//! late timers do not add up.

use std::time::Duration;

use tokio::time::Instant;

/// Maps between engine time and wall time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Wall seconds per engine second.
    scale: f64,
}

impl Clock {
    /// A clock that starts now; `scale` is made positive.
    pub(crate) fn start(scale: f64) -> Clock {
        let scale = if scale.is_finite() && scale > 0.0 { scale } else { 1.0 };
        Clock { start: Instant::now(), scale }
    }

    /// Engine time now.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed().div_f64(self.scale)
    }

    /// The wall-clock length of `engine` time.
    pub(crate) fn real(&self, engine: Duration) -> Duration {
        if self.scale == 1.0 { engine } else { engine.mul_f64(self.scale) }
    }

    /// When it will be `engine` time. Rounded up, so that waking then never finds it too early.
    pub(crate) fn instant(&self, engine: Duration) -> Instant {
        self.start + self.real(engine) + Duration::from_nanos(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stretched_clock_runs_slower_by_its_factor() {
        let clock = Clock::start(10.0);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Duration::from_millis(500));
        assert!(clock.instant(Duration::from_millis(500)) >= Instant::now());
        assert_eq!(clock.real(Duration::from_millis(3)), Duration::from_millis(30));
    }
}
