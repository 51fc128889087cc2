//! Topic filters, and which of them a group's name passes.
//!
//! A filter is a group's name in which levels may be `*`, any one level, and the last may be `>`,
//! one level or more:
//!
//! | filter | passes | does not |
//! |---|---|---|
//! | `prices.*.eur` | `prices.bonds.eur` | `prices.eur`, `prices.bonds.new.eur` |
//! | `prices.>` | `prices.bonds`, `prices.bonds.eur` | `prices` |
//! | `>` | every group | |

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::EndpointId;
use super::name::{ANY_LEVEL, ANY_REST, LEVEL_SEPARATOR, NameError, check_filter};

/// A checked filter. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(Arc<str>);

impl Filter {
    /// The filter written `text`, if it is one.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_filter(text).map(|()| Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Filter {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Whose filters a name passes: a tree of levels, so a search follows at each level the branch of
/// that text and the branch of `*`, and no others, however many filters there are.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Those whose filter ends here, ascending.
    here: Vec<EndpointId>,
    /// Those whose filter goes on with `>`, ascending.
    rest: Vec<EndpointId>,
    /// What may follow; no group has a level that reads `*`, so that it can be among them.
    below: BTreeMap<Box<str>, Self>,
}

impl Index {
    /// Adds a filter of `endpoint`. Whether it is new.
    pub(super) fn insert(&mut self, filter: &Filter, endpoint: EndpointId) -> bool {
        let mut at = self;
        for level in filter.as_str().split(LEVEL_SEPARATOR) {
            if level == ANY_REST {
                return insert(&mut at.rest, endpoint);
            }
            if !at.below.contains_key(level) {
                at.below.insert(level.into(), Self::default());
            }
            let Some(below) = at.below.get_mut(level) else { return false };
            at = below;
        }
        insert(&mut at.here, endpoint)
    }

    /// Removes a filter of `endpoint`, and what was there for it alone. Whether it was there.
    pub(super) fn remove(&mut self, filter: &Filter, endpoint: EndpointId) -> bool {
        self.remove_below(Some(filter.as_str()), endpoint)
    }

    fn remove_below(&mut self, levels: Option<&str>, endpoint: EndpointId) -> bool {
        let Some(levels) = levels else { return remove(&mut self.here, endpoint) };
        if levels == ANY_REST {
            return remove(&mut self.rest, endpoint);
        }
        let (first, after) = split(levels);
        let Some(below) = self.below.get_mut(first) else { return false };
        let removed = below.remove_below(after, endpoint);
        if below.is_empty() {
            self.below.remove(first);
        }
        removed
    }

    /// Nobody has a filter.
    pub(super) fn is_empty(&self) -> bool {
        self.here.is_empty() && self.rest.is_empty() && self.below.is_empty()
    }

    /// Adds to `found` whoever has a filter that `group` passes, once for each such filter.
    pub(super) fn find(&self, group: &str, found: &mut Vec<EndpointId>) {
        // What almost every node has.
        if !self.is_empty() {
            self.find_below(Some(group), found);
        }
    }

    fn find_below(&self, levels: Option<&str>, found: &mut Vec<EndpointId>) {
        let Some(levels) = levels else {
            found.extend_from_slice(&self.here);
            return;
        };
        found.extend_from_slice(&self.rest);
        let (first, after) = split(levels);
        for branch in [first, ANY_LEVEL] {
            if let Some(below) = self.below.get(branch) {
                below.find_below(after, found);
            }
        }
    }
}

/// The first level, and those after it.
fn split(levels: &str) -> (&str, Option<&str>) {
    match levels.split_once(LEVEL_SEPARATOR) {
        Some((first, after)) => (first, Some(after)),
        None => (levels, None),
    }
}

fn insert(sorted: &mut Vec<EndpointId>, endpoint: EndpointId) -> bool {
    let Err(place) = sorted.binary_search(&endpoint) else { return false };
    sorted.insert(place, endpoint);
    true
}

fn remove(sorted: &mut Vec<EndpointId>, endpoint: EndpointId) -> bool {
    let Ok(place) = sorted.binary_search(&endpoint) else { return false };
    sorted.remove(place);
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a filter means, said directly.
    fn passes(filter: &str, group: &str) -> bool {
        let (filter, group): (Vec<&str>, Vec<&str>) =
            (filter.split('.').collect(), group.split('.').collect());
        let same = |(a, b): (&&str, &&str)| *a == "*" || a == b;
        match filter.split_last() {
            Some((&">", first)) => group.len() > first.len() && first.iter().zip(&group).all(same),
            _ => filter.len() == group.len() && filter.iter().zip(&group).all(same),
        }
    }

    fn found(index: &Index, group: &str) -> Vec<u32> {
        let mut found = Vec::new();
        index.find(group, &mut found);
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|endpoint| endpoint.0).collect()
    }

    #[test]
    fn the_table_of_the_module() {
        let mut index = Index::default();
        for (filter, endpoint) in [("prices.*.eur", 1), ("prices.>", 2), (">", 3)] {
            assert!(index.insert(&filter.parse().unwrap(), EndpointId(endpoint)));
        }
        assert_eq!(found(&index, "prices.bonds.eur"), [1, 2, 3]);
        assert_eq!(found(&index, "prices.eur"), [2, 3]);
        assert_eq!(found(&index, "prices"), [3]);
    }

    proptest! {
        #[test]
        fn as_defined(
            filters in prop::collection::vec("(a|b|\\*)(\\.(a|b|\\*)){0,3}(\\.>)?|>", 0..20),
            removed in prop::collection::vec(any::<bool>(), 20),
            groups in prop::collection::vec("(a|b)(\\.(a|b)){0,4}", 1..20),
        ) {
            let mut index = Index::default();
            let numbered: Vec<(u32, Filter)> =
                (0..).zip(filters.iter().map(|filter| filter.parse().unwrap())).collect();
            for (number, filter) in &numbered {
                prop_assert!(index.insert(filter, EndpointId(*number)));
                prop_assert!(!index.insert(filter, EndpointId(*number)));
            }
            let (gone, kept): (Vec<_>, Vec<_>) =
                numbered.into_iter().partition(|(number, _)| removed[*number as usize]);
            for (number, filter) in &gone {
                prop_assert!(index.remove(filter, EndpointId(*number)));
                prop_assert!(!index.remove(filter, EndpointId(*number)));
            }
            for group in &groups {
                let expected: Vec<u32> = kept
                    .iter()
                    .filter(|(_, filter)| passes(filter.as_str(), group))
                    .map(|(number, _)| *number)
                    .collect();
                prop_assert_eq!(found(&index, group), expected);
            }
            for (number, filter) in &kept {
                prop_assert!(index.remove(filter, EndpointId(*number)));
            }
            prop_assert!(index.is_empty());
        }
    }
}
