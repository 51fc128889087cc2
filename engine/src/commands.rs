//! What the application's threads ask of the worker: messages, and the leave behind them.

use roundel_ring::cycle::Command;
use roundel_ring::packing::Messages;
use roundel_ring::service::Class;

use crate::stall::{At, stall};
use crate::sync::{ArrayQueue, AtomicBool, AtomicUsize, CachePadded, Ordering, pause};

/// Of the count of bytes: nothing more is taken, since nobody will take it.
const SEALED: usize = 1 << (usize::BITS - 1);

/// From any number of publishers to the worker.
#[derive(Debug)]
pub(crate) struct Commands {
    queue: ArrayQueue<(Class, Messages)>,
    /// Bytes of messages in the queue or on the way into it, and [`SEALED`]. A message has two at
    /// least, so that none of them means nothing on the way.
    bytes: CachePadded<AtomicUsize>,
    /// The worker is to leave behind the last of the queue.
    leave: AtomicBool,
}

impl Commands {
    pub(crate) fn new(entries: usize) -> Self {
        Self {
            queue: ArrayQueue::new(entries),
            bytes: CachePadded::new(AtomicUsize::new(0)),
            leave: AtomicBool::new(false),
        }
    }

    /// Puts messages into the queue of at most `bytes_max`, or gives them back when there is no
    /// room. What is put there is taken by the worker, or counted by [`Commands::seal`].
    pub(crate) fn hand_over(
        &self,
        class: Class,
        messages: Messages,
        bytes_max: usize,
    ) -> Result<(), Messages> {
        let bytes = messages.body_bytes();
        let queued = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        stall(At::Push);
        // One message is always taken, or one larger than the bound never could be.
        let pushed = if queued > 0 && queued + bytes > bytes_max {
            Err(messages)
        } else {
            self.queue.push((class, messages)).map_err(|(_, messages)| messages)
        };
        if pushed.is_err() {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        pushed
    }

    /// Asks the worker to leave once it has taken every message handed over before.
    pub(crate) fn leave(&self) {
        stall(At::Push);
        self.leave.store(true, Ordering::Release);
    }

    /// The next command; `has_left` says whether the leave was among those before.
    pub(crate) fn take(&self, has_left: &mut bool) -> Option<Command> {
        // Before the queue: what it still holds was accepted before the leave.
        let leaves = !*has_left && self.leave.load(Ordering::Acquire);
        stall(At::Pop);
        let Some((class, messages)) = self.pop() else {
            *has_left |= leaves;
            return leaves.then_some(Command::Leave);
        };
        Some(Command::Publish { class, messages })
    }

    /// Whether [`Commands::take`] has a command.
    pub(crate) fn is_waiting(&self, has_left: bool) -> bool {
        !has_left && self.leave.load(Ordering::Acquire) || !self.queue.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes no message any more; how many there were that nobody took. Waits for publishers that
    /// are between asking for room and the queue: what they were told is accepted is counted.
    pub(crate) fn seal(&self) -> u64 {
        self.bytes.fetch_or(SEALED, Ordering::Relaxed);
        let mut lost = 0;
        loop {
            while let Some((_, messages)) = self.pop() {
                lost += u64::from(messages.count());
            }
            if self.bytes.load(Ordering::Relaxed) == SEALED {
                return lost;
            }
            pause();
        }
    }

    fn pop(&self) -> Option<(Class, Messages)> {
        let (class, messages) = self.queue.pop()?;
        self.bytes.fetch_sub(messages.body_bytes(), Ordering::Relaxed);
        Some((class, messages))
    }
}
