//! What only raw sockets have: a header of our own, and nothing below it that checks frames.

use std::net::{Ipv4Addr, SocketAddrV4};

use roundel_transport::{Destination, Mode, RawProtocol};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{Way, assert_is, assert_silent, links, pair, receive, send, settings};

pub(crate) fn other_ports_are_not_heard(way: Way) {
    let mut settings = settings(way);
    let (mut a, mut b) = pair(&settings);
    settings.port += 100;
    let mut stranger = links(&settings, 1).remove(0);
    // Until its socket was bound it may have heard other tests.
    assert_silent(&mut b);
    let before = b.counters().foreign_datagrams;
    send(&mut stranger, Destination::Group, 1, 100);
    stranger.flush();
    assert_silent(&mut b);
    assert_eq!(b.counters().foreign_datagrams, before + 1);
    send(&mut a, Destination::Group, 2, 100);
    a.flush();
    assert_is(&receive(&mut b, 1)[0], 2, 100);
    assert_silent(&mut stranger);
}

pub(crate) fn what_was_changed_on_the_way_is_given_up(way: Way) {
    let mut settings = settings(way);
    let group = Ipv4Addr::new(239, 1, 2, 3);
    settings.mode = Mode::Multicast { group };
    let (mut a, mut b) = pair(&settings);
    let protocol = Protocol::from(i32::from(RawProtocol::default().number()));
    let network = Socket::new(Domain::IPV4, Type::RAW, Some(protocol)).unwrap();
    network.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    let to = SocketAddrV4::new(group, 0).into();
    let mut sent = 0;
    for bytes in [1, 7, 8, 9, 100, 1400] {
        network.send_to(&vec![0x55; bytes], &to).unwrap();
        sent += 1;
    }
    assert_silent(&mut b);
    assert_eq!(b.counters().damaged_datagrams, sent);
    send(&mut a, Destination::Group, 1, 100);
    a.flush();
    assert_is(&receive(&mut b, 1)[0], 1, 100);
}
