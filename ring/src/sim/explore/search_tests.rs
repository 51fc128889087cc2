//! What a search must be: complete, the same in whatever order, and able to find something.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::{
    Kinds, Memory, Met, Scope, Size, Start, Tally, Visit, Visited, pieces, replay, search,
};
use crate::sim::check::Clause;

/// A memory for one thread.
#[derive(Default)]
struct States {
    visited: RefCell<BTreeMap<u64, Visited>>,
    judged: RefCell<BTreeSet<u64>>,
}

impl Memory for States {
    fn visit(&self, state: u64, visit: Visit) -> Met {
        let mut visited = self.visited.borrow_mut();
        if let Some(visited) = visited.get_mut(&state) {
            return visited.again(visit);
        }
        visited.insert(state, Visited::first(visit));
        Met::Nobody
    }

    fn judge(&self, histories: u64) -> bool {
        self.judged.borrow_mut().insert(histories)
    }

    fn is_stopped(&self) -> bool {
        false
    }
}

const THREE: Size = Size { members: 3, messages: 2 };

fn scope(size: Size, faults: u8) -> Scope {
    Scope { size, kinds: Kinds::All, faults, within: u32::MAX }
}

/// All levels up to so many faults, the pieces of each in order or from the last.
fn explore(start: Start, size: Size, faults: u8, backwards: bool) -> (Tally, States) {
    let (mut tally, states) = (Tally::default(), States::default());
    for faults in 0..=faults {
        let scope = scope(size, faults);
        let mut pieces = pieces(start, &scope).unwrap();
        if backwards {
            pieces.reverse();
        }
        for (piece, number) in pieces.iter().zip(0..) {
            let number = u64::from(faults) << 20 | number;
            tally.add(search(start, &scope, piece, number, &states));
        }
    }
    (tally, states)
}

#[test]
fn one_fault_anywhere_violates_nothing() {
    for start in Start::ALL {
        let (tally, states) = explore(start, THREE, 1, false);
        assert!(tally.failures.is_empty(), "{:?}", tally.failures);
        assert_eq!(tally.unsettled, 0, "{}", start.name());
        assert!(tally.merged > 0 && tally.ended > tally.judged && tally.judged > 1);
        assert!(tally.fresh >= states.visited.borrow().len() as u64);
        for fault in ["drop", "twice", "late", "crash", "restart", "cut"] {
            assert!(tally.struck[fault] > 0, "{fault} in {}", start.name());
        }
    }
}

/// What is merged has the same future: whichever path comes first, the same states are found, and the
/// same histories judged.
#[test]
fn the_order_of_the_search_changes_nothing() {
    let two = Size { members: 2, messages: 1 };
    for start in [Start::Ring, Start::Hole, Start::Primary, Start::Majority, Start::Weighted] {
        let keys = |backwards| {
            let (tally, states) = explore(start, two, 2, backwards);
            assert!(tally.failures.is_empty(), "{:?}", tally.failures);
            assert!(tally.merged > 0 && tally.struck["heal"] > 0);
            let visited: Vec<u64> = states.visited.borrow().keys().copied().collect();
            (visited, states.judged.take())
        };
        let (forwards, backwards) = (keys(false), keys(true));
        assert_eq!(forwards.0.len(), backwards.0.len());
        assert!(forwards == backwards);
    }
}

/// Primaries are confirmed, parted and confirmed again, and their clauses judged.
#[test]
fn a_primary_component_is_explored_as_well() {
    for start in [Start::Primary, Start::Majority, Start::Weighted] {
        let (tally, _) = explore(start, THREE, 1, false);
        assert!(tally.failures.is_empty(), "{:?}", tally.failures);
        assert_eq!(tally.unsettled, 0, "{}", start.name());
        let judged = |clause| tally.verdict.of(clause).map_or(0, |judgement| judgement.instances);
        for clause in
            [Clause::PrimaryConfirmation, Clause::PrimaryUniqueness, Clause::PrimaryContinuity]
        {
            let (start, name) = (start.name(), clause.name());
            assert!(judged(clause) > 50, "{start}, {name}: {}", judged(clause));
        }
        let path = format!("{}/9:cut2,130:heal", start.name()).parse().unwrap();
        let mut lines = Vec::new();
        replay(&path, THREE, &mut |line| lines.push(line.to_owned()));
        let is_told = |said: &str| lines.iter().any(|line| line.contains(said));
        assert!(is_told("\"ev\":\"primary\""), "{lines:#?}");
        let is_on_disk = is_told("record of primary components is on disk");
        assert_eq!(is_on_disk, start == Start::Primary, "votes are of the dynamic policy");
    }
}

/// Paths are found again by what is written of them.
#[test]
fn a_path_is_told_as_it_was_searched() {
    let path = "hole/3:cut2,130:heal".parse().unwrap();
    let mut lines = Vec::new();
    let replayed = replay(&path, THREE, &mut |line| lines.push(line.to_owned()));
    assert_eq!(replayed.failure, None);
    assert_eq!(replayed.histories.len(), THREE.members);
    for said in ["! cut2 strikes", "! heal strikes", "Freeze", "commit token", "\"ev\":\"deliver\""]
    {
        assert!(lines.iter().any(|line| line.contains(said)), "{said} in {lines:#?}");
    }
}
