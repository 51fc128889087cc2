//! A multishot receive: one request that completes once for each datagram.

use std::os::fd::AsRawFd;

use io_uring::types::RecvMsgOut;
use io_uring::{cqueue, opcode, types};
use libc::msghdr;
use socket2::Socket;

use crate::counters::Counters;
use crate::inbox::Inbox;
use crate::sys::intake::{Arrived, Intake, IntakeTerms, SocketTerms};
use crate::sys::messages::{
    CONTROL_BYTES, NAME_BYTES, empty_header, parse_name, parse_segment_bytes,
};
use crate::sys::uring::provided::Provided;
use crate::sys::uring::ring::{Refused, Ring};

/// What arrives between two looks at the ring goes into slots of so many bytes together, and the
/// rest waits in the socket.
const SLOTS_BYTES: usize = 2 << 20;

/// Slots of one socket, at least and at most: powers of two.
const SLOTS_MIN: usize = 32;
const SLOTS_MAX: usize = 128;

/// What the kernel writes before each datagram: four sizes, a name, control messages.
const HEADER_BYTES: usize = 16 + NAME_BYTES + CONTROL_BYTES;

/// A socket and its multishot receive.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) socket: Socket,
    terms: IntakeTerms,
    /// The number of its group of buffers.
    index: u16,
    memory: Memory,
    /// Slots that the kernel has.
    given: u16,
    /// Slots that it has not, for want of room in the inbox or of memory.
    withheld: Vec<u16>,
    /// Whether the receive is running; as long as it is, more completions will come.
    pub(super) is_armed: bool,
    is_stalled: bool,
}

/// What the kernel may write into or read while the receive runs.
pub(super) struct Memory {
    intake: Intake,
    provided: Provided,
    header: Box<msghdr>,
}

// SAFETY: the header has no pointers, and the others belong to no thread.
unsafe impl Send for Memory {}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.intake.fmt(f)
    }
}

impl Memory {
    /// Buffers for the socket of this number.
    pub(super) fn new(ring: &Ring, index: u16, terms: IntakeTerms) -> Result<Self, Refused> {
        let mut header = Box::new(empty_header());
        header.msg_namelen = NAME_BYTES as _;
        header.msg_controllen = CONTROL_BYTES as _;
        let slots = SLOTS_BYTES / terms.slot_bytes(HEADER_BYTES);
        let slots = slots.clamp(SLOTS_MIN, SLOTS_MAX).next_power_of_two();
        Ok(Self {
            intake: Intake::new(terms, slots, HEADER_BYTES),
            provided: Provided::new(ring, slots as u16, index)?,
            header,
        })
    }
}

impl Receiver {
    pub(super) fn new(index: u16, (socket, terms): SocketTerms, memory: Memory) -> Self {
        let slots = memory.intake.slots.positions() as u16;
        Self {
            socket,
            terms,
            index,
            memory,
            given: 0,
            withheld: (0..slots).rev().collect(),
            is_armed: false,
            is_stalled: false,
        }
    }

    /// Whether whatever arrives at the socket will be received.
    pub(super) fn is_receiving(&self) -> bool {
        self.is_armed && self.given > 0
    }

    /// Gives the kernel the slots it may have, and starts the receive if it has ended.
    pub(super) fn replenish(
        &mut self,
        ring: &mut Ring,
        user_data: u64,
        has_room: bool,
        counters: &mut Counters,
    ) {
        if has_room && !self.withheld.is_empty() {
            let Memory { intake, provided, .. } = &mut self.memory;
            let given = &mut self.given;
            self.withheld.retain(|position| {
                if !intake.slots.is_open(usize::from(*position)) {
                    return true;
                }
                let slot = intake.slots.slot(usize::from(*position));
                // SAFETY: the slot is at the end of a chunk that `intake` keeps, and nobody
                // touches it before its completion, which takes the position from the kernel's
                // to the others; `memory` is dropped only when no receive is in flight, and
                // leaked otherwise. There are as many positions as entries.
                unsafe { provided.give(*position, slot) };
                *given += 1;
                false
            });
            let was_stalled = std::mem::replace(&mut self.is_stalled, self.given == 0);
            counters.stalls += u64::from(self.is_stalled && !was_stalled);
        }
        if !self.is_armed && self.given > 0 {
            let (file, group) = (types::Fd(self.socket.as_raw_fd()), self.index);
            let header: *const msghdr = &raw const *self.memory.header;
            let receive = opcode::RecvMsgMulti::new(file, header, group).build();
            // SAFETY: the header is boxed and not changed again; it is dropped with the rest of
            // `memory`, when no receive is in flight, or leaked.
            self.is_armed = unsafe { ring.push(&receive.user_data(user_data)) };
        }
    }

    /// Takes in a completion of the receive.
    pub(super) fn complete(
        &mut self,
        (result, flags): (i32, u32),
        inbox: &mut Inbox,
        counters: &mut Counters,
    ) {
        if !cqueue::more(flags) {
            self.is_armed = false;
            counters.rearms += 1;
        }
        let written = match usize::try_from(result) {
            Ok(written) => written,
            // Every slot was taken; what came after waits in the socket.
            Err(_) if result == -libc::ENOBUFS || result == -libc::ECANCELED => return,
            Err(_) => {
                counters.receive_errors += 1;
                return;
            }
        };
        let Some(position) = cqueue::buffer_select(flags) else {
            return;
        };
        self.given -= 1;
        self.withheld.push(position);
        let position = usize::from(position);
        let Memory { intake, header, .. } = &mut self.memory;
        // SAFETY: the completion says that the kernel has written so many bytes from the start of
        // this position's slot on, and that the slot is no longer the kernel's.
        let filled = unsafe { intake.slots.filled(position, written) };
        let Ok(parsed) = RecvMsgOut::parse(filled, header) else {
            counters.receive_errors += 1;
            return intake.slots.discard(position);
        };
        let arrived = Arrived {
            position,
            payload: HEADER_BYTES..HEADER_BYTES + parsed.payload_data().len(),
            from: parse_name(parsed.name_data()),
            segment_bytes: parse_segment_bytes(parsed.control_data()),
            is_truncated: parsed.is_payload_truncated(),
        };
        intake.accept(&arrived, inbox, counters);
    }

    /// The socket; unless the receive `is_over`, what the kernel may still write into is kept
    /// for ever.
    pub(super) fn end(self, is_over: bool) -> SocketTerms {
        if !is_over {
            std::mem::forget(self.memory);
        }
        (self.socket, self.terms)
    }
}
