//! Blocks of `http` that declare variables computed from others, and variables by what a location says.

use daemun_conf::{ArgumentError, Arguments};

pub mod browser;

pub mod geo;

pub mod map;

pub mod referer;

pub mod secure_link;

pub mod split_clients;

/// Reads an argument as the name of a variable to be declared, without its `$`.
fn variable_name<'a>(arguments: &Arguments<'a>, position: usize) -> Result<&'a str, ArgumentError> {
    let written = arguments.text(position)?;
    written
        .strip_prefix('$')
        .filter(|name| !name.is_empty())
        .ok_or_else(|| ArgumentError::new(Some(position), format!("invalid variable name \"{written}\"")))
}
