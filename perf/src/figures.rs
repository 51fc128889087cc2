//! Figures as results carry them.

use hdrhistogram::Histogram;
use roundel::Rotations;
use serde::{Deserialize, Serialize};

/// Longest time that a histogram tells apart: an hour.
const LONGEST_NS: u64 = 3_600_000_000_000;

/// Of a histogram, in microseconds; all 0 when nothing was taken down.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Percentiles {
    /// Of a histogram of nanoseconds.
    pub(crate) fn of(nanoseconds: &Histogram<u64>) -> Self {
        Self::by(|quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e3)
    }

    /// Of a token's times around the ring.
    pub(crate) fn of_rotations(rotations: &Rotations) -> Self {
        Self::by(|quantile| {
            let span = rotations.percentile(quantile * 100.0).unwrap_or_default();
            span.as_secs_f64() * 1e6
        })
    }

    /// Each from the value at its quantile, in microseconds.
    pub(crate) fn by(value_at: impl Fn(f64) -> f64) -> Self {
        let at = |quantile| rounded(value_at(quantile), 10.0);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }

    /// The greatest of each: that of the member that fared worst.
    pub(crate) fn worst<'a>(all: impl Iterator<Item = &'a Self>) -> Self {
        all.fold(Self::default(), |worst, one| Self {
            p50: worst.p50.max(one.p50),
            p90: worst.p90.max(one.p90),
            p99: worst.p99.max(one.p99),
            p999: worst.p999.max(one.p999),
            max: worst.max.max(one.max),
        })
    }
}

/// A figure over the runs that are valid.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Of values in any order; all 0 when there are none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let (upper, lower) = (values.len() / 2, (values.len() - 1) / 2);
        Self { median: f64::midpoint(values[lower], values[upper]), min: *min, max: *max }
    }
}

/// The least; 0 when there are none.
pub(crate) fn least(values: impl Iterator<Item = f64>) -> f64 {
    values.reduce(f64::min).unwrap_or(0.0)
}

/// An empty histogram of nanoseconds, exact to three digits.
#[expect(clippy::expect_used, reason = "the bounds are constants that hdrhistogram takes")]
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("bounds")
}

/// The nearest multiple of one of so many parts: 10 for one digit behind the point.
pub(crate) fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_histogram_are_microseconds() {
        let mut nanoseconds = histogram();
        for us in 1..=1000 {
            nanoseconds.record(us * 1000).unwrap();
        }
        let Percentiles { p50, p99, max, .. } = Percentiles::of(&nanoseconds);
        assert!((p50 - 500.0).abs() < 1.0 && (p99 - 990.0).abs() < 1.0, "{p50} {p99}");
        assert!((max - 1000.0).abs() < 1.0, "{max}");
        assert_eq!(Percentiles::of(&histogram()), Percentiles::default());
    }

    #[test]
    fn medians_are_of_the_middle() {
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(Spread::of([3.0, 1.0, 9.0]), Spread { median: 3.0, min: 1.0, max: 9.0 });
        assert_eq!(Spread::of([4.0, 2.0]), Spread { median: 3.0, min: 2.0, max: 4.0 });
    }
}
