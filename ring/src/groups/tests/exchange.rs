//! Tables that are exchanged when nodes come together, and what waits for them.

use super::*;
use crate::groups::exchange::CHUNK_BYTES;

#[test]
fn tables_are_exchanged_and_what_is_held_follows() {
    let (mut one, mut two) = (Member::new(1), Member::new(2));
    let (a, b) = (one.attach("a"), two.attach("b"));
    one.join(a, "g");
    two.join(b, "g");
    two.join(b, "of two alone");
    for it in [&mut one, &mut two] {
        it.turn();
        it.told();
    }
    let (of_one, of_two) = (chunks(&mut one, 5, &[1], &[1, 2]), chunks(&mut two, 5, &[2], &[1, 2]));
    // Requests wait for the tables.
    two.groups.leave(b, &"g".parse().unwrap()).unwrap();
    one.groups.send(a, &[group("g")], Service::Agreed, b"hold me").unwrap();
    assert_eq!((one.turn(), two.turn()), (0, 0));
    let early = wire::message("a", &[group("g")], b"early");
    let both = [NodeId(1), NodeId(2)];
    for (sender, service, payload, missing) in [
        (1, Service::Fifo, &early, &both[..]),
        (2, Service::Agreed, &of_two[0], &both[..1]),
        (1, Service::Agreed, &of_one[0], &[]),
    ] {
        for it in [&mut one, &mut two] {
            it.deliver(sender, service, payload.clone());
            assert_eq!(it.groups.waiting_for(), missing);
        }
    }
    let (to_one, to_two) = (one.told(), two.told());
    let (GroupEvent::View(at_one), GroupEvent::View(at_two)) = (&to_one[0].event, &to_two[0].event)
    else {
        panic!("{to_one:?} {to_two:?}")
    };
    assert_eq!((at_one.id, &at_one.members), (at_two.id, &at_two.members));
    assert_eq!((at_one.id.scope, at_one.cause), (Scope::Whole, Cause::Merge));
    assert_eq!((&at_one.joined, &at_two.joined), (&names(&["b@2"]), &names(&["a@1"])));
    assert!(at_one.transitional().eq(&names(&["a@1"])));
    assert!(matches!(&to_one[1].event, GroupEvent::Message(it) if &it.payload[..] == b"early"));
    assert_eq!((to_one.len(), to_two.len()), (2, 2));
    assert_eq!(one.groups.contents(), two.groups.contents());
    assert_eq!(one.groups.groups(), 2);
    assert!(one.groups.counts().held_bytes_max >= 5);
    // And now they leave.
    assert_eq!(two.groups.poll_publish().unwrap().payload, wire::leave(b.0, "g"));
}

#[test]
fn who_is_back_parted_or_crashed() {
    for (incarnation, cause) in [(life(2), Cause::Partition), (Epoch(77), Cause::Crash)] {
        let mut one = Member::new(1);
        let a = one.attach("a");
        one.join(a, "g");
        one.turn();
        let table_of_two = |ring: u64, of: Incarnation| {
            let ring = RingId::new(Epoch(ring), NodeId(1));
            let mut out = ChunkWriter::new(ring, 0, &[(NodeId(2), of)], 0);
            out.endpoint(0, 7, "b");
            out.group("g", &[0]);
            out.finish(true)
        };
        one.change(5, &[1], &[1, 2]);
        one.turn();
        one.deliver(2, Service::Agreed, table_of_two(5, life(2)));
        one.told();
        one.change(7, &[1], &[1, 2]);
        one.turn();
        assert_eq!(one.views(), []);
        one.deliver_of(2, incarnation, Service::Agreed, table_of_two(7, incarnation));
        let view = |cause, members: &str| (vec![0], cause, "g".into(), members.into());
        assert_eq!(one.views(), [view(cause, "a@1"), view(Cause::Merge, "a@1 b@2")]);
        // Requests of the other life are late.
        let other = Epoch(incarnation.0 + 1);
        one.deliver_of(2, other, Service::Agreed, wire::gone(7, true));
        assert_eq!(one.groups.counts().refused_last, Some(Refusal::Stranger));
        one.change(9, &[1], &[1]);
        assert_eq!(one.views(), [view(Cause::Partition, "a@1")]);
    }
}

#[test]
fn an_exchange_that_is_cut_begins_anew() {
    let mut one = Member::new(1);
    let a = one.attach("a");
    one.join(a, "g");
    one.turn();
    one.told();
    one.change(5, &[1], &[1, 2]);
    one.deliver(2, Service::Agreed, wire::join(0, "b", "g"));
    one.deliver(2, Service::Agreed, wire::message("b", &[group("g")], b"held"));
    one.deliver(1, Service::Agreed, wire::join(a.0, "a", "h"));
    assert!(one.told.is_empty());
    let late = one.groups.poll_publish().unwrap().payload;
    one.change(7, &[1, 2], &[1, 2, 3]);
    // The message, and of the requests those of the own part.
    let told = one.told();
    assert!(matches!(&told[0].event, GroupEvent::Message(it) if &it.payload[..] == b"held"));
    assert!(matches!(&told[1].event, GroupEvent::View(it) if it.members[..] == names(&["a@1"])));
    assert_eq!(told.len(), 2);
    one.deliver(1, Service::Agreed, late);
    assert_eq!(one.groups.counts().refused_last, Some(Refusal::Late));
    let ring = RingId::new(Epoch(7), NodeId(1));
    let own = one.groups.poll_publish().unwrap().payload;
    let Ok(Content::Chunk(chunk)) = parse(&own) else { panic!() };
    assert!(chunk.ring == ring && chunk.records().count() == 3);
    one.deliver(1, Service::Agreed, own);
    for node in [2, 3] {
        assert_eq!(one.views(), []);
        let out = ChunkWriter::new(ring, 0, &[(NodeId(node), life(node))], 0);
        one.deliver(node, Service::Agreed, out.finish(true));
    }
    assert!(one.groups.is_settled());
}

/// Whoever was away and is back leaves when the exchange that would have told of it is cut, before
/// what was held takes effect; its requests are its own part's to tell.
#[test]
fn who_is_back_in_a_cut_exchange_parted() {
    let mut one = Member::new(1);
    let a = one.attach("a");
    one.join(a, "g");
    one.turn();
    one.change(5, &[1], &[1, 2]);
    one.turn();
    let ring = RingId::new(Epoch(5), NodeId(1));
    let mut out = ChunkWriter::new(ring, 0, &[(NodeId(2), life(2))], 0);
    out.endpoint(0, 7, "b");
    out.group("g", &[0]);
    one.deliver(2, Service::Agreed, out.finish(true));
    one.change(7, &[1], &[1, 2]);
    one.told();
    one.deliver(2, Service::Agreed, wire::join(8, "c", "g"));
    one.deliver(2, Service::Agreed, wire::message("b", &[group("g")], b"held"));
    one.change(9, &[1], &[1]);
    let told = one.told();
    let GroupEvent::View(view) = &told[0].event else { panic!("{told:?}") };
    assert_eq!((view.cause, &view.left), (Cause::Partition, &names(&["b@2"])));
    assert!(matches!(&told[1].event, GroupEvent::Message(it) if &it.payload[..] == b"held"));
    assert_eq!(told.len(), 2);
    assert_eq!(one.groups.counts().refused_last, Some(Refusal::Stranger));
    assert!(one.groups.table.nodes().eq([NodeId(1)]));
}

/// Chunks that are not the sender's to tell, or make no sense, change nothing.
#[test]
fn chunks_are_checked() {
    let mut one = Member::new(1);
    one.change(5, &[1], &[1, 2, 3]);
    let ring = RingId::new(Epoch(5), NodeId(1));
    let chunk = |index, members: &[u32], lines: &dyn Fn(&mut ChunkWriter), last| {
        let members: Vec<_> = members.iter().map(|node| (NodeId(*node), life(*node))).collect();
        let mut out = ChunkWriter::new(ring, index, &members, 0);
        lines(&mut out);
        out.finish(last)
    };
    let nothing: &dyn Fn(&mut ChunkWriter) = &|_| {};
    for (sender, service, payload, reason) in [
        (2, Service::Fifo, chunk(0, &[2], nothing, true), Refusal::Service),
        (3, Service::Agreed, chunk(0, &[2], nothing, true), Refusal::Part),
        (2, Service::Agreed, chunk(0, &[1, 2], nothing, true), Refusal::Part),
        (1, Service::Agreed, chunk(0, &[1, 2], nothing, true), Refusal::Part),
        (2, Service::Agreed, chunk(0, &[2, 4], nothing, true), Refusal::Part),
        (2, Service::Agreed, chunk(0, &[2, 2], nothing, true), Refusal::Form),
        (2, Service::Agreed, chunk(0, &[], nothing, true), Refusal::Form),
        (2, Service::Agreed, chunk(1, &[], nothing, true), Refusal::Part),
        (2, Service::Agreed, chunk(0, &[2], &|it| it.endpoint(1, 0, "b"), true), Refusal::Part),
        (2, Service::Agreed, chunk(0, &[2], &|it| it.group("g", &[0]), true), Refusal::Part),
        (
            2,
            Service::Agreed,
            chunk(0, &[2], &|it| [5, 5].iter().for_each(|n| it.endpoint(0, *n, "b")), true),
            Refusal::Part,
        ),
    ] {
        let refused = one.groups.counts().refused;
        one.deliver(sender, service, payload.clone());
        assert_eq!(one.groups.counts().refused, refused + 1, "{payload:?}");
        assert_eq!(one.groups.counts().refused_last, Some(reason), "{payload:?}");
    }
    assert_eq!(one.groups.counts().chunks, 0);
    one.deliver(2, Service::Agreed, chunk(0, &[2, 3], &|it| it.endpoint(1, 0, "c"), false));
    let again = chunk(0, &[2, 3], nothing, true);
    one.deliver(2, Service::Agreed, again);
    assert_eq!(one.groups.counts().refused_last, Some(Refusal::Part));
    one.deliver(2, Service::Agreed, chunk(1, &[], &|it| it.group("g", &[0, 0]), true));
    one.turn();
    assert_eq!(one.groups.members(&"g".parse().unwrap()), names(&["c@3"]));
    assert!(one.groups.is_settled());
}

/// Tables of any size and shape come through.
#[test]
fn large_tables_are_told_in_chunks() {
    let (mut one, mut two) = (Member::new(1), Member::new(2));
    for number in 0..9_000_u32 {
        one.deliver(1, Service::Agreed, wire::join(number, &format!("e{number}"), "everybody"));
        let group = format!("group.{}", number % 700);
        one.deliver(1, Service::Agreed, wire::join(number, &format!("e{number}"), &group));
    }
    let b = two.attach("b");
    two.join(b, "everybody");
    two.turn();
    two.told();
    let of_one = chunks(&mut one, 5, &[1], &[1, 2]);
    let of_two = chunks(&mut two, 5, &[2], &[1, 2]);
    assert!(of_one.len() > 3 && of_one.iter().all(|it| it.len() < 2 * CHUNK_BYTES));
    for (sender, payload) in of_two.iter().map(|it| (2, it)).chain(of_one.iter().map(|it| (1, it)))
    {
        one.deliver(sender, Service::Agreed, payload.clone());
        two.deliver(sender, Service::Agreed, payload.clone());
    }
    let told = two.told();
    let GroupEvent::View(view) = &told[0].event else { panic!() };
    assert_eq!((told.len(), view.members.len(), view.joined.len()), (1, 9_001, 9_000));
    assert_eq!(one.groups.contents(), two.groups.contents());
    assert_eq!(two.groups.groups(), 701);
    two.change(9, &[2], &[2]);
    assert_eq!((two.groups.groups(), two.groups.table.memberships(NodeId(1))), (1, 0));
}

/// Where the ring's largest message is a small one, so are the chunks: however small, if names fit.
#[test]
fn chunks_are_no_longer_than_the_ring_takes() {
    for most in [320, 600, 4 << 10, 20 << 10] {
        let (mut one, mut two) = (Member::new(1), Member::new(2));
        one.groups.handle_limit(most);
        let long = "n".repeat(NAME_BYTES_MAX - 4);
        for number in 0..3_000_u32 {
            let join = wire::join(number, &format!("{long}{number}"), "everybody");
            one.deliver(1, Service::Agreed, join);
        }
        let of_one = chunks(&mut one, 5, &[1], &[1, 2]);
        let of_two = chunks(&mut two, 5, &[2], &[1, 2]);
        assert!(of_one.len() > 10 && of_one.iter().all(|it| it.len() <= most), "{most}");
        of_one.into_iter().for_each(|it| two.deliver(1, Service::Agreed, it));
        of_two.into_iter().for_each(|it| two.deliver(2, Service::Agreed, it));
        assert_eq!(one.groups.contents(), two.groups.contents());
    }
}
