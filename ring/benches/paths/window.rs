//! Packets into the window and out of it.

use std::hint::black_box;

use roundel_ring::seq::Seq;
use roundel_ring::window::Window;

use super::full_packet;

/// In one iteration.
pub(super) const PACKETS: u64 = 256;

pub(super) fn in_order() -> impl FnMut(u64) {
    let (mut window, packet) = (Window::new(8_192, Seq::ZERO), full_packet());
    let mut last = Seq::ZERO;
    move |iterations| {
        for _ in 0..iterations {
            for _ in 0..PACKETS {
                last = last.next();
                window.insert(last, black_box(&packet).clone());
            }
            window.release(last);
        }
        assert_eq!(window.released(), last);
    }
}

pub(super) fn backwards() -> impl FnMut(u64) {
    let (mut window, packet) = (Window::new(8_192, Seq::ZERO), full_packet());
    let mut last = Seq::ZERO;
    move |iterations| {
        for _ in 0..iterations {
            for back in 0..PACKETS {
                window.insert(last.plus(PACKETS - back), black_box(&packet).clone());
            }
            last = last.plus(PACKETS);
            window.release(last);
        }
        assert_eq!(window.released(), last);
    }
}
