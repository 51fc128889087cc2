//! Bodies of nearly one length get one length: only frames of one length leave the host together,
//! as one super-packet, which costs the processor a fraction of sending them one by one.

/// Padding is at most a quarter of the length that it leads to. Messages that are short beside a
/// packet leave less of it empty anyhow; for longer ones what it costs on the network is little
/// beside what it saves.
const PART_MAX: usize = 4;

/// Levels the lengths of bodies, one after the other.
#[derive(Clone, Copy, Hash, Debug)]
pub(crate) struct Level {
    /// The length that bodies are padded to.
    bytes: usize,
    /// The length of the last body as it was.
    last: usize,
    is_on: bool,
}

impl Level {
    /// Pads only if it `is_on`: where frames leave together at all.
    pub(crate) const fn new(is_on: bool) -> Self {
        Self { bytes: 0, last: 0, is_on }
    }

    /// Zero bytes to put behind the last piece of a message that is cut into pieces of
    /// `piece_bytes`: those of the next message of its size leave together with it then.
    pub(crate) const fn fragment_padding(&self, last_bytes: usize, piece_bytes: usize) -> usize {
        let missing = piece_bytes - last_bytes;
        if self.is_on && may_pad(missing, piece_bytes) { missing } else { 0 }
    }

    /// Zero bytes to put behind a body of so many `bytes`, in packets that take `bytes_max`.
    ///
    /// The longest body of late is the measure, until one is much shorter, or two in a row have one
    /// length anyhow.
    pub(crate) fn padding(&mut self, bytes: usize, bytes_max: usize) -> usize {
        let is_even = bytes == std::mem::replace(&mut self.last, bytes);
        let is_near = bytes + self.bytes / PART_MAX >= self.bytes;
        if is_even || !is_near || self.bytes > bytes_max || !self.is_on {
            self.bytes = bytes;
        }
        self.bytes = self.bytes.max(bytes);
        self.bytes - bytes
    }
}

/// Whether so many zero bytes may stand at the end of a body of `body_bytes`.
pub(crate) const fn may_pad(padding_bytes: usize, body_bytes: usize) -> bool {
    padding_bytes <= body_bytes / PART_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_equal_lengths_become_equal() {
        let mut level = Level::new(true);
        let mut padded = |lengths: &[usize]| -> Vec<usize> {
            lengths.iter().map(|&bytes| bytes + level.padding(bytes, 1_438)).collect()
        };
        assert_eq!(padded(&[1_300, 1_400, 1_350, 1_399]), [1_300, 1_400, 1_400, 1_400]);
        assert_eq!(padded(&[1_050, 1_049, 1_300]), [1_400, 1_049, 1_300], "no more than a quarter");
        assert_eq!(padded(&[1_250, 1_250, 1_250]), [1_300, 1_250, 1_250], "equal as they are");
        assert_eq!(padded(&[10, 0, 5]), [10, 0, 5]);
    }

    #[test]
    fn nothing_is_padded_where_it_is_off() {
        let mut level = Level::new(false);
        assert_eq!([1_400, 1_350, 1_399].map(|bytes| level.padding(bytes, 1_438)), [0; 3]);
    }

    #[test]
    fn no_body_outgrows_its_packet_and_all_padding_is_allowed() {
        let mut level = Level::new(true);
        level.padding(8_900, 8_938);
        assert_eq!(level.padding(1_400, 1_438), 0);
        assert_eq!(level.padding(1_200, 1_218), 0, "nearly as long, but packets are shorter now");
        let mut random = 1_u32;
        for _ in 0..10_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let bytes = 1_000 + (random >> 16) as usize % 439;
            let padding = level.padding(bytes, 1_438);
            assert!(bytes + padding <= 1_438 && may_pad(padding, bytes + padding));
        }
    }
}
