//! The oracle: one book of what was applied at which index, by anybody, ever.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use roundel_ring::id::{Incarnation, NodeId};
use roundel_ring::replica::{Context, Reader, RestoreError, StateMachine, View};

/// What stands at an index.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Line<O> {
    Command { sender: NodeId, incarnation: Incarnation, view: View, command: Bytes, output: O },
    View(View),
}

/// A machine whose answers can be compared.
pub(crate) trait Machine: StateMachine<Output: Clone + PartialEq + std::fmt::Debug> {}

impl<M: StateMachine<Output: Clone + PartialEq + std::fmt::Debug>> Machine for M {}

/// A machine that writes everything it applies into the book, and compares.
#[derive(Clone, Debug)]
pub(crate) struct Watched<M: StateMachine> {
    pub(crate) machine: M,
    /// Index and digest of all that was applied.
    pub(crate) last: u64,
    pub(crate) digest: u64,
    /// Bytes that the snapshot has besides.
    ballast: usize,
    book: Rc<RefCell<Book<M::Output>>>,
}

#[derive(Debug)]
pub(crate) struct Book<O> {
    pub(crate) lines: BTreeMap<u64, (Line<O>, u64)>,
    /// Where each command stands: they are all different.
    pub(crate) places: BTreeMap<Bytes, u64>,
    /// Off where parts may go on apart.
    pub(crate) is_one: bool,
}

impl<O> Book<O> {
    pub(crate) fn new(is_one: bool) -> Self {
        Self { lines: BTreeMap::new(), places: BTreeMap::new(), is_one }
    }
}

impl<M: Machine> Watched<M> {
    pub(crate) fn new(machine: M, ballast: usize, book: &Rc<RefCell<Book<M::Output>>>) -> Self {
        Self { machine, last: 0, digest: 0, ballast, book: book.clone() }
    }

    fn write(&mut self, index: u64, line: Line<M::Output>) {
        assert!(index > self.last, "{index} after {}", self.last);
        self.last = index;
        self.digest = digest(self.digest, index, &line);
        let mut book = self.book.borrow_mut();
        if !book.is_one {
            return;
        }
        if let Line::Command { command, .. } = &line {
            let place = *book.places.entry(command.clone()).or_insert(index);
            assert_eq!(place, index, "applied twice: {command:?}");
        }
        let new = (line, self.digest);
        let old = book.lines.entry(index).or_insert_with(|| new.clone());
        assert_eq!(*old, new, "two members differ at {index}");
    }
}

pub(crate) fn digest<O: std::fmt::Debug>(before: u64, index: u64, line: &Line<O>) -> u64 {
    let text = format!("{before} {index} {line:?}");
    text.bytes().fold(before ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl<M: Machine> StateMachine for Watched<M> {
    type Output = M::Output;

    fn apply(&mut self, context: &Context<'_>, command: &[u8]) -> M::Output {
        let output = self.machine.apply(context, command);
        let Context { index, sender, incarnation, view } = *context;
        let line = Line::Command {
            sender,
            incarnation,
            view: view.clone(),
            command: Bytes::copy_from_slice(command),
            output: output.clone(),
        };
        self.write(index, line);
        output
    }

    fn snapshot(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.last.to_le_bytes());
        out.extend_from_slice(&self.digest.to_le_bytes());
        let begin = out.len();
        out.resize(begin + self.ballast, 0);
        // So that a piece of another state or place shows.
        for (at, byte) in (0_u64..).zip(&mut out[begin..]) {
            *byte = (self.digest ^ at ^ (at >> 10)).to_le_bytes()[0];
        }
        self.machine.snapshot(out);
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let mut from = Reader::new(snapshot);
        let torn = RestoreError { cause: "torn" };
        self.last = from.u64().ok_or(torn)?;
        self.digest = from.u64().ok_or(torn)?;
        let ballast = from.take(self.ballast).ok_or(torn)?;
        for (at, byte) in (0_u64..).zip(ballast) {
            assert_eq!(*byte, (self.digest ^ at ^ (at >> 10)).to_le_bytes()[0], "at {at}");
        }
        self.machine.restore(from.rest())
    }

    fn handle_view(&mut self, index: u64, view: &View) {
        self.machine.handle_view(index, view);
        self.write(index, Line::View(view.clone()));
    }
}
