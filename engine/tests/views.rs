//! Members in virtual synchrony on real sockets of this host: the primary component is lost and
//! found, and who comes back is somebody else.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it expects")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel::vs::{Output, Process, View, ViewId};
use roundel::{
    Builder, DriveMode, JoinError, Node, NodeId, Policy, Service, TryPublishError, TryRecvError,
    ViewPublishError, ViewPublisher, Views, Wanted,
};

const PATIENCE: Duration = Duration::from_secs(20);

fn describe(cluster: &str, state: &Path, host: u8, drive: DriveMode) -> Builder {
    let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
    let builder = Node::builder(cluster).id(u32::from(host)).interface(interface).drive(drive);
    builder.state_dir(state)
}

/// A member, and all that its application was told.
struct Seen {
    views: Views,
    outputs: Vec<Output>,
}

impl Seen {
    fn join(builder: &Builder) -> Self {
        Self { views: builder.join_views().unwrap(), outputs: Vec::new() }
    }

    fn node(&self) -> NodeId {
        self.views.node().facts().id
    }

    fn process(&self) -> Option<Process> {
        let me = self.node();
        self.views.view()?.processes.iter().find(|process| process.node == me).copied()
    }

    /// The members of its view.
    fn nodes(&self) -> Vec<u32> {
        let view = self.views.view().map(|view| &view.processes[..]).unwrap_or_default();
        view.iter().map(|process| process.node.0).collect()
    }

    fn stops(&self) -> usize {
        self.outputs.iter().filter(|output| **output == Output::Stopped).count()
    }

    fn messages(&self) -> Vec<Bytes> {
        let payload = |output: &Output| match output {
            Output::Message(message) => Some(message.payload.clone()),
            Output::View(_) | Output::Stopped => None,
        };
        self.outputs.iter().filter_map(payload).collect()
    }
}

/// Lets all receive until something holds.
fn receive(members: &mut [Seen], done: impl Fn(&Seen) -> bool) {
    let since = Instant::now();
    while !members.iter().all(&done) {
        if since.elapsed() > PATIENCE {
            let text = members.iter().map(|it| format!("{}: {:?}", it.node(), it.outputs));
            panic!("not in time:\n{}", text.collect::<Vec<_>>().join("\n"));
        }
        for member in members.iter_mut() {
            match member.views.recv_timeout(Duration::from_millis(1)) {
                Ok(output) => member.outputs.push(output),
                Err(TryRecvError::Empty) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn leave(member: Seen) -> Vec<Output> {
    assert_eq!(member.views.leave(Duration::from_secs(2)).undelivered, 0);
    member.outputs
}

/// Views of one name are the same; at each member they ascend, and two that follow each other within
/// one process differ by those that left, or by one that came.
fn judge(told: &[&[Output]]) {
    let mut all: BTreeMap<ViewId, View> = BTreeMap::new();
    for outputs in told {
        let mut before: Option<&View> = None;
        for output in *outputs {
            match output {
                Output::Stopped => before = None,
                Output::Message(_) => assert!(before.is_some(), "a message outside of a view"),
                Output::View(view) => {
                    let first = all.entry(view.id).or_insert_with(|| view.clone());
                    assert_eq!(first, view, "one name, one list of processes");
                    if let Some(before) = before {
                        assert!(before.id < view.id);
                        let is_in = |it: &&Process, other: &View| other.processes.contains(it);
                        let came = view.processes.iter().filter(|it| !is_in(it, before)).count();
                        let left = before.processes.iter().filter(|it| !is_in(it, view)).count();
                        assert!(came == 0 || (came, left) == (1, 0), "{before:?} {view:?}");
                    }
                    before = Some(view);
                }
            }
        }
    }
}

/// The whole life of three members: see the comments.
fn live(name: &str, hosts: [u8; 3], drive: DriveMode) {
    let state = tempfile::tempdir().unwrap();
    let cluster = format!("{name}-{}", std::process::id());
    let set = hosts.map(|host| NodeId(host.into())).into();
    let policy = Policy::Majority(set);
    let describe = |host| describe(&cluster, state.path(), host, drive).primary(policy.clone());
    let [one, two, three] = hosts.map(u32::from);

    // Before there is a majority, nothing may be sent; it comes back.
    let mut members = vec![Seen::join(&describe(hosts[0]))];
    let early = members[0].views.publish(Service::Agreed, "early");
    assert_eq!(early, Err(ViewPublishError::Blocked(Bytes::from_static(b"early"))));
    let publisher = members[0].views.publisher();
    assert!(matches!(publisher.publish(Service::Agreed, "x"), Err(ViewPublishError::Blocked(_))));
    assert!(matches!(members[0].views.try_recv(), Err(TryRecvError::Empty)));

    // A majority, then all. Who was there goes on by its name.
    members.push(Seen::join(&describe(hosts[1])));
    receive(&mut members, |it| it.nodes() == [one, two] && it.views.may_publish());
    let second = members[1].process();
    members.push(Seen::join(&describe(hosts[2])));
    receive(&mut members, |it| it.nodes() == [one, two, three] && it.views.may_publish());
    assert_eq!((members[1].process(), members[1].stops()), (second, 0));
    publisher.publish(Service::Agreed, "of a thread").unwrap();
    members[2].views.publish(Service::Safe, "of three").unwrap();
    receive(&mut members, |it| it.messages().len() == 2);
    assert!(members.iter().all(|it| it.messages() == members[0].messages()), "one order");
    let (first, third) = (members[0].process(), members[2].process());

    // Two go on without the third, in a view without it, and know nothing of transitional
    // configurations.
    let outputs_of_three = leave(members.remove(2));
    receive(&mut members, |it| it.nodes() == [one, two] && it.views.may_publish());
    members[0].views.publish(Service::Agreed, "without three").unwrap();
    receive(&mut members, |it| it.messages().len() == 3);
    assert_eq!((members[0].process(), members[1].process()), (first, second));

    // The primary component is lost: one alone has stopped, is blocked, and hears nothing.
    let outputs_of_two = leave(members.remove(1));
    receive(&mut members, |it| it.stops() == 1);
    assert_eq!((members[0].views.view(), members[0].process()), (None, None));
    let alone = members[0].views.try_publish(Service::Agreed, "alone");
    assert_eq!(alone, Err(ViewPublishError::Blocked(Bytes::from_static(b"alone"))));
    assert!(matches!(publisher.publish(Service::Agreed, "x"), Err(ViewPublishError::Blocked(_))));

    // It is found again. Nobody is who they were: not the one that came back, and not the one that
    // was there all the time.
    members.push(Seen::join(&describe(hosts[2])));
    receive(&mut members, |it| it.nodes() == [one, three] && it.views.may_publish());
    let found = (members[0].process().unwrap(), members[1].process().unwrap());
    assert!(Some(found.0) != first && Some(found.1) != third);
    assert_eq!(found.0.since, found.1.since);
    publisher.try_publish(Service::Agreed, "again").unwrap();
    receive(&mut members, |it| it.messages().last() == Some(&Bytes::from_static(b"again")));
    assert_eq!(members[0].messages()[2..], ["without three", "again"]);
    assert_eq!(members[1].messages(), ["again"]);

    let last = members.remove(1);
    judge(&[&members[0].outputs, &last.outputs, &outputs_of_two, &outputs_of_three]);
    leave(last);
    leave(members.remove(0));
    is_over(&publisher);
}

/// Nothing is accepted of a member that has left.
fn is_over(publisher: &ViewPublisher) {
    let closed = publisher.publish(Service::Agreed, "late");
    let is_closed =
        matches!(closed, Err(ViewPublishError::Refused(TryPublishError::Closed { .. })));
    assert!(is_closed || matches!(closed, Err(ViewPublishError::Blocked(_))), "{closed:?}");
}

#[test]
fn the_primary_is_lost_and_found_and_who_comes_back_is_another() {
    live("views", [211, 212, 213], DriveMode::Threads);
}

#[test]
fn so_it_is_in_inline_drive() {
    live("views-inline", [214, 215, 216], DriveMode::Inline);
}

#[test]
fn views_need_a_policy_and_say_so() {
    let state = tempfile::tempdir().unwrap();
    let builder = describe("views-of-nothing", state.path(), 217, DriveMode::Inline);
    let error = builder.join_views().map(|_| ()).unwrap_err();
    assert!(matches!(error, JoinError::NoPolicy));
    let text = error.to_string();
    assert!(text.contains("fix:") && text.contains("primary"), "{text}");
}
