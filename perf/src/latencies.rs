//! Latencies that processes and files hand on whole, so that percentiles can be those of many runs
//! together: percentiles themselves cannot be merged.

use data_encoding::BASE64;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize, de, ser};

use crate::figures::histogram;

/// A histogram of nanoseconds. As text it is what all tools of HdrHistogram read: the V2 encoding,
/// deflated, in base64.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// Those of a histogram of nanoseconds.
    pub(crate) const fn new(nanoseconds: Histogram<u64>) -> Self {
        Self(nanoseconds)
    }

    /// All in one; `None` of none.
    pub(crate) fn merged<'a>(all: impl IntoIterator<Item = &'a Self>) -> Option<Self> {
        let mut all = all.into_iter().peekable();
        all.peek()?;
        let mut merged = histogram();
        // Not `add`, which refuses what came from a histogram with other bounds.
        for value in all.flat_map(|Self(one)| one.iter_recorded()) {
            merged.saturating_record_n(value.value_iterated_to(), value.count_at_value());
        }
        Some(Self(merged))
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// In microseconds, at a quantile from 0 to 1.
    pub(crate) fn at(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }
}

impl Serialize for Latencies {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new().serialize(&self.0, &mut bytes).map_err(ser::Error::custom)?;
        serializer.serialize_str(&BASE64.encode(&bytes))
    }
}

impl<'de> Deserialize<'de> for Latencies {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(de::Error::custom)?;
        let read = Deserializer::new().deserialize(&mut bytes.as_slice());
        read.map(Self).map_err(de::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// So many, from 1 µs on, each 1 µs longer.
    pub(crate) fn rising(count: u64) -> Latencies {
        let mut nanoseconds = histogram();
        for us in 1..=count {
            nanoseconds.saturating_record(us * 1000);
        }
        Latencies::new(nanoseconds)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = serde_json::to_string(&rising(1000)).unwrap();
        assert_eq!(&text[..8], "\"HISTFAA", "how each V2 histogram that is deflated begins");
        assert_eq!(serde_json::from_str::<Latencies>(&text).unwrap(), rising(1000));
        for wrong in ["3", "\"#\"", "\"HISTFAAA\"", "\"\""] {
            assert!(serde_json::from_str::<Latencies>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn percentiles_of_all_are_not_the_average_of_percentiles() {
        // Medians of 50 µs and 500 µs; of 1100 together, 100 are below 100 µs.
        let merged = Latencies::merged(&[rising(100), rising(1000)]).unwrap();
        assert_eq!(merged.count(), 1100);
        assert!((merged.at(0.5) - 450.0).abs() < 1.0, "{}", merged.at(0.5));
        assert!((merged.at(1.0) - 1000.0).abs() < 1.0, "{}", merged.at(1.0));
        assert_eq!(Latencies::merged([]), None);
    }
}
