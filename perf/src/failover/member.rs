//! A member under light load that says when nothing was delivered, and what configurations came.

use std::error::Error;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use roundel::{ConfigurationKind, EventRef, Node, Service};
use serde::{Deserialize, Serialize};

use super::args::MemberArgs;
use crate::exit::{Exit, fail};
use crate::start;
use crate::talk::{orders, tell};
use crate::usage::now_ns;

/// Shorter gaps are not told: a millisecond or two without a delivery is usual.
pub(crate) const GAP_MIN: Duration = Duration::from_millis(3);

/// What a member saw, on the clock that all processes of the host share.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Seen {
    /// A regular configuration.
    Configuration { at_ns: u64, members: Vec<u32> },
    /// No delivery from one to the other.
    Gap { from_ns: u64, to_ns: u64 },
    /// The first delivery in the configuration told before.
    Resumed { at_ns: u64 },
}

/// Publishes and watches until standard input ends.
pub(crate) fn run(args: &MemberArgs) -> Exit {
    let node = match start::open(&args.member, |builder| builder.join()) {
        Ok(node) => node,
        Err(exit) => return exit,
    };
    match orders().map_err(Into::into).and_then(|orders| watch(args.rate, node, &orders)) {
        Ok(()) => Exit::Ok,
        Err(error) => fail(Exit::Failed, &error.to_string()),
    }
}

fn watch(rate: u32, mut node: Node, orders: &Receiver<String>) -> Result<(), Box<dyn Error>> {
    const SECOND_NS: u64 = 1_000_000_000;
    const PAYLOAD: [u8; 64] = [b'm'; 64];
    const BATCH_PACKETS: usize = 8;
    let period_ns = SECOND_NS / u64::from(rate);
    let (mut due_ns, mut delivered_ns) = (now_ns(), None);
    let mut is_configured = false;
    let publisher = node.publisher();
    while orders.try_recv() != Err(TryRecvError::Disconnected) {
        let at_ns = now_ns();
        let mut seen = Vec::new();
        node.recv_batch(BATCH_PACKETS, |event| match event {
            EventRef::Message(_) => {
                let from_ns = delivered_ns.replace(at_ns).unwrap_or(at_ns);
                if u128::from(at_ns - from_ns) >= GAP_MIN.as_nanos() {
                    seen.push(Seen::Gap { from_ns, to_ns: at_ns });
                }
                if std::mem::take(&mut is_configured) {
                    seen.push(Seen::Resumed { at_ns });
                }
            }
            EventRef::Configuration(it) if it.kind == ConfigurationKind::Regular => {
                let members = it.members.iter().map(|member| member.0).collect();
                seen.push(Seen::Configuration { at_ns, members });
                is_configured = true;
            }
            EventRef::Configuration(_) | EventRef::Primary { .. } => {}
        })?;
        tell(&seen)?;
        if at_ns >= due_ns {
            // What finds no room is left out: gaps are of deliveries, and those who wait fill them.
            let _ = publisher.try_publish(Service::Agreed, PAYLOAD.to_vec());
            due_ns = (due_ns + period_ns).max(at_ns);
        }
        node.wait(Duration::from_nanos(due_ns.saturating_sub(now_ns())));
    }
    let _ = node.leave(Duration::from_secs(1));
    Ok(())
}
