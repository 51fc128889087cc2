//! A map that three members hold, and that a member which comes back gets from the others.
//!
//! `cargo run -p roundel --example replicated_map`

use std::collections::BTreeSet;
use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use roundel::replica::map::{Map, MapCommand};
use roundel::replica::{Event, Options, Progress, Replica, Standing};
use roundel::{Layered, Node, NodeId, Wanted};

type Member = Layered<Replica<Map>>;

const MEMBERS: u8 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = format!("map-{}", std::process::id());
    let state = tempfile::tempdir()?;
    let mut members = Vec::new();
    for host in 1..=MEMBERS {
        members.push(join(&cluster, state.path(), host)?);
    }
    println!("-- three members begin with an empty map");
    drive(&mut members, are_synced)?;
    for (number, member) in members.iter_mut().enumerate() {
        let key = format!("key {number}").into();
        let put = MapCommand::Put { key, value: Bytes::from_static(b"value") };
        member.layer_mut().submit(put.encode())?;
    }
    drive(&mut members, |members| members.iter().all(|it| it.layer().machine().iter().len() == 3))?;

    println!("-- the third leaves; the others are a majority and go on");
    if let Some(third) = members.pop() {
        let _ = third.leave(Duration::from_secs(2));
    }
    drive(&mut members, are_synced)?;
    let put = MapCommand::Put { key: "late".into(), value: Bytes::from(vec![7; 100_000]) };
    let too_long = members[0].layer_mut().submit(put.encode());
    println!("   a command is at most one message: {:?}", too_long.err());
    let put = MapCommand::Put { key: "late".into(), value: Bytes::from(vec![7; 50_000]) };
    members[0].layer_mut().submit(put.encode())?;
    drive(&mut members, |members| members.iter().all(|it| it.layer().machine().iter().len() == 4))?;

    println!("-- it comes back with nothing, and gets the map from another");
    members.push(join(&cluster, state.path(), MEMBERS)?);
    drive(&mut members, are_synced)?;
    let late = members[2].layer().machine().get(b"late").map(Bytes::len);
    println!("   it has {late:?} bytes under `late`");
    for member in members {
        let _ = member.leave(Duration::from_secs(2));
    }
    Ok(())
}

fn join(cluster: &str, state: &Path, host: u8) -> Result<Member, Box<dyn Error>> {
    let interface = Wanted::Address(Ipv4Addr::new(127, 0, 0, host));
    let builder = Node::builder(cluster).id(host.into()).interface(interface);
    let set: BTreeSet<NodeId> = (1..=MEMBERS).map(|host| NodeId(host.into())).collect();
    let replica = Replica::new(Map::default(), Options::new(Progress::Majority(set)));
    Ok(Layered::new(builder.state_dir(state).join()?, replica))
}

fn are_synced(members: &[Member]) -> bool {
    members.iter().all(|member| member.layer().standing() == Standing::Synced)
}

/// Lets all members work until something holds, and prints what their replicas tell.
fn drive(members: &mut [Member], done: impl Fn(&[Member]) -> bool) -> Result<(), Box<dyn Error>> {
    let patience = Instant::now() + Duration::from_secs(10);
    while !done(members) {
        if Instant::now() > patience {
            return Err("it does not come to that; fix: is something else at their ports?".into());
        }
        for member in members.iter_mut() {
            member.drive(Duration::from_millis(1))?;
            let id = member.node().facts().id;
            while let Some(event) = member.layer_mut().poll_event() {
                match event {
                    Event::Applied { index, output, .. } => {
                        println!("   at {id}: entry {index} answered {output:?}");
                    }
                    Event::Restored { index, bytes } => {
                        println!(
                            "   at {id}: {index} entries came as a checkpoint of {bytes} bytes"
                        );
                    }
                    Event::Standing(standing) => println!("   at {id}: {standing:?}"),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}
