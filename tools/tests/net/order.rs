//! One order everywhere, on networks that lose nothing, little and much, by every way.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::judge;
use crate::log::Log;
use crate::member::Member;
use crate::run::{Run, Spec, Way};
use crate::{LINES, say, variable};

/// In so many portions.
const ROUNDS: u64 = 40;

/// What an order run is made of.
#[derive(Clone, Copy, Debug)]
struct Order {
    name: &'static str,
    way: Way,
    members: u32,
    loss_percent: u32,
    lines: u64,
}

/// A host that stands still for longer than a token timeout changes the configuration, and then
/// lines rightly miss at some. Such a run is judged like any, but shows less; it is repeated.
const TRIES: usize = 3;

#[track_caller]
fn run_order(order: Order) {
    for _ in 0..TRIES {
        let Some(run) = Run::by(order.way, order.name, order.members) else { return };
        if undisturbed_order(run, order) {
            return;
        }
    }
    panic!("{}: the configuration changed without a fault in each of {TRIES} runs", order.name);
}

/// Whether there was no configuration change, so that everything had to be everywhere.
#[track_caller]
fn undisturbed_order(mut run: Run, order: Order) -> bool {
    if order.loss_percent > 0 {
        run.lan.lose(10 * order.loss_percent).expect("the network changes");
    }
    let wait = order.members.to_string();
    let members: Vec<Arc<Member>> = (1..=order.members)
        .map(|id| run.start_as(&Spec::new(id).options(&["--wait-members", &wait])))
        .collect();
    // A few at a time, so that the lines of different members meet in the order.
    for round in 0..ROUNDS {
        for member in &members {
            let lines = order.lines / ROUNDS + u64::from(round < order.lines % ROUNDS);
            member.publish(lines, 64);
        }
        thread::sleep(Duration::from_millis(3));
    }
    run.judge_quiet();
    let changes = judge::changes(&members);
    if changes == 0 {
        let digest = judge::everything_everywhere(&members, order.lines);
        let Order { members, loss_percent, lines, way, .. } = order;
        println!("{members} × {lines} lines, {loss_percent} %, {way:?}: {digest:016x} everywhere");
    } else {
        say(format_args!("{}: {changes} configuration changes without a fault", order.name));
    }
    run.finish();
    changes == 0
}

fn by(name: &'static str, members: u32, loss_percent: u32) -> Order {
    let lines = variable("NET_LINES", LINES);
    Order { name, way: Way::chosen(), members, loss_percent, lines }
}

#[test]
fn three_members_without_loss() {
    run_order(by("three_members_without_loss", 3, 0));
}

#[test]
fn three_members_with_little_loss() {
    run_order(by("three_members_with_little_loss", 3, 1));
}

#[test]
fn three_members_with_much_loss() {
    run_order(by("three_members_with_much_loss", 3, 10));
}

#[test]
fn five_members_without_loss() {
    run_order(by("five_members_without_loss", 5, 0));
}

#[test]
fn five_members_with_little_loss() {
    run_order(by("five_members_with_little_loss", 5, 1));
}

#[test]
fn five_members_with_much_loss() {
    run_order(by("five_members_with_much_loss", 5, 10));
}

#[test]
fn three_members_by_mmsg() {
    run_order(Order { way: Way::Mmsg, ..by("three_members_by_mmsg", 3, 1) });
}

#[test]
fn three_members_by_uring() {
    run_order(Order { way: Way::Uring, ..by("three_members_by_uring", 3, 1) });
}

#[test]
fn three_members_by_unicast() {
    run_order(Order { way: Way::Unicast, ..by("three_members_by_unicast", 3, 1) });
}

#[test]
fn three_members_by_raw_sockets() {
    run_order(Order { way: Way::Raw, ..by("three_members_by_raw_sockets", 3, 1) });
}

/// Safe messages, and commands that end by themselves, as in a script.
#[test]
fn safe_messages_until_a_total() {
    const EACH: u64 = 100;
    let Some(mut run) = Run::new("safe_messages_until_a_total", 3) else { return };
    let total = (EACH * 3).to_string();
    let options = ["--wait-members", "3", "--service", "safe", "--until-total", &total];
    let members: Vec<Arc<Member>> =
        (1..=3).map(|id| run.start_as(&Spec::new(id).options(&options))).collect();
    for member in &members {
        member.publish(EACH, 64);
        member.close_input();
    }
    for member in &members {
        run.wait("the end of a command with --until-total", || member.exit().is_some());
        run.wait("the rest of its output", || member.log().ended);
        judge::ended_well(member);
        assert_eq!(member.exit(), Some(Some(0)), "{}", member.describe());
        assert_eq!(member.log().messages, EACH * 3, "{}", member.describe());
    }
    judge::everything_everywhere(&members, EACH);
    judge::traces(&judge::ended_histories(&run.lives), false);
}

/// One host behind a tunnel: what all send must fit its link.
#[test]
fn a_narrow_link() {
    const LINES: u64 = 300;
    let Some(mut run) = Run::new("a_narrow_link", 3) else { return };
    run.lan.set_host_mtu(2, 1280).expect("the network changes");
    let options = ["--wait-members", "3"];
    let members: Vec<Arc<Member>> =
        (1..=3).map(|id| run.start_as(&Spec::new(id).options(&options))).collect();
    for member in &members {
        member.publish(LINES, 2_000);
    }
    run.judge_quiet();
    if judge::changes(&members) == 0 {
        judge::everything_everywhere(&members, LINES);
    }
    run.finish();
}

#[test]
fn a_megabyte_among_small_ones() {
    const LARGE_BYTES: usize = 1 << 20;
    let Some(mut run) = Run::new("a_megabyte_among_small_ones", 3) else { return };
    let members: Vec<Arc<Member>> =
        (1..=3).map(|id| run.start_as(&Spec::new(id).options(&["--wait-members", "3"]))).collect();
    for member in &members {
        for _ in 0..3 {
            member.publish(50, 64);
            member.publish(1, LARGE_BYTES);
        }
        member.publish(50, 64);
    }
    members[0].publish(1, 16 * LARGE_BYTES);
    run.judge_quiet();
    let counts = |log: &Log| (1..=3).map(|id| log.count(id, id)).collect::<Vec<_>>();
    for member in &members {
        if judge::changes(&members) == 0 {
            assert_eq!(counts(&member.log()), [204, 203, 203], "{}", member.describe());
        }
    }
    run.finish();
}
