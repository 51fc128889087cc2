//! The `roundel` command.
#![forbid(unsafe_code)]

mod check;
mod exit;

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
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Check(args) => check::run(&args).into(),
    }
}
