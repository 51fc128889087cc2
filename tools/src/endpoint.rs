//! `roundel endpoint`: an endpoint of lightweight groups, on a member of its own.

mod output;

use std::fmt;
use std::io;
use std::time::Duration;

use roundel::Service;
use roundel::groups::{
    Addressed, EndpointId, EndpointName, Filter, GroupEvent, GroupName, Groups, RequestError,
    Target,
};
use roundel::options::{MemberOptions, duration, service};
use serde::Serialize;

use crate::events::Events;
use crate::exit::Exit;
use crate::log::LogOptions;
use crate::shell::{self, Line, NotTaken, Setting, Shell, split_word, text};

const EXAMPLES: &str = "\
Examples:
  roundel endpoint desk --join prices.bonds     a member of the group prices.bonds
  roundel endpoint log --subscribe 'prices.>'   in no group, told what is sent to all below prices
  echo 'send prices.bonds 99.5' | roundel endpoint feed
                                                sends once, to whoever is there

Lines of stdin:
  join GROUP                       leave GROUP
  subscribe FILTER                 unsubscribe FILTER
  send TARGET[,TARGET...] TEXT     a target is a group, or one endpoint as NAME@NODE
  members GROUP                    who is in it, once all lines before have had their effect

GROUP has levels parted by dots. In a FILTER `*` is any one level, and a last `>` all that follow.
Names with blanks or commas cannot be written here.

Every member of the cluster must have groups: with `roundel cat` in it no table is ever complete.

Exit codes: 0 all lines had their effect, 1 it failed or a line was refused, 2 options that cannot
be used, 130 interrupted.";

/// An endpoint that joins groups and sends to groups, told by the lines of stdin.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The endpoint's name, its own at its node; others see NAME@NODE.
    name: EndpointName,
    /// Groups to join at once.
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    join: Vec<GroupName>,
    /// Get what is sent to all groups whose names pass a filter, without being in them.
    #[arg(long, value_name = "FILTER", value_delimiter = ',')]
    subscribe: Vec<Filter>,
    /// How messages are delivered: reliable, fifo, causal, agreed or safe.
    #[arg(long, value_name = "SERVICE", default_value = "agreed", value_parser = service)]
    service: Service,
    /// Stay this long after stdin's end, so that others can finish.
    #[arg(long, value_name = "D", default_value = "1s", value_parser = duration)]
    linger: Duration,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    member: MemberOptions,
    #[command(flatten)]
    log: LogOptions,
}

/// Runs until stdin's end or a signal.
pub(crate) fn run(args: &Args) -> Exit {
    args.log.install();
    let mut groups = Groups::default();
    let endpoint = match prepare(&mut groups, args) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            eprintln!("roundel endpoint: {error}");
            return Exit::Usage;
        }
    };
    let Args { member, json, linger, service, .. } = args;
    let setting = Setting { member, json: *json, linger: *linger };
    let shell = Endpoint { endpoint, service: *service, counts: Counts::default() };
    shell::run(setting, shell, groups)
}

fn prepare(groups: &mut Groups, args: &Args) -> Result<EndpointId, RequestError> {
    let endpoint = groups.attach(args.name.clone())?;
    args.join.iter().try_for_each(|group| groups.join(endpoint, group))?;
    for filter in &args.subscribe {
        groups.subscribe(endpoint, filter.clone())?;
    }
    Ok(endpoint)
}

/// The one endpoint of this process.
#[derive(Debug)]
struct Endpoint {
    endpoint: EndpointId,
    service: Service,
    counts: Counts,
}

#[derive(Clone, Copy, Serialize, Default, Debug)]
struct Counts {
    sent: u64,
    messages: u64,
    views: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, messages, views } = self;
        write!(f, "{sent} messages sent, {messages} messages and {views} views told")
    }
}

impl Endpoint {
    fn request(&mut self, groups: &mut Groups, word: &[u8], rest: &[u8]) -> Result<(), NotTaken> {
        let endpoint = self.endpoint;
        let name = || text(rest).map_err(NotTaken::Refused);
        let done = match word {
            b"join" => groups.join(endpoint, &name()?.parse()?),
            b"leave" => groups.leave(endpoint, &name()?.parse()?),
            b"subscribe" => groups.subscribe(endpoint, name()?.parse()?).map(|_| ()),
            b"unsubscribe" => groups.unsubscribe(endpoint, &name()?.parse()?).map(|_| ()),
            b"send" => {
                let (targets, payload) = split_word(rest);
                let targets = parse_targets(targets)?;
                let sent = groups.send(endpoint, &targets, self.service, payload);
                self.counts.sent += u64::from(sent.is_ok());
                sent
            }
            _ => return Err(NotTaken::Refused(USAGE.to_owned())),
        };
        done.map_err(|error| match error {
            RequestError::Full => NotTaken::NotYet,
            error => error.into(),
        })
    }
}

const USAGE: &str = "not a command; use join, leave, subscribe, unsubscribe, send or members";

fn parse_targets(targets: &[u8]) -> Result<Vec<Target>, NotTaken> {
    let targets = text(targets).map_err(NotTaken::Refused)?;
    let parse = |target: &str| -> Result<Target, NotTaken> {
        Ok(match target.contains('@') {
            true => Target::Private(target.parse()?),
            false => Target::Group(target.parse()?),
        })
    };
    targets.split(',').map(parse).collect()
}

impl Shell for Endpoint {
    type Layer = Groups;
    type Counts = Counts;

    const NAME: &'static str = "endpoint";
    const SCHEMA: &'static str = "roundel.endpoint/1";

    fn is_ready(&self, _groups: &Groups) -> bool {
        true
    }

    fn take(
        &mut self,
        groups: &mut Groups,
        line: &Line,
        events: &mut Events,
    ) -> io::Result<Result<(), NotTaken>> {
        match line.words() {
            (b"", b"") => Ok(Ok(())),
            (b"members", group) => {
                let name = text(group).map_err(NotTaken::Refused);
                let group: Result<GroupName, NotTaken> = name.and_then(|name| Ok(name.parse()?));
                match group {
                    // While tables are exchanged, others' members would be missing.
                    Ok(_) if !groups.is_settled() => Ok(Err(NotTaken::NotYet)),
                    Ok(group) => output::members(events, &group, &groups.members(&group)).map(Ok),
                    Err(reason) => Ok(Err(reason)),
                }
            }
            (word, rest) => Ok(self.request(groups, word, rest)),
        }
    }

    fn tell(&mut self, told: Addressed, events: &mut Events) -> io::Result<()> {
        match told.event {
            GroupEvent::View(view) => {
                self.counts.views += 1;
                output::view(events, &view)
            }
            GroupEvent::Message(message) => {
                self.counts.messages += 1;
                output::message(events, &message)
            }
            // The shell tells of it, with the configurations.
            GroupEvent::Primary { .. } => Ok(()),
        }
    }

    fn is_at_rest(&self, groups: &Groups) -> bool {
        groups.is_settled()
    }

    /// Others see it leave, and need not wonder whether it was cut off.
    fn bid_farewell(&mut self, groups: &mut Groups) {
        // The only way for it not to be attached is that it went already.
        let _ = groups.detach(self.endpoint);
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_after_the_lines_before() {
        let mut groups = Groups::default();
        let endpoint = groups.attach("desk".parse().unwrap()).unwrap();
        let mut shell = Endpoint { endpoint, service: Service::Agreed, counts: Counts::default() };
        let mut events = Events::new(true, false);
        let mut take = |number, text: &[u8]| {
            let line = Line { number, text: text.to_owned() };
            shell.take(&mut groups, &line, &mut events).unwrap()
        };
        assert_eq!(take(1, b"join news"), Ok(()));
        assert_eq!(take(2, b"members news"), Err(NotTaken::NotYet));
        assert!(matches!(take(3, b"members a..b"), Err(NotTaken::Refused(_))));
    }

    #[test]
    fn targets_are_groups_and_endpoints() {
        let targets = parse_targets(b"a.b,desk@7").unwrap();
        assert!(matches!(&targets[0], Target::Group(group) if group.as_str() == "a.b"));
        assert!(matches!(&targets[1], Target::Private(name) if name.to_string() == "desk@7"));
        for wrong in [&b""[..], b"a,,b", b"a@", b"\xff", b"a.*"] {
            assert!(matches!(parse_targets(wrong), Err(NotTaken::Refused(_))), "{wrong:?}");
        }
    }
}
