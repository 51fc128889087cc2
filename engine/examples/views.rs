//! Virtual synchrony: an application that sees views of the primary component, and nothing else.
//!
//! `cargo run -p roundel --example views`

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use roundel::vs::{Output, View};
use roundel::{Node, NodeId, Policy, Service, TryRecvError, Views, Wanted};

const MEMBERS: u8 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = format!("views-{}", std::process::id());
    let state = tempfile::tempdir()?;
    let mut members = Vec::new();
    println!("-- three come, one after the other");
    for host in 1..=MEMBERS {
        members.push(join(&cluster, state.path(), host)?);
    }
    receive(&mut members, 0, |it| is_view_of(it, 3))?;
    members[0].publish(Service::Agreed, "to all three")?;
    receive(&mut members, 3, |_| true)?;

    println!("-- the third leaves, then the second: who is alone is blocked");
    leave(members.pop());
    receive(&mut members, 0, |it| is_view_of(it, 2))?;
    leave(members.pop());
    receive(&mut members, 0, |it| it.view().is_none())?;
    match members[0].publish(Service::Agreed, "to nobody") {
        Err(refused) => println!("   1 may not send: {refused}"),
        Ok(()) => return Err("a blocked member has sent; that is a mistake of ours".into()),
    }

    println!("-- the second is back: a majority again, of processes with new names");
    members.push(join(&cluster, state.path(), 2)?);
    receive(&mut members, 0, |it| is_view_of(it, 2))?;
    members[1].publish(Service::Agreed, "I am somebody else")?;
    receive(&mut members, 2, |_| true)?;
    while let Some(member) = members.pop() {
        leave(Some(member));
    }
    Ok(())
}

fn join(cluster: &str, state: &Path, host: u8) -> Result<Views, Box<dyn Error>> {
    let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
    let builder = Node::builder(cluster).id(host.into()).interface(interface);
    let set = (1..=MEMBERS).map(|host| NodeId(host.into())).collect();
    Ok(builder.state_dir(state).primary(Policy::Majority(set)).join_views()?)
}

fn leave(member: Option<Views>) {
    if let Some(member) = member {
        let _ = member.leave(Duration::from_secs(2));
    }
}

fn is_view_of(member: &Views, processes: usize) -> bool {
    member.may_publish() && member.view().is_some_and(|view| view.processes.len() == processes)
}

/// A process by its member and the ring it came with.
fn text(view: &View) -> String {
    let processes = view.processes.iter();
    let names: Vec<String> = processes.map(|it| format!("{} ({})", it.node, it.since)).collect();
    names.join(", ")
}

/// Receives until so many messages came, counted over all, and something holds; prints everything.
fn receive(
    members: &mut [Views],
    mut messages: usize,
    done: impl Fn(&Views) -> bool,
) -> Result<(), Box<dyn Error>> {
    let patience = Instant::now() + Duration::from_secs(10);
    while messages > 0 || !members.iter().all(&done) {
        if Instant::now() > patience {
            return Err("it does not come to that; fix: is something else at their ports?".into());
        }
        for member in members.iter_mut() {
            let id = member.node().facts().id;
            match member.recv_timeout(Duration::from_millis(1)) {
                Ok(Output::View(view)) => println!("   {id}: view of {}", text(&view)),
                Ok(Output::Message(message)) => {
                    let text = String::from_utf8_lossy(&message.payload).into_owned();
                    println!("   {id}: {} sent: {text}", message.id.sender);
                    messages = messages.saturating_sub(1);
                }
                Ok(Output::Stopped) => println!("   {id}: stopped, outside of the primary"),
                Err(TryRecvError::Empty) => {}
                Err(ended) => return Err(ended.into()),
            }
        }
    }
    Ok(())
}
