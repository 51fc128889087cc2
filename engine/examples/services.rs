//! Five services on one ring: three members in this process publish a message of each, and print in
//! which order they get them.
//!
//! `cargo run -p roundel --example services`
//!
//! Agreed and safe messages come in one order at all members; fifo ones in the order of their
//! sender, causal ones behind what their sender had seen, reliable ones at any time. Where no packet
//! is lost nobody overtakes anybody, so that all lists are the same; `roundel-perf load --service`
//! shows the difference under loss.

use std::error::Error;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use roundel::{Configuration, ConfigurationKind, Event, Node, Service, TryRecvError, Wanted};

const MEMBERS: u8 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    // Its own cluster and folder, so that two runs at once do not meet.
    let cluster = format!("services-{}", std::process::id());
    let state = tempfile::tempdir()?;
    let mut nodes = Vec::new();
    for host in 1..=MEMBERS {
        let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
        let builder = Node::builder(&cluster).id(host.into()).interface(interface);
        nodes.push(builder.state_dir(state.path()).join()?);
    }
    for node in &mut nodes {
        receive(node, is_whole)?;
    }
    for node in &nodes {
        for service in Service::ALL {
            node.try_publish(service, format!("{} of {}", service.name(), node.facts().id))?;
        }
    }
    let mut left = vec![usize::from(MEMBERS) * Service::ALL.len(); nodes.len()];
    for (node, left) in nodes.iter_mut().zip(&mut left) {
        println!("member {} gets", node.facts().id);
        receive(node, |event| {
            if let Event::Message(message) = event {
                println!("  {}", String::from_utf8_lossy(&message.payload));
                *left -= 1;
            }
            *left == 0
        })?;
    }
    for node in nodes {
        // The proper end: everything accepted is delivered, and the others go on at once.
        let report = node.leave(Duration::from_secs(2));
        println!("left: {}, {} messages undelivered", report.reason, report.undelivered);
    }
    Ok(())
}

/// All members are in one configuration.
fn is_whole(event: &Event) -> bool {
    let regular = ConfigurationKind::Regular;
    matches!(event, Event::Configuration(Configuration { kind, members, .. })
        if *kind == regular && members.len() == usize::from(MEMBERS))
}

/// Receives until `done` says so.
fn receive(node: &mut Node, mut done: impl FnMut(&Event) -> bool) -> Result<(), Box<dyn Error>> {
    let patience = Instant::now() + Duration::from_secs(10);
    while Instant::now() < patience {
        match node.recv_timeout(Duration::from_millis(100)) {
            Ok(event) if done(&event) => return Ok(()),
            Ok(_) | Err(TryRecvError::Empty) => {}
            Err(ended) => return Err(ended.into()),
        }
    }
    Err("the members did not come together; fix: is something else at their ports?".into())
}
