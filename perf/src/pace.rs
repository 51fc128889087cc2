//! When messages at a rate are to be sent.

/// When message `number` is to be sent, in nanoseconds after the beginning.
pub(crate) fn planned(number: u64, rate: u64) -> u64 {
    const SECOND: u64 = 1_000_000_000;
    (number / rate) * SECOND + (number % rate) * SECOND / rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planned_times_are_evenly_apart_and_do_not_drift() {
        assert_eq!(planned(0, 3), 0);
        assert_eq!(planned(1, 3), 333_333_333);
        assert_eq!(planned(3_000_000, 3), 1_000_000_000_000_000);
        assert_eq!(planned(10_000, 10_000), 1_000_000_000);
    }
}
