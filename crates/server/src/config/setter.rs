//! What many setters share.

use daemun_conf::{ArgumentError, Arguments};

use crate::log::Level;
use crate::variable::{Assignable, Template, declare_assigned};

/// Reads an argument as a text with variables.
///
/// # Errors
/// For an unknown variable.
pub fn template(arguments: &Arguments<'_>, index: usize) -> Result<Template, ArgumentError> {
    let word = arguments.word(index)?;
    Template::parse_at(&word.text, Some(word.span)).map_err(|error| ArgumentError::new(Some(index), error.to_string()))
}

/// Reads an argument `$name` as a variable that a request gives a value, and declares it.
///
/// # Errors
/// For what is no `$name`, and for a variable of the program that cannot be changed.
pub fn assignable(arguments: &Arguments<'_>, index: usize) -> Result<Assignable, ArgumentError> {
    let text = arguments.text(index)?;
    let name = text.strip_prefix('$').filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| ArgumentError::new(Some(index), format!("invalid variable name \"{text}\"")))?;
    match name.to_ascii_lowercase().as_str() {
        "args" => Ok(Assignable::Arguments),
        "limit_rate" => Ok(Assignable::LimitRate),
        _ => {
            let declared = declare_assigned(name);
            declared.map(Assignable::Variable).map_err(|error| ArgumentError::new(Some(index), error.to_string()))
        }
    }
}

/// Reads an argument as the least severe level of a log.
///
/// # Errors
/// For a word that is no level.
pub fn level(arguments: &Arguments<'_>, index: usize) -> Result<Level, ArgumentError> {
    let text = arguments.text(index)?;
    Level::parse(text).ok_or_else(|| ArgumentError::new(Some(index), format!("invalid log level \"{text}\"")))
}

/// Takes each unset field from the enclosing block.
#[macro_export]
macro_rules! inherit {
    ($parent:ident, $child:ident; $($field:ident),+ $(,)?) => {
        $(if $child.$field.is_none() { $child.$field.clone_from(&$parent.$field); })+
    };
}
