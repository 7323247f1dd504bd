//! What uWSGI's command line may ask for instead of serving.

use std::path::Path;
use std::process::ExitCode;

use daemun_app::options::{Command, OPTIONS, State};
use daemun_master::{Signal, signal_by_pid_file};

use crate::cli;

/// Does what `command` says.
pub fn obey(command: &Command) -> ExitCode {
    match command {
        Command::Help => print!("{}", help()),
        Command::Version => println!("{}", cli::VERSION),
        Command::Print(text) => print!("{text}"),
        Command::Nothing => eprintln!("no-server mode requested. Goodbye."),
        Command::Stop(path) => return signal(path, Signal::TERM),
        Command::Reload(path) => return signal(path, Signal::HUP),
    }
    ExitCode::SUCCESS
}

fn signal(path: &Path, signal: Signal) -> ExitCode {
    match signal_by_pid_file(path, signal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("daemun: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The options, made of the table that they are read by.
fn help() -> String {
    let mut text = String::from("Usage: daemun app [file.ini] [--option value | --option=value | --flag] ...\n\n");
    for option in OPTIONS {
        let state = if option.state == State::Built { "" } else { " (known, not in effect yet)" };
        let name = format!("--{}{}", option.name, option.argument.describe());
        text.push_str(&format!("  {name:<34} {}{state}\n", option.help));
    }
    text
}
