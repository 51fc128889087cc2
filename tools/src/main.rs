//! The `roundel` command.
#![forbid(unsafe_code)]

mod check;
mod exit;
mod output;
mod sim;

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
    Check(check::Args),
    Sim(sim::Args),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check::run(&args).into(),
        Command::Sim(args) => sim::run(&args).into(),
    }
}
