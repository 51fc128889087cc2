//! Names of groups and endpoints: what is one, checked once at the edge.
//!
//! All names are UTF-8, [`NAME_BYTES_MAX`] bytes at most and compared byte by byte: nothing is
//! normalised, so the same letters written in two ways are two names. No control character, since
//! names end up in logs and on terminals. No `@`, since it parts an endpoint's name from its node.
//! A group's name has levels parted by `.`, none of them empty, and none of them a wildcard of
//! [filters](super::Filter).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use thiserror::Error;

use crate::id::NodeId;

/// Longest name of a group or an endpoint, and longest filter, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// Parts the levels of a group's name.
pub const LEVEL_SEPARATOR: char = '.';

/// In a filter: any one level.
pub const ANY_LEVEL: &str = "*";

/// In a filter, as its last level: one level or more, whatever they are.
pub const ANY_REST: &str = ">";

/// Why a text is no name, or no filter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Error)]
pub enum NameError {
    /// Nothing.
    #[error("the name is empty; give it one to {NAME_BYTES_MAX} bytes")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("the name has {bytes} bytes; shorten it to {NAME_BYTES_MAX}")]
    Long {
        /// Its length.
        bytes: usize,
    },
    /// Not UTF-8.
    #[error("the name is not UTF-8; encode it so")]
    Encoding,
    /// Has a control character.
    #[error("the name has a control character; leave it out")]
    Control,
    /// Has an `@`.
    #[error("the name has an `@`, which parts endpoints from nodes; leave it out")]
    At,
    /// A level is empty: a dot at an end, or two in a row.
    #[error("a level of the name is empty; write something between dots, and none at the ends")]
    Level,
    /// A level of a group's name is a wildcard.
    #[error("a level of the name is `*` or `>`, which only filters may have; name one group")]
    Wildcard,
    /// A filter goes on after `>`.
    #[error("`>` stands for all levels that follow; write it last, or `*` for one level")]
    Rest,
    /// A private name lacks its `@`, or a decimal node id after it.
    #[error("the private name does not end in `@` and a node's number; write `name@node`")]
    Node,
}

/// What all names have in common.
fn check_text(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(NameError::Long { bytes: text.len() });
    }
    if text.chars().any(char::is_control) {
        return Err(NameError::Control);
    }
    if text.contains('@') { Err(NameError::At) } else { Ok(()) }
}

/// Whether `text` names a group.
pub(super) fn check_group(text: &str) -> Result<(), NameError> {
    check_text(text)?;
    for level in text.split(LEVEL_SEPARATOR) {
        if level.is_empty() {
            return Err(NameError::Level);
        }
        if level == ANY_LEVEL || level == ANY_REST {
            return Err(NameError::Wildcard);
        }
    }
    Ok(())
}

/// Whether `text` names an endpoint at its node.
pub(super) fn check_endpoint(text: &str) -> Result<(), NameError> {
    check_text(text)
}

/// Whether `text` is a filter.
pub(super) fn check_filter(text: &str) -> Result<(), NameError> {
    check_text(text)?;
    let mut levels = text.split(LEVEL_SEPARATOR);
    while let Some(level) = levels.next() {
        if level.is_empty() {
            return Err(NameError::Level);
        }
        if level == ANY_REST && levels.next().is_some() {
            return Err(NameError::Rest);
        }
    }
    Ok(())
}

/// The name of a group: `prices.bonds.eur`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(Arc<str>);

impl GroupName {
    /// The group called `text`, if one can be.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_group(text).map(|()| Self::checked(text))
    }

    /// Of a text that [`check_group`] has passed.
    pub(super) fn checked(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of an endpoint at its node: unique there, not in the cluster. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointName(Arc<str>);

impl EndpointName {
    /// The endpoint called `text`, if one can be.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_endpoint(text).map(|()| Self::checked(text))
    }

    /// Of a text that [`check_endpoint`] has passed.
    pub(super) fn checked(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for EndpointName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The full name of an endpoint, written `name@node`: who is in a view, and to whom alone a message
/// can go. Ascends by name, then node.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PrivateName {
    /// Its name at its node.
    pub name: EndpointName,
    /// Its node.
    pub node: NodeId,
}

macro_rules! text {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }
    )*};
}

text!(GroupName EndpointName);

impl fmt::Display for PrivateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.node)
    }
}

impl FromStr for PrivateName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (name, node) = text.rsplit_once('@').ok_or(NameError::Node)?;
        let node = node.parse().map(NodeId).map_err(|_| NameError::Node)?;
        Ok(Self { name: name.parse()?, node })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups() {
        for name in ["a", "a.b.c", "Preise in €", "a*.b>", "-", &"x".repeat(128)] {
            assert_eq!(GroupName::new(name).unwrap().as_str(), name);
        }
        for (name, error) in [
            ("", NameError::Empty),
            ("a\nb", NameError::Control),
            ("a\u{85}b", NameError::Control),
            ("a@1", NameError::At),
            (".a", NameError::Level),
            ("a.", NameError::Level),
            ("a..b", NameError::Level),
            (".", NameError::Level),
            ("a.*", NameError::Wildcard),
            (">", NameError::Wildcard),
            (&"é".repeat(65), NameError::Long { bytes: 130 }),
        ] {
            assert_eq!(GroupName::new(name), Err(error), "{name:?}");
        }
    }

    #[test]
    fn filters() {
        for filter in ["a", "*", ">", "a.*.c", "a.>", "*.>", "a*.>b"] {
            assert_eq!(check_filter(filter), Ok(()), "{filter:?}");
        }
        for (filter, error) in [
            ("", NameError::Empty),
            (">.a", NameError::Rest),
            ("a.>.*", NameError::Rest),
            ("a..*", NameError::Level),
            ("*.", NameError::Level),
            ("a@*", NameError::At),
        ] {
            assert_eq!(check_filter(filter), Err(error), "{filter:?}");
        }
    }

    #[test]
    fn private_names() {
        let name: PrivateName = "desk.7@12".parse().unwrap();
        assert_eq!((name.name.as_str(), name.node), ("desk.7", NodeId(12)));
        assert_eq!(name.to_string(), "desk.7@12");
        for (text, error) in [
            ("desk", NameError::Node),
            ("desk@", NameError::Node),
            ("desk@x", NameError::Node),
            ("@1", NameError::Empty),
            ("a@b@1", NameError::At),
        ] {
            assert_eq!(text.parse::<PrivateName>(), Err(error), "{text:?}");
        }
        assert!("a@2".parse::<PrivateName>().unwrap() < "b@1".parse().unwrap());
    }
}
