//! Every order of steps of the hand-overs between a member's threads, tried by loom.
//!
//! The sources are the engine's own, compiled here over `model/sync.rs`. What each model is to
//! catch is in `engine/mutants`.
#![expect(clippy::unwrap_used, reason = "a test fails where it expects")]
#![allow(dead_code, reason = "the sources are whole, and a model needs a part of each")]

#[path = "../src/commands.rs"]
mod commands;
#[path = "../src/doorbell.rs"]
mod doorbell;
#[path = "../src/ending.rs"]
#[expect(unreachable_pub, reason = "it is public in the engine")]
mod ending;
#[path = "../src/room.rs"]
mod room;
#[path = "model/sync.rs"]
mod sync;

/// Loom stalls threads itself.
mod stall {
    #[derive(Clone, Copy)]
    pub(crate) enum At {
        Push,
        Pop,
        Ring,
        Wake,
        Sleep,
        Awake,
    }

    pub(crate) const fn stall(_at: At) {}
}

use std::time::Duration;

use bytes::Bytes;
use loom::thread;
use roundel_ring::cycle::Command;
use roundel_ring::packing::Messages;
use roundel_ring::service::Service;

use commands::Commands;
use doorbell::{Bed, Bells, Doorbell};
use ending::{EndReason, Ending};
use room::RoomWait;
use sync::{Arc, AtomicUsize, Ordering, Waker};

/// Not used: no time-out comes.
const LONG: Duration = Duration::MAX;

/// Tries all orders with at most so many switches away from a thread that could go on.
fn explore(switches: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(switches);
    builder.check(model);
}

fn bed() -> Bed {
    Bed::new(Waker::default())
}

/// The bells of a member of whose threads only the application sleeps.
fn bells(application: &Bed) -> Bells {
    let unheard = || Doorbell::new(Waker::default());
    let (worker, control, room) = (unheard(), unheard(), unheard());
    Bells { worker, control, application: application.bell(), room }
}

fn message(number: u8) -> Messages {
    Messages::One(Bytes::copy_from_slice(&[number]))
}

fn number(command: &Command) -> u8 {
    match command {
        Command::Publish { messages: Messages::One(payload), .. } => payload[0],
        _ => unreachable!("{command:?} is no message"),
    }
}

#[test]
fn no_ring_is_slept_through() {
    for ringers in 1..=2 {
        explore(3, move || {
            let (bed, queued) = (bed(), Arc::new(AtomicUsize::new(0)));
            for _ in 0..ringers {
                let (bell, queued) = (bed.bell(), Arc::clone(&queued));
                thread::spawn(move || {
                    queued.fetch_add(1, Ordering::Release);
                    bell.ring();
                });
            }
            let mut taken = 0;
            while taken < ringers {
                let seen = queued.load(Ordering::Acquire);
                if seen == taken {
                    bed.sleep(LONG, || queued.load(Ordering::Acquire) > taken);
                }
                taken = seen;
            }
        });
    }
}

#[test]
fn no_ring_is_slept_through_by_who_sleeps_again_and_again() {
    explore(3, || {
        let (bed, queued) = (bed(), Arc::new(AtomicUsize::new(0)));
        let (bell, its) = (bed.bell(), Arc::clone(&queued));
        thread::spawn(move || {
            for number in 1..=3 {
                its.store(number, Ordering::Release);
                bell.ring();
            }
        });
        let mut taken = 0;
        while taken < 3 {
            bed.sleep(LONG, || queued.load(Ordering::Acquire) > taken);
            taken = queued.load(Ordering::Acquire);
        }
    });
}

#[test]
fn an_armed_descriptor_tells_of_every_event() {
    explore(3, || {
        let (bed, queued) = (bed(), Arc::new(AtomicUsize::new(0)));
        let (bell, its) = (bed.bell(), Arc::clone(&queued));
        thread::spawn(move || {
            for number in 1..=2 {
                its.store(number, Ordering::Release);
                bell.ring();
            }
        });
        let mut taken = 0;
        while taken < 2 {
            if bed.arm(|| queued.load(Ordering::Acquire) > taken) {
                // The application's own loop does not clear it.
                bed.waker().wait(None);
                bed.waker().wake();
            }
            taken = queued.load(Ordering::Acquire);
        }
    });
}

#[test]
fn the_worker_and_a_publisher_wait_for_each_other() {
    explore(2, || {
        const MESSAGES: u8 = 3;
        let (worker, room) = (bed(), bed());
        let commands = Arc::new(Commands::new(1));
        let publisher = {
            let (commands, bell, room) = (Arc::clone(&commands), worker.bell(), room.clone());
            thread::spawn(move || {
                let mut wait = RoomWait::default();
                for number in 0..MESSAGES {
                    let mut next = message(number);
                    while let Err(back) = commands.hand_over(Service::Agreed.into(), next, 1 << 20)
                    {
                        next = back;
                        wait.step(&room);
                    }
                    bell.ring();
                }
            })
        };
        let (mut taken, mut has_left) = (0, false);
        while taken < MESSAGES {
            match commands.take(&mut has_left) {
                Some(command) => {
                    assert_eq!(number(&command), taken, "in order");
                    taken += 1;
                    room.bell().ring();
                }
                None => worker.sleep(LONG, || commands.is_waiting(has_left)),
            }
        }
        publisher.join().unwrap();
    });
}

#[test]
fn a_bound_in_bytes_is_waited_for_too() {
    explore(2, || {
        let room = bed();
        let commands = Arc::new(Commands::new(8));
        let publisher = {
            let (commands, room) = (Arc::clone(&commands), room.clone());
            thread::spawn(move || {
                let mut wait = RoomWait::default();
                for number in 0..2 {
                    let mut next = message(number);
                    // One message is over the bound: one at a time.
                    while let Err(back) = commands.hand_over(Service::Agreed.into(), next, 1) {
                        next = back;
                        wait.step(&room);
                    }
                }
            })
        };
        let mut taken = 0;
        while taken < 2 {
            match commands.take(&mut true) {
                Some(_) => {
                    taken += 1;
                    room.bell().ring();
                }
                None => thread::yield_now(),
            }
        }
        publisher.join().unwrap();
        assert_eq!(commands.seal(), 0);
    });
}

#[test]
fn what_is_accepted_before_a_leave_is_taken_before_it() {
    explore(3, || {
        let (worker, commands) = (bed(), Arc::new(Commands::new(2)));
        let (its, bell) = (Arc::clone(&commands), worker.bell());
        thread::spawn(move || {
            its.hand_over(Service::Safe.into(), message(0), 1 << 20).unwrap();
            its.leave();
            bell.ring();
        });
        let (mut has_left, mut taken) = (false, 0);
        while !has_left {
            match commands.take(&mut has_left) {
                Some(Command::Publish { .. }) => taken += 1,
                Some(Command::Leave) => assert_eq!(taken, 1, "left before a message"),
                None => worker.sleep(LONG, || commands.is_waiting(has_left)),
            }
        }
        assert!(!commands.is_waiting(has_left));
    });
}

#[test]
fn what_is_accepted_is_taken_or_counted() {
    explore(3, || {
        let commands = Arc::new(Commands::new(4));
        let publishers = [0, 1].map(|number| {
            let commands = Arc::clone(&commands);
            thread::spawn(move || {
                commands.hand_over(Service::Agreed.into(), message(number), 1 << 20).is_ok()
            })
        });
        // The member ends meanwhile.
        let taken = u64::from(commands.take(&mut true).is_some());
        let lost = commands.seal();
        let accepted = publishers.map(|it| u64::from(it.join().unwrap()));
        assert_eq!(taken + lost, accepted.iter().sum::<u64>(), "{accepted:?} were accepted");
        assert!(commands.hand_over(Service::Agreed.into(), message(2), 1 << 20).is_err(), "sealed");
    });
}

#[test]
fn who_is_refused_may_know_why() {
    explore(3, || {
        let ending = Arc::new(Ending::default());
        let threads = [EndReason::Evicted, EndReason::TraceFailed].map(|reason| {
            let ending = Arc::clone(&ending);
            thread::spawn(move || match reason {
                EndReason::Evicted => ending.give_up(reason),
                _ => ending.end(reason),
            })
        });
        let mut seen = None;
        if ending.is_closed() || ending.is_abandoned() || ending.is_stopping() {
            seen = ending.reason();
            assert!(seen.is_some(), "closed for a reason");
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(seen.is_none() || ending.reason() == seen, "the first reason stays");
    });
}

#[test]
fn who_sees_the_end_sees_everything_before_it() {
    explore(3, || {
        let (bed, ending) = (bed(), Arc::new(Ending::default()));
        let stream = Arc::new(AtomicUsize::new(0));
        // Control says that it is over, the worker writes its last event and ends.
        let its = Arc::clone(&ending);
        thread::spawn(move || its.end(EndReason::Left));
        let (its, events, bells) = (Arc::clone(&ending), Arc::clone(&stream), bells(&bed));
        thread::spawn(move || {
            while !its.is_stopping() {
                thread::yield_now();
            }
            events.store(1, Ordering::Release);
            bells.application.ring();
            its.note_undelivered(7);
            its.end_thread(true, &bells);
        });
        let mut received = 0;
        loop {
            // The end first: what is there after it is all there is.
            let has_ended = ending.has_worker_ended();
            if stream.load(Ordering::Acquire) > received {
                received += 1;
            } else if has_ended {
                break;
            } else {
                let has_events = || stream.load(Ordering::Acquire) > received;
                bed.sleep(LONG, || has_events() || ending.has_worker_ended());
            }
        }
        assert_eq!((received, ending.undelivered()), (1, 7));
        assert_eq!(ending.reason(), Some(EndReason::Left));
    });
}
