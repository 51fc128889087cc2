//! One fault at a time: what it does to a busy ring of four, and what it does not. `FAULTS.md` says
//! the same to users.

use std::time::Duration;

use super::fault::{Fault, Half, Step};
use super::plan::Planned;
use super::run::{Failure, play, settle};
use super::schedule::Schedule;
use super::stats::Stats;
use super::world::World;
use crate::time::Time;
use crate::wire::Kind;

const HOSTS: usize = 4;

/// Nothing is ever done to this one; it tells what the others see.
const WITNESS: usize = 3;

const BEGINS: Duration = Duration::from_secs(1);
const LASTS: Duration = Duration::from_millis(400);
const CHAOS: Duration = Duration::from_secs(2);

/// What the witness's application sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sees {
    /// No configuration change.
    Nothing,
    /// At least one.
    Changes,
}
use Sees::{Changes, Nothing};

/// A fault, what it leaves in a counter that nothing else moves, and what is seen.
struct Row {
    name: &'static str,
    faults: Vec<Fault>,
    counter: &'static str,
    sees: Sees,
}

fn row(name: &'static str, fault: Fault, counter: &'static str, sees: Sees) -> Row {
    Row { name, faults: vec![fault], counter, sees }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn when(step: Step, then: Fault) -> Fault {
    Fault::When { node: 0, step, delay: Duration::ZERO, lasts: LASTS, then: Box::new(then) }
}

/// What frames suffer.
fn frames() -> Vec<Row> {
    vec![
        row("loss", Fault::Loss { rate: 0.1 }, "frames_lost", Nothing),
        row(
            "loss, one link",
            Fault::LinkLoss { from: 0, to: 1, rate: 0.5 },
            "frames_lost",
            Nothing,
        ),
        row(
            "loss of tokens",
            Fault::KindLoss { frame: Kind::Token, rate: 0.2 },
            "frames_lost_by_kind",
            Nothing,
        ),
        row("bursts", Fault::Bursts { rate: 0.005, frames: 10 }, "frames_lost_in_bursts", Nothing),
        row("duplicates", Fault::Duplicate { rate: 0.3 }, "frames_duplicated", Nothing),
        row("delays", Fault::Spikes { rate: 0.05 }, "frames_delayed", Nothing),
        row("damage", Fault::Damage { rate: 0.1 }, "frames_damaged", Nothing),
        row("black hole", Fault::BlackHole { frame_bytes: 1_000 }, "frames_in_black_hole", Nothing),
        row("mute", Fault::Mute { node: 0 }, "frames_lost_by_kind", Nothing),
        row(
            "narrow link",
            Fault::Bandwidth { node: 0, bytes_per_ms: 5 },
            "frames_over_bandwidth",
            Nothing,
        ),
        row("strangers", Fault::Strangers { every: millis(1) }, "strangers", Nothing),
        row("old frames again", Fault::Replay { node: 0 }, "frames_replayed", Nothing),
        row("sends fail", Fault::SendFails { node: 0, rate: 1.0 }, "sends_failed", Changes),
    ]
}

/// What parts members.
fn cuts() -> Vec<Row> {
    let side = vec![0, 0, 1, 1];
    let one_way = |from, to| Fault::OneWay { from, to };
    let apart = |a, b| Fault::NonTransitive { a, b };
    vec![
        row("partition", Fault::Partition { side }, "partitions", Changes),
        // The token's way is 1, 2, 3, 4; what else cannot pass comes by way of others.
        row("one-way cut beside the token's way", one_way(0, 2), "one_way_cuts", Nothing),
        row("one-way cut", one_way(0, 1), "one_way_cuts", Changes),
        row("cut beside the token's way", apart(0, 2), "non_transitive_cuts", Nothing),
        row("two that do not hear each other", apart(0, 1), "non_transitive_cuts", Changes),
        row("interface down", Fault::InterfaceDown { node: 0 }, "interfaces_down", Changes),
    ]
}

/// Members that go and come.
fn churn() -> Vec<Row> {
    let back_after = millis(150);
    let crash = Fault::Crash { node: 0, back_after };
    let again = |step| vec![Fault::Crash { node: 1, back_after }, when(step, crash.clone())];
    let at = |name, step, counter| Row { name, faults: again(step), counter, sees: Changes };
    vec![
        row("crash", crash.clone(), "crashes", Changes),
        row(
            "back at once",
            Fault::Crash { node: 0, back_after: millis(1) },
            "quick_restarts",
            Changes,
        ),
        row("leave", Fault::Leave { node: 0 }, "leaves", Changes),
        row("another address", Fault::Readdress { node: 0, back_after }, "new_addresses", Changes),
        row("empty disk", Fault::LoseDisk { node: 0, back_after }, "lost_disks", Changes),
        row("wall clock", Fault::WallStep { node: 0, seconds: -3_600 }, "wall_steps", Nothing),
        at("crash in gather", Step::Gathers, "crashes_in_gather"),
        at("crash in recovery", Step::Adopts, "crashes_in_recovery"),
        at("crash after installation", Step::Installs, "crashes_after_installation"),
    ]
}

/// What stands still.
fn stalls() -> Vec<Row> {
    let pause = |half| Fault::Pause { node: 0, half };
    vec![
        row("stopped", pause(None), "pauses", Changes),
        row("worker stopped", pause(Some(Half::Data)), "data_pauses", Changes),
        row("control stopped", pause(Some(Half::Control)), "control_pauses", Nothing),
        row(
            "little processor",
            Fault::Starve { node: 0, slice: millis(5) },
            "starvations",
            Nothing,
        ),
        row("slow hand-over", Fault::SlowHandoff { most: millis(40) }, "", Nothing),
        row("no reader", Fault::SlowConsumer { node: 0 }, "slow_consumers", Nothing),
        row(
            "much at once",
            Fault::Flood { node: 0, messages: 60, bytes: (1_300, 20_000) },
            "floods",
            Nothing,
        ),
    ]
}

fn schedule(faults: &[Fault]) -> Schedule {
    let planned = |fault: &Fault| Planned { at: BEGINS, lasts: LASTS, fault: fault.clone() };
    Schedule::usual(HOSTS, CHAOS, faults.iter().map(planned).collect())
}

fn count(stats: &Stats, name: &str) -> u64 {
    stats.entries().find(|(it, _)| *it == name).map_or(0, |(_, count)| count)
}

/// The world at the end of a schedule's chaos.
fn at_the_end(schedule: &Schedule) -> World {
    let mut world = schedule.world();
    world.run_for(CHAOS).unwrap();
    world
}

#[test]
fn each_fault_does_what_it_should_and_no_more() {
    let rows = [frames(), cuts(), churn(), stalls()].into_iter().flatten();
    let calm = at_the_end(&schedule(&[]));
    for Row { name, faults, counter, sees } in rows {
        let schedule = schedule(&faults);
        let world = at_the_end(&schedule);
        let since = Time::ZERO + BEGINS;
        let changes = world.regular_sizes(WITNESS, since).count();
        assert_eq!(changes > 0, sees == Changes, "{name}: {changes} changes; {}", world.describe());
        if !counter.is_empty() {
            assert_eq!(count(&calm.stats, counter), 0, "{name}: {counter} without the fault");
            assert!(count(&world.stats, counter) > 0, "{name}: {counter}");
        }
        // Healed, it is one ring that has lost nothing, and its history is judged.
        let failure = play(&schedule).failure;
        assert_eq!(failure, None, "{name}");
    }
}

/// A disk that is slow or refuses does not matter until a ring needs a higher epoch than is on it;
/// then the ring waits for it, or forms without the member.
#[test]
fn disks_matter_only_when_epochs_are_new() -> Result<(), Failure> {
    for (fault, counter) in [
        (Fault::BadDisk { node: 0 }, "storage_writes_failed"),
        (Fault::SlowDisks { most: millis(200) }, ""),
    ] {
        let mut schedule = schedule(&[fault, Fault::Partition { side: vec![0, 1, 1, 1] }]);
        // Back before the disk is.
        schedule.faults[1].lasts = LASTS / 2;
        // Nobody has seen what the witness's epochs are like.
        schedule.hosts[WITNESS].ceiling = 1 << 52;
        schedule.hosts[WITNESS].starts_at = BEGINS + millis(50);
        let mut world = schedule.world();
        world.run_for(CHAOS)?;
        assert!(counter.is_empty() || count(&world.stats, counter) > 0, "{counter}");
        world.heal()?;
        settle(&mut world, "one ring")?;
        assert_eq!(play(&schedule).failure, None);
    }
    Ok(())
}

/// Before, in and after a write: what is on the disk then is the old number or the new one, and
/// the next life starts above it.
#[test]
fn crashes_around_a_write() {
    let crash = Fault::Crash { node: 0, back_after: millis(20) };
    for (step, delay_us, counters) in [
        (Step::Writes, 0, ["crashes_before_a_write", ""]),
        (Step::Writes, 50, ["storage_writes_lost", "storage_writes_landed"]),
        (Step::Written, 0, ["crashes_after_a_write", ""]),
    ] {
        let (delay, then) = (Duration::from_micros(delay_us), Box::new(crash.clone()));
        let fault = Fault::When { node: 0, step, delay, lasts: LASTS, then };
        let mut hits = 0;
        for seed in 0..10 {
            let mut schedule = schedule(&[]).with_seed(seed);
            schedule.hosts[WITNESS].ceiling = 1 << 52;
            let (at, lasts) = (Duration::ZERO, CHAOS);
            schedule.faults = vec![Planned { at, lasts, fault: fault.clone() }];
            let outcome = play(&schedule);
            assert_eq!(outcome.failure, None, "{step:?} seed {seed}");
            hits += counters.iter().map(|it| count(&outcome.stats, it)).sum::<u64>();
        }
        assert!(hits > 0, "{step:?} after {delay_us} µs: {counters:?}");
    }
}

/// All members at once, again and again.
#[test]
fn storms() {
    let storm = Fault::Storm { apart: millis(1) };
    let faults = [0, 200, 230, 500].map(|ms| Planned {
        at: BEGINS + millis(ms),
        lasts: Duration::ZERO,
        fault: storm.clone(),
    });
    let outcome = play(&Schedule::usual(HOSTS, CHAOS, faults.to_vec()));
    assert_eq!((outcome.failure, outcome.stats.storms), (None, 4));
}
