//! Data frames straight on IP: what stands before each in UDP's place.
//!
//! Ports, so that several members of one address and several clusters of one group keep apart as
//! with UDP, and a CRC-32 instead of UDP's sum; no longer than UDP's header, so that as much fits
//! a packet.
//!
//! ```text
//!  0             2                  4        8
//!  source port · destination port · CRC-32 · frame      (big endian; the CRC of all the rest)
//! ```

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;

use crc32fast::Hasher;

/// Bytes of the header.
pub(crate) const HEADER_BYTES: usize = 8;

/// The header as it stands in front of a frame.
pub(crate) type Header = [u8; HEADER_BYTES];

/// Longest IPv4 header, which the kernel hands over with each datagram.
pub(crate) const IP_HEADER_BYTES_MAX: usize = 60;

/// A number in the protocol field of IP headers that is free for raw sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawProtocol(u8);

/// A number that is none of [`RawProtocol`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "IP protocol {0} has another use on every host; fix: 253 or 254, which are for experiments"
)]
pub struct NotFree(u8);

impl RawProtocol {
    /// # Errors
    /// For numbers that the kernel handles itself.
    pub fn new(number: u8) -> Result<Self, NotFree> {
        const IN_USE: [i32; 7] = [
            libc::IPPROTO_IP,
            libc::IPPROTO_ICMP,
            libc::IPPROTO_IGMP,
            libc::IPPROTO_IPIP,
            libc::IPPROTO_TCP,
            libc::IPPROTO_UDP,
            libc::IPPROTO_RAW,
        ];
        if IN_USE.contains(&i32::from(number)) { Err(NotFree(number)) } else { Ok(Self(number)) }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl Default for RawProtocol {
    /// 254, for experiments (RFC 3692).
    fn default() -> Self {
        Self(254)
    }
}

impl fmt::Display for RawProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The header of a frame, which is given in parts.
pub(crate) fn header(from_port: u16, to_port: u16, frame: &[&[u8]]) -> Header {
    let ports = ports(from_port, to_port);
    let [a, b, c, d] = ports;
    let [e, f, g, h] = checksum(ports, frame).to_be_bytes();
    [a, b, c, d, e, f, g, h]
}

/// What a received datagram is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Parsed {
    /// A frame, from `frame_at` to the end.
    Frame { frame_at: usize, from_port: u16 },
    /// For another port.
    Foreign,
    /// Too short, or changed on the way.
    Damaged,
}

/// Whether a datagram, from its IP header on, was sent to this address. Until a raw socket is
/// bound, those for any address are queued.
pub(crate) fn is_for(datagram: &[u8], address: Ipv4Addr) -> bool {
    const DESTINATION: Range<usize> = 16..20;
    datagram.get(DESTINATION) == Some(&address.octets())
}

/// Reads a datagram from its IP header on.
pub(crate) fn parse(datagram: &[u8], to_port: u16) -> Parsed {
    let ip_words = datagram.first().map_or(0, |first| first & 0xf);
    let Some(rest) = datagram.get(4 * usize::from(ip_words)..) else { return Parsed::Damaged };
    let Some((header, frame)) = rest.split_first_chunk::<HEADER_BYTES>() else {
        return Parsed::Damaged;
    };
    let [a, b, c, d, e, f, g, h] = *header;
    if checksum([a, b, c, d], &[frame]) != u32::from_be_bytes([e, f, g, h]) {
        return Parsed::Damaged;
    }
    if u16::from_be_bytes([c, d]) != to_port {
        return Parsed::Foreign;
    }
    let frame_at = datagram.len() - frame.len();
    Parsed::Frame { frame_at, from_port: u16::from_be_bytes([a, b]) }
}

fn ports(from: u16, to: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (from.to_be_bytes(), to.to_be_bytes());
    [a, b, c, d]
}

fn checksum(ports: [u8; 4], frame: &[&[u8]]) -> u32 {
    let mut crc = Hasher::new();
    crc.update(&ports);
    frame.iter().for_each(|part| crc.update(part));
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel hands it over, behind an IP header of so many words.
    fn datagram(ip_words: u8, header: Header, frame: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4 * usize::from(ip_words)];
        bytes[0] = 0x40 | ip_words;
        bytes.extend(header);
        bytes.extend(frame);
        bytes
    }

    #[test]
    fn a_frame_is_found_behind_headers_of_any_length() {
        let header = header(7401, 7400, &[b"head ", b"and body"]);
        for ip_words in 5..=15 {
            let bytes = datagram(ip_words, header, b"head and body");
            let Parsed::Frame { frame_at, from_port: 7401 } = parse(&bytes, 7400) else {
                panic!("{ip_words} words");
            };
            assert_eq!(&bytes[frame_at..], b"head and body");
            assert_eq!(parse(&bytes, 7402), Parsed::Foreign);
        }
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_damage() {
        let whole = datagram(5, header(7401, 7400, &[b"frame"]), b"frame");
        for bit in 8 * 20..8 * whole.len() {
            let mut changed = whole.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&changed, 7400), Parsed::Damaged, "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length], 7400), Parsed::Damaged, "{length} bytes");
        }
    }

    #[test]
    fn the_address_is_that_of_the_ip_header() {
        let (own, other) = (Ipv4Addr::new(239, 192, 1, 2), Ipv4Addr::new(239, 192, 1, 3));
        let mut bytes = datagram(5, header(7401, 7400, &[b"frame"]), b"frame");
        bytes[16..20].copy_from_slice(&own.octets());
        assert!(is_for(&bytes, own) && !is_for(&bytes, other) && !is_for(&bytes[..19], own));
    }

    /// A byte from a seed.
    fn random(state: &mut u64) -> u8 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    }

    #[test]
    fn any_datagram_is_a_frame_or_none() {
        let (mut state, mut frames) = (1, 0);
        let good = datagram(6, header(7401, 7400, &[b"frame"]), b"frame");
        for round in 0..1_000_000 {
            let length = random(&mut state) % 80;
            let mut bytes: Vec<u8> = (0..length).map(|_| random(&mut state)).collect();
            if round % 2 == 0 {
                bytes.clone_from(&good);
                // Behind fields of the IP header that nobody looks at, and all others.
                let at = usize::from(random(&mut state)) % bytes.len();
                bytes[at] = random(&mut state);
            }
            if let Parsed::Frame { frame_at, .. } = parse(&bytes, 7400) {
                assert!(frame_at >= HEADER_BYTES && frame_at <= bytes.len());
                frames += 1;
            }
            let _ = is_for(&bytes, Ipv4Addr::LOCALHOST);
        }
        assert!(frames > 100_000, "{frames} frames");
    }

    #[test]
    fn protocols_of_the_kernel_are_refused() {
        for number in [0, 1, 2, 4, 6, 17, 255] {
            assert_eq!(RawProtocol::new(number), Err(NotFree(number)));
        }
        for number in [3, 89, 253, 254] {
            assert_eq!(RawProtocol::new(number).map(RawProtocol::number), Ok(number));
        }
    }
}
