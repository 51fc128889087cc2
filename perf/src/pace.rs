//! When messages at a rate are to be sent.

use std::time::Duration;

const SECOND_NS: u64 = 1_000_000_000;

/// When message `number` is to be sent, in nanoseconds after the beginning.
pub(crate) fn planned(number: u64, rate: u64) -> u64 {
    (number / rate) * SECOND_NS + (number % rate) * SECOND_NS / rate
}

/// How long after the first of `members` this one begins, so that they do not send at one time:
/// each would be busy with its own message when the others' come.
pub(crate) fn phase(place: usize, members: usize, rate: u64) -> u64 {
    SECOND_NS * place as u64 / (rate * members.max(1) as u64)
}

/// The first message that is to be sent at this time after the beginning or later.
pub(crate) fn first_at(after_ns: u64, rate: u64) -> u64 {
    let number = (u128::from(after_ns) * u128::from(rate)).div_ceil(SECOND_NS.into());
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// A span as a number.
pub(crate) fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
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

    #[test]
    fn members_send_by_turns() {
        assert_eq!([0, 1, 2].map(|place| phase(place, 3, 1_000)), [0, 333_333, 666_666]);
    }

    #[test]
    fn the_first_message_after_a_time_is_planned_there() {
        assert_eq!([0, 1, 1_000_000_000].map(|at_ns| first_at(at_ns, 10)), [0, 1, 10]);
        for (at_ns, rate) in [(7_123, 999_999), (5_000_000_001, 1_000)] {
            let first = first_at(at_ns, rate);
            assert!(planned(first, rate) >= at_ns && planned(first - 1, rate) < at_ns);
        }
    }
}
