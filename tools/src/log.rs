//! The log on stderr.

use std::io;

use tracing_subscriber::filter::LevelFilter;

/// What is logged.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Log (on stderr)")]
pub(crate) struct LogOptions {
    /// The least important level that is logged: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: LevelFilter,
    /// Log what happens, as with --log info.
    #[arg(long, short)]
    verbose: bool,
}

impl LogOptions {
    /// Logs from now on.
    pub(crate) fn install(&self) {
        let usual = if self.verbose { LevelFilter::INFO } else { LevelFilter::OFF };
        tracing_subscriber::fmt()
            .with_max_level(self.log.max(usual))
            .with_writer(io::stderr)
            .with_target(false)
            .without_time()
            .init();
    }
}
