//! daemun: web server, application server and gateway in one.
//!
//! Parse the command line, load the configuration, check it, build the runtime, run it, drain.

mod assembly;
mod certify;
mod cli;
mod discovery;
mod emperor;
mod estate;
mod explain;
mod generation;
mod kept_files;
mod load;
mod manual;
mod modules;
mod paths;
mod pool_command;
mod review;
mod serve;
mod succession;

use std::process::ExitCode;

/// Faster than the system's allocator for many small, short-lived pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    daemun_server::variable::install(modules::MODULES);
    let arguments: Vec<_> = std::env::args_os().collect();
    match cli::parse(&arguments) {
        cli::Request::Serve(settings) => serve::serve(&settings),
        cli::Request::Check(settings) => serve::check(&settings),
        cli::Request::Explain(settings, asked) => explain::explain(&settings, &asked),
        cli::Request::Certify(asked) => certify::certify(&asked),
        cli::Request::Signal(settings, signal) => serve::signal(&settings, signal),
        cli::Request::Manual(which) => manual::print(which),
        cli::Request::Print(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        cli::Request::Tell(text) => {
            eprintln!("{text}");
            ExitCode::SUCCESS
        }
        cli::Request::Refuse(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
