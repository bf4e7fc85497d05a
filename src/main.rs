//! The binary: reads the command line, hands over to the library, and turns the outcome into an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use waxseal::cli::{self, Cli};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(Cli::parse(), &mut io::stdout()).await {
        Ok(code) => code,
        Err(fault) => {
            let _ = writeln!(io::stderr(), "waxseal: {fault:#}"); // there is nobody left to tell
            ExitCode::FAILURE
        }
    }
}
