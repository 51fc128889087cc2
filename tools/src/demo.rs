//! `roundel demo`: a whole ring on this host. Its members are processes of their own on real
//! sockets; one of them is killed and comes back, and the histories are judged at the end.

mod fleet;
mod history;
pub(crate) mod member;
mod place;
mod play;
mod report;
mod words;

use std::path::PathBuf;

use hdrhistogram::Histogram;

use crate::exit::Exit;
use crate::stop::Stop;
use fleet::Fleet;
use place::Place;
use play::Play;
use report::Reporter;

const EXAMPLES: &str = "\
Examples:
  roundel demo                         three members, five seconds
  roundel demo --nodes 5 --seconds 20
  roundel demo --state-dir demo        keep the members' histories, for `roundel check`
  roundel demo --json | tail -n 1      only the summary

Needs no root, no configuration and no route: members are 127.0.0.1, 127.0.0.2, ...

Exit codes: 0 all went as it must, 1 it did not, 2 options that cannot be used, 6 the histories
violate the specification, 130 interrupted.";

/// Messages of all members together, a second. The demo is paced, so that latency is that of a
/// ring with room to spare, and the histories stay small enough to be judged in a moment.
const PACE: u32 = 6_000;

/// Messages of one demo, at most.
const MESSAGES_MAX: u32 = 120_000;

/// Run a ring on this host: order messages, kill a member, bring it back, check the history.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Members, each a process of its own.
    #[arg(long, value_name = "N", default_value_t = 3)]
    #[arg(value_parser = clap::value_parser!(u8).range(2..=16))]
    nodes: u8,
    /// How long messages are sent.
    #[arg(long, value_name = "S", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
    /// Keep the members' files in a new directory below DIR [default: temporary].
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Plays the demo and says what was seen.
pub(crate) fn run(args: &Args) -> Exit {
    match play(args) {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("roundel demo: {error}");
            Exit::Failed
        }
    }
}

fn play(args: &Args) -> Result<Exit, String> {
    let stop = Stop::on_signals().map_err(|error| error.to_string())?;
    let place = Place::make(args.nodes, args.state_dir.as_deref())?;
    let pace = PACE.min(MESSAGES_MAX / u32::from(args.seconds)) / u32::from(args.nodes);
    let fleet = Fleet::new(args.nodes, pace.max(1)).map_err(|error| error.to_string())?;
    let reporter = Reporter::new(args.json);
    // Grows as it must.
    let latencies = Histogram::new(2).map_err(|error| error.to_string())?;
    let play = Play::new(fleet, &place, reporter, stop, latencies, u32::from(args.seconds));
    play.run().map_err(|error| format!("stdout cannot be written: {error}"))
}
