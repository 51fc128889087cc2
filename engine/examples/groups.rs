//! Lightweight groups: endpoints of two nodes in a group, and at a third node a subscriber with a topic
//! filter that is in none.
//!
//! `cargo run -p roundel --example groups`

use std::error::Error;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use roundel::groups::{GroupEvent, Groups, Target};
use roundel::{Layered, Node, Service, Wanted};

type Member = Layered<Groups>;

const NODES: u8 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = format!("groups-{}", std::process::id());
    let state = tempfile::tempdir()?;
    let mut nodes = Vec::new();
    for host in 1..=NODES {
        let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
        let builder = Node::builder(&cluster).id(host.into()).interface(interface);
        nodes.push(Layered::new(builder.state_dir(state.path()).join()?, Groups::default()));
    }
    // Two that are members of a group, and one that follows all groups below a topic.
    let bonds = "prices.bonds".parse()?;
    for node in &mut nodes[..2] {
        let desk = node.layer_mut().attach("desk".parse()?)?;
        node.layer_mut().join(desk, &bonds)?;
    }
    let log = nodes[2].layer_mut().attach("log".parse()?)?;
    nodes[2].layer_mut().subscribe(log, "prices.>".parse()?)?;
    let together = |nodes: &[Member]| nodes.iter().all(|it| it.layer().members(&bonds).len() == 2);
    drive(&mut nodes, together)?;

    println!("-- the log, which is in no group, sends to one");
    let targets = [Target::Group(bonds.clone())];
    nodes[2].layer_mut().send(log, &targets, Service::Agreed, b"99.5")?;
    let settled = |nodes: &[Member]| nodes.iter().all(|node| node.layer().is_settled());
    drive(&mut nodes, settled)?;

    println!("-- the second node leaves: its endpoints left, and were not cut off");
    let report = nodes.remove(1).leave(Duration::from_secs(2));
    println!("   left: {}", report.reason);
    drive(&mut nodes, |nodes| nodes.iter().all(|it| it.layer().members(&bonds).len() == 1))?;
    for node in nodes {
        let _ = node.leave(Duration::from_secs(2));
    }
    Ok(())
}

/// Lets all members work until something holds, and prints what their endpoints are told.
fn drive(nodes: &mut [Member], done: impl Fn(&[Member]) -> bool) -> Result<(), Box<dyn Error>> {
    let patience = Instant::now() + Duration::from_secs(10);
    let mut quiet = 0;
    while quiet < 20 {
        if Instant::now() > patience {
            return Err("it does not come to that; fix: is something else at their ports?".into());
        }
        // A little longer, so that everybody is told.
        quiet = if done(nodes) { quiet + 1 } else { 0 };
        for node in nodes.iter_mut() {
            node.drive(Duration::from_millis(1))?;
            let id = node.node().facts().id;
            while let Some(told) = node.layer_mut().poll_event() {
                match told.event {
                    GroupEvent::View(view) => {
                        let members: Vec<String> =
                            view.members.iter().map(ToString::to_string).collect();
                        println!("   at {id}: {} is {members:?} ({:?})", view.group, view.cause);
                    }
                    GroupEvent::Message(message) => {
                        let text = String::from_utf8_lossy(&message.payload);
                        println!("   at {id}: {} sent {text}", message.from());
                    }
                    // Only with a policy.
                    GroupEvent::Primary { .. } => {}
                }
            }
        }
    }
    Ok(())
}
