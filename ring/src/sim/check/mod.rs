//! The judge of histories: decides from what members wrote down whether a run obeyed extended
//! virtual synchrony.
//!
//! One function per specification, named after it; the predicates are those of the EVS paper
//! (§2.1, §2.2, §4, §5) and of the lecture's properties, in the form in which a history decides
//! them. The judge knows nothing of the protocol that made the history.
//!
//! The histories must be complete: every life of every member, killed ones ended with
//! [`Event::Fail`](crate::trace::Event::Fail). A message of a life without a history counts as
//! forged. A life that a later life of the same member follows counts as failed, with or without
//! that event; a member without it is alive at the end. They must be of one cut: traces read while
//! members still write may show a delivery and not yet its send.

mod atomicity;
mod basic;
mod causal;
mod clause;
mod end;
mod extra;
mod filter;
mod graph;
mod installation;
mod lecture;
mod model;
mod ordering;
pub mod parse;
mod primary;
mod record;
mod safe;
mod self_delivery;
mod transitional;
mod verdict;

pub use clause::Clause;
pub use verdict::{Judgement, VIOLATIONS_KEPT_MAX, Verdict, Violation};

use crate::trace::History;
use graph::{Graph, Order, Shape};
use model::Model;

/// What the judge is told about a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The run was healed and left until nothing happened any more, so that whatever must happen
    /// eventually has happened. Without it, no clause asks for what may still come: clauses that
    /// only ask "eventually" are not applicable, and obligations of a member that is still in a
    /// configuration at the end are not yet due.
    pub quiescent: bool,
}

/// Judges `histories` by every clause, in the order of [`Clause::ALL`].
///
/// Never fails: a history that makes no sense is one that violates a clause.
#[must_use]
pub fn check(histories: &[History], options: Options) -> Verdict {
    let case = Case::new(histories, options);
    let judgements = Clause::ALL.into_iter().map(|clause| {
        let mut judgement = Judgement::new(clause);
        judge(clause, &case, &mut judgement);
        judgement
    });
    Verdict::new(judgements.collect())
}

/// Everything the clauses look at, computed once.
struct Case<'h> {
    model: Model<'h>,
    options: Options,
    /// Local order and send → delivery, nothing merged.
    causal: Order,
    /// The same with all installations of one configuration as one event.
    merged_graph: Graph,
    merged: Order,
    /// Deliveries of one agreed or safe message, too (EVS 6.2).
    ordered_graph: Graph,
    ordered: Order,
}

impl<'h> Case<'h> {
    fn new(histories: &'h [History], options: Options) -> Self {
        let model = Model::new(histories);
        let causal = Graph::new(&model, Shape::CAUSAL).order();
        let merged_graph = Graph::new(&model, Shape::CONFIGURATIONS_MERGED);
        let merged = merged_graph.order();
        let ordered_graph = Graph::new(&model, Shape::ALL_MERGED);
        let ordered = ordered_graph.order();
        Self { model, options, causal, merged_graph, merged, ordered_graph, ordered }
    }
}

fn judge(clause: Clause, case: &Case<'_>, judgement: &mut Judgement) {
    match clause {
        Clause::Evs1_1 => basic::evs_1_1(case, judgement),
        Clause::Evs1_2 => basic::evs_1_2(case, judgement),
        Clause::Evs1_3 => basic::evs_1_3(case, judgement),
        Clause::Evs1_4 => basic::evs_1_4(case, judgement),
        Clause::Evs2_1 => end::evs_2_1(case, judgement),
        Clause::Evs2_2 => installation::evs_2_2(case, judgement),
        Clause::Evs2_3 => installation::evs_2_3(case, judgement),
        Clause::Evs2_4 => installation::evs_2_4(case, judgement),
        Clause::Evs3 => self_delivery::evs_3(case, judgement),
        Clause::Evs4 => atomicity::evs_4(case, judgement),
        Clause::Evs5 => causal::evs_5(case, judgement),
        Clause::Evs6_1 => ordering::evs_6_1(case, judgement),
        Clause::Evs6_2 => ordering::evs_6_2(case, judgement),
        Clause::Evs6_3 => ordering::evs_6_3(case, judgement),
        Clause::Evs7_1 => safe::evs_7_1(case, judgement),
        Clause::Evs7_2 => safe::evs_7_2(case, judgement),
        Clause::PrimaryConfirmation => primary::confirmation(case, judgement),
        Clause::PrimaryUniqueness => primary::uniqueness(case, judgement),
        Clause::PrimaryContinuity => primary::continuity(case, judgement),
        Clause::FilterC1 => filter::c1(case, judgement),
        Clause::FilterC2 => filter::c2(case, judgement),
        Clause::FilterC3 => filter::c3(case, judgement),
        Clause::FilterL1 => filter::l1(case, judgement),
        Clause::FilterL2 => filter::l2(case, judgement),
        Clause::FilterL3 => filter::l3(case, judgement),
        Clause::FilterL4 => filter::l4(case, judgement),
        Clause::FilterL5 => filter::l5(case, judgement),
        Clause::Lecture1 => lecture::self_inclusion(case, judgement),
        Clause::Lecture2 => lecture::local_monotonicity(case, judgement),
        Clause::Lecture6 => lecture::same_view_delivery(case, judgement),
        Clause::Lecture7 => atomicity::lecture_7(case, judgement),
        Clause::Lecture10 => safe::lecture_10(case, judgement),
        Clause::Lecture11 => transitional::lecture_11(case, judgement),
        Clause::Lecture12 => transitional::lecture_12(case, judgement),
        Clause::OneMemberList => installation::one_member_list(case, judgement),
        Clause::OrdinalNamesMessage => extra::ordinal_names_message(case, judgement),
        Clause::OrdinalsAscend => extra::ordinals_ascend(case, judgement),
        Clause::SubmitOrder => self_delivery::submit_order(case, judgement),
        Clause::ContentKept => extra::content_kept(case, judgement),
        Clause::EndsInOneRing => end::ends_in_one_ring(case, judgement),
        Clause::AcceptedIsDelivered => end::accepted_is_delivered(case, judgement),
    }
}
