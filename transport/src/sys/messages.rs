//! Datagrams to send, in the shape the kernel reads, and the control messages of super-packets.

use std::mem::{MaybeUninit, size_of};
use std::net::{Ipv4Addr, SocketAddrV4};

use libc::{c_int, c_void, iovec, mmsghdr, msghdr, sockaddr_in};

use crate::outbox::{FRAMES_MAX, Outbox, Planned, Via};
use crate::raw;

/// A control message that tells the size of a super-packet's frames.
#[repr(C)]
struct SegmentControl {
    header: libc::cmsghdr,
    bytes: u16,
    /// The kernel copies what pads a control message too.
    padding: [u8; size_of::<usize>() - size_of::<u16>()],
}

/// `msghdr`s for planned datagrams, with all that they point to but the frames themselves.
///
/// The frames are the outbox's: headers are good while the outbox is unchanged.
pub(crate) struct Messages {
    headers: Vec<mmsghdr>,
    iovecs: Vec<iovec>,
    names: Vec<sockaddr_in>,
    controls: Vec<SegmentControl>,
    /// What stands before frames on raw sockets.
    raw_headers: Vec<raw::Header>,
    /// Which socket sends each.
    vias: Vec<Via>,
}

// SAFETY: the pointers inside lead to this value's own vectors and to the frames of an outbox,
// none of which belongs to a thread; they are followed only by the kernel, in calls that borrow
// both.
unsafe impl Send for Messages {}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.headers.len();
        f.debug_struct("Messages").field("count", &count).finish()
    }
}

impl Messages {
    pub(crate) fn new() -> Self {
        Self {
            headers: Vec::with_capacity(FRAMES_MAX),
            iovecs: Vec::with_capacity(3 * FRAMES_MAX),
            names: Vec::with_capacity(FRAMES_MAX),
            controls: Vec::with_capacity(FRAMES_MAX),
            raw_headers: Vec::with_capacity(FRAMES_MAX),
            vias: Vec::with_capacity(FRAMES_MAX),
        }
    }

    /// One header for each planned datagram, in order. `own_port`: whose frames they are, where
    /// no UDP says so.
    pub(crate) fn build(&mut self, outbox: &Outbox, plan: &[Planned], own_port: u16) {
        self.headers.clear();
        self.iovecs.clear();
        self.names.clear();
        self.controls.clear();
        self.raw_headers.clear();
        self.vias.clear();
        self.vias.extend(plan.iter().map(|planned| planned.via));
        // First all that is pointed to, since a vector that grows moves.
        for planned in plan.iter().filter(|planned| planned.via == Via::Raw) {
            let frame = outbox.parts(planned.first);
            self.raw_headers.push(raw::header(own_port, planned.to.port(), &frame));
        }
        let mut raw_headers = self.raw_headers.iter();
        for planned in plan {
            self.names.push(name(planned.to));
            let raw_header = if planned.via == Via::Raw { raw_headers.next() } else { None };
            let frames = planned.first..planned.first + planned.count;
            let parts = frames.flat_map(|frame| outbox.parts(frame));
            let parts = parts.filter(|part| !part.is_empty());
            self.iovecs.extend(raw_header.map(|header| &header[..]).into_iter().chain(parts).map(
                |part| iovec {
                    // The kernel only reads what it sends, though the type cannot say so.
                    iov_base: part.as_ptr().cast_mut().cast::<c_void>(),
                    iov_len: part.len(),
                },
            ));
            if let Some(bytes) = outbox.segment_bytes(planned) {
                self.controls.push(SegmentControl::new(bytes));
            }
        }
        let iovecs = self.iovecs.as_mut_ptr();
        let (mut iovec, mut control) = (0, 0);
        for (planned, name) in plan.iter().zip(&mut self.names) {
            let frames = planned.first..planned.first + planned.count;
            let parts = frames.flat_map(|frame| outbox.parts(frame));
            let count = usize::from(planned.via == Via::Raw)
                + parts.filter(|part| !part.is_empty()).count();
            let mut header = empty_header();
            header.msg_name = std::ptr::from_mut(name).cast::<c_void>();
            header.msg_namelen = size_of::<sockaddr_in>() as _;
            header.msg_iov = iovecs.wrapping_add(iovec);
            header.msg_iovlen = count as _;
            iovec += count;
            if planned.count > 1 {
                header.msg_control = (&raw mut self.controls[control]).cast::<c_void>();
                header.msg_controllen = size_of::<SegmentControl>() as _;
                control += 1;
            }
            self.headers.push(mmsghdr { msg_hdr: header, msg_len: 0 });
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.headers.len()
    }

    /// A header and the socket that sends it. The kernel may read it while `self` and the outbox
    /// it was built from stay as they are.
    pub(crate) fn header(&self, index: usize) -> (Via, *const msghdr) {
        (self.vias[index], &raw const self.headers[index].msg_hdr)
    }

    /// The headers from `first` on that one socket sends in a row; as [`Messages::header`].
    pub(crate) fn run(&mut self, first: usize) -> (Via, &mut [mmsghdr]) {
        let via = self.vias[first];
        let count = self.vias[first..].iter().take_while(|next| **next == via).count();
        (via, &mut self.headers[first..first + count])
    }
}

impl SegmentControl {
    fn new(bytes: u16) -> Self {
        // SAFETY: a cmsghdr is three integers, for which zeroes are a value; some C libraries add
        // padding that cannot be named here.
        let mut header: libc::cmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
        header.cmsg_len = (size_of::<libc::cmsghdr>() + size_of::<u16>()) as _;
        header.cmsg_level = libc::SOL_UDP;
        header.cmsg_type = libc::UDP_SEGMENT;
        Self { header, bytes, padding: [0; size_of::<usize>() - size_of::<u16>()] }
    }
}

/// A header without name, data and control.
pub(super) fn empty_header() -> msghdr {
    // SAFETY: a msghdr is pointers and integers, for which zeroes are a value.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

fn name(address: SocketAddrV4) -> sockaddr_in {
    sockaddr_in {
        sin_family: libc::AF_INET as _,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: address.ip().to_bits().to_be() },
        sin_zero: [0; 8],
    }
}

/// Bytes of a socket address of IPv4, as the kernel writes it.
pub(super) const NAME_BYTES: usize = size_of::<sockaddr_in>();

/// The address that the kernel wrote; unspecified when there is none.
pub(super) fn parse_name(name: &[u8]) -> SocketAddrV4 {
    let [_, _, high, low, a, b, c, d, ..] = *name else {
        return SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    };
    let port = u16::from_be_bytes([high, low]);
    SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port)
}

/// Room for the control message of a received super-packet, in bytes.
pub(super) const CONTROL_BYTES: usize =
    (size_of::<libc::cmsghdr>() + size_of::<c_int>()).next_multiple_of(size_of::<usize>());

/// The frame size of a received super-packet from the control messages of the kernel, `None` for
/// a single frame.
pub(super) fn parse_segment_bytes(mut control: &[u8]) -> Option<usize> {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    let int = |bytes: &[u8]| Some(c_int::from_ne_bytes(bytes.try_into().ok()?));
    while control.len() >= HEADER {
        let length = usize::from_ne_bytes(control[..size_of::<usize>()].try_into().ok()?);
        let level = int(&control[HEADER - 8..HEADER - 4])?;
        let kind = int(&control[HEADER - 4..HEADER])?;
        if (level, kind) == (libc::SOL_UDP, libc::UDP_GRO) {
            let bytes = usize::try_from(int(control.get(HEADER..HEADER + 4)?)?).ok()?;
            return (bytes > 0).then_some(bytes);
        }
        let next = length.max(HEADER);
        let next = next.checked_next_multiple_of(size_of::<usize>())?;
        control = control.get(next..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(level: c_int, kind: c_int, value: c_int) -> Vec<u8> {
        let mut bytes = (size_of::<libc::cmsghdr>() + 4).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value.to_ne_bytes());
        bytes.resize(CONTROL_BYTES, 0);
        bytes
    }

    #[test]
    fn the_segment_size_is_found_among_others() {
        let gro = control(libc::SOL_UDP, libc::UDP_GRO, 1350);
        let other = control(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 7);
        assert_eq!(parse_segment_bytes(&gro), Some(1350));
        assert_eq!(parse_segment_bytes(&[other.clone(), gro].concat()), Some(1350));
        assert_eq!(parse_segment_bytes(&other), None);
        assert_eq!(parse_segment_bytes(&[]), None);
    }

    #[test]
    fn damaged_control_messages_end_the_search() {
        let gro = control(libc::SOL_UDP, libc::UDP_GRO, 1350);
        for length in 0..gro.len() {
            let _ = parse_segment_bytes(&gro[..length]);
            assert_eq!(parse_segment_bytes(&vec![0xff; length]), None);
            assert_eq!(parse_segment_bytes(&vec![0; length]), None);
        }
        assert_eq!(parse_segment_bytes(&control(libc::SOL_UDP, libc::UDP_GRO, -1)), None);
    }

    #[test]
    fn any_control_messages_end_the_search() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        };
        let whole = control(libc::SOL_UDP, libc::UDP_GRO, 1350).repeat(3);
        let mut found = 0;
        for _ in 0..500_000 {
            let mut bytes = whole[..usize::from(random()) % whole.len()].to_vec();
            for _ in 0..random() % 6 {
                if let Some(byte) = bytes.get_mut(usize::from(random()) % whole.len()) {
                    *byte = [0, 1, 0x7f, 0xff, random()][usize::from(random() % 5)];
                }
            }
            if let Some(bytes) = parse_segment_bytes(&bytes) {
                assert!(bytes > 0);
                found += 1;
            }
            let _ = parse_name(&bytes);
        }
        assert!(found > 10_000, "{found} found");
    }

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let address = SocketAddrV4::new(Ipv4Addr::new(10, 1, 2, 3), 7401);
        let written = name(address);
        let mut bytes = written.sin_family.to_ne_bytes().to_vec();
        bytes.extend(written.sin_port.to_ne_bytes());
        bytes.extend(written.sin_addr.s_addr.to_ne_bytes());
        assert_eq!(parse_name(&bytes), address);
        assert!(parse_name(&bytes[..7]).ip().is_unspecified());
    }
}
