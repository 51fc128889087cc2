use std::net::Ipv4Addr;

use super::*;

const MS: u64 = 1_000_000;

fn plan(members: usize) -> Plan {
    let (warmup, seconds) = (Duration::from_millis(1), Duration::from_millis(2));
    Plan { members, options: 1, warmup, seconds, one_sends: false, packets: 4 }
}

fn address(host: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), 7401)
}

/// Members on a network that loses what `lose` says, by the number of the frame.
fn run(members: u8, plan: Plan, lose: impl Fn(u64) -> bool) -> Vec<Course> {
    let mut courses: Vec<Course> =
        (1..=members).map(|host| Course::new(plan, address(host), 0)).collect();
    let (mut now_ns, mut frames) = (0, 0);
    while !courses.iter().all(|course| course.is_over(now_ns)) {
        now_ns += MS / 10;
        assert!(now_ns < 60_000 * MS, "it ends");
        for index in 0..courses.len() {
            courses[index].handle_time(now_ns);
            let from = courses[index].me;
            let outputs: Vec<_> = std::iter::from_fn(|| courses[index].poll_output()).collect();
            for output in outputs {
                let (to, sent) = match output {
                    Output::Hello(frame) => (None, vec![frame]),
                    Output::Data { first, count } => {
                        let data = (first..first + count).map(|number| Frame::Data { number });
                        (None, data.collect())
                    }
                    Output::Token { to, token } => (Some(to), vec![Frame::Token(token)]),
                };
                for frame in sent {
                    let is_receiver =
                        |course: &Course| to.map_or(course.me != from, |to| course.me == to);
                    for course in courses.iter_mut().filter(|course| is_receiver(course)) {
                        frames += 1;
                        if !lose(frames) {
                            course.handle_frame(now_ns, from, frame);
                        }
                    }
                }
            }
        }
    }
    courses
}

#[test]
fn all_hear_all_that_is_sent() {
    for members in [1, 2, 5] {
        let courses = run(members, plan(members.into()), |_| false);
        let sent: u64 = courses.iter().map(|course| course.packets().sent).sum();
        assert!(sent > 0);
        for course in &courses {
            let Packets { received, sent: own, lost } = course.packets();
            assert_eq!((received + own, lost, course.end()), (sent, 0, None));
        }
    }
}

#[test]
fn one_sender_is_the_lowest_address() {
    let courses = run(3, Plan { one_sends: true, ..plan(3) }, |_| false);
    let sent: Vec<u64> = courses.iter().map(|course| course.packets().sent).collect();
    assert!(sent[0] > 0 && sent[1..] == [0, 0], "{sent:?}");
}

#[test]
fn what_is_lost_is_counted_and_tokens_come_again() {
    let courses = run(3, plan(3), |frame| frame % 7 == 3);
    assert!(courses.iter().all(|course| course.end().is_none()));
    assert!(courses.iter().any(|course| course.packets().lost > 0));
}

#[test]
fn members_that_do_not_fit_say_so() {
    let mut course = Course::new(plan(2), address(1), 0);
    course.handle_frame(0, address(2), Frame::Hello { options: 2, known: 1 });
    assert!(matches!(course.end(), Some(End::Disagree(_))), "{:?}", course.end());
    assert!(matches!(course.poll_output(), Some(Output::Hello(_))), "so that it ends as well");
    let mut course = Course::new(plan(2), address(1), 0);
    for host in [2, 3] {
        course.handle_frame(0, address(host), Frame::Hello { options: 1, known: 1 });
    }
    assert!(matches!(course.end(), Some(End::Disagree(_))), "{:?}", course.end());
}

#[test]
fn nobody_waits_for_ever() {
    let mut alone = Course::new(plan(2), address(1), 0);
    alone.handle_time(nanoseconds(GATHER_MAX) + 1);
    assert!(matches!(alone.end(), Some(End::NotTogether(_))));
    let mut left = Course::new(plan(2), address(1), 0);
    left.handle_frame(0, address(2), Frame::Hello { options: 1, known: 2 });
    assert_eq!(left.stage(), Stage::Warming);
    left.handle_time(nanoseconds(SILENCE_MAX) + 1);
    assert!(matches!(left.end(), Some(End::Invalid(_))));
}

#[test]
fn the_packets_of_a_turn_are_of_the_stage_that_begins_with_it() {
    let mut course = Course::new(plan(2), address(2), 0);
    course.handle_frame(0, address(1), Frame::Hello { options: 1, known: 2 });
    for (visit, stage, before) in [(1, Stage::Warming, 0), (3, Stage::Measuring, 4)] {
        course.handle_frame(0, address(1), Frame::Token(Token { visit, stage }));
        assert_eq!((course.stage(), course.packets().sent), (stage, before));
        while course.poll_output().is_some() {}
        assert_eq!(course.packets().sent, before + 4);
    }
}
