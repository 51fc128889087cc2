//! A joiner's side of a transfer: it pulls a window of chunks, asks again for those that do not come,
//! and leaves a silent donor for the next, going on where it was.

use std::collections::{BTreeMap, VecDeque};

use super::letters::{ASK_CHUNKS_MAX, Ask, CHUNK_BYTES, Piece, Whole};
use super::options::Options;
use super::position::{Instant, digest};
use crate::id::NodeId;
use crate::time::Time;

/// Rounds through all donors in silence before the checkpoint is given up.
const ROUNDS_MAX: usize = 3;

/// What became of a letter or a timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// It goes on.
    Going,
    /// Nothing changed: not asked for, doubled, or of another whole.
    Ignored,
    /// All chunks are here.
    Complete,
    /// This checkpoint cannot be had: not what its digest says, or no donor answers.
    Hopeless,
    /// Longer than configured, and so will the next one be.
    TooLong,
}

/// The transfer of one checkpoint. Memory: what has come in order, and the window.
#[derive(Debug)]
pub(super) struct Fetch {
    instant: Instant,
    /// The first is asked.
    donors: VecDeque<NodeId>,
    /// Silences since the last useful letter.
    silences: usize,
    heard: Time,
    whole: Option<Whole>,
    /// The chunks that came in order.
    bytes: Vec<u8>,
    /// Their number.
    have: u32,
    /// Chunks behind a hole.
    ahead: BTreeMap<u32, Vec<u8>>,
    /// Asked for and not come, with the time of asking.
    asked: BTreeMap<u32, Time>,
    asks: VecDeque<(NodeId, Ask)>,
    window_chunks: u32,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes_max: u64,
    retry: std::time::Duration,
    silence: std::time::Duration,
}

impl Fetch {
    /// A transfer that has nothing yet. Asks at once.
    pub(super) fn new(now: Time, instant: Instant, donors: Vec<NodeId>, options: &Options) -> Self {
        let bytes_max = options.snapshot_bytes_max as u64;
        let limits = Limits { bytes_max, retry: options.retry, silence: options.silence };
        let mut fetch = Self {
            instant,
            donors: donors.into(),
            silences: 0,
            heard: now,
            whole: None,
            bytes: Vec::new(),
            have: 0,
            ahead: BTreeMap::new(),
            asked: BTreeMap::new(),
            asks: VecDeque::new(),
            window_chunks: options.window_chunks.max(1),
            limits,
        };
        fetch.fill(now);
        fetch
    }

    /// Bytes that came in order, and of how many if that is known.
    pub(super) fn progress(&self) -> (u64, Option<u64>) {
        (self.bytes.len() as u64, self.whole.map(|whole| whole.bytes))
    }

    /// The same checkpoint, now from these; keeps what came.
    pub(super) fn go_on(&mut self, now: Time, donors: Vec<NodeId>) {
        self.donors = donors.into();
        self.silences = 0;
        self.start_over_asking(now);
    }

    fn start_over_asking(&mut self, now: Time) {
        self.heard = now;
        self.asked.clear();
        self.asks.clear();
        self.fill(now);
    }

    /// Asks for everything in the window that is neither here nor asked for.
    fn fill(&mut self, now: Time) {
        let Some(donor) = self.donors.front().copied() else { return };
        let known = self.whole.and_then(Whole::chunks).unwrap_or(u32::MAX);
        let end = self.have.saturating_add(self.window_chunks).min(known);
        let mut run: Option<Ask> = None;
        for number in self.have..end {
            if self.ahead.contains_key(&number) || self.asked.contains_key(&number) {
                continue;
            }
            self.asked.insert(number, now);
            match &mut run {
                Some(ask)
                    if ask.first + u32::from(ask.count) == number && ask.count < ASK_CHUNKS_MAX =>
                {
                    ask.count += 1;
                }
                _ => {
                    let ask = Ask { instant: self.instant, first: number, count: 1 };
                    self.asks.extend(run.replace(ask).map(|ask| (donor, ask)));
                }
            }
        }
        self.asks.extend(run.map(|ask| (donor, ask)));
    }

    /// The next letter to a donor.
    pub(super) fn poll(&mut self) -> Option<(NodeId, Ask)> {
        self.asks.pop_front()
    }

    /// A chunk came. From whom does not matter: instant, length and digest say what it is of.
    pub(super) fn handle_piece(&mut self, now: Time, piece: &Piece<'_>) -> Outcome {
        if piece.instant != self.instant || self.whole.is_some_and(|whole| whole != piece.whole) {
            return Outcome::Ignored;
        }
        if piece.whole.bytes > self.limits.bytes_max {
            return Outcome::TooLong;
        }
        // Only what was asked for: so `ahead` never holds more than the window.
        if self.asked.remove(&piece.number).is_none() {
            return Outcome::Ignored;
        }
        self.whole = Some(piece.whole);
        self.heard = now;
        self.silences = 0;
        if piece.number == self.have {
            self.bytes.extend_from_slice(piece.bytes);
            self.have += 1;
            while let Some(next) = self.ahead.remove(&self.have) {
                self.bytes.extend_from_slice(&next);
                self.have += 1;
            }
        } else {
            self.ahead.insert(piece.number, piece.bytes.to_vec());
        }
        if self.bytes.len() as u64 == piece.whole.bytes {
            let is_right = digest(0, &self.bytes) == piece.whole.digest;
            return if is_right { Outcome::Complete } else { Outcome::Hopeless };
        }
        // A letter for many chunks: as many as it may ask for are free, or none is under way.
        if self.asked.len() + usize::from(ASK_CHUNKS_MAX) <= self.window_chunks as usize
            || self.asked.is_empty()
        {
            self.fill(now);
        }
        Outcome::Going
    }

    /// What came, when it is complete.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Asks again, or the next donor.
    pub(super) fn handle_timeout(&mut self, now: Time) -> Outcome {
        if self.donors.is_empty() {
            return Outcome::Hopeless;
        }
        if now.since(self.heard) >= self.limits.silence {
            self.silences += 1;
            if self.silences >= ROUNDS_MAX * self.donors.len() {
                return Outcome::Hopeless;
            }
            self.donors.rotate_left(1);
            // Nothing came of this whole: the next donor may have written another.
            if self.have == 0 && self.ahead.is_empty() {
                self.whole = None;
            }
            self.start_over_asking(now);
            return Outcome::Going;
        }
        let retry = self.limits.retry;
        self.asked.retain(|_, asked| now.since(*asked) < retry);
        self.fill(now);
        Outcome::Going
    }

    /// When [`Fetch::handle_timeout`] is wanted.
    pub(super) fn timeout(&self) -> Time {
        let again = self.asked.values().min().map(|asked| *asked + self.limits.retry);
        let next_donor = self.heard + self.limits.silence;
        again.map_or(next_donor, |again| again.min(next_donor))
    }

    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.ahead.len()
    }
}

const _: () = assert!(CHUNK_BYTES * (ASK_CHUNKS_MAX as usize) < 64 << 10);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::checkpoint::Store;
    use super::super::progress::Progress;
    use super::*;

    fn donor(bytes: usize) -> Store {
        let mut store = Store::default();
        let text = (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect();
        store.keep(Instant::default(), text);
        store
    }

    fn fetch() -> Fetch {
        let mut options = Options::new(Progress::Always);
        options.snapshot_bytes_max = 1 << 20;
        Fetch::new(Time::ZERO, Instant::default(), vec![NodeId(1), NodeId(2)], &options)
    }

    fn numbers(fetch: &mut Fetch) -> Vec<(NodeId, u32)> {
        let mut all = Vec::new();
        while let Some((to, ask)) = fetch.poll() {
            all.extend((ask.first..ask.first + u32::from(ask.count)).map(|number| (to, number)));
        }
        all
    }

    #[test]
    fn chunks_come_in_any_order_twice_and_late() {
        let (store, mut fetch) = (donor(200_000), fetch());
        let mut under_way = numbers(&mut fetch);
        assert_eq!(under_way.len(), 64);
        let (mut now, mut letters) = (Time::ZERO, 0_u32);
        loop {
            now = now + Duration::from_micros(100);
            let Some((_, number)) = under_way.pop() else {
                now = fetch.timeout();
                assert_eq!(fetch.handle_timeout(now), Outcome::Going);
                under_way = numbers(&mut fetch);
                continue;
            };
            letters += 1;
            if letters.is_multiple_of(7) {
                continue;
            }
            let Some(piece) = store.piece(Instant::default(), number) else { continue };
            let outcome = fetch.handle_piece(now, &piece);
            assert!(fetch.waiting() <= 64);
            under_way.extend(numbers(&mut fetch));
            if outcome == Outcome::Complete {
                break;
            }
            assert_eq!(fetch.handle_piece(now, &piece), Outcome::Ignored, "twice");
        }
        assert_eq!(fetch.bytes().len(), 200_000);
    }

    #[test]
    fn a_silent_donor_is_left_and_what_came_is_kept() {
        let (store, mut fetch) = (donor(100_000), fetch());
        let mut asked = numbers(&mut fetch);
        asked.truncate(10);
        for (_, number) in asked {
            fetch.handle_piece(Time::ZERO, &store.piece(Instant::default(), number).unwrap());
        }
        let mut now = Time::ZERO;
        while now < Time::ZERO + Duration::from_millis(200) {
            now = fetch.timeout();
            assert_eq!(fetch.handle_timeout(now), Outcome::Going);
        }
        let next = numbers(&mut fetch);
        assert!(next.iter().all(|(to, number)| *to == NodeId(2) && *number >= 10));
        for _ in 0..5 {
            now = now + Duration::from_millis(200);
            if fetch.handle_timeout(now) == Outcome::Hopeless {
                return;
            }
        }
        panic!("nobody answers, and it goes on for ever");
    }

    #[test]
    fn what_was_not_asked_for_and_what_is_too_long_has_no_effect() {
        let (store, mut fetch) = (donor(100_000), fetch());
        let piece = store.piece(Instant::default(), 80).unwrap();
        assert_eq!(fetch.handle_piece(Time::ZERO, &piece), Outcome::Ignored, "beyond the window");
        let first = store.piece(Instant::default(), 0).unwrap();
        let huge = Piece { whole: Whole { bytes: 1 << 40, digest: 0 }, ..first };
        assert_eq!(fetch.handle_piece(Time::ZERO, &huge), Outcome::TooLong);
        assert_eq!(fetch.handle_piece(Time::ZERO, &first), Outcome::Going);
        let other = Piece { whole: Whole { digest: 1, ..first.whole }, number: 1, ..first };
        assert_eq!(fetch.handle_piece(Time::ZERO, &other), Outcome::Ignored);
    }
}
