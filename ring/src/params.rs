//! Every tunable of the protocol, with its default and its bounds, and every capacity that
//! follows from them.

use std::time::Duration;

use crate::free::FREE_PACKETS_MAX;

/// Largest window, in packets. With packets of 9 000 B a full window is 600 MiB; the default is
/// far smaller.
pub const WINDOW_PACKETS_MAX: usize = 1 << 16;

/// Largest message by default.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The tunables of one member. All members of a ring should use the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Params {
    /// Slots of the window: packets kept for retransmission and reordering. A power of two.
    pub window_packets: usize,
    /// Packets one member may number in one token visit.
    pub personal_packets: u32,
    /// Packets all members together may multicast in one rotation.
    pub global_packets: u32,
    /// Packets a member may multicast after its token left.
    pub accelerated_packets: u32,
    /// Requested packets a member multicasts in one visit at most.
    pub retransmit_packets: u32,
    /// Packets that fit this member's receive buffer: the others send it no more in one rotation.
    pub receive_packets: u32,
    /// Packets of messages that are nearly equally long are made equally long: for hosts whose
    /// frames of one length leave together, as super-packets.
    pub pad_packets: bool,
    /// Packets that left without the token and are not known to be held by all, at most
    /// [`FREE_PACKETS_MAX`]; 0: all wait for the token.
    pub free_packets: u32,
    /// Silence of a ring after which its token counts as lost.
    pub token_loss: Duration,
    /// Times that a token is retransmitted within `token_loss` at least: sooner at first where
    /// rotations are quick.
    pub token_retransmits: u32,
    /// Longest time an idle token is held by the representative.
    pub hold: Duration,
    /// A member whose aru does not move for this long, with requests outstanding, fails to receive.
    pub fail_to_receive: Duration,
    /// Distance of joins while a membership forms.
    pub join: Duration,
    /// Silence after which a member of a forming membership counts as failed.
    pub consensus: Duration,
    /// Distance of repeated commit tokens.
    pub commit_retransmit: Duration,
    /// A proposed ring that is not adopted by all within this time is given up; at most
    /// `consensus`.
    pub commit_loss: Duration,
    /// Distance of beacons.
    pub beacon: Duration,
    /// Bytes of accepted messages that wait for a number, at most.
    pub backlog_bytes: usize,
    /// Accepted messages, or packets of packed ones, that wait for a number, at most.
    pub backlog_messages: usize,
    /// Packets decided for delivery that wait for the application, beyond those in the window.
    pub stream_packets: usize,
    /// Largest message.
    pub message_bytes: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            window_packets: 8192,
            personal_packets: 64,
            global_packets: 256,
            accelerated_packets: 32,
            retransmit_packets: 64,
            receive_packets: 2048,
            pad_packets: true,
            free_packets: FREE_PACKETS_MAX,
            token_loss: Duration::from_millis(80),
            token_retransmits: 15,
            hold: Duration::from_millis(20),
            fail_to_receive: Duration::from_secs(2),
            join: Duration::from_millis(20),
            consensus: Duration::from_millis(100),
            commit_retransmit: Duration::from_millis(10),
            commit_loss: Duration::from_millis(100),
            beacon: Duration::from_millis(40),
            backlog_bytes: 32 << 20,
            backlog_messages: 1 << 16,
            stream_packets: 512,
            message_bytes: MESSAGE_BYTES_MAX,
        }
    }
}

/// Why a set of tunables cannot work.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParamsError {
    /// The window is no power of two within its bounds.
    #[error(
        "window of {0} packets: must be a power of two from 64 to {WINDOW_PACKETS_MAX}; take 8192"
    )]
    Window(usize),
    /// More token-free packets than a commit entry can name.
    #[error("{0} token-free packets under way: at most {FREE_PACKETS_MAX}; take that")]
    Free(u32),
    /// A count or time that must be positive is zero.
    #[error("{0} is 0: nothing would ever be sent, or nothing else; take the default")]
    Zero(&'static str),
    /// The ring would give its token up while it is merely held.
    #[error("hold {hold:?} exceeds a quarter of the token timeout {token_loss:?}; lower it")]
    Hold {
        /// The tunable.
        hold: Duration,
        /// Its bound's origin.
        token_loss: Duration,
    },
    /// A member would be taken for silent between two of its joins.
    #[error(
        "consensus {consensus:?} is less than three join intervals of {join:?}; raise it, \
         or one lost join excludes a live member"
    )]
    Consensus {
        /// The tunable.
        consensus: Duration,
        /// Its bound's origin.
        join: Duration,
    },
    /// A member that has proposed a ring, and so is silent, would be taken for failed.
    #[error(
        "commit timeout {commit_loss:?} exceeds consensus {consensus:?}; lower it, or a ring falls \
         apart where one link is missing"
    )]
    Commit {
        /// The tunable.
        commit_loss: Duration,
        /// Its bound's origin.
        consensus: Duration,
    },
}

impl Params {
    /// Checks the relations between the tunables.
    ///
    /// # Errors
    /// The first relation that does not hold, with the fix.
    pub fn validate(&self) -> Result<(), ParamsError> {
        let window = self.window_packets;
        if !window.is_power_of_two() || !(64..=WINDOW_PACKETS_MAX).contains(&window) {
            return Err(ParamsError::Window(window));
        }
        for (name, value) in [
            ("personal window", self.personal_packets),
            ("global window", self.global_packets),
            ("retransmission cap", self.retransmit_packets),
            ("token retransmits", self.token_retransmits),
        ] {
            if value == 0 {
                return Err(ParamsError::Zero(name));
            }
        }
        for (name, value) in [
            ("token timeout", self.token_loss),
            ("join interval", self.join),
            ("commit interval", self.commit_retransmit),
            ("beacon interval", self.beacon),
        ] {
            if value.is_zero() {
                return Err(ParamsError::Zero(name));
            }
        }
        if self.free_packets > FREE_PACKETS_MAX {
            return Err(ParamsError::Free(self.free_packets));
        }
        if self.hold > self.token_loss / 4 {
            return Err(ParamsError::Hold { hold: self.hold, token_loss: self.token_loss });
        }
        if self.consensus < 3 * self.join {
            return Err(ParamsError::Consensus { consensus: self.consensus, join: self.join });
        }
        if self.commit_loss > self.consensus {
            let (commit_loss, consensus) = (self.commit_loss, self.consensus);
            return Err(ParamsError::Commit { commit_loss, consensus });
        }
        Ok(())
    }

    /// Longest time between two retransmissions of a token.
    #[must_use]
    pub fn token_retransmit(&self) -> Duration {
        self.token_loss / (self.token_retransmits + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_token_free_packets_than_can_be_named() {
        let params = |free_packets| Params { free_packets, ..Params::default() };
        assert_eq!(params(FREE_PACKETS_MAX).validate(), Ok(()));
        let error = params(FREE_PACKETS_MAX + 1).validate().unwrap_err();
        assert!(error.to_string().contains("17 token-free packets"), "{error}");
    }
}
