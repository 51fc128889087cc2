//! What the judge found.

use super::clause::Clause;

/// Violations of one clause that a judgement keeps in words; further ones are only counted.
pub const VIOLATIONS_KEPT_MAX: usize = 16;

/// One violation, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// The clause.
    pub clause: Clause,
    /// Names members as `node.incarnation`, messages as `node.incarnation.counter`, rings as
    /// `epoch/representative`.
    pub text: String,
}

/// What was found for one clause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judgement {
    /// The clause.
    pub clause: Clause,
    /// Whether these histories can decide it: clauses with "eventually" need a quiet end, clauses
    /// about primaries need primaries.
    pub applicable: bool,
    /// How often it was judged. A clause with none has shown nothing.
    pub instances: u64,
    /// How often it was violated.
    pub violation_count: u64,
    /// The first [`VIOLATIONS_KEPT_MAX`] of them.
    pub violations: Vec<Violation>,
}

impl Judgement {
    pub(super) const fn new(clause: Clause) -> Self {
        Self { clause, applicable: true, instances: 0, violation_count: 0, violations: Vec::new() }
    }

    /// Nothing in these histories decides the clause.
    pub(super) const fn not_applicable(&mut self) {
        self.applicable = false;
    }

    pub(super) const fn instance(&mut self) {
        self.instances += 1;
    }

    pub(super) const fn judged(&mut self, instances: usize) {
        self.instances += instances as u64;
    }

    /// Counts a violation; `text` is asked for only while there is room to keep it.
    pub(super) fn violated(&mut self, text: impl FnOnce() -> String) {
        self.violation_count += 1;
        if self.violations.len() < VIOLATIONS_KEPT_MAX {
            self.violations.push(Violation { clause: self.clause, text: text() });
        }
    }

    /// Judges one instance: a violation unless `holds`.
    pub(super) fn require(&mut self, holds: bool, text: impl FnOnce() -> String) {
        self.instance();
        if !holds {
            self.violated(text);
        }
    }
}

/// The judgements of all clauses, in the order of [`Clause::ALL`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    judgements: Vec<Judgement>,
}

impl Verdict {
    pub(super) const fn new(judgements: Vec<Judgement>) -> Self {
        Self { judgements }
    }

    /// A verdict on nothing, for [`Verdict::add`] to gather many runs in.
    #[must_use]
    pub fn empty() -> Self {
        let empty = |clause| Judgement { applicable: false, ..Judgement::new(clause) };
        Self::new(Clause::ALL.into_iter().map(empty).collect())
    }

    /// One judgement per clause.
    #[must_use]
    pub fn judgements(&self) -> &[Judgement] {
        &self.judgements
    }

    /// The judgement of `clause`.
    #[must_use]
    pub fn of(&self, clause: Clause) -> Option<&Judgement> {
        self.judgements.iter().find(|j| j.clause == clause)
    }

    /// How often any clause was judged. A verdict with none has shown nothing.
    #[must_use]
    pub fn instances(&self) -> u64 {
        self.judgements.iter().map(|j| j.instances).sum()
    }

    /// How often any clause was violated.
    #[must_use]
    pub fn violation_count(&self) -> u64 {
        self.judgements.iter().map(|j| j.violation_count).sum()
    }

    /// The violations kept in words, clause by clause.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.judgements.iter().flat_map(|j| &j.violations)
    }

    /// Adds the verdict on another run to this one.
    pub fn add(&mut self, other: &Self) {
        for (sum, one) in self.judgements.iter_mut().zip(&other.judgements) {
            sum.applicable |= one.applicable;
            sum.instances += one.instances;
            sum.violation_count += one.violation_count;
            let room = VIOLATIONS_KEPT_MAX.saturating_sub(sum.violations.len());
            sum.violations.extend(one.violations.iter().take(room).cloned());
        }
    }
}
