//! Messages of mixed sizes at planned times.

use roundel::{Batch, BatchError, NodeId, Publisher, Service};

use super::chance::chance;
use crate::pace::planned;
use crate::payload::{Load, Maker};

/// Sizes in bytes, each with how many of a hundred thousand messages have it.
const SIZES: [(usize, u64); 4] = [(64, 89_499), (1_350, 10_000), (8 << 10, 500), (1 << 20, 1)];

/// Behind the plan by more than this, the plan gives way: what the ring is too slow for is left
/// out and counted.
const BEHIND_MAX_NS: u64 = 500_000_000;

const SECOND_NS: u64 = 1_000_000_000;

/// Messages between two looks at the clock.
const MESSAGES: u32 = 64;

/// When there is no room, the next try.
const FULL_PAUSE_NS: u64 = 1_000_000;

/// What one member publishes.
///
/// Getters: [`Source::accepted`], [`Source::is_flushed`], [`Source::skipped`]. Inputs:
/// [`Source::poll`], [`Source::flush`].
#[derive(Debug)]
pub(super) struct Source {
    me: NodeId,
    rate: u64,
    seed: u64,
    /// When the first message would have been due at this rate.
    begun_ns: u64,
    sent: u64,
    skipped: u64,
    batch: Batch,
    maker: Maker,
}

impl Source {
    pub(super) fn new(
        me: NodeId,
        [rate, seed]: [u64; 2],
        now_ns: u64,
        publisher: &Publisher,
        service: Service,
    ) -> Self {
        let largest = SIZES.iter().map(|(size, _)| *size).max().unwrap_or(0);
        let (batch, maker) = (publisher.batch(service), Maker::new(largest));
        Self { me, rate, seed, begun_ns: now_ns, sent: 0, skipped: 0, batch, maker }
    }

    /// Messages that the member took, which it has to deliver.
    pub(super) fn accepted(&self) -> u64 {
        self.sent - self.batch.len() as u64
    }

    /// Nothing waits to be accepted.
    pub(super) fn is_flushed(&self) -> bool {
        self.batch.is_empty()
    }

    /// Messages that were planned and left out.
    pub(super) const fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Hands over what is due, as far as there is room; yields when to come again.
    ///
    /// # Errors
    /// That the member accepts nothing more.
    pub(super) fn poll(&mut self, now_ns: u64) -> Result<u64, BatchError> {
        self.give_way(now_ns);
        for _ in 0..MESSAGES {
            let planned_ns = self.begun_ns + planned(self.sent, self.rate);
            if planned_ns > now_ns {
                return Ok(if self.flush()? { planned_ns } else { now_ns + FULL_PAUSE_NS });
            }
            let size = self.size(self.sent);
            let (sender, counter) = (self.me, self.sent);
            let lateness_ns = now_ns - planned_ns;
            let load = Load { sender, counter, planned_ns, lateness_ns };
            match self.batch.try_push(self.maker.make_of(load, size)) {
                Ok(()) => self.sent += 1,
                Err(BatchError::Full) => return Ok(now_ns + FULL_PAUSE_NS),
                Err(error) => return Err(error),
            }
        }
        Ok(now_ns)
    }

    /// Hands over what was begun; whether that is all.
    ///
    /// # Errors
    /// That the member accepts nothing more.
    pub(super) fn flush(&mut self) -> Result<bool, BatchError> {
        match self.batch.try_flush() {
            Ok(()) => Ok(true),
            Err(BatchError::Full) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn give_way(&mut self, now_ns: u64) {
        let behind_ns = now_ns.saturating_sub(self.begun_ns + planned(self.sent, self.rate));
        if behind_ns > BEHIND_MAX_NS {
            self.skipped += (behind_ns / 1_000).saturating_mul(self.rate) / (SECOND_NS / 1_000);
            self.begun_ns += behind_ns;
        }
    }

    fn size(&self, number: u64) -> usize {
        let all: u64 = SIZES.iter().map(|(_, share)| share).sum();
        let mut left = chance(self.seed, [self.me.0.into(), number]) % all;
        for (size, share) in SIZES {
            if left < share {
                return size;
            }
            left -= share;
        }
        SIZES[0].0
    }
}
