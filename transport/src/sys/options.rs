//! Socket options and ioctls that `socket2` and `nix` do not have.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use libc::{c_int, c_void, socklen_t};
use socket2::{Domain, Socket, Type};

/// The structure of `IP_MULTICAST_IF` that takes an index.
#[repr(C)]
struct Mreqn {
    group: u32,
    address: u32,
    index: c_int,
}

/// Multicasts of the socket leave by the interface with this index, and are from `own` if the
/// socket is bound to no address.
pub(crate) fn set_multicast_interface(
    socket: BorrowedFd<'_>,
    index: u32,
    own: Ipv4Addr,
) -> io::Result<()> {
    let index = c_int::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mreqn = Mreqn { group: 0, address: own.to_bits().to_be(), index };
    set(socket, libc::IPPROTO_IP, libc::IP_MULTICAST_IF, &mreqn)
}

/// Datagrams of the socket are never fragmented on the way: too long ones are refused.
pub(crate) fn set_no_fragments(socket: BorrowedFd<'_>) -> io::Result<()> {
    let how = libc::IP_PMTUDISC_DO;
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &how)
}

/// The kernel may hand over several datagrams of one sender as one.
pub(crate) fn set_gro(socket: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let on = c_int::from(on);
    set(socket, libc::IPPROTO_UDP, libc::UDP_GRO, &on)
}

/// Sets the receive buffer above the system's limit. Needs `CAP_NET_ADMIN`.
pub(crate) fn force_receive_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    set(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)
}

/// Sets the send buffer above the system's limit. Needs `CAP_NET_ADMIN`.
pub(crate) fn force_send_buffer(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    let bytes = c_int::try_from(bytes).unwrap_or(c_int::MAX);
    set(socket, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &bytes)
}

/// A receive without data polls the network device for so long. Above the system's own setting
/// it needs `CAP_NET_ADMIN`.
pub(crate) fn set_busy_poll(socket: BorrowedFd<'_>, span: Duration) -> io::Result<()> {
    let micros = c_int::try_from(span.as_micros()).unwrap_or(c_int::MAX);
    set(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL, &micros)
}

/// Datagrams the kernel dropped on their way into the socket, from its start.
pub(crate) fn drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    const DROPS: usize = 8;
    let mut values = [0_u32; DROPS + 1];
    let mut bytes = size_of::<[u32; DROPS + 1]>() as socklen_t;
    // SAFETY: getsockopt writes at most `bytes` bytes to `values`, which has that many, and any
    // bits are a u32.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast::<c_void>(),
            &raw mut bytes,
        )
    };
    check(result)?;
    Ok(values[DROPS])
}

/// The IP MTU of an interface, in bytes.
pub(crate) fn mtu_bytes(name: &str) -> io::Result<u32> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    // SAFETY: ifreq is a name and a union of plain data, for which zeroes are a value.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    // SAFETY: SIOCGIFMTU reads a zero-terminated name from an ifreq, which the length checked
    // above leaves, and writes into the same ifreq; it outlives the call.
    let result =
        unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCGIFMTU as _, &raw mut request) };
    check(result)?;
    // SAFETY: the call succeeded, so the kernel has written this field of the union.
    let mtu = unsafe { request.ifr_ifru.ifru_mtu };
    u32::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn set<T>(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    // SAFETY: setsockopt reads as many bytes as it is told, which is the size of the value behind
    // the reference; the descriptor is open as long as it is borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast::<c_void>(),
            size_of::<T>() as socklen_t,
        )
    };
    check(result)
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
