//! Who may be the primary component: another policy each sitting.

use super::chance::Chance;

/// A policy, the same at all members of a sitting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Policy {
    /// In output.
    pub(super) name: &'static str,
    /// As the members' option says it.
    pub(super) option: String,
}

impl Policy {
    /// No component is the primary one.
    pub(super) fn none() -> Self {
        Self { name: NONE, option: NONE.to_owned() }
    }

    /// There may be a primary component; all members together are one.
    pub(super) fn is_some(&self) -> bool {
        self.name != NONE
    }

    /// Members vote, and remember on their disks.
    pub(super) fn is_dynamic(&self) -> bool {
        self.name == DYNAMIC
    }
}

const NONE: &str = "none";
const MAJORITY: &str = "majority";
const WEIGHTED: &str = "weighted";
const DYNAMIC: &str = "dynamic";

/// Draws policies without end; each comes once before any comes again.
#[derive(Debug)]
pub(super) struct Policies {
    chance: Chance,
    members: u32,
    deck: Vec<&'static str>,
}

/// Makes numbers of their own of a run's seed, so that its faults do not depend on policies.
const OWN: u64 = 0x5072_696d_6172_7921;

impl Policies {
    pub(super) fn new(seed: u64, members: u32) -> Self {
        Self { chance: Chance::new(seed ^ OWN), members, deck: Vec::new() }
    }

    /// The next sitting's.
    pub(super) fn draw(&mut self) -> Policy {
        if self.deck.is_empty() {
            self.deck = vec![NONE, MAJORITY, WEIGHTED];
            // A second member of an id is a disk lost: of two disks that may be one too many.
            if self.members > 2 {
                self.deck.push(DYNAMIC);
            }
            self.chance.shuffle(&mut self.deck);
        }
        let name = self.deck.pop().unwrap_or(NONE);
        let option = match name {
            MAJORITY => {
                // Sometimes one has no say.
                let mut of: Vec<u32> = (1..=self.members).collect();
                if self.members > 3 && self.chance.percent(30) {
                    of.remove(self.chance.index(of.len()));
                }
                format!("{name}:{}", list(of.into_iter()))
            }
            WEIGHTED => {
                let heavy = self.chance.number(1, self.members);
                let chance = &mut self.chance;
                let weights = (1..=self.members)
                    .map(|id| format!("{id}={}", chance.number(0, 2) + u32::from(id == heavy)));
                format!("{name}:{}", weights.collect::<Vec<_>>().join(","))
            }
            DYNAMIC => format!("{name}:{}", list(1..=self.members)),
            _ => name.to_owned(),
        };
        Policy { name, option }
    }
}

fn list(ids: impl Iterator<Item = u32>) -> String {
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser;
    use roundel::options::MemberOptions;

    use super::*;

    #[derive(Parser)]
    struct Member {
        #[command(flatten)]
        member: MemberOptions,
    }

    #[test]
    fn every_policy_comes_and_members_know_it() {
        for members in 2..=16 {
            let mut policies = Policies::new(7, members);
            let mut names = BTreeSet::new();
            for _ in 0..40 {
                let policy = policies.draw();
                names.insert(policy.name);
                let words = ["member", "--primary", &policy.option];
                let options = Member::try_parse_from(words).unwrap_or_else(|e| unreachable!("{e}"));
                assert_eq!(options.member.has_primary(), policy.is_some());
            }
            assert_eq!(names.len(), if members > 2 { 4 } else { 3 });
        }
    }
}
