//! The `roundel` command.
#![forbid(unsafe_code)]

mod cat;
mod chaos;
mod check;
mod demo;
mod doctor;
mod endpoint;
mod events;
mod exit;
mod explore;
mod lines;
mod log;
mod order;
mod output;
mod shell;
mod sim;
mod stop;
mod store;
mod traces;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Roundel: ordered group communication on a token ring.
#[derive(Parser, Debug)]
#[command(name = "roundel", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Cat(Box<cat::Args>),
    Chaos(chaos::Args),
    ChaosMember(Box<chaos::member::Args>),
    Check(check::Args),
    Demo(demo::Args),
    DemoMember(Box<demo::member::Args>),
    Doctor(Box<doctor::Args>),
    Endpoint(Box<endpoint::Args>),
    Explore(explore::Args),
    Sim(sim::Args),
    Store(Box<store::Args>),
}

fn main() -> ExitCode {
    match roundel::options::parse::<Cli>().command {
        Command::Cat(args) => cat::run(&args).into(),
        Command::Chaos(args) => chaos::run(&args).into(),
        Command::ChaosMember(args) => chaos::member::run(&args).into(),
        Command::Check(args) => check::run(&args).into(),
        Command::Demo(args) => demo::run(&args).into(),
        Command::DemoMember(args) => demo::member::run(&args).into(),
        Command::Doctor(args) => doctor::run(&args).into(),
        Command::Endpoint(args) => endpoint::run(&args).into(),
        Command::Explore(args) => explore::run(&args).into(),
        Command::Sim(args) => sim::run(&args).into(),
        Command::Store(args) => store::run(&args).into(),
    }
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

    #[test]
    fn every_command_has_examples() {
        for command in Cli::command().get_subcommands().filter(|c| !c.is_hide_set()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", command.get_name());
        }
    }
}
