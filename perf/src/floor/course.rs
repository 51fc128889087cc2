//! The course of a floor run at one member, without sockets and clocks.
//!
//! ```text
//! Gathering ── token ──► Warming ──► Measuring ──► Over
//! ```
//!
//! Members say hello to all until each has heard that all have heard of all. Then the lead (the
//! lowest address) lets the token go, which alone says from there on how far the run is.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

use super::wire::{Frame, Stage, Token};
use crate::exit::End;
use crate::pace::nanoseconds;
use crate::start::GATHER_MAX;

/// Distance of hellos.
const HELLO: Duration = Duration::from_millis(20);

/// Silence after which a member sends the token that it sent last again: the network may lose it.
const RESEND: Duration = Duration::from_millis(20);

/// Silence after which the token is gone.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// How long a member stays after the end, to send the last token again.
const LINGER: Duration = Duration::from_millis(100);

/// What all members must have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) members: usize,
    /// Of what must be the same at all members.
    pub(crate) options: u64,
    pub(crate) warmup: Duration,
    pub(crate) seconds: Duration,
    /// The lead alone sends.
    pub(crate) one_sends: bool,
    /// Packets of a turn.
    pub(crate) packets: u64,
}

/// What to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    /// To all.
    Hello(Frame),
    /// To all: packets from number `first` on.
    Data { first: u64, count: u64 },
    /// To one.
    Token { to: SocketAddrV4, token: Token },
}

/// What came and went, in packets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Packets {
    /// Of the others, received.
    pub(crate) received: u64,
    /// Sent here.
    pub(crate) sent: u64,
    /// Of the others, missing between those received.
    pub(crate) lost: u64,
}

/// A run as one member sees it.
///
/// Getters: [`Course::stage`], [`Course::packets`], [`Course::is_over`], [`Course::end`]. Inputs:
/// `handle_*`, [`Course::stop`]. Outputs: [`Course::poll_output`]. Times are nanoseconds from any
/// origin.
#[derive(Debug)]
pub(crate) struct Course {
    plan: Plan,
    me: SocketAddrV4,
    /// Everybody by address, with how many each has heard of.
    heard: BTreeMap<SocketAddrV4, u16>,
    /// The same in the order of turns, once the token goes round.
    order: Vec<SocketAddrV4>,
    /// The next packet of each that is expected; in order of address as well.
    expected: Vec<(SocketAddrV4, u64)>,
    stage: Stage,
    begun_ns: u64,
    said_hello_ns: Option<u64>,
    heard_ns: u64,
    resent_ns: u64,
    /// The token sent last.
    sent: Option<Token>,
    /// The next packet of this member.
    next: u64,
    packets: Packets,
    outputs: VecDeque<Output>,
    end: Option<End>,
}

impl Course {
    /// A run that begins to gather at `now_ns`.
    pub(crate) fn new(plan: Plan, me: SocketAddrV4, now_ns: u64) -> Self {
        Self {
            plan,
            me,
            heard: BTreeMap::from([(me, 1)]),
            order: Vec::new(),
            expected: Vec::new(),
            stage: Stage::Gathering,
            begun_ns: now_ns,
            said_hello_ns: None,
            heard_ns: now_ns,
            resent_ns: now_ns,
            sent: None,
            next: 0,
            packets: Packets::default(),
            outputs: VecDeque::new(),
            end: None,
        }
    }

    pub(crate) const fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) const fn packets(&self) -> Packets {
        self.packets
    }

    /// Nothing more is to be done.
    pub(crate) fn is_over(&self, now_ns: u64) -> bool {
        let lingered = now_ns.saturating_sub(self.heard_ns) > nanoseconds(LINGER);
        self.end.is_some() || (self.stage == Stage::Over && lingered)
    }

    /// Why the run counts for nothing, if so.
    pub(crate) const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// Ends the run, which counts for nothing then.
    pub(crate) fn stop(&mut self, end: End) {
        self.end.get_or_insert(end);
    }

    /// The next thing to send. Packets count as sent from here on: those of the turn with which a
    /// stage begins are of that stage.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        if let Output::Data { count, .. } = output {
            self.packets.sent += count;
        }
        Some(output)
    }

    /// Takes a frame.
    pub(crate) fn handle_frame(&mut self, now_ns: u64, from: SocketAddrV4, frame: Frame) {
        match frame {
            Frame::Hello { options, known } => self.handle_hello(now_ns, from, options, known),
            Frame::Data { number } => self.handle_data(now_ns, from, number),
            Frame::Token(token) => self.handle_token(now_ns, token),
        }
    }

    /// Does what is due.
    pub(crate) fn handle_time(&mut self, now_ns: u64) {
        match self.stage {
            Stage::Gathering => self.gather(now_ns),
            Stage::Warming | Stage::Measuring | Stage::Over => self.watch_token(now_ns),
        }
    }

    fn gather(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.begun_ns) > nanoseconds(GATHER_MAX) {
            let (heard, members) = (self.heard.len(), self.plan.members);
            return self.stop(End::NotTogether(format!(
                "{heard} of {members} members were heard of; fix: start all of them within 20 s, \
                 with one --cluster, on one network"
            )));
        }
        if self.said_hello_ns.is_none_or(|at| now_ns.saturating_sub(at) >= nanoseconds(HELLO)) {
            self.said_hello_ns = Some(now_ns);
            self.say_hello();
            self.let_go(now_ns);
        }
    }

    fn say_hello(&mut self) {
        let known = u16::try_from(self.heard.len()).unwrap_or(u16::MAX);
        let hello = Frame::Hello { options: self.plan.options, known };
        self.outputs.push_back(Output::Hello(hello));
    }

    fn handle_hello(&mut self, now_ns: u64, from: SocketAddrV4, options: u64, known: u16) {
        if self.stage != Stage::Gathering || from == self.me {
            return;
        }
        if options != self.plan.options {
            // It may have come later than what was said here before.
            self.say_hello();
            return self.stop(End::Disagree(format!(
                "{from} was started with other options; fix: the same --members, --size, \
                 --seconds, --warmup and --senders everywhere"
            )));
        }
        self.heard.insert(from, known);
        let (heard, members) = (self.heard.len(), self.plan.members);
        if heard > members {
            return self.stop(End::Disagree(format!(
                "more than {members} members are here; fix: another --cluster for other runs"
            )));
        }
        self.let_go(now_ns);
    }

    /// The lead lets the token go when all have heard of all.
    fn let_go(&mut self, now_ns: u64) {
        let heard = self.heard.len();
        self.heard.insert(self.me, u16::try_from(heard).unwrap_or(u16::MAX));
        let all_know = self.heard.values().all(|known| usize::from(*known) == self.plan.members);
        if self.is_lead() && all_know {
            self.begin(now_ns);
            self.visit(now_ns, Token { visit: 1, stage: Stage::Warming });
        }
    }

    /// The lowest address that was heard of.
    fn is_lead(&self) -> bool {
        self.heard.first_key_value().is_some_and(|(first, _)| *first == self.me)
    }

    fn begin(&mut self, now_ns: u64) {
        self.begun_ns = now_ns;
        self.order = self.heard.keys().copied().collect();
        self.expected = self.order.iter().map(|member| (*member, 0)).collect();
    }

    fn handle_data(&mut self, now_ns: u64, from: SocketAddrV4, number: u64) {
        if self.stage == Stage::Over {
            return;
        }
        self.heard_ns = now_ns;
        if self.order.is_empty() {
            self.begin(now_ns);
        }
        let Some((_, expected)) = self.expected.iter_mut().find(|(member, _)| *member == from)
        else {
            return;
        };
        // One that comes late was counted as lost.
        if let Some(missing) = number.checked_sub(*expected) {
            *expected = number + 1;
            self.packets.lost += missing;
            self.packets.received += 1;
        }
    }

    fn handle_token(&mut self, now_ns: u64, token: Token) {
        // At the end silence is what everybody waits for.
        if self.stage == Stage::Over {
            return;
        }
        self.heard_ns = now_ns;
        if self.sent.is_some_and(|sent| token.visit < sent.visit) {
            return;
        }
        if self.order.is_empty() {
            self.begin(now_ns);
        }
        self.visit(now_ns, token);
    }

    /// The member's turn.
    fn visit(&mut self, now_ns: u64, token: Token) {
        self.stage = if self.is_lead() { self.stage_at(now_ns) } else { token.stage };
        let sends = self.is_lead() || !self.plan.one_sends;
        if sends && self.stage != Stage::Over {
            let (first, count) = (self.next, self.plan.packets);
            self.next += count;
            self.outputs.push_back(Output::Data { first, count });
        }
        self.heard_ns = now_ns;
        self.resent_ns = now_ns;
        let token = Token { visit: token.visit + 1, stage: self.stage };
        self.sent = Some(token);
        self.pass(token);
    }

    fn stage_at(&self, now_ns: u64) -> Stage {
        let measure_ns = self.begun_ns + nanoseconds(self.plan.warmup);
        let over_ns = measure_ns + nanoseconds(self.plan.seconds);
        match now_ns {
            now_ns if now_ns >= over_ns => Stage::Over,
            now_ns if now_ns >= measure_ns => Stage::Measuring,
            _ => Stage::Warming,
        }
    }

    fn pass(&mut self, token: Token) {
        let mine = self.order.iter().position(|member| *member == self.me);
        let next = mine.map_or(0, |mine| (mine + 1) % self.order.len());
        if let Some(to) = self.order.get(next) {
            self.outputs.push_back(Output::Token { to: *to, token });
        }
    }

    fn watch_token(&mut self, now_ns: u64) {
        let silence_ns = now_ns.saturating_sub(self.heard_ns);
        if self.stage != Stage::Over && silence_ns > nanoseconds(SILENCE_MAX) {
            return self.stop(End::Invalid(
                "the token did not come for 5 s; fix: see why another member has ended".to_owned(),
            ));
        }
        let due = now_ns.saturating_sub(self.resent_ns) > nanoseconds(RESEND);
        if silence_ns > nanoseconds(RESEND)
            && due
            && let Some(token) = self.sent
        {
            self.resent_ns = now_ns;
            self.pass(token);
        }
    }
}

#[cfg(test)]
#[path = "course_tests.rs"]
mod tests;
