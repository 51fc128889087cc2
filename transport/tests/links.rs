//! Links over real sockets, on this host's loopback interface alone: one suite for all ways to the
//! kernel and kinds of sockets.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands, also in a helper"
)]

use std::io::Write as _;

use roundel_transport::Io;
use support::Way;

#[path = "links/control.rs"]
mod control;
#[path = "links/data.rs"]
mod data;
#[path = "links/memory.rs"]
mod memory;
#[path = "links/order.rs"]
mod order;
#[path = "links/raw.rs"]
mod raw;
#[path = "links/support.rs"]
mod support;
#[path = "links/wait.rs"]
mod wait;

/// Runs each test once for each way; one that does not work here is skipped with its reason.
macro_rules! on {
    ($($way:ident: $value:expr),+; $tests:tt) => {
        $(mod $way {
            use super::{Io, Way};
            on!(@each $value, $tests);
        })+
    };
    (@each $way:expr, [$($module:ident :: $test:ident),* $(,)?]) => {
        $(#[test] fn $test() {
            let way = $way;
            if super::works(way, stringify!($test)) {
                super::$module::$test(way);
            }
        })*
    };
}

on! {
    mmsg: Way::udp(Io::Mmsg), uring: Way::udp(Io::Uring),
    raw_mmsg: Way::raw(Io::Mmsg), raw_uring: Way::raw(Io::Uring);
    [
        data::a_multicast_reaches_all_others_and_not_its_sender,
        data::frames_come_whole_and_in_order_without_super_packets,
        data::frames_of_all_sizes_come_whole,
        data::a_burst_larger_than_every_buffer_comes_whole_while_it_is_taken,
        data::bodies_are_free_again_after_a_flush,
        data::a_frame_longer_than_agreed_is_given_up,
        data::kernel_drops_are_counted_exactly,
        data::members_of_one_host_hear_each_other_as_asked,
        data::faults_hit_a_real_link,
        data::a_port_can_be_bound_again_at_once,
        order::a_token_comes_after_the_data_sent_before_it,
        order::a_token_comes_after_a_burst_from_others,
        order::a_token_never_passes_data_while_both_arrive,
        order::a_member_can_send_itself_a_token,
        order::frames_stay_whole_while_they_are_held,
        order::when_all_memory_is_held_receiving_stops_and_goes_on_later,
        order::frames_may_be_dropped_on_another_thread,
        wait::a_frame_ends_a_wait,
        wait::a_wake_ends_a_wait_also_when_it_came_before,
        wait::a_wait_ends_by_itself,
        wait::a_watched_file_ends_a_wait,
        wait::a_link_moves_to_another_thread,
        wait::the_descriptors_tell_that_there_is_something,
    ]
}

on! {
    only_udp_mmsg: Way::udp(Io::Mmsg), only_udp_uring: Way::udp(Io::Uring);
    [
        data::frames_come_whole_and_in_order_with_super_packets,
        data::super_packets_are_taken_apart_by_the_kernel_where_gro_is_off,
        data::a_refused_super_packet_goes_frame_by_frame,
        data::unicast_goes_to_every_peer_and_not_back,
    ]
}

on! {
    only_raw_mmsg: Way::raw(Io::Mmsg), only_raw_uring: Way::raw(Io::Uring);
    [
        raw::other_ports_are_not_heard,
        raw::what_was_changed_on_the_way_is_given_up,
    ]
}

fn works(way: Way, test: &str) -> bool {
    let Err(error) = support::try_open(&support::settings(way)) else {
        return true;
    };
    // Not `eprintln!`, which the test harness swallows.
    let _ = writeln!(std::io::stderr(), "{test} by {way:?} skipped: {error}");
    false
}
