//! Commands of a page, one after the other: what they put into it and what they change.

use std::rc::Rc;

use bytes::Bytes;
use daemun_http::target;
use daemun_server::log::Level;
use daemun_server::response::Piece;
use daemun_server::subrequest::{Assembly, Part, StandIn, Subrequest};
use daemun_server::{Expression, Request, variable};

use super::expression;
use super::scanner::{Command, PARAMETERS_MAX};
use super::shared::{Full, Shared};
use super::{DEFAULT_TIME_FORMAT, write_date};

/// Runs the commands of one page.
pub(super) struct Interpreter {
    /// The page's request as it stood when its answer came.
    request: Box<Request>,
    content_type: Option<Vec<u8>>,
    is_silent: bool,
    shared: Rc<Shared>,
    /// What the page consists of so far.
    pub(super) parts: Assembly,
    /// The end of it.
    text: Vec<u8>,
    encoding: Encoding,
    time_format: Vec<u8>,
    error_message: Vec<u8>,
    /// Whether text goes into the page.
    is_output: bool,
    /// Whether text that does not goes into a block.
    is_block: bool,
    branch: Branch,
    /// Whether a branch of the present `if` was taken.
    is_branch_taken: bool,
}

/// Where a page stands between `if` and `endif`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Branch {
    Outside,
    If,
    Else,
}

/// `encoding` of the last `echo`.
#[derive(Clone, Copy)]
enum Encoding {
    None,
    Url,
    Entity,
}

/// What follows a command.
pub(super) enum Next {
    /// The page goes on.
    GoOn,
    /// The page goes on once everything before is sent.
    WaitForParts,
    /// The page goes on once a subrequest has given a variable its value.
    WaitForVariable(Vec<u8>, Subrequest),
}

/// Why a command did nothing, for the log; empty where that is there already.
type Failure = String;

/// A command's values, in the order of its table entry.
type Values = [Option<Vec<u8>>; 5];

/// One command of the language.
struct Entry {
    name: &'static str,
    /// Names of the parameters, and whether one must be given.
    parameters: &'static [(&'static str, bool)],
    /// The last branch of an `if` in which it may stand, for commands of branches.
    branch: Option<Branch>,
    run: fn(&mut Interpreter, Values) -> Result<Next, Failure>,
}

const ENTRIES: &[Entry] = &[
    Entry {
        name: "include",
        parameters: &[("virtual", false), ("file", false), ("wait", false), ("set", false), ("stub", false)],
        branch: None,
        run: Interpreter::include,
    },
    Entry {
        name: "echo",
        parameters: &[("var", true), ("default", false), ("encoding", false)],
        branch: None,
        run: Interpreter::echo,
    },
    Entry {
        name: "config",
        parameters: &[("errmsg", false), ("timefmt", false)],
        branch: None,
        run: Interpreter::config,
    },
    Entry { name: "set", parameters: &[("var", true), ("value", true)], branch: None, run: Interpreter::set },
    Entry { name: "if", parameters: &[("expr", true)], branch: None, run: Interpreter::begin_if },
    Entry { name: "elif", parameters: &[("expr", true)], branch: Some(Branch::If), run: Interpreter::choose },
    Entry { name: "else", parameters: &[], branch: Some(Branch::If), run: Interpreter::begin_else },
    Entry { name: "endif", parameters: &[], branch: Some(Branch::Else), run: Interpreter::end_if },
    Entry { name: "block", parameters: &[("name", true)], branch: None, run: Interpreter::begin_block },
    Entry { name: "endblock", parameters: &[], branch: None, run: Interpreter::end_block },
];

impl Interpreter {
    pub(super) fn new(request: Box<Request>, content_type: Option<Vec<u8>>, is_silent: bool) -> Self {
        let shared = request.family().kept_or_default::<Shared>();
        Self {
            request,
            content_type,
            is_silent,
            shared,
            parts: Assembly::default(),
            text: Vec::new(),
            encoding: Encoding::Entity,
            time_format: DEFAULT_TIME_FORMAT.to_vec(),
            error_message: b"[an error occurred while processing the directive]".to_vec(),
            is_output: true,
            is_block: false,
            branch: Branch::Outside,
            is_branch_taken: false,
        }
    }

    /// Octets of text that are not among the parts yet.
    pub(super) fn text_bytes(&self) -> usize {
        self.text.len()
    }

    /// Makes a part of the text so far.
    pub(super) fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(Part::Piece(Piece::Bytes(Bytes::from(std::mem::take(&mut self.text)))));
        }
    }

    /// Text of the page: into the page, into a block, or nowhere.
    pub(super) fn write(&mut self, text: &[u8]) {
        if self.is_output {
            self.text.extend_from_slice(text);
        } else if self.is_block && self.shared.add_to_block(text).is_err() {
            self.fail(&too_large());
        }
    }

    /// A command that did nothing: the page says so, unless it is to keep silent.
    pub(super) fn fail(&mut self, problem: &str) {
        if !problem.is_empty() {
            self.request.log(Level::Error, format_args!("{problem}"));
        }
        if !self.is_silent {
            self.text.extend_from_slice(&self.error_message);
        }
    }

    /// Gives a variable the value that a subrequest has answered with.
    pub(super) fn set_variable(&mut self, name: &[u8], value: Vec<u8>) {
        if self.shared.set(name, value).is_err() {
            self.fail(&too_large());
        }
    }

    /// Runs one command.
    pub(super) fn run(&mut self, command: &Command) -> Next {
        self.try_run(command).unwrap_or_else(|problem| {
            self.fail(&problem);
            Next::GoOn
        })
    }

    fn try_run(&mut self, command: &Command) -> Result<Next, Failure> {
        let name = String::from_utf8_lossy(&command.name);
        let Some(entry) = ENTRIES.iter().find(|entry| entry.name == name) else {
            return if self.is_output { Err(format!("invalid SSI command: \"{name}\"")) } else { Ok(Next::GoOn) };
        };
        if !self.is_output && entry.name != "endblock" {
            if self.is_block {
                self.write(&as_text(command));
                return Ok(Next::GoOn);
            }
            if entry.branch.is_none() {
                return Ok(Next::GoOn);
            }
        }
        if entry.branch.is_some_and(|last| self.branch == Branch::Outside || self.branch > last) {
            return Err(format!("invalid context of SSI command: \"{name}\""));
        }
        (entry.run)(self, entry.values(command)?)
    }

    fn include(&mut self, values: Values) -> Result<Next, Failure> {
        let [uri, file, wait, set, stub] = values;
        let (uri, waits) = included(uri, file, wait)?;
        if set.is_some() && stub.is_some() {
            return Err("\"set\" and \"stub\" cannot be used together in \"include\" SSI command".to_owned());
        }
        let uri = self.with_folder(self.evaluate(&uri)?);
        let Some((path, args)) = target::split_unsafe(&uri) else {
            return Err(format!("unsafe URI \"{}\" was detected", String::from_utf8_lossy(&uri)));
        };
        let stand_in =
            match &stub {
                None => None,
                Some(name) => Some(self.shared.block(name).ok_or_else(|| {
                    format!("\"stub\"=\"{}\" for \"include\" not found", String::from_utf8_lossy(name))
                })?),
            };
        let Ok(mut subrequest) = Subrequest::new(&self.request, &path, args) else { return Err(String::new()) };
        if let Some(octets) = stand_in {
            subrequest = subrequest.with_stand_in(StandIn { content_type: self.content_type.clone(), octets });
        }
        if let Some(name) = set {
            let name = name.to_ascii_lowercase();
            if self.shared.variable(&name).is_none() {
                self.shared.set(&name, Vec::new()).map_err(|Full| too_large())?;
            }
            return Ok(Next::WaitForVariable(name, subrequest));
        }
        self.end_text();
        self.parts.push(Part::Subrequest(Box::new(subrequest.into_body())));
        Ok(if waits { Next::WaitForParts } else { Next::GoOn })
    }

    /// A path that does not begin with a slash is of the page's folder.
    fn with_folder(&self, path: Vec<u8>) -> Vec<u8> {
        let uri = &self.request.uri;
        let folder = uri.iter().rposition(|octet| *octet == b'/').map_or(0, |slash| slash + 1);
        match path.first() {
            Some(b'/') => path,
            _ => [&uri[..folder], &path].concat(),
        }
    }

    fn echo(&mut self, values: Values) -> Result<Next, Failure> {
        let [name, default, encoding, ..] = values;
        let value = self.variable(&name.unwrap_or_default()).or(default).unwrap_or_else(|| b"(none)".to_vec());
        if value.is_empty() {
            return Ok(Next::GoOn);
        }
        match encoding.as_deref() {
            None => {}
            Some(b"none") => self.encoding = Encoding::None,
            Some(b"url") => self.encoding = Encoding::Url,
            Some(b"entity") => self.encoding = Encoding::Entity,
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                self.request.log(Level::Error, format_args!("unknown encoding \"{other}\" in the \"echo\" command"));
            }
        }
        match self.encoding {
            Encoding::None => self.text.extend_from_slice(&value),
            Encoding::Url => target::escape_link(&value, &mut self.text),
            Encoding::Entity => escape_entities(&value, &mut self.text),
        }
        Ok(Next::GoOn)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of every command")]
    fn config(&mut self, values: Values) -> Result<Next, Failure> {
        let [message, time_format, ..] = values;
        if let Some(time_format) = time_format {
            self.time_format = time_format;
        }
        if let Some(message) = message {
            self.error_message = message;
        }
        Ok(Next::GoOn)
    }

    fn set(&mut self, values: Values) -> Result<Next, Failure> {
        let [name, value, ..] = values.map(Option::unwrap_or_default);
        let value = self.evaluate(&value)?;
        self.shared.set(&name.to_ascii_lowercase(), value).map_err(|Full| too_large())?;
        Ok(Next::GoOn)
    }

    fn begin_if(&mut self, values: Values) -> Result<Next, Failure> {
        if self.branch != Branch::Outside {
            return Err("the \"if\" command inside the \"if\" command".to_owned());
        }
        self.choose(values)
    }

    fn choose(&mut self, values: Values) -> Result<Next, Failure> {
        if self.is_branch_taken {
            self.is_output = false;
            return Ok(Next::GoOn);
        }
        let [expression, ..] = values.map(Option::unwrap_or_default);
        let holds = self.holds(&expression)?;
        self.is_output = holds;
        self.is_branch_taken = holds;
        self.branch = Branch::If;
        Ok(Next::GoOn)
    }

    fn holds(&self, text: &[u8]) -> Result<bool, Failure> {
        let Some(question) = expression::read(text) else {
            return Err(format!("invalid expression in \"{}\"", String::from_utf8_lossy(text)));
        };
        let left = self.evaluate(&question.left)?;
        let Some(comparison) = question.comparison else { return Ok(!left.is_empty()) };
        let right = self.evaluate(&comparison.right)?;
        let is_equal = if comparison.is_regex { self.matches(&right, &left)? } else { left == right };
        Ok(is_equal != comparison.is_negated)
    }

    fn matches(&self, expression: &[u8], subject: &[u8]) -> Result<bool, Failure> {
        let expression =
            Expression::new(&String::from_utf8_lossy(expression), false).map_err(|error| error.to_string())?;
        let Some(captures) = expression.captures(subject) else { return Ok(false) };
        for (number, name) in expression.named_groups() {
            let value = captures.group(number).unwrap_or_default().to_vec();
            self.shared.set(name.to_ascii_lowercase().as_bytes(), value).map_err(|Full| too_large())?;
        }
        self.shared.remember(captures);
        Ok(true)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of every command")]
    fn begin_else(&mut self, _: Values) -> Result<Next, Failure> {
        self.is_output = !self.is_branch_taken;
        self.branch = Branch::Else;
        Ok(Next::GoOn)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of every command")]
    fn end_if(&mut self, _: Values) -> Result<Next, Failure> {
        self.is_output = true;
        self.is_branch_taken = false;
        self.branch = Branch::Outside;
        Ok(Next::GoOn)
    }

    fn begin_block(&mut self, values: Values) -> Result<Next, Failure> {
        let [name, ..] = values.map(Option::unwrap_or_default);
        self.shared.begin_block(name).map_err(|Full| too_large())?;
        self.is_output = false;
        self.is_block = true;
        Ok(Next::GoOn)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of every command")]
    fn end_block(&mut self, _: Values) -> Result<Next, Failure> {
        self.is_output = true;
        self.is_block = false;
        Ok(Next::GoOn)
    }

    /// The value of a variable: the pages' own first, then the request's.
    fn variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        let name = name.to_ascii_lowercase();
        if let Some(value) = self.shared.variable(&name) {
            return Some(value);
        }
        let mut date = Vec::new();
        match name.as_slice() {
            b"date_local" => write_date(&self.time_format, false, &mut date),
            b"date_gmt" => write_date(&self.time_format, true, &mut date),
            _ => return variable::by_name(&self.request, &String::from_utf8_lossy(&name)),
        }
        Some(date)
    }

    /// A text with variables put in and backslashes taken out.
    fn evaluate(&self, text: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some((&octet, behind)) = rest.split_first() {
            rest = behind;
            match octet {
                b'$' => {
                    let (name, behind) = split_name(behind, text)?;
                    out.extend(self.variable(name).unwrap_or_default());
                    rest = behind;
                }
                b'\\' => {
                    let Some((&quoted, behind)) = rest.split_first() else { break };
                    if !b"\\'\"$".contains(&quoted) {
                        out.push(b'\\');
                    }
                    out.push(quoted);
                    rest = behind;
                }
                _ => out.push(octet),
            }
            if out.len() > EVALUATED_BYTES_MAX {
                return Err(too_large());
            }
        }
        Ok(out)
    }
}

impl Entry {
    /// The command's values, by the places of their parameters.
    fn values(&self, command: &Command) -> Result<Values, Failure> {
        let command_name = self.name;
        if command.parameters.len() > PARAMETERS_MAX {
            return Err(format!("too many SSI command parameters: \"{command_name}\""));
        }
        let mut values = Values::default();
        for (name, value) in &command.parameters {
            let name = String::from_utf8_lossy(name);
            let Some(place) = self.parameters.iter().position(|(other, _)| *other == name) else {
                return Err(format!("invalid parameter name: \"{name}\" in \"{command_name}\" SSI command"));
            };
            if values[place].is_some() {
                return Err(format!("duplicate \"{name}\" parameter in \"{command_name}\" SSI command"));
            }
            values[place] = Some(value.clone());
        }
        for ((name, is_mandatory), value) in self.parameters.iter().zip(&values) {
            if *is_mandatory && value.is_none() {
                return Err(format!("mandatory \"{name}\" parameter is absent in \"{command_name}\" SSI command"));
            }
        }
        Ok(values)
    }
}

/// What `include` names, and whether the page waits for it.
fn included(uri: Option<Vec<u8>>, file: Option<Vec<u8>>, wait: Option<Vec<u8>>) -> Result<(Vec<u8>, bool), Failure> {
    let shown = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    match (uri, file) {
        (Some(uri), Some(file)) => {
            Err(format!("inclusion may be either virtual=\"{}\" or file=\"{}\"", shown(&uri), shown(&file)))
        }
        (None, None) => Err("no parameter in \"include\" SSI command".to_owned()),
        (None, Some(file)) if wait.is_some() => Err(format!("\"wait\" cannot be used with file=\"{}\"", shown(&file))),
        (None, Some(file)) => Ok((file, true)),
        (Some(uri), None) => match wait.as_deref() {
            None => Ok((uri, false)),
            Some(wait) if wait.eq_ignore_ascii_case(b"no") => Ok((uri, false)),
            Some(wait) if wait.eq_ignore_ascii_case(b"yes") => Ok((uri, true)),
            Some(wait) => Err(format!("invalid value \"{}\" in the \"wait\" parameter", shown(wait))),
        },
    }
}

/// The name behind a `$`, and what follows it.
fn split_name<'a>(text: &'a [u8], whole: &[u8]) -> Result<(&'a [u8], &'a [u8]), Failure> {
    let invalid = || format!("invalid variable name in \"{}\"", String::from_utf8_lossy(whole));
    let (is_braced, text) = match text {
        [b'{', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let is_name = |octet: &u8| octet.is_ascii_alphanumeric() || *octet == b'_';
    let end = text.iter().position(|octet| !is_name(octet)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if is_braced && text.is_empty() {
        return Err(invalid());
    }
    let rest = match (is_braced, rest) {
        (false, rest) => rest,
        (true, [b'}', rest @ ..]) => rest,
        (true, _) => {
            let name = String::from_utf8_lossy(name);
            return Err(format!("the closing bracket in \"{name}\" variable is missing"));
        }
    };
    if name.is_empty() { Err(invalid()) } else { Ok((name, rest)) }
}

/// A command within a block, to be read again where the block is used.
fn as_text(command: &Command) -> Vec<u8> {
    let mut text = b"<!--#".to_vec();
    text.extend_from_slice(&command.name);
    for (name, value) in &command.parameters {
        for part in [b" ", name.as_slice(), b"=\"", value, b"\""] {
            text.extend_from_slice(part);
        }
    }
    text.extend_from_slice(b" -->");
    text
}

fn escape_entities(octets: &[u8], out: &mut Vec<u8>) {
    for octet in octets {
        match octet {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            other => out.push(*other),
        }
    }
}

fn too_large() -> Failure {
    "the variables and blocks of a page are too large".to_owned()
}

/// Octets that a text with variables may come to.
const EVALUATED_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_where_they_must() {
        let split =
            |text: &'static str| split_name(text.as_bytes(), b"").map(|(name, rest)| (name.to_vec(), rest.to_vec()));
        assert_eq!(split("a_1-b"), Ok((b"a_1".to_vec(), b"-b".to_vec())));
        assert_eq!(split("{a}b"), Ok((b"a".to_vec(), b"b".to_vec())));
        for wrong in ["", "-", "{", "{}", "{a", "{a-}"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn commands_in_blocks_are_written_as_they_were_read() {
        let command = Command { name: b"set".to_vec(), parameters: vec![(b"var".to_vec(), b"a".to_vec())] };
        assert_eq!(as_text(&command), b"<!--#set var=\"a\" -->");
    }
}
