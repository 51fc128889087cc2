//! What a link has done, in numbers.

/// Counters of a [`DataLink`](crate::DataLink), from its start.
///
/// A *datagram* is what the kernel handed over or took in one piece: one frame, or a super-packet
/// of several.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// Frames received.
    pub received_frames: u64,
    /// Datagrams received.
    pub received_datagrams: u64,
    /// Payload received, in bytes.
    pub received_bytes: u64,
    /// Received datagrams given up because they were longer than any frame may be.
    pub truncated_datagrams: u64,
    /// Received datagrams given up because this link sent them itself.
    pub own_datagrams: u64,
    /// Received datagrams for another group or port, on raw sockets.
    pub foreign_datagrams: u64,
    /// Received datagrams too short or changed on the way, on raw sockets; with UDP the kernel
    /// gives them up itself.
    pub damaged_datagrams: u64,
    /// Received datagrams that were copied, because all receive buffers were held.
    pub copied_datagrams: u64,
    /// Times that receiving stopped, because receive buffers and copies were held up to their
    /// bounds.
    pub stalls: u64,
    /// Errors of receiving other than that there is nothing to receive.
    pub receive_errors: u64,
    /// Times that io_uring's receive ended for want of buffers and was started again.
    pub rearms: u64,
    /// The error number that ended the use of io_uring, which mmsg has taken over from; 0 for
    /// none.
    pub uring_errno: i32,
    /// Frames the kernel took to send, once for each peer they go to.
    pub sent_frames: u64,
    /// Datagrams the kernel took to send.
    pub sent_datagrams: u64,
    /// Payload the kernel took to send, in bytes.
    pub sent_bytes: u64,
    /// Frames given up after an error of sending.
    pub dropped_frames: u64,
    /// The error number of the last frame given up, 0 for none.
    pub last_send_errno: i32,
    /// Datagrams offered to the kernel again after it had no room.
    pub send_retries: u64,
    /// Times that sending super-packets was switched off, because the kernel or the device
    /// refused one: 0 or 1.
    pub segmenting_refused: u64,
    /// System calls made to send and receive, waiting not included.
    pub system_calls: u64,
}

/// Counters of a [`ControlLink`](crate::ControlLink), from its start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ControlCounters {
    /// Frames received.
    pub received_frames: u64,
    /// Received datagrams given up because this link sent them itself.
    pub own_datagrams: u64,
    /// Errors of receiving other than that there is nothing to receive.
    pub receive_errors: u64,
    /// Frames the kernel took to send, once for each peer they go to.
    pub sent_frames: u64,
    /// Frames given up after an error of sending.
    pub dropped_frames: u64,
    /// The error number of the last frame given up, 0 for none.
    pub last_send_errno: i32,
}
