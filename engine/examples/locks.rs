//! A lock service: three members, one holder at a time, a leader by view, and a token with the id of
//! the configuration by which what is protected tells a late holder from the present one.
//!
//! `cargo run -p roundel --example locks`

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel::replica::lock::{Fence, Grant, LockCommand, LockOutput, Locks};
use roundel::replica::{Event, Options, Progress, Replica, Standing};
use roundel::{Layered, Node, NodeId, Policy, Wanted};

type Member = Layered<Replica<Locks>>;

const MEMBERS: u8 = 3;

const PRINTER: Bytes = Bytes::from_static(b"printer");

/// What the lock protects. It knows nothing of members: the tokens that it is shown suffice.
#[derive(Default)]
struct Printer {
    greatest: Fence,
}

impl Printer {
    /// A token lower than one it has seen is of somebody who does not know yet that the lock is
    /// another's.
    fn print(&mut self, grant: Grant, text: &str) {
        let Grant { node, fence, .. } = grant;
        if fence < self.greatest {
            println!("   printer: refuses {node}, whose token {} is over", show(fence));
        } else {
            self.greatest = fence;
            println!("   printer: prints `{text}` of {node}, by token {}", show(fence));
        }
    }
}

fn show(fence: Fence) -> String {
    format!("{}#{}", fence.ring, fence.count)
}

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = format!("locks-{}", std::process::id());
    let state = tempfile::tempdir()?;
    let mut members = Vec::new();
    for host in 1..=MEMBERS {
        members.push(join(&cluster, state.path(), host)?);
    }
    let mut printer = Printer::default();
    println!("-- three members; whoever leads is the lowest that holds the state");
    drive(&mut members, are_synced)?;
    show_leader(&members);

    println!("-- 1 and 2 ask for the lock; one gets it, the other is told whose it is");
    let first = acquire(&mut members, 0)?.ok_or("1 does not get a lock that is free")?;
    printer.print(first, "a letter");
    assert!(acquire(&mut members, 1)?.is_none(), "the lock has two holders");

    println!("-- 1 goes without giving it back: the next view frees its locks, and 2 leads");
    let _ = members.remove(0).leave(Duration::from_secs(2));
    drive(&mut members, |members| {
        are_synced(members) && members.iter().all(|it| it.layer().machine().iter().len() == 0)
    })?;
    show_leader(&members);
    let second = acquire(&mut members, 0)?.ok_or("2 does not get a lock that is free")?;
    assert!(second.fence > first.fence, "tokens ascend with the configurations");
    printer.print(second, "a picture");

    println!("-- somebody prints with the token of 1, as 1 would if it were merely slow");
    printer.print(first, "the second page of the letter");

    println!("-- 2 gives it back, and 3 takes it");
    let release = LockCommand::Release { name: PRINTER, fence: second.fence };
    members[0].layer_mut().submit(release.encode())?;
    drive(&mut members, |members| {
        members.iter().all(|it| it.layer().machine().holder(&PRINTER).is_none())
    })?;
    let third = acquire(&mut members, 1)?.ok_or("3 does not get a lock that is free")?;
    printer.print(third, "a page");
    for member in members {
        let _ = member.leave(Duration::from_secs(2));
    }
    Ok(())
}

fn join(cluster: &str, state: &Path, host: u8) -> Result<Member, Box<dyn Error>> {
    let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
    let policy = Policy::Majority((1..=MEMBERS).map(|host| NodeId(host.into())).collect());
    let builder = Node::builder(cluster).id(host.into()).interface(interface);
    let node = builder.state_dir(state).primary(policy.clone()).join()?;
    let replica = Replica::new(Locks::default(), Options::new(Progress::Primary(policy)));
    Ok(Layered::new(node, replica))
}

fn are_synced(members: &[Member]) -> bool {
    members.iter().all(|member| {
        let replica = member.layer();
        let is_in = replica.view().synced.len() == members.len();
        replica.standing() == Standing::Synced && is_in
    })
}

fn show_leader(members: &[Member]) {
    for member in members {
        let (id, leader) = (member.node().facts().id, member.layer().machine().leader());
        if let Some((leader, fence)) = leader {
            println!("   at {id}: {leader} leads, since {}", show(fence));
        }
    }
}

/// Asks for the lock at one member: its grant, or `None` when it is another's.
fn acquire(members: &mut [Member], at: usize) -> Result<Option<Grant>, Box<dyn Error>> {
    let command = LockCommand::Acquire { name: PRINTER };
    members[at].layer_mut().submit(command.encode())?;
    let id = members[at].node().facts().id;
    let patience = Instant::now() + Duration::from_secs(10);
    while Instant::now() < patience {
        for member in members.iter_mut() {
            member.drive(Duration::from_millis(1))?;
        }
        while let Some(event) = members[at].layer_mut().poll_event() {
            match event {
                Event::Applied { output: LockOutput::Granted(grant), .. } => {
                    println!("   at {id}: granted, token {}", show(grant.fence));
                    return Ok(Some(grant));
                }
                Event::Applied { output: LockOutput::Held(grant), .. } => {
                    println!("   at {id}: {} holds it", grant.node);
                    return Ok(None);
                }
                _ => {}
            }
        }
    }
    Err("no answer; fix: is something else at their ports?".into())
}

/// Lets all members work until something holds.
fn drive(members: &mut [Member], done: impl Fn(&[Member]) -> bool) -> Result<(), Box<dyn Error>> {
    let patience = Instant::now() + Duration::from_secs(10);
    while !done(members) {
        if Instant::now() > patience {
            return Err("it does not come to that; fix: is something else at their ports?".into());
        }
        for member in members.iter_mut() {
            member.drive(Duration::from_millis(1))?;
        }
    }
    Ok(())
}
