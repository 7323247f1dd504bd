//! `$(ENV)`, `@(file)` and `%(name)` in values, as uWSGI replaces them, with a bound on self-reference.

use std::collections::{BTreeMap, HashSet};

use daemun_conf::{Diagnostic, nearest};

use crate::options::known::{is_free_text, known};
use crate::options::setting::Setting;

/// Replaces `SYMBOL(key)` by what `look_up` says; what it does not know stays as it is and is told to `missing`.
pub(crate) fn expand(
    text: &str,
    symbol: char,
    look_up: &mut dyn FnMut(&str) -> Option<String>,
    missing: &mut dyn FnMut(&str),
) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind, key)) = split_reference(rest, symbol) {
        out.push_str(before);
        if let Some(value) = look_up(key) {
            out.push_str(&value);
        } else {
            missing(key);
            out.push(symbol);
            out.push('(');
            out.push_str(key);
            out.push(')');
        }
        rest = behind;
    }
    out.push_str(rest);
    out
}

/// The text before the first reference, the text behind it, and its key; round brackets in the key are counted.
fn split_reference(text: &str, symbol: char) -> Option<(&str, &str, &str)> {
    let opening = format!("{symbol}(");
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find(&opening)?;
        let inside = text.get(start + 2..)?;
        let mut depth = 0_usize;
        for (index, c) in inside.char_indices() {
            match c {
                '(' => depth += 1,
                ')' if depth > 0 => depth -= 1,
                ')' if index == 0 => break,
                ')' => return Some((text.get(..start)?, inside.get(index + 1..)?, inside.get(..index)?)),
                _ => {}
            }
        }
        from = start + 2;
    }
}

/// The environment variable; `NAME:-DEFAULT` and `NAME-DEFAULT` have a value for when it is empty or not set.
pub(crate) fn environment_value(key: &str, environment: &BTreeMap<String, String>) -> Option<String> {
    if let Some((name, default)) = key.split_once(":-") {
        return Some(
            environment.get(name).filter(|value| !value.is_empty()).cloned().unwrap_or_else(|| default.to_owned()),
        );
    }
    if let Some((name, default)) = key.split_once('-') {
        return Some(environment.get(name).cloned().unwrap_or_else(|| default.to_owned()));
    }
    environment.get(key).cloned()
}

/// Replaces all `%(name)` in all values. The first setting of a name is the one that counts, wherever it stands.
/// The names that are referred to are put into `used`.
pub(crate) fn resolve_placeholders(
    settings: &mut [Setting],
    used: &mut HashSet<String>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let originals: Vec<Setting> = settings.to_vec();
    for setting in settings {
        let Some(word) = &mut setting.value else {
            continue;
        };
        if !word.text.contains("%(") {
            continue;
        }
        let mut resolver = Resolver { settings: &originals, used, missing: Vec::new(), is_endless: false };
        let text = resolver.resolve(&word.text, 0);
        let (missing, is_endless) = (resolver.missing, resolver.is_endless);
        if is_endless {
            let message = format!("\"{}\" refers to itself", word.text);
            diagnostics
                .push(Diagnostic::error(word.span, message).with_hint(format!("in option \"{}\"", setting.key.text)));
        }
        // Python's own %(message)s may stand in an environment variable; anywhere else it is a mistake.
        let is_text =
            is_free_text(&setting.key.text) || setting.key.text == "env" || known(&setting.key.text).is_none();
        if !is_text {
            for name in missing {
                let defined = originals.iter().map(|setting| setting.key.text.as_str());
                let error = Diagnostic::error(word.span, format!("placeholder \"%({name})\" is not defined"));
                diagnostics.push(error.with_suggestion(nearest(&name, defined)));
            }
        }
        word.text = text;
    }
}

/// One text with its `%(name)` replaced by what is known so far; what is not known stays.
pub(crate) fn resolve_text(text: &str, settings: &[Setting], used: &mut HashSet<String>) -> String {
    Resolver { settings, used, missing: Vec::new(), is_endless: false }.resolve(text, 0)
}

struct Resolver<'a> {
    settings: &'a [Setting],
    used: &'a mut HashSet<String>,
    missing: Vec<String>,
    is_endless: bool,
}

impl Resolver<'_> {
    fn resolve(&mut self, text: &str, depth: usize) -> String {
        if depth > DEPTH_MAX || text.len() > VALUE_BYTES_MAX {
            self.is_endless = true;
            return String::new();
        }
        let mut missing = Vec::new();
        let out = expand(text, '%', &mut |key| self.value(key, depth), &mut |key| missing.push(key.to_owned()));
        self.missing.extend(missing);
        out
    }

    fn value(&mut self, key: &str, depth: usize) -> Option<String> {
        if self.is_endless {
            return Some(String::new());
        }
        if key.contains(' ') {
            return Some(self.calculate(key, depth));
        }
        self.variable(key, depth)
    }

    fn variable(&mut self, name: &str, depth: usize) -> Option<String> {
        let setting = self.settings.iter().find(|setting| setting.key.text == name)?;
        self.used.insert(name.to_owned());
        Some(self.resolve(setting.value_text(), depth + 1))
    }

    /// `a + 2 * b`: from left to right, without precedence; words side by side are put together; `++` and `--` count.
    fn calculate(&mut self, formula: &str, depth: usize) -> String {
        let mut result = String::new();
        let mut operator = ' ';
        for token in formula.split(' ').filter(|token| !token.is_empty()) {
            match token {
                "+" | "-" | "*" | "/" => {
                    operator = token.chars().next().unwrap_or(' ');
                    continue;
                }
                "++" => result = (number(&result).saturating_add(1)).to_string(),
                "--" => result = (number(&result).saturating_sub(1)).to_string(),
                _ => {
                    let is_number = token.bytes().all(|byte| byte.is_ascii_digit());
                    let value =
                        if is_number { token.to_owned() } else { self.variable(token, depth).unwrap_or_default() };
                    result = apply(operator, &result, &value);
                }
            }
            operator = ' ';
        }
        result
    }
}

fn apply(operator: char, left: &str, right: &str) -> String {
    let (a, b) = (number(left), number(right));
    match operator {
        '+' => a.saturating_add(b).to_string(),
        '-' => a.saturating_sub(b).to_string(),
        '*' => a.saturating_mul(b).to_string(),
        '/' => a.checked_div(b).unwrap_or(0).to_string(),
        _ => format!("{left}{right}"),
    }
}

fn number(text: &str) -> i64 {
    text.trim().parse().unwrap_or(0)
}

/// Deepest chain of placeholders that name one another.
const DEPTH_MAX: usize = 16;

/// Longest value on the way.
const VALUE_BYTES_MAX: usize = 64 * 1024;
