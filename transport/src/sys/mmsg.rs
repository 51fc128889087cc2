//! The way to the kernel by `recvmmsg` and `sendmmsg`.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use libc::{c_void, iovec, mmsghdr, sockaddr_in};
use nix::poll::{PollFd, PollFlags};
use socket2::Socket;

use crate::counters::Counters;
use crate::inbox::Inbox;
use crate::link::{STALL, WATCHED_MAX};
use crate::outbox::Via;
use crate::sys::intake::{Arrived, Intake, SocketTerms};
use crate::sys::messages::{
    CONTROL_BYTES, Messages, NAME_BYTES, empty_header, parse_name, parse_segment_bytes,
};
use crate::waker::{Waker, is_ready, wait_for};

/// Datagrams received by one call: super-packets of a megabyte together.
const BATCH: usize = 16;

/// A data link's sockets and receive buffers.
#[derive(Debug)]
pub(crate) struct Mmsg {
    /// The token's, or in unicast mode everything's; sends.
    own: Receiver,
    /// The data's, in multicast mode.
    group: Option<Receiver>,
}

impl Mmsg {
    pub(crate) fn new(own: SocketTerms, group: Option<SocketTerms>) -> Self {
        Self { own: Receiver::new(own), group: group.map(Receiver::new) }
    }

    /// Receives what there is, as far as there is room for it.
    pub(crate) fn receive(&mut self, inbox: &mut Inbox, counters: &mut Counters) -> bool {
        let drained = self.own.drain(inbox, counters);
        // After the token's: what was sent before a token that was read is then read too.
        let group = self.group.as_mut();
        group.map_or(drained, |group| group.drain(inbox, counters))
    }

    /// Offers all messages to the kernel, in order; pushes an error number for each, 0 for none.
    pub(crate) fn transmit(
        &self,
        messages: &mut Messages,
        errnos: &mut Vec<i32>,
        counters: &mut Counters,
    ) {
        let count = messages.len();
        while errnos.len() < count {
            // As many as one socket sends in a row.
            let (via, rest) = messages.run(errnos.len());
            let socket = self.sender(via);
            // SAFETY: the headers point to names, iovecs and control messages of `messages`, and
            // through the iovecs to the frames they were built from; the caller's outbox keeps
            // those until its next change, after this call. `sendmmsg` only reads all of them,
            // writes lengths into the headers, and keeps nothing.
            let sent = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as _,
                    libc::MSG_DONTWAIT as _,
                )
            };
            counters.system_calls += 1;
            if let Ok(sent) = usize::try_from(sent) {
                errnos.resize(errnos.len() + sent, 0);
                continue;
            }
            // The error is that of the first one not sent.
            let errno = io::Error::last_os_error().raw_os_error();
            let errno = errno.unwrap_or(libc::EIO);
            errnos.push(errno);
            if matches!(errno, libc::EAGAIN | libc::ENOBUFS) {
                // No room for this one is no room for the others, and they keep their order.
                errnos.resize(count, errno);
            }
        }
    }

    /// Blocks until there is something to receive, a wake, or the end of `timeout`, and for
    /// `watched`; whether one of those is readable.
    pub(crate) fn wait(
        &self,
        waker: &Waker,
        watched: &[OwnedFd],
        timeout: Option<Duration>,
    ) -> bool {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        // A file that is not waited for is the waker once more, which changes nothing.
        let mut fds = [(); 3 + WATCHED_MAX].map(|()| readable(waker.as_fd()));
        for (fd, file) in fds[3..].iter_mut().zip(watched) {
            *fd = readable(file.as_fd());
        }
        let mut timeout = timeout;
        let receivers = [Some(&self.own), self.group.as_ref()];
        for (fd, receiver) in fds[1..].iter_mut().zip(receivers.into_iter().flatten()) {
            if receiver.stalled {
                timeout = Some(timeout.map_or(STALL, |timeout| timeout.min(STALL)));
            } else {
                *fd = readable(receiver.socket.as_fd());
            }
        }
        wait_for(&mut fds, timeout);
        fds[3..].iter().zip(watched).any(|(fd, _)| is_ready(fd))
    }

    fn sender(&self, via: Via) -> &Socket {
        match (via, &self.group) {
            (Via::Raw, Some(group)) => &group.socket,
            _ => &self.own.socket,
        }
    }

    pub(crate) fn own(&self) -> &Socket {
        &self.own.socket
    }

    pub(crate) fn group(&self) -> Option<&Socket> {
        self.group.as_ref().map(|group| &group.socket)
    }

    /// What becomes readable when there is something to receive.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let sockets = [Some(self.own()), self.group()];
        sockets.into_iter().flatten().map(AsFd::as_fd).collect()
    }
}

/// A socket and where its datagrams go.
#[derive(Debug)]
struct Receiver {
    socket: Socket,
    intake: Intake,
    /// Whether nothing can be received for want of memory.
    stalled: bool,
}

/// What one call received.
enum Received {
    /// So many, and there may be more.
    Full,
    /// All there was.
    Drained,
    /// Nothing, for want of memory.
    Stalled,
}

/// What the kernel writes besides the datagrams of a batch.
struct Written {
    names: [[u8; NAME_BYTES]; BATCH],
    controls: [[u8; CONTROL_BYTES]; BATCH],
    bytes: [usize; BATCH],
    truncated: [bool; BATCH],
}

impl Receiver {
    fn new((socket, terms): SocketTerms) -> Self {
        Self { socket, intake: Intake::new(terms, BATCH, 0), stalled: false }
    }

    /// Receives until there is nothing more or no room; whether the socket was seen empty.
    fn drain(&mut self, inbox: &mut Inbox, counters: &mut Counters) -> bool {
        while inbox.has_room() {
            match self.receive(inbox, counters) {
                Received::Full => {}
                Received::Drained => return true,
                Received::Stalled => return false,
            }
        }
        false
    }

    fn receive(&mut self, inbox: &mut Inbox, counters: &mut Counters) -> Received {
        let mut positions = [0; BATCH];
        let mut open = 0;
        for position in 0..self.intake.slots.positions() {
            if self.intake.slots.is_open(position) {
                positions[open] = position;
                open += 1;
            }
        }
        let was_stalled = std::mem::replace(&mut self.stalled, open == 0);
        if self.stalled {
            counters.stalls += u64::from(!was_stalled);
            return Received::Stalled;
        }
        let mut written = Written {
            names: [[0; NAME_BYTES]; BATCH],
            controls: [[0; CONTROL_BYTES]; BATCH],
            bytes: [0; BATCH],
            truncated: [false; BATCH],
        };
        let count = self.call(&positions[..open], &mut written);
        counters.system_calls += 1;
        let count = match count {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Received::Drained,
            Err(_) => {
                // It tells of something sent earlier, and is over once it is told.
                counters.receive_errors += 1;
                return Received::Full;
            }
        };
        for (index, position) in positions[..count].iter().copied().enumerate() {
            let bytes = written.bytes[index];
            // SAFETY: the kernel wrote that many bytes into this position's slot, from its start
            // on, in a call that has returned.
            unsafe { self.intake.slots.filled(position, bytes) };
            let arrived = Arrived {
                position,
                payload: 0..bytes,
                from: parse_name(&written.names[index]),
                segment_bytes: parse_segment_bytes(&written.controls[index]),
                is_truncated: written.truncated[index],
            };
            self.intake.accept(&arrived, inbox, counters);
        }
        if count < open { Received::Drained } else { Received::Full }
    }

    /// One `recvmmsg` into the slots at `positions`; how many came.
    fn call(&mut self, positions: &[usize], written: &mut Written) -> io::Result<usize> {
        let no_iovec = iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        let no_header = mmsghdr { msg_hdr: empty_header(), msg_len: 0 };
        let (mut iovecs, mut headers) = ([no_iovec; BATCH], [no_header; BATCH]);
        for (index, position) in positions.iter().copied().enumerate() {
            let slot = self.intake.slots.slot(position);
            iovecs[index].iov_base = slot.as_mut_ptr().cast::<c_void>();
            iovecs[index].iov_len = slot.len();
            let header = &mut headers[index].msg_hdr;
            header.msg_name = written.names[index].as_mut_ptr().cast::<c_void>();
            header.msg_namelen = size_of::<sockaddr_in>() as _;
            header.msg_iov = &raw mut iovecs[index];
            header.msg_iovlen = 1;
            header.msg_control = written.controls[index].as_mut_ptr().cast::<c_void>();
            header.msg_controllen = CONTROL_BYTES as _;
        }
        // SAFETY: the first `positions.len()` headers each point to an iovec on this stack frame,
        // and to a name and control buffer in `written`, of the sizes given; each iovec is a slot
        // that nobody else has, in a chunk that `self` keeps. All of them outlive the call, which
        // keeps nothing of them. A null timeout is none.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                positions.len() as _,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (index, header) in headers[..count].iter().enumerate() {
            written.bytes[index] = header.msg_len as usize;
            written.truncated[index] = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        }
        Ok(count)
    }
}
