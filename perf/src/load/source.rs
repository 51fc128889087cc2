//! Makes the load: which messages are due, at the lead the markers around what is measured, and
//! handing them over.

use std::error::Error;
use std::time::Duration;

use roundel::{Batch, BatchError, NodeId, Publisher, Service, TryPublishError};

use super::args::Rate;
use crate::pace::{nanoseconds, planned};
use crate::payload::{Load, Maker, Payload};

/// What is to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) me: NodeId,
    pub(crate) size: usize,
    /// The least size; the same where all are alike.
    pub(crate) size_min: usize,
    pub(crate) rate: Rate,
    pub(crate) service: Service,
    /// Fifo messages a second besides, which do not count.
    pub(crate) beside: Option<u64>,
    /// Where the run began here, on the clock of [`now_ns`](crate::usage::now_ns).
    pub(crate) begun_ns: u64,
    /// When the lead marks start and end, after that; `None` for the others.
    pub(crate) markers: Option<[Duration; 2]>,
}

impl Plan {
    /// The size of the message of this number: by a hash of it, so that all sizes come evenly and in
    /// no order.
    const fn size_of(&self, number: u64) -> usize {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let sizes = (self.size - self.size_min + 1) as u64;
        let hash = number.wrapping_mul(ODD) >> 32;
        let above = ((hash * sizes) >> 32) as usize;
        self.size_min + above
    }
}

/// How far the load has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// More is due.
    Due,
    /// More is due, and there is no room for it.
    Full,
    /// Nothing is due before then.
    Until(u64),
}

/// Messages between two looks at the clock.
const MESSAGES: u32 = 64;

/// The load of one member.
#[derive(Debug)]
pub(crate) struct Source {
    plan: Plan,
    publisher: Publisher,
    batch: Batch,
    maker: Maker,
    sent: u64,
    beside: u64,
    /// Still to be sent, the next one last.
    markers: Vec<(u64, Payload)>,
}

impl Source {
    pub(crate) fn new(plan: Plan, publisher: Publisher) -> Self {
        let at = |after| plan.begun_ns + nanoseconds(after);
        let markers = plan.markers.map_or(Vec::new(), |[start, end]| {
            vec![(at(end), Payload::End), (at(start), Payload::Start)]
        });
        let (batch, maker) = (publisher.batch(plan.service), Maker::new(plan.size));
        Self { plan, publisher, batch, maker, sent: 0, beside: 0, markers }
    }

    /// Hands over some of what is due at `now_ns`, as far as there is room.
    ///
    /// # Errors
    /// That the member accepts nothing more.
    pub(crate) fn poll(&mut self, now_ns: u64) -> Result<Progress, Box<dyn Error>> {
        if let Some((at, marker)) = self.markers.last()
            && *at <= now_ns
        {
            let marker = marker.control();
            return match self.publish(marker) {
                Ok(()) => {
                    self.markers.pop();
                    Ok(Progress::Due)
                }
                Err(error) => full_or(error),
            };
        }
        self.publish_beside(now_ns)?;
        for _ in 0..MESSAGES {
            // Planned from the beginning of the run, whatever happened since.
            let planned_ns = match self.plan.rate {
                Rate::Max => now_ns,
                Rate::PerSecond(rate) => self.plan.begun_ns + planned(self.sent, rate),
            };
            if planned_ns > now_ns {
                return match self.batch.try_flush() {
                    Ok(()) => {
                        let marker = self.markers.last().map_or(planned_ns, |(at, _)| *at);
                        Ok(Progress::Until(planned_ns.min(marker)))
                    }
                    Err(error) => full_or(error.into()),
                };
            }
            let (sender, counter) = (self.plan.me, self.sent);
            let lateness_ns = now_ns - planned_ns;
            let load = Load { sender, counter, planned_ns, lateness_ns };
            match self.batch.try_push(self.maker.make_of(load, self.plan.size_of(counter))) {
                Ok(()) => self.sent += 1,
                Err(error) => return full_or(error.into()),
            }
        }
        Ok(Progress::Due)
    }

    /// Hands over one of what is sent besides, if it is due and there is room.
    fn publish_beside(&mut self, now_ns: u64) -> Result<(), Box<dyn Error>> {
        let due = self.plan.beside.map(|rate| self.plan.begun_ns + planned(self.beside, rate));
        if due.is_none_or(|due| due > now_ns) {
            return Ok(());
        }
        let filler = bytes::Bytes::from_static(&[0; 64]);
        match self.publisher.try_publish(Service::Fifo, filler) {
            Ok(()) => self.beside += 1,
            Err(error) => drop(full_or(error.into())?),
        }
        Ok(())
    }

    /// Messages handed over so far.
    pub(crate) const fn sent(&self) -> u64 {
        self.sent
    }

    /// Waits until there is room.
    ///
    /// # Errors
    /// That the member accepts nothing more.
    pub(crate) fn wait_for_room(&mut self) -> Result<(), BatchError> {
        self.batch.flush()
    }

    /// Behind everything that was handed over before. What is due and was not yet is not waited for:
    /// the receiver takes down how late it is at least.
    fn publish(&mut self, marker: bytes::Bytes) -> Result<(), Refusal> {
        self.batch.try_flush()?;
        self.publisher.try_publish(Service::Agreed, marker)?;
        Ok(())
    }
}

/// Why something was not handed over.
#[derive(Debug)]
enum Refusal {
    Full,
    Ended(Box<dyn Error>),
}

impl From<BatchError> for Refusal {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::Full => Self::Full,
            error => Self::Ended(error.into()),
        }
    }
}

impl From<TryPublishError> for Refusal {
    fn from(error: TryPublishError) -> Self {
        match error {
            TryPublishError::Full(_) => Self::Full,
            error => Self::Ended(error.into()),
        }
    }
}

fn full_or(refusal: Refusal) -> Result<Progress, Box<dyn Error>> {
    match refusal {
        Refusal::Full => Ok(Progress::Full),
        Refusal::Ended(error) => Err(error),
    }
}
