//! Histories that end anywhere: no clause asks for what may still come.

use roundel_ring::service::Service;
use roundel_ring::sim::check::{Options, check};

use crate::legal::eventful;
use crate::script::{Script, violated};

/// Cut a legal run at each instant: what had happened by then is legal, too.
#[test]
fn every_beginning_of_a_legal_run_is_legal_when_cut_off() {
    let whole = eventful().histories();
    let ends = whole.iter().flat_map(|h| &h.entries).map(|e| e.time);
    for end in ends {
        let mut histories = whole.clone();
        for history in &mut histories {
            history.entries.retain(|entry| entry.time <= end);
        }
        histories.retain(|history| !history.entries.is_empty());
        let verdict = check(&histories, Options { quiescent: false });
        assert!(violated(&verdict).is_empty(), "{end:?}: {verdict:?}");
    }
}

/// A crash of everybody at once is legal at each instant, too.
#[test]
fn every_beginning_of_a_legal_run_is_legal_when_all_fail() {
    let whole = eventful().histories();
    let ends = whole.iter().flat_map(|h| &h.entries).map(|e| e.time);
    for end in ends {
        let mut histories = whole.clone();
        for history in &mut histories {
            history.entries.retain(|entry| entry.time <= end);
            if let Some(last) = history.entries.last().cloned() {
                let event = roundel_ring::trace::Event::Fail;
                if last.event != event {
                    history.entries.push(roundel_ring::trace::Entry { event, ..last });
                }
            }
        }
        histories.retain(|history| !history.entries.is_empty());
        let verdict = check(&histories, Options { quiescent: true });
        assert!(violated(&verdict).is_empty(), "{end:?}: {verdict:?}");
    }
}

#[test]
fn a_safe_message_may_still_be_delivered() {
    let mut run = Script::together(3);
    run.multicast(1, Service::Safe, &[1, 2]);
    let ring = run.new_ring(3);
    run.signal(ring, &[3]);
    assert!(run.violated_when_cut_off().is_empty());
}

#[test]
fn a_ring_may_still_be_installed() {
    let mut run = Script::alone(2);
    let ring = run.new_ring(1);
    run.transitional(1, ring, &[1]);
    run.regular(1, ring, &[1, 2]);
    run.multicast(1, Service::Safe, &[1]);
    assert!(run.violated_when_cut_off().is_empty());
}
