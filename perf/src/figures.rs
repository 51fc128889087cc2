//! Figures as results carry them.

use std::fmt;

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

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(f, "p50 {p50} µs, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}")
    }
}

/// A histogram of nanoseconds for values of which the same often follows: messages that came
/// together have one time.
#[derive(Debug)]
pub(crate) struct Recorder {
    histogram: Histogram<u64>,
    /// Not yet taken down: the last value, and how often it came.
    last: u64,
    times: u64,
}

impl Recorder {
    /// Without a value.
    pub(crate) fn new() -> Self {
        Self { histogram: histogram(), last: 0, times: 0 }
    }

    /// Takes a value.
    pub(crate) fn record(&mut self, value: u64) {
        if value != self.last {
            self.histogram.saturating_record_n(self.last, self.times);
            (self.last, self.times) = (value, 0);
        }
        self.times += 1;
    }

    /// All values.
    pub(crate) fn into_histogram(mut self) -> Histogram<u64> {
        self.histogram.saturating_record_n(self.last, self.times);
        self.histogram
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

    /// The same in another unit.
    pub(crate) fn times(self, factor: f64) -> Self {
        let Self { median, min, max } = self;
        Self { median: median * factor, min: min * factor, max: max * factor }
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

/// A number in few characters, three digits of which count: `1.5M`, `20k`, `0.00125`.
pub(crate) fn short(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    // Rounded first: 999.9 is `1k`.
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    let (scaled, unit) = match rounded.abs() {
        size if size >= 1e9 => (rounded / 1e9, "G"),
        size if size >= 1e6 => (rounded / 1e6, "M"),
        size if size >= 1e3 => (rounded / 1e3, "k"),
        _ => (rounded, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        size if size >= 0.01 => 4,
        _ => 5,
    };
    let text = format!("{scaled:.digits$}");
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_keep_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (0.012_34, "0.0123"),
            (0.001_254, "0.00125"),
            (12.0, "12"),
            (-3.456, "-3.46"),
            (999.9, "1k"),
            (1350.0, "1.35k"),
            (20_000.0, "20k"),
            (999_600.0, "1M"),
            (1.5e6, "1.5M"),
            (3e9, "3G"),
        ] {
            assert_eq!(short(value), text, "{value}");
        }
    }

    #[test]
    fn a_recorder_takes_every_value() {
        let (mut recorder, mut plain) = (Recorder::new(), histogram());
        for value in [5_000, 5_000, 7_000, 5_000, 0, 0, 9_000] {
            recorder.record(value);
            plain.saturating_record(value);
        }
        assert_eq!(recorder.into_histogram(), plain);
        assert!(Recorder::new().into_histogram().is_empty());
        assert_eq!(Percentiles::default().to_string(), "p50 0 µs, p90 0, p99 0, p99.9 0, max 0");
    }

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
