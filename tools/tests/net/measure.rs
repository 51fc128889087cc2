//! Figures, with `NET_LONG=1`: printed, never asserted. Every run is judged all the same.
//!
//! `NET_LONG=1 cargo test -p roundel-tools --profile ci --test net measure`

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::judge;
use crate::member::Member;
use crate::run::{Run, are_one_ring};
use crate::{say, variable};

const ROUNDS: usize = 10;

fn wanted() -> bool {
    std::env::var_os("NET_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

fn report(what: &str, mut spans: Vec<Duration>) {
    spans.sort_unstable();
    let in_ms: Vec<String> =
        spans.iter().map(|span| format!("{:.0}", span.as_secs_f64() * 1e3)).collect();
    let median = spans[spans.len() / 2].as_secs_f64() * 1e3;
    say(format_args!("{what}: median {median:.0} ms of [{}]", in_ms.join(", ")));
}

/// When the last of these members read that it is in the configuration it is in.
fn last_installation(members: &[Arc<Member>]) -> Instant {
    let installed = |member: &Arc<Member>| member.log().regular().map(|conf| conf.read_at);
    members.iter().filter_map(installed).max().expect("they are in one ring")
}

/// From `kill -9` to the new regular configuration at the last of the others.
#[test]
fn from_kill_to_configuration() {
    for (load, what) in [(false, "idle"), (true, "under load")] {
        if !wanted() {
            return;
        }
        let Some(mut run) = Run::new("from_kill_to_configuration", 3) else { return };
        run.start_all(3);
        let mut spans = Vec::new();
        for round in 0..ROUNDS {
            let members = run.live();
            run.wait_ring(&members);
            if load {
                members.iter().for_each(|member| member.load());
                run.wait_progress(&members, 500);
            }
            thread::sleep(Duration::from_millis(500));
            let id = u32::try_from(round % 3).unwrap() + 1;
            let (victims, others): (Vec<_>, Vec<_>) =
                members.into_iter().partition(|member| member.id() == id);
            let killed_at = victims[0].kill();
            run.wait_ring(&others);
            spans.push(last_installation(&others).saturating_duration_since(killed_at));
            others.iter().for_each(|member| member.rest());
            run.start(id);
        }
        report(&format!("kill -9 of one of 3 to a new configuration, {what}"), spans);
        run.wait_ring(&run.live());
        run.finish();
    }
}

/// From the heal of a partition 2 + 3 to one regular configuration at the last of the five.
#[test]
fn from_heal_to_one_ring() {
    for (load, what) in [(false, "idle"), (true, "under load")] {
        if !wanted() {
            return;
        }
        let Some(mut run) = Run::new("from_heal_to_one_ring", 5) else { return };
        let members = run.start_all(5);
        run.wait_ring(&members);
        if load {
            members.iter().for_each(|member| member.load());
        }
        let (mut spans, mut commands) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            run.lan.partition(&[&[1, 2], &[3, 4, 5]]).expect("the network changes");
            let (two, three) = members.split_at(2);
            run.wait("a ring on each side", || are_one_ring(two) && are_one_ring(three));
            thread::sleep(Duration::from_millis(500));
            let before = Instant::now();
            run.lan.heal().expect("the network changes");
            commands.push(before.elapsed());
            run.wait_ring(&members);
            spans.push(last_installation(&members).saturating_duration_since(before));
            thread::sleep(Duration::from_millis(500));
        }
        report(&format!("heal of 2 + 3 to one ring, {what}, with the time of nft"), spans);
        report("of that nft", commands);
        run.finish();
    }
}

/// From the start of the first process to one regular configuration at the last of five.
#[test]
fn from_start_to_one_ring() {
    if !wanted() {
        return;
    }
    let Some(mut run) = Run::new("from_start_to_one_ring", 5) else { return };
    let mut spans = Vec::new();
    for _ in 0..ROUNDS {
        let before = Instant::now();
        let members = run.start_all(5);
        run.wait_ring(&members);
        spans.push(last_installation(&members).saturating_duration_since(before));
        if spans.len() < ROUNDS {
            run.leave_all();
        }
    }
    report("five members started at once to one ring", spans);
    run.finish();
}

/// Five members under a tenth of loss and load: how often does the configuration change?
#[test]
fn changes_without_a_fault() {
    if !wanted() {
        return;
    }
    let minutes: u64 = variable("NET_LONG_MINUTES", 10);
    let Some(mut run) = Run::new("changes_without_a_fault", 5) else { return };
    run.lan.lose(100).expect("the network changes");
    let members = run.start_all(5);
    run.wait_ring(&members);
    members.iter().for_each(|member| member.load());
    thread::sleep(Duration::from_secs(60 * minutes));
    let changes = judge::changes(&members);
    let messages = members[0].log().messages;
    run.finish();
    say(format_args!(
        "{changes} configuration changes of 5 members in {minutes} min under 10 % loss, \
         {messages} messages"
    ));
}

/// What three members use that have nothing to do.
#[test]
fn idle_processors() {
    const SECONDS: u64 = 20;
    if !wanted() {
        return;
    }
    let Some(mut run) = Run::new("idle_processors", 3) else { return };
    let members = run.start_all(3);
    run.wait_ring(&members);
    members[0].publish(10, 64);
    run.judge_quiet();
    thread::sleep(Duration::from_secs(2));
    let ticks = || members.iter().map(|member| member.cpu_ticks()).collect::<Vec<u64>>();
    let before = ticks();
    thread::sleep(Duration::from_secs(SECONDS));
    // A tick is 10 ms, a hundredth of a core in a second.
    let percent: Vec<String> = ticks()
        .iter()
        .zip(&before)
        .map(|(now, then)| format!("{:.2}", (now - then) as f64 / SECONDS as f64))
        .collect();
    run.finish();
    say(format_args!("idle ring of 3: {} % of a core over {SECONDS} s", percent.join(", ")));
}
