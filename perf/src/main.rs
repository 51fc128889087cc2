//! The `roundel-perf` command: measures a ring from the outside, as an application sees it.
#![forbid(unsafe_code)]

mod exit;
mod load;
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
}

fn main() -> ExitCode {
    // What a member has to say is a warning; standard output is for the result alone.
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    match roundel::options::parse::<Cli>().command {
        Command::Load(args) => load::run(&args).into(),
    }
}
