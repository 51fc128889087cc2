//! Where a value is on an axis, and which values are written at it.

use crate::figures::{rounded, short};

/// How values are laid out.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Scale {
    /// Evenly, from 0.
    Linear { max: f64 },
    /// Each power of ten as long as the next.
    Log { min: f64, max: f64 },
    /// Parts of a whole, from the half on: what is left of it, each tenth as long as the one before.
    Quantiles { max: f64 },
    /// Names at whole numbers from 0.
    Names(Vec<String>),
}

impl Scale {
    /// From 0 to a round number that all values are below.
    pub(crate) fn linear(values: impl IntoIterator<Item = f64>) -> Self {
        let max = values.into_iter().fold(0.0, f64::max);
        let step = step(max);
        Self::Linear { max: ((max / step).ceil() * step).max(step) }
    }

    /// Around all values above 0.
    pub(crate) fn log(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut min, mut max) = (f64::INFINITY, 0.0_f64);
        for value in values.into_iter().filter(|value| *value > 0.0 && value.is_finite()) {
            (min, max) = (min.min(value), max.max(value));
        }
        if max == 0.0 {
            return Self::Log { min: 1.0, max: 10.0 };
        }
        // A little room, so that no point lies on the frame, and a power of ten at least, so that
        // noise does not look like a change.
        let room = (10.0 * min / max).sqrt().max(1.3);
        Self::Log { min: min / room, max: max * room }
    }

    /// Where a value is, 0 to 1; `None` for one that has no place.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let place = match self {
            Self::Linear { max } => value / max,
            Self::Log { min, max } if value > 0.0 => (value / min).ln() / (max / min).ln(),
            Self::Log { .. } => return None,
            Self::Quantiles { max } => (2.0 - 2.0 * value).ln() / (2.0 - 2.0 * max).ln(),
            Self::Names(names) => (value + 0.5) / names.len() as f64,
        };
        place.is_finite().then_some(place)
    }

    /// What is written at the axis, and where.
    pub(crate) fn ticks(&self) -> Vec<(f64, String)> {
        let ticks: Vec<(f64, String)> = match self {
            Self::Linear { max } => {
                let step = step(*max);
                let steps = std::iter::successors(Some(0.0), |at| Some(at + step));
                steps.take_while(|at| *at <= max * 1.001).map(|at| (at, short(at))).collect()
            }
            Self::Log { min, max } => log_ticks(*min, *max),
            Self::Quantiles { max } => {
                let ticks = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999_999];
                let shown = ticks.into_iter().filter(|at| at <= max);
                shown.map(|at| (at, format!("{} %", rounded(at * 100.0, 1e4)))).collect()
            }
            Self::Names(names) => {
                (0_u32..).zip(names).map(|(index, name)| (f64::from(index), name.clone())).collect()
            }
        };
        let placed = ticks.into_iter().map(|(at, text)| (self.place(at), text));
        placed.filter_map(|(place, text)| Some((place?, text))).collect()
    }
}

/// A distance of some five ticks up to `max`: 1, 2 or 5 times a power of ten.
fn step(max: f64) -> f64 {
    if max <= 0.0 {
        return 1.0;
    }
    let rough = max / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= rough);
    factor.unwrap_or(10.0) * power
}

/// Powers of ten; between them 2 and 5 when those alone would be few.
fn log_ticks(min: f64, max: f64) -> Vec<(f64, String)> {
    let decades = (max / min).log10();
    let factors: &[f64] = match decades {
        decades if decades < 1.5 => &[1.0, 2.0, 3.0, 5.0, 7.0],
        decades if decades < 3.0 => &[1.0, 2.0, 5.0],
        _ => &[1.0],
    };
    let mut ticks = Vec::new();
    let mut power = 10_f64.powf(min.log10().floor());
    while power <= max {
        let around = factors.iter().map(|factor| factor * power);
        let within = around.filter(|at| (min..=max).contains(at));
        ticks.extend(within.map(|at| (at, short(at))));
        power *= 10.0;
    }
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn a_linear_scale_begins_at_nothing_and_ends_at_a_round_number() {
        let scale = Scale::linear([3.0, 870.0]);
        assert_eq!(scale, Scale::Linear { max: 1000.0 });
        assert_eq!(labels(&scale), ["0", "200", "400", "600", "800", "1k"]);
        assert_eq!(scale.place(250.0), Some(0.25));
        assert_eq!(Scale::linear([]), Scale::Linear { max: 1.0 });
    }

    #[test]
    fn a_logarithmic_scale_has_no_place_for_nothing() {
        let scale = Scale::log([10.0, 100_000.0, 0.0]);
        assert_eq!(labels(&scale), ["10", "100", "1k", "10k", "100k"]);
        assert_eq!(scale.place(0.0), None);
        let middle = scale.place(1000.0).unwrap();
        assert!((middle - 0.5).abs() < 1e-9, "{middle}");
        assert_eq!(labels(&Scale::log([30.0, 40.0])), ["20", "30", "50", "70", "100"]);
        assert!(!labels(&Scale::log([])).is_empty());
    }

    #[test]
    fn quantiles_have_room_for_the_last_ones() {
        let scale = Scale::Quantiles { max: 0.9999 };
        let tenth = 10_f64.ln() / 5000_f64.ln();
        assert_eq!(labels(&scale), ["50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        for (quantile, place) in
            [(0.5, 0.0), (0.99, 1.0 - 2.0 * tenth), (0.999, 1.0 - tenth), (0.9999, 1.0)]
        {
            let at = scale.place(quantile).unwrap();
            assert!((at - place).abs() < 1e-9, "{quantile}: {at}");
        }
        assert_eq!(Scale::Quantiles { max: 0.5 }.place(0.5), None, "no room at all");
    }

    #[test]
    fn names_stand_in_the_middle_of_their_parts() {
        let scale = Scale::Names(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(scale.ticks(), [(0.25, "a".to_owned()), (0.75, "b".to_owned())]);
    }
}
