//! How a command tells its result, and whether that counts.

use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::exit::{Exit, fail};

/// Whether a result counts.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Validity {
    pub(crate) valid: bool,
    /// Why not; of a part that does not count where the whole does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Validity {
    /// Valid unless there is a reason.
    pub(crate) const fn of(reason: Option<String>) -> Self {
        Self { valid: reason.is_none(), reason }
    }

    /// Not valid for this reason.
    pub(crate) const fn refused(reason: String) -> Self {
        Self::of(Some(reason))
    }

    /// Says on standard error why it does not count.
    pub(crate) fn warn(&self) {
        if let Some(reason) = self.reason.as_ref().filter(|_| !self.valid) {
            eprintln!("roundel-perf: not valid: {reason}");
        }
    }
}

/// How many count.
pub(crate) fn valid<'a>(all: impl Iterator<Item = &'a Validity>) -> usize {
    all.filter(|validity| validity.valid).count()
}

/// Whether more than half of them count.
pub(crate) fn most<'a>(all: impl ExactSizeIterator<Item = &'a Validity>) -> bool {
    let half = all.len() / 2;
    valid(all) > half
}

impl fmt::Display for Validity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.valid, &self.reason) {
            (true, _) => f.write_str("valid"),
            (false, None) => f.write_str("NOT VALID"),
            (false, Some(reason)) => write!(f, "NOT VALID: {reason}"),
        }
    }
}

/// Prints the one result of a command, as a line of JSON or as `text` and what it is worth, and
/// says how the command ends.
pub(crate) fn conclude(
    exit: Exit,
    json: bool,
    result: &impl Serialize,
    validity: &Validity,
    text: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>,
) -> Exit {
    validity.warn();
    if json {
        return written(crate::talk::tell(&[result]), exit);
    }
    let mut out = io::stdout().lock();
    let told = text(&mut out).and_then(|()| writeln!(out, "{validity}"));
    written(told, exit)
}

/// How a command ends that wrote its result, or could not.
pub(crate) fn written(written: io::Result<()>, exit: Exit) -> Exit {
    match written {
        Ok(()) => exit,
        Err(error) => fail(Exit::Failed, &format!("the result cannot be written: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Whole {
        rate: Option<u64>,
        #[serde(flatten)]
        validity: Validity,
    }

    #[test]
    fn a_result_has_a_reason_only_where_there_is_one() {
        let lost = Validity::refused("lost".to_owned());
        for (validity, text) in [
            (Validity::of(None), r#"{"rate":3,"valid":true}"#),
            (lost.clone(), r#"{"rate":3,"valid":false,"reason":"lost"}"#),
        ] {
            let whole = Whole { rate: Some(3), validity };
            assert_eq!(serde_json::to_string(&whole).unwrap(), text);
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap(), whole);
        }
        let null = r#"{"rate":null,"valid":true,"reason":null}"#;
        assert!(serde_json::from_str::<Whole>(null).unwrap().validity.valid);
        assert_eq!(lost.to_string(), "NOT VALID: lost");
        let (good, bad) = (Validity::of(None), lost.clone());
        assert!(most([&good, &bad, &good].into_iter()) && !most([&good, &bad].into_iter()));
        assert_eq!((valid([&good, &bad, &good].into_iter()), most([].into_iter())), (2, false));
        let part = Validity { valid: true, ..lost };
        assert_eq!(part.to_string(), "valid");
    }
}
