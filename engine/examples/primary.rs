//! The primary component: of three members two are a majority. One alone knows that it is none.
//!
//! `cargo run -p roundel --example primary`

use std::collections::BTreeSet;
use std::error::Error;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use roundel::{ConfigurationKind, Event, Node, NodeId, Policy, TryRecvError, Wanted};

const MEMBERS: u8 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = format!("primary-{}", std::process::id());
    let state = tempfile::tempdir()?;
    let set: BTreeSet<NodeId> = (1..=MEMBERS).map(|host| NodeId(host.into())).collect();
    let mut nodes = Vec::new();
    for host in 1..=MEMBERS {
        let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
        let builder = Node::builder(&cluster).id(host.into()).interface(interface);
        let builder = builder.state_dir(state.path()).primary(Policy::Majority(set.clone()));
        nodes.push(builder.join()?);
    }
    println!("-- all three are there");
    for node in &mut nodes {
        wait(node, |seen| seen.members == 3 && seen.is_primary)?;
    }
    println!("-- the third leaves: two are still more than half of three");
    leave(nodes.pop());
    for node in &mut nodes {
        wait(node, |seen| seen.members == 2 && seen.is_primary)?;
    }
    println!("-- the second leaves: who is alone now must not go on as if it were the cluster");
    leave(nodes.pop());
    for node in &mut nodes {
        wait(node, |seen| seen.members == 1 && !seen.is_primary)?;
    }
    leave(nodes.pop());
    Ok(())
}

/// What a member knows of its configuration.
#[derive(Default)]
struct Seen {
    members: usize,
    is_primary: bool,
}

/// Receives until the member is in the state that `done` asks for.
fn wait(node: &mut Node, done: impl Fn(&Seen) -> bool) -> Result<(), Box<dyn Error>> {
    let (mut seen, id) = (Seen::default(), node.facts().id);
    let patience = Instant::now() + Duration::from_secs(10);
    while Instant::now() < patience {
        match node.recv_timeout(Duration::from_millis(100)) {
            Ok(Event::Configuration(it)) => {
                // A transitional configuration ends the primary component.
                seen.is_primary = false;
                if it.kind == ConfigurationKind::Regular {
                    seen.members = it.members.len();
                    println!("   {id}: {} members, eligible: {:?}", seen.members, it.eligible);
                }
            }
            Ok(Event::Primary { ring }) => {
                seen.is_primary = true;
                println!("   {id}: {ring} is the primary component");
            }
            Ok(Event::Message(_)) | Err(TryRecvError::Empty) => {}
            Err(ended) => return Err(ended.into()),
        }
        if done(&seen) {
            return Ok(());
        }
    }
    Err("it does not come to that; fix: is something else at their ports?".into())
}

fn leave(node: Option<Node>) {
    if let Some(node) = node {
        let _ = node.leave(Duration::from_secs(2));
    }
}
