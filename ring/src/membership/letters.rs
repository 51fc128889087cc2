//! Letters between layers: to and from members of the installed ring, and nobody else.

use bytes::Bytes;

use super::Membership;
use crate::counters::Ignored;
use crate::id::NodeId;
use crate::layer::LETTER_BYTES_MAX;
use crate::wire::letter;

/// Letters that wait for the layer at most; what comes beyond is lost, like any letter may be.
const LETTERS_MAX: usize = 256;

impl Membership {
    /// Sends a letter to a member of the installed ring; to others, and longer than
    /// [`LETTER_BYTES_MAX`], it is lost.
    pub fn send_letter(&mut self, to: NodeId, payload: &[u8]) {
        let roster = &self.installed;
        let (Some(place), true) = (roster.index_of(to), payload.len() <= LETTER_BYTES_MAX) else {
            return;
        };
        let (to, member) = (roster.members[place].endpoint, self.identity.member);
        let letter = letter::Letter { sender: member.id, incarnation: member.incarnation, payload };
        let mut frame = Vec::new();
        letter.emit(self.identity.cluster, &mut frame);
        self.unicast(to, frame);
    }

    /// The next letter that came, and its sender.
    pub fn poll_letter(&mut self) -> Option<(NodeId, Bytes)> {
        self.letters.pop_front()
    }

    pub(super) fn handle_letter(&mut self, frame: &[u8]) -> Result<(), Ignored> {
        let letter = letter::Letter::parse(frame, self.identity.cluster)?;
        let place = self.installed.index_of(letter.sender).ok_or(Ignored::NotConcerned)?;
        if self.installed.members[place].incarnation != letter.incarnation {
            return Err(Ignored::StaleIncarnation);
        }
        if self.letters.len() < LETTERS_MAX {
            self.letters.push_back((letter.sender, Bytes::copy_from_slice(letter.payload)));
        }
        Ok(())
    }
}
