//! How schedule files write what has no form of its own there.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::Kind;

/// Durations in whole microseconds.
pub(super) mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}

/// The same where there may be none.
pub(super) mod some_micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        span.map(|span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX)).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::deserialize(from)?.map(Duration::from_micros))
    }
}

/// [`Kind`] by name.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Kind", rename_all = "kebab-case")]
pub(super) enum KindName {
    Data,
    Token,
    Join,
    Commit,
    Beacon,
    HoldCancel,
    Letter,
    Free,
    Claim,
}

/// Whole microseconds, since schedules know nothing finer.
pub(super) const fn whole_micros(span: Duration) -> Duration {
    #[expect(clippy::cast_possible_truncation, reason = "no run lasts for ages")]
    Duration::from_micros(span.as_micros() as u64)
}
