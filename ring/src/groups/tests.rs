//! What one member's groups do, and what damaged payloads do to them.

mod exchange;

use bytes::Bytes;
use proptest::prelude::*;

use super::wire::{ChunkWriter, Content, parse};
use super::*;
use crate::configuration::{Configuration, ConfigurationKind};
use crate::delivery::Message;
use crate::id::{Epoch, Incarnation, MessageId};
use crate::layer::{Layer, Publication, StreamEvent};
use crate::seq::{Ordinal, Seq};
use crate::service::Channel;
use crate::time::Time;

/// A member and a ring that delivers at once what the test has it order.
struct Member {
    groups: Groups,
    me: NodeId,
    ring: RingId,
    delivered: u64,
    told: Vec<Addressed>,
}

fn name(node: u32, name: &str) -> PrivateName {
    PrivateName { name: name.parse().unwrap(), node: NodeId(node) }
}

fn names(names: &[&str]) -> Vec<PrivateName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn life(node: u32) -> Incarnation {
    Epoch(u64::from(node) * 10)
}

impl Member {
    fn new(me: u32) -> Self {
        let me = NodeId(me);
        let mut groups = Groups::default();
        groups.handle_start(Time::ZERO, me, life(me.0));
        let ring = RingId::new(Epoch(1), me);
        let mut member = Self { groups, me, ring, delivered: 0, told: Vec::new() };
        member.regular(1, &[me.0]);
        member
    }

    fn configure(&mut self, kind: ConfigurationKind, epoch: u64, members: &[u32]) {
        let members: Arc<[NodeId]> = members.iter().copied().map(NodeId).collect();
        let ring = RingId::new(Epoch(epoch), members[0]);
        if kind == ConfigurationKind::Regular {
            self.ring = ring;
        }
        let it = Configuration { kind, ring, previous: None, members, eligible: None };
        self.groups.handle_event(Time::ZERO, StreamEvent::Configuration(&it));
        self.listen();
    }

    fn regular(&mut self, epoch: u64, members: &[u32]) {
        self.configure(ConfigurationKind::Regular, epoch, members);
    }

    fn change(&mut self, epoch: u64, coming: &[u32], members: &[u32]) {
        self.configure(ConfigurationKind::Transitional, epoch, coming);
        self.regular(epoch, members);
    }

    fn listen(&mut self) {
        while let Some(addressed) = self.groups.poll_event() {
            self.told.push(addressed);
        }
    }

    fn deliver(&mut self, sender: u32, service: Service, payload: Bytes) {
        self.deliver_of(sender, life(sender), service, payload);
    }

    fn deliver_of(&mut self, sender: u32, of: Incarnation, service: Service, payload: Bytes) {
        let message = self.message(sender, payload);
        let id = MessageId { incarnation: of, ..message.id };
        let message = Message { id, service, ..message };
        self.groups.handle_event(Time::ZERO, StreamEvent::Message(message.as_ref()));
        self.listen();
    }

    /// The next message of the stream, agreed.
    fn message(&mut self, sender: u32, payload: Bytes) -> Message {
        self.delivered += 1;
        let (incarnation, counter) = (life(sender), self.delivered);
        Message {
            id: MessageId { sender: NodeId(sender), incarnation, counter },
            ring: self.ring,
            ordinal: Some(Ordinal::new(Seq(counter), 0)),
            in_configuration: ConfigurationKind::Regular,
            service: Service::Agreed,
            channel: Channel::GROUPS,
            payload,
        }
    }

    /// Orders what the member publishes, and says how many that were.
    fn turn(&mut self) -> usize {
        let mut turned = 0;
        while let Some(Publication { class, payload }) = self.groups.poll_publish() {
            turned += 1;
            self.deliver(self.me.0, class.service, payload);
        }
        turned
    }

    fn attach(&mut self, name: &str) -> EndpointId {
        self.groups.attach(name.parse().unwrap()).unwrap()
    }

    fn join(&mut self, endpoint: EndpointId, group: &str) {
        self.groups.join(endpoint, &group.parse().unwrap()).unwrap();
    }

    fn told(&mut self) -> Vec<Addressed> {
        std::mem::take(&mut self.told)
    }

    /// Views told, in short: to whom, cause, group, members.
    fn views(&mut self) -> Vec<(Vec<u32>, Cause, String, String)> {
        let views = self.told().into_iter().filter_map(|addressed| match addressed.event {
            GroupEvent::View(view) => Some((addressed.to, view)),
            GroupEvent::Message(_) | GroupEvent::Primary { .. } => None,
        });
        views
            .map(|(to, view)| {
                let to = to.into_iter().map(|endpoint| endpoint.0).collect();
                let members: Vec<String> = view.members.iter().map(|it| it.to_string()).collect();
                (to, view.cause, view.group.to_string(), members.join(" "))
            })
            .collect()
    }
}

fn group(name: &str) -> Target {
    Target::Group(name.parse().unwrap())
}

#[test]
fn joins_leaves_and_farewells_are_told() {
    let mut it = Member::new(1);
    let (a, b, c) = (it.attach("a"), it.attach("b"), it.attach("c"));
    it.join(a, "g");
    it.join(b, "g");
    it.join(b, "g");
    it.join(c, "g");
    it.turn();
    it.groups.leave(a, &"g".parse().unwrap()).unwrap();
    it.groups.leave(a, &"g".parse().unwrap()).unwrap();
    it.turn();
    it.groups.lost(b).unwrap();
    it.turn();
    it.groups.detach(c).unwrap();
    it.turn();
    let view = |to: &[u32], cause, members: &str| (to.to_vec(), cause, "g".into(), members.into());
    assert_eq!(
        it.views(),
        [
            view(&[0], Cause::Join, "a@1"),
            view(&[0, 1], Cause::Join, "a@1 b@1"),
            view(&[0, 1, 2], Cause::Join, "a@1 b@1 c@1"),
            view(&[0, 1, 2], Cause::Leave, "b@1 c@1"),
            view(&[2], Cause::Crash, "c@1"),
        ]
    );
    assert!(it.groups.contents().is_empty() && it.groups.is_settled());
    assert_eq!(it.groups.counts().refused, 0);
    assert_eq!(it.groups.table.endpoints_of(NodeId(1)).count(), 0);
}

#[test]
fn a_message_comes_once_to_each() {
    let mut it = Member::new(1);
    let (a, b, c, d) = (it.attach("a"), it.attach("b"), it.attach("c"), it.attach("d"));
    it.join(a, "x.1");
    it.join(a, "y.1");
    it.join(b, "y.1");
    it.turn();
    it.told();
    assert!(it.groups.subscribe(c, "*.1".parse().unwrap()).unwrap());
    assert!(it.groups.subscribe(c, ">".parse().unwrap()).unwrap());
    assert!(!it.groups.subscribe(c, ">".parse().unwrap()).unwrap());
    let targets = [group("x.1"), group("y.1"), Target::Private(name(1, "d"))];
    it.groups.send(d, &targets, Service::Safe, b"all").unwrap();
    it.groups.send(a, &[Target::Private(name(2, "d"))], Service::Agreed, b"elsewhere").unwrap();
    it.groups.send(a, &[group("nobody")], Service::Fifo, b"a subscriber").unwrap();
    it.turn();
    let told = it.told();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].to, [a, b, c, d]);
    let GroupEvent::Message(message) = &told[0].event else { panic!("{told:?}") };
    assert_eq!((message.from(), message.service), ("d", Service::Safe));
    assert_eq!(&message.payload[..], b"all");
    let expected =
        [TargetRef::Group("x.1"), TargetRef::Group("y.1"), TargetRef::Private("d", NodeId(1))];
    assert!(message.targets().eq(expected));
    assert_eq!(told[1].to, [c]);
}

#[test]
fn requests_are_refused_with_a_reason() {
    let mut it = Member::new(1);
    let a = it.attach("a");
    let taken = RequestError::Taken { name: "a".parse().unwrap() };
    assert_eq!(it.groups.attach("a".parse().unwrap()), Err(taken));
    let targets = vec![group("g"); TARGETS_MAX + 1];
    for wrong in [&[][..], &targets] {
        let error = it.groups.send(a, wrong, Service::Agreed, b"");
        assert_eq!(error, Err(RequestError::Targets(wrong.len())));
    }
    it.groups.send(a, &[group("g")], Service::Agreed, &vec![0; OUTBOX_BYTES_MAX]).unwrap();
    assert_eq!(it.groups.join(a, &"g".parse().unwrap()), Err(RequestError::Full));
    assert_eq!(it.groups.send(a, &[group("g")], Service::Agreed, b""), Err(RequestError::Full));
    it.turn();
    it.join(a, "g");
    // Farewells have always room, and the name is free at once.
    it.groups.detach(a).unwrap();
    assert_eq!(it.groups.detach(a), Err(RequestError::Unknown(a)));
    assert_eq!(it.groups.join(a, &"g".parse().unwrap()), Err(RequestError::Unknown(a)));
    let again = it.attach("a");
    assert_ne!(again, a);
    for number in 0..FILTERS_PER_ENDPOINT_MAX {
        it.groups.subscribe(again, format!("f{number}").parse().unwrap()).unwrap();
    }
    assert_eq!(it.groups.subscribe(again, ">".parse().unwrap()), Err(RequestError::Filters));
    it.turn();
    assert!(it.groups.contents().is_empty());
}

/// A message is as long as the ring takes it, names and all, or it is refused at once.
#[test]
fn too_long_is_refused_with_cause_and_fix() {
    let mut it = Member::new(1);
    it.groups.handle_limit(100);
    let a = it.attach("abc");
    let targets = [group("group"), Target::Private(name(1, "abc"))];
    let around = wire::message("abc", &targets, b"").len();
    assert_eq!(around, wire::envelope_bytes("abc", &targets));
    it.groups.send(a, &targets, Service::Agreed, &vec![7; 100 - around]).unwrap();
    assert_eq!(it.groups.poll_publish().unwrap().payload.len(), 100);
    let error = it.groups.send(a, &targets, Service::Agreed, &vec![7; 101 - around]).unwrap_err();
    assert_eq!(error, RequestError::TooLong { bytes: 101, most: 100 });
    let text = error.to_string();
    assert!(text.contains("101") && text.contains("split it"), "{text}");
    let long: GroupName = "g".repeat(NAME_BYTES_MAX).parse().unwrap();
    assert!(matches!(it.groups.join(a, &long), Err(RequestError::TooLong { .. })));
    assert!(it.groups.poll_publish().is_none());
}

/// Who leaves in good order has all its endpoints leave, by one message, before it goes.
#[test]
fn last_words_are_one_message() {
    let (mut one, mut two) = (Member::new(1), Member::new(2));
    for (number, endpoint) in [(0, "b"), (1, "c")] {
        two.attach(endpoint);
        two.join(EndpointId(number), "g");
    }
    two.join(EndpointId(0), "h");
    let a = one.attach("a");
    one.join(a, "g");
    one.turn();
    two.turn();
    let of_one = chunks(&mut one, 5, &[1], &[1, 2]);
    let of_two = chunks(&mut two, 5, &[2], &[1, 2]);
    // Its last words wait for the tables.
    two.groups.handle_leave(Time::ZERO);
    assert!(two.groups.poll_publish().is_none() && !two.groups.may_leave());
    for (sender, payload) in of_one.iter().map(|it| (1, it)).chain(of_two.iter().map(|it| (2, it)))
    {
        one.deliver(sender, Service::Agreed, payload.clone());
        two.deliver(sender, Service::Agreed, payload.clone());
    }
    one.told();
    two.told();
    let last = two.groups.poll_publish().unwrap();
    assert!(two.groups.may_leave() && two.groups.poll_publish().is_none());
    two.deliver(2, last.class.service, last.payload.clone());
    one.deliver(2, last.class.service, last.payload);
    assert!(two.told().is_empty() && two.groups.is_settled());
    let told = one.told();
    let [Addressed { event: GroupEvent::View(view), .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((view.cause, &view.left), (Cause::Leave, &names(&["b@2", "c@2"])));
    one.change(9, &[1], &[1]);
    assert_eq!((one.told(), one.groups.groups()), (vec![], 1), "nothing is left to part");
    // Who is in no group has nothing to say.
    let mut three = Member::new(3);
    three.attach("d");
    three.groups.handle_leave(Time::ZERO);
    assert!(three.groups.may_leave() && three.groups.poll_publish().is_none());
    assert_eq!(three.groups.endpoints(), 0);
}

/// Views say whether they are of the primary component, as it was when they were made.
#[test]
fn endpoints_know_of_the_primary_component() {
    let mut it = Member::new(1);
    let a = it.attach("a");
    it.join(a, "g");
    it.turn();
    let primary = |it: &mut Member| {
        let ring = it.ring;
        it.groups.handle_event(Time::ZERO, StreamEvent::Primary { ring });
        it.listen();
        ring
    };
    let ring = primary(&mut it);
    let event = GroupEvent::Primary { ring: Some(ring) };
    let told = it.told();
    assert_eq!(told[1], Addressed { to: vec![a], event });
    let GroupEvent::View(before) = &told[0].event else { panic!("{told:?}") };
    assert!(!before.is_primary);
    // A view that nobody has taken when the primary component ends is still of it.
    it.join(a, "h");
    let payload = it.groups.poll_publish().unwrap().payload;
    let message = it.message(1, payload);
    it.groups.handle_event(Time::ZERO, StreamEvent::Message(message.as_ref()));
    it.change(5, &[1], &[1]);
    let told = it.told();
    let GroupEvent::View(view) = &told[0].event else { panic!("{told:?}") };
    assert!(view.is_primary);
    assert_eq!(told[1].event, GroupEvent::Primary { ring: None });
    assert_eq!((told.len(), it.groups.primary()), (2, None));
    it.change(6, &[1], &[1]);
    assert!(it.told().is_empty(), "over once");
    assert_eq!(primary(&mut it), it.groups.primary().unwrap());
}

/// The chunks with which `teller`, of a part with `kin`, tells its table for a configuration.
fn chunks(teller: &mut Member, epoch: u64, kin: &[u32], members: &[u32]) -> Vec<Bytes> {
    teller.change(epoch, kin, members);
    std::iter::from_fn(|| teller.groups.poll_publish()).map(|it| it.payload).collect()
}

/// Events that nobody took are made before the next input changes the table.
#[test]
fn views_that_wait_are_of_their_time() {
    let told = |is_prompt: bool| {
        let mut it = Member::new(1);
        let a = it.attach("a");
        it.join(a, "g");
        it.turn();
        for number in 5..8 {
            let message = it.message(1, wire::join(number, &format!("x{number}"), "g"));
            it.groups.handle_event(Time::ZERO, StreamEvent::Message(message.as_ref()));
            if is_prompt {
                it.listen();
            }
        }
        it.listen();
        it.told()
    };
    assert_eq!(told(false), told(true));
    let sizes = told(false).into_iter().map(|it| match it.event {
        GroupEvent::View(view) => view.members.len(),
        GroupEvent::Message(_) | GroupEvent::Primary { .. } => 0,
    });
    assert!(sizes.eq(1..=4));
}

fn payloads() -> Vec<Bytes> {
    let ring = RingId::new(Epoch(5), NodeId(1));
    let mut chunk = ChunkWriter::new(ring, 0, &[(NodeId(2), life(2)), (NodeId(3), life(3))], 0);
    chunk.endpoint(0, 300, "x");
    chunk.endpoint(1, u32::MAX, "yyy");
    chunk.group("g.h", &[0, 1]);
    vec![
        wire::join(1, "a", "g"),
        wire::leave(70_000, "g.é"),
        wire::gone(5, true),
        wire::message("a", &[group("g"), Target::Private(name(2, "b"))], b"payload"),
        chunk.finish(true),
        wire::away(),
    ]
}

#[test]
fn what_is_written_is_read() {
    let payloads = payloads();
    let read: Vec<Content<'_>> = payloads.iter().map(|it| parse(it).unwrap()).collect();
    assert_eq!(read[0], Content::Join { number: 1, endpoint: "a", group: "g" });
    assert_eq!(read[1], Content::Leave { number: 70_000, group: "g.é" });
    assert_eq!(read[2], Content::Gone { number: 5, crashed: true });
    assert_eq!(read[5], Content::Away);
    let Content::Message(envelope) = read[3] else { panic!() };
    assert_eq!((envelope.from, envelope.payload_bytes), ("a", 7));
    let Content::Chunk(chunk) = read[4] else { panic!() };
    assert!(chunk.members().eq([(NodeId(2), life(2)), (NodeId(3), life(3))]));
    let records: Vec<_> = chunk.records().collect();
    assert!(chunk.last && records.len() == 3);
    let wire::Record::Group { name: "g.h", members } = records[2] else { panic!("{records:?}") };
    assert!(members.iter().eq([0, 1]));
    for payload in &payloads {
        // All but the content of a message ends where it says.
        let Ok(Content::Message(_)) = parse(payload) else {
            for end in 0..payload.len() {
                let cut = parse(&payload[..end]);
                assert!(cut.is_err() || matches!(cut, Ok(Content::Chunk(_))), "{end}");
            }
            continue;
        };
    }
}

proptest! {
    /// Damage is refused or means something else; it never panics, and groups that got it still work.
    #[test]
    fn damage_does_no_harm(
        which in 0..5_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        end in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..60),
        exchanging in any::<bool>(),
    ) {
        let mut damaged = payloads()[which].to_vec();
        for (place, byte) in changes {
            let place = place.index(damaged.len());
            damaged[place] = byte;
        }
        damaged.truncate(end.index(damaged.len() + 1).max(2));
        let mut headed = vec![wire::VERSION, u8::try_from(which).unwrap() + 1];
        headed.extend_from_slice(&noise);
        let mut one = Member::new(1);
        let a = one.attach("a");
        one.join(a, "g");
        one.turn();
        if exchanging {
            one.change(5, &[1], &[1, 2, 3]);
        }
        for payload in [damaged, headed, noise] {
            let before = (one.groups.contents(), one.groups.counts().refused);
            let is_refused = parse(&payload).is_err();
            one.deliver(2, Service::Agreed, payload.into());
            if is_refused {
                prop_assert_eq!(one.groups.counts().refused, before.1 + 1);
                prop_assert_eq!(one.groups.contents(), before.0);
            }
        }
        one.change(9, &[1], &[1]);
        one.turn();
        prop_assert!(one.groups.is_settled());
        prop_assert_eq!(one.groups.members(&"g".parse().unwrap()), names(&["a@1"]));
    }
}
