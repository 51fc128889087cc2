//! Primary components: EVS §2.2.

use crate::configuration::ConfigurationKind;

use super::graph::Order;
use super::model::Model;
use super::safe::installed;
use super::{Case, Judgement};

/// A confirmation names the regular configuration in force, the policy admits that, and every
/// member installed it: it is the delivery of a safe message in it (EVS 7.2).
pub(super) fn confirmation(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    if model.confirmations.is_empty() {
        judgement.not_applicable();
    }
    for confirmation in &model.confirmations {
        let who = || model.who(confirmation.life);
        let ring = model.ring_id(confirmation.ring);
        let segment = confirmation.segment.map(|s| &model.segments[s]);
        let in_force = segment.is_some_and(|segment| {
            segment.kind == ConfigurationKind::Regular && segment.ring == confirmation.ring
        });
        judgement.require(in_force, || format!("{} confirmed {ring}, not in force", who()));
        if segment.is_some_and(|segment| segment.eligible == Some(false)) {
            judgement.violated(|| format!("{} confirmed {ring}, not eligible", who()));
        }
        for &member in model.rings[confirmation.ring].members {
            if installed(case, confirmation.ring, member) == Some(false) {
                let text = || format!("{} confirmed {ring}; {member} never installed it", who());
                judgement.violated(text);
            }
        }
    }
}

/// The primaries in the order of precedence, each with whether the one before precedes it; in the
/// order of ring ids, and undecided, when precedence has a cycle.
pub(super) fn chain(case: &Case<'_>) -> Vec<(usize, Option<bool>)> {
    let model = &case.model;
    let Order::Linear(order) = &case.merged else {
        let primaries = (0..model.rings.len()).filter(|r| model.rings[*r].primary);
        return primaries.map(|ring| (ring, None)).collect();
    };
    let primary_at = primary_nodes(case);
    let mut edges = case.merged_graph.edges().to_vec();
    let mut rank = vec![0; order.len()];
    for (i, node) in order.iter().enumerate() {
        rank[*node as usize] = i;
    }
    edges.sort_unstable_by_key(|(from, _)| rank[*from as usize]);
    // For each node, how many primaries of the chain precede it, by the last one that does.
    let mut preceded = vec![0_usize; order.len()];
    let mut chain: Vec<(usize, Option<bool>)> = Vec::new();
    let mut next = edges.iter().peekable();
    for &node in order {
        let mut after = preceded[node as usize];
        if let Ok(found) = primary_at.binary_search_by_key(&node, |(node, _)| *node) {
            let follows = after == chain.len();
            chain.push((primary_at[found].1, Some(follows)));
            after = chain.len();
        }
        while let Some((_, to)) = next.next_if(|(from, _)| *from == node) {
            let reached = &mut preceded[*to as usize];
            *reached = (*reached).max(after);
        }
    }
    chain
}

/// The nodes of the installations of primaries, ascending, with their rings.
fn primary_nodes(case: &Case<'_>) -> Vec<(u32, usize)> {
    let model = &case.model;
    let mut nodes = Vec::new();
    for (r, ring) in model.rings.iter().enumerate() {
        let Some(&stay) = ring.stays.first().filter(|_| ring.primary) else {
            continue;
        };
        let segment = &model.segments[model.stays[stay].regular];
        let event = model.lives[segment.life].first_event + segment.position;
        nodes.extend(case.merged_graph.node(event).map(|node| (super::model::narrow(node), r)));
    }
    nodes.sort_unstable();
    nodes
}

/// EVS §2.2, 1: any two primaries are ordered by precedence. Each must follow the one before it
/// in one linear order; an instance is such a pair.
pub(super) fn uniqueness(case: &Case<'_>, judgement: &mut Judgement) {
    if case.model.confirmations.is_empty() {
        judgement.not_applicable();
    }
    for pair in chain(case).windows(2) {
        // With a cycle in precedence nothing is ordered, and EVS 1.1 or 2.3 says so.
        let Some(follows) = pair[1].1 else { continue };
        judgement.require(follows, || {
            let (a, b) = names(&case.model, pair[0].0, pair[1].0);
            format!("primaries {a} and {b} are concurrent")
        });
    }
}

/// EVS §2.2, 2: consecutive primaries have a member in common.
pub(super) fn continuity(case: &Case<'_>, judgement: &mut Judgement) {
    let model = &case.model;
    if model.confirmations.is_empty() {
        judgement.not_applicable();
    }
    for pair in chain(case).windows(2) {
        let (from, to) = (&model.rings[pair[0].0], &model.rings[pair[1].0]);
        let shared = from.members.iter().any(|m| to.members.contains(m));
        judgement.require(shared, || {
            let (a, b) = names(model, pair[0].0, pair[1].0);
            format!("primary {b} shares no member with {a} before it")
        });
    }
}

fn names(model: &Model<'_>, a: usize, b: usize) -> (String, String) {
    (model.ring_id(a).to_string(), model.ring_id(b).to_string())
}
