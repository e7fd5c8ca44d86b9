//! Running averages that forget.

/// What is left of older observations when a new one comes in: about the last 32 count.
const KEEP: f64 = 1.0 - 1.0 / 32.0;

/// A running ratio of two sums. Large observations weigh more, so noise on tiny ones hardly moves it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RatioAverage {
    over: f64,
    under: f64,
}

impl RatioAverage {
    /// Adds `over / under`.
    pub fn add(&mut self, over: f64, under: f64) {
        if over.is_finite() && under.is_finite() && over >= 0.0 && under > 0.0 {
            self.over = self.over * KEEP + over;
            self.under = self.under * KEEP + under;
        }
    }

    /// The ratio, drawn towards `prior` as if `weight` of the denominator had been seen at that ratio.
    pub fn value(&self, prior: f64, weight: f64) -> f64 {
        (self.over + prior * weight) / (self.under + weight)
    }

    /// Forgets all but `share` of it.
    pub fn fade(&mut self, share: f64) {
        self.over *= share;
        self.under *= share;
    }

    /// How much of the denominator is remembered.
    pub fn weight(&self) -> f64 {
        self.under
    }
}

/// A running mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Average {
    ratio: RatioAverage,
    prior: f64,
}

impl Average {
    /// A mean that starts at `prior`, with the weight of one observation.
    pub fn new(prior: f64) -> Average {
        Average { ratio: RatioAverage::default(), prior }
    }

    /// Adds an observation.
    pub fn add(&mut self, value: f64) {
        self.ratio.add(value, 1.0);
    }

    /// The mean.
    pub fn value(&self) -> f64 {
        self.ratio.value(self.prior, 1.0)
    }
}
