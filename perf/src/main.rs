//! The `roundel-perf` command: measures a ring from the outside, as an application sees it.
#![forbid(unsafe_code)]

mod children;
mod compare;
mod counters;
mod environment;
mod exit;
mod failover;
mod figures;
mod fleet;
mod floor;
mod latencies;
mod load;
mod matrix;
mod order;
mod pace;
mod payload;
mod peers;
mod plain;
mod report;
mod result;
mod start;
mod stress;
mod talk;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measure a Roundel ring.
#[derive(Parser, Debug)]
#[command(name = "roundel-perf", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Load(load::Args),
    Floor(floor::Args),
    Plain(plain::Args),
    Matrix(matrix::Args),
    Compare(compare::Args),
    Failover(failover::Args),
    #[command(hide = true)]
    FailoverMember(failover::MemberArgs),
    Stress(stress::Args),
    #[command(hide = true)]
    StressMember(stress::MemberArgs),
    Peers(peers::Args),
    #[command(hide = true)]
    PeersNats(peers::MemberArgs),
}

fn main() -> ExitCode {
    // What a member has to say is a warning; standard output is for the result alone.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    match roundel::options::parse::<Cli>().command {
        Command::Load(args) => load::run(&args),
        Command::Floor(args) => floor::run(&args),
        Command::Plain(args) => plain::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Failover(args) => failover::run(&args),
        Command::FailoverMember(args) => failover::run_member(&args),
        Command::Stress(args) => stress::run(&args),
        Command::StressMember(args) => stress::run_member(&args),
        Command::Peers(args) => peers::run(&args),
        Command::PeersNats(args) => peers::run_member(&args),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_option_is_known_to_all_programs() {
        for command in Cli::command().get_subcommands() {
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                let known = option == "help" || roundel::options::KNOWN_NAMES.contains(&option);
                assert!(known, "{option} of {}: add it to KNOWN_NAMES", command.get_name());
            }
        }
    }
}
