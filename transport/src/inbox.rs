//! Received frames on their way to the data half, and the order between data and tokens.

use std::collections::VecDeque;
use std::time::Instant;

use crate::frame::Frame;
use crate::impair::Impairment;

/// Frames kept at most before receiving stops: four cycles' worth of the data half.
const FRAMES_MAX: usize = 4096;

/// The two streams of a data link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Lane {
    /// The data socket.
    Data,
    /// The token socket.
    Token,
}

/// Frames received and not yet taken.
///
/// Data and tokens come on two sockets, and what a token covers must be read before it. A token
/// becomes readable once the data socket was seen empty after the token was read, and all data
/// received until then was taken.
#[derive(Debug)]
pub(crate) struct Inbox {
    data: VecDeque<Frame>,
    /// Tokens read since the data socket was last seen empty.
    fresh_tokens: VecDeque<Frame>,
    /// Tokens, each with the number of data frames to be taken before it.
    tokens: VecDeque<(u64, Frame)>,
    pushed: u64,
    taken: u64,
    /// When the running pass of receiving began.
    now: Option<Instant>,
    /// Faults between the sockets and here.
    pub(crate) impairment: Option<Box<Impairment>>,
}

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            data: VecDeque::with_capacity(FRAMES_MAX),
            fresh_tokens: VecDeque::new(),
            tokens: VecDeque::new(),
            pushed: 0,
            taken: 0,
            now: None,
            impairment: None,
        }
    }

    /// Begins a pass of receiving.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.now = Some(now);
    }

    /// Whether more may be received.
    pub(crate) fn has_room(&self) -> bool {
        self.data.len() < FRAMES_MAX && self.fresh_tokens.len() < FRAMES_MAX
    }

    pub(crate) fn push(&mut self, lane: Lane, frame: Frame) {
        match (&mut self.impairment, self.now) {
            (Some(impairment), Some(now)) => impairment.push(now, lane, frame),
            _ => self.accept(lane, frame),
        }
    }

    /// Ends a pass of receiving; `drained` when the data socket was seen empty after the last
    /// token was read.
    pub(crate) fn end(&mut self, drained: bool) {
        while let (Some(impairment), Some(now)) = (&mut self.impairment, self.now)
            && let Some((lane, frame)) = impairment.pop(now)
        {
            self.accept(lane, frame);
        }
        if drained {
            let pushed = self.pushed;
            let cleared = self.fresh_tokens.drain(..).map(|token| (pushed, token));
            self.tokens.extend(cleared);
        }
    }

    pub(crate) fn data(&mut self) -> Option<Frame> {
        let frame = self.data.pop_front()?;
        self.taken += 1;
        Some(frame)
    }

    pub(crate) fn token(&mut self) -> Option<Frame> {
        let (after, _) = self.tokens.front()?;
        if *after > self.taken {
            return None;
        }
        self.tokens.pop_front().map(|(_, token)| token)
    }

    /// Whether there is anything to take, or a pass of receiving would make it so.
    pub(crate) fn is_waiting(&self) -> bool {
        !(self.data.is_empty() && self.tokens.is_empty() && self.fresh_tokens.is_empty())
    }

    /// Frames received and not taken.
    pub(crate) fn len(&self) -> usize {
        self.data.len() + self.tokens.len() + self.fresh_tokens.len()
    }

    fn accept(&mut self, lane: Lane, frame: Frame) {
        match lane {
            Lane::Data => {
                self.pushed += 1;
                self.data.push_back(frame);
            }
            Lane::Token => self.fresh_tokens.push_back(frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use bytes::Bytes;

    use super::*;

    fn frame(text: &'static str) -> Frame {
        Frame {
            bytes: Bytes::from_static(text.as_bytes()),
            from: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1),
        }
    }

    #[test]
    fn a_token_waits_for_the_data_that_came_before_it() {
        let mut inbox = Inbox::new();
        inbox.push(Lane::Token, frame("token"));
        inbox.push(Lane::Data, frame("one"));
        inbox.end(false);
        assert_eq!(inbox.token(), None, "data may be left in the socket");
        inbox.push(Lane::Data, frame("two"));
        inbox.end(true);
        inbox.push(Lane::Data, frame("later"));
        assert_eq!(inbox.token(), None, "data is left here");
        assert_eq!(inbox.data(), Some(frame("one")));
        assert_eq!(inbox.token(), None);
        assert_eq!(inbox.data(), Some(frame("two")));
        assert_eq!(inbox.token(), Some(frame("token")), "what came later is not waited for");
        assert!(inbox.is_waiting());
        assert_eq!((inbox.data(), inbox.len()), (Some(frame("later")), 0));
    }

    #[test]
    fn receiving_stops_at_a_bound() {
        let mut inbox = Inbox::new();
        for _ in 0..FRAMES_MAX {
            assert!(inbox.has_room());
            inbox.push(Lane::Data, frame("x"));
        }
        assert!(!inbox.has_room());
        inbox.data();
        assert!(inbox.has_room());
    }
}
