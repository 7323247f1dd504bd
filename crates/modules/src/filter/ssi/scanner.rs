//! Octets to texts and commands: `<!--#command name="value" -->`, wherever the octets' pieces end.

/// A command as it stands in a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) name: Vec<u8>,
    /// Names and values, quotes taken off, backslashes left; [`PARAMETERS_MAX`] and one more at most.
    pub(super) parameters: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What stands behind a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Command(Command),
    /// Something that begins like a command and is none; why.
    Broken(String),
}

/// Where the scanner stands; what has been read of a command is kept beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    /// So many octets of [`OPENING`] have come.
    Opening(usize),
    BeforeCommand,
    Command,
    BeforeName,
    Name,
    BeforeEqual,
    BeforeValue,
    /// Within these quotes.
    Value(u8),
    /// Behind a backslash.
    Quoted(u8),
    AfterValue,
    /// `-` of the end has come, or `--`.
    End(u8),
    /// An error: everything up to `-->` is skipped, of which so many octets have come.
    Skipping(u8),
}

/// Takes a page apart.
pub(super) struct Scanner {
    state: State,
    /// `ssi_value_length`.
    value_bytes_max: usize,
    command: Command,
    problem: String,
}

const OPENING: &[u8; 5] = b"<!--#";

/// Parameters of one command.
pub(super) const PARAMETERS_MAX: usize = 16;

/// Octets of a command's name, and of a parameter's.
const NAME_BYTES_MAX: usize = 32;

impl Scanner {
    pub(super) fn new(value_bytes_max: usize) -> Self {
        Self { state: State::Text, value_bytes_max, command: Command::default(), problem: String::new() }
    }

    /// Reads `octets` up to the end of the next command, text into `text`; gives how many were read, and the command.
    pub(super) fn scan(&mut self, octets: &[u8], text: &mut Vec<u8>) -> (usize, Option<Found>) {
        let mut at = 0;
        while let Some(&octet) = octets.get(at) {
            if self.state == State::Text {
                let rest = &octets[at..];
                let plain = memchr::memchr(b'<', rest).unwrap_or(rest.len());
                text.extend_from_slice(&rest[..plain]);
                at += plain;
                if plain < rest.len() {
                    self.state = State::Opening(1);
                    at += 1;
                }
                continue;
            }
            at += 1;
            if let Some(found) = self.step(octet, text) {
                return (at, Some(found));
            }
        }
        (at, None)
    }

    /// The page ends: a command that has not ended is none, and no text either.
    pub(super) fn finish(&mut self, text: &mut Vec<u8>) {
        if let State::Opening(count) = self.state {
            text.extend_from_slice(&OPENING[..count]);
        }
        self.state = State::Text;
    }

    fn step(&mut self, octet: u8, text: &mut Vec<u8>) -> Option<Found> {
        let is_space = matches!(octet, b' ' | b'\r' | b'\n' | b'\t');
        match self.state {
            State::Text => {}
            State::Opening(count) => self.open(count, octet, text),
            State::BeforeCommand if is_space => {}
            State::BeforeCommand => {
                self.command = Command { name: vec![octet], parameters: Vec::new() };
                self.state = State::Command;
            }
            State::Command if is_space => self.state = State::BeforeName,
            State::Command if octet == b'-' => self.state = State::End(1),
            State::Command if self.command.name.len() == NAME_BYTES_MAX => {
                self.fail(format!(
                    "the \"{}{}...\" SSI command is too long",
                    shown(&self.command.name),
                    char::from(octet)
                ));
            }
            State::Command => self.command.name.push(octet),
            State::BeforeName if is_space => {}
            State::BeforeName if octet == b'-' => self.state = State::End(1),
            State::BeforeName => {
                self.command.parameters.truncate(PARAMETERS_MAX);
                self.command.parameters.push((vec![octet], Vec::new()));
                self.state = State::Name;
            }
            State::Name | State::BeforeEqual | State::BeforeValue => self.name(octet, is_space),
            State::Value(_) | State::Quoted(_) => self.value(octet),
            State::AfterValue if is_space => self.state = State::BeforeName,
            State::AfterValue if octet == b'-' => self.state = State::End(1),
            State::AfterValue => {
                let (name, value) = self.last();
                let problem = format!(
                    "unexpected \"{}\" symbol after \"{value}\" value of \"{name}\" parameter",
                    char::from(octet)
                );
                self.fail_in_command(&problem);
            }
            State::End(1) if octet == b'-' => self.state = State::End(2),
            State::End(2) if octet == b'>' => {
                self.state = State::Text;
                return Some(Found::Command(std::mem::take(&mut self.command)));
            }
            State::End(_) => {
                self.fail_in_command(&format!("unexpected \"{}\" symbol", char::from(octet)));
            }
            State::Skipping(count) => return self.skip(count, octet),
        }
        None
    }

    fn open(&mut self, count: usize, octet: u8, text: &mut Vec<u8>) {
        if OPENING[count] == octet {
            self.state = if count + 1 == OPENING.len() { State::BeforeCommand } else { State::Opening(count + 1) };
            return;
        }
        text.extend_from_slice(&OPENING[..count]);
        if octet == b'<' {
            self.state = State::Opening(1);
        } else {
            text.push(octet);
            self.state = State::Text;
        }
    }

    /// From a parameter's name to its value.
    fn name(&mut self, octet: u8, is_space: bool) {
        let symbol = char::from(octet);
        match (self.state, octet) {
            (State::Name, _) if is_space => self.state = State::BeforeEqual,
            (State::BeforeEqual | State::BeforeValue, _) if is_space => {}
            (State::Name | State::BeforeEqual, b'=') => self.state = State::BeforeValue,
            (State::BeforeValue, b'"' | b'\'') => self.state = State::Value(octet),
            (State::BeforeValue, _) => {
                let problem = format!("unexpected \"{symbol}\" symbol before value of \"{}\" parameter", self.last().0);
                self.fail_at(octet, &problem);
            }
            (State::BeforeEqual, _) | (_, b'-') => {
                let problem = format!("unexpected \"{symbol}\" symbol after \"{}\" parameter", self.last().0);
                self.fail_at(octet, &problem);
            }
            _ => match self.command.parameters.last_mut() {
                Some((name, _)) if name.len() < NAME_BYTES_MAX => name.push(octet),
                _ => self.fail_in_command(&format!("too long \"{}{symbol}...\" parameter", self.last().0)),
            },
        }
    }

    fn value(&mut self, octet: u8) {
        match self.state {
            State::Value(quote) if octet == quote => {
                self.state = State::AfterValue;
                return;
            }
            State::Value(quote) if octet == b'\\' => self.state = State::Quoted(quote),
            State::Quoted(quote) => self.state = State::Value(quote),
            _ => {}
        }
        match self.command.parameters.last_mut() {
            Some((_, value)) if value.len() < self.value_bytes_max => value.push(octet),
            _ => {
                let (name, value) = self.last();
                let problem = format!("too long \"{value}{}...\" value of \"{name}\" parameter", char::from(octet));
                self.fail_in_command(&problem);
            }
        }
    }

    fn skip(&mut self, count: u8, octet: u8) -> Option<Found> {
        self.state = match (count, octet) {
            (0 | 1, b'-') => State::Skipping(count + 1),
            (2, b'>') => {
                self.state = State::Text;
                return Some(Found::Broken(std::mem::take(&mut self.problem)));
            }
            _ => State::Skipping(0),
        };
        None
    }

    /// The present parameter's name and value, for a message.
    fn last(&self) -> (String, String) {
        let (name, value) =
            self.command.parameters.last().map(|(name, value)| (shown(name), shown(value))).unwrap_or_default();
        (name, value)
    }

    fn fail_in_command(&mut self, problem: &str) {
        let problem = format!("{problem} in \"{}\" SSI command", shown(&self.command.name));
        self.fail(problem);
    }

    /// The same, where the octet may be the first of the end.
    fn fail_at(&mut self, octet: u8, problem: &str) {
        self.fail_in_command(problem);
        self.state = State::Skipping(u8::from(octet == b'-'));
    }

    fn fail(&mut self, problem: String) {
        self.problem = problem;
        self.state = State::Skipping(0);
    }
}

fn shown(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of a page, and its commands as `name(parameter=value,...)` or `!` for what is broken.
    fn scanned(page: &[u8], size: usize) -> String {
        let mut scanner = Scanner::new(20);
        let mut out = Vec::new();
        for mut piece in page.chunks(size) {
            while !piece.is_empty() {
                let (used, found) = scanner.scan(piece, &mut out);
                piece = &piece[used..];
                match found {
                    Some(Found::Command(command)) => {
                        let parameter =
                            |(name, value): &(Vec<u8>, Vec<u8>)| format!("{}={}", shown(name), shown(value));
                        let parameters: Vec<_> = command.parameters.iter().map(parameter).collect();
                        out.extend_from_slice(
                            format!("{{{}({})}}", shown(&command.name), parameters.join(",")).as_bytes(),
                        );
                    }
                    Some(Found::Broken(problem)) => {
                        assert!(!problem.is_empty());
                        out.push(b'!');
                    }
                    None => {}
                }
            }
        }
        scanner.finish(&mut out);
        shown(&out)
    }

    #[test]
    fn pages_are_taken_apart_wherever_pieces_end() {
        for (page, expected) in [
            ("a <b> <!-- c --> <!--", "a <b> <!-- c --> <!--"),
            ("<<!--#echo var=\"a\" -->>", "<{echo(var=a)}>"),
            ("x<!--#\n if expr = '$a = \"b\"'-->y", "x{if(expr=$a = \"b\")}y"),
            ("<!--#else--><!--#endif -->", "{else()}{endif()}"),
            ("<!--#set var='a' value='it\\'s \\\\ ' -->", "{set(var=a,value=it\\'s \\\\ )}"),
            ("<!--#a b=\"c\"d --> e", "! e"),
            ("<!--#a b -->c", "!c"),
            ("<!--#a b=c -->d", "!d"),
            ("<!--#a -b -->c", "!c"),
            ("<!--#a b=\"123456789012345678901\" -->c", "!c"),
            ("<!--#a2345678901234567890123456789012345 -->c", "!c"),
            ("a<!--#set var=\"b\"", "a"),
        ] {
            for size in 1..=page.len() {
                assert_eq!(scanned(page.as_bytes(), size), expected, "{page} in pieces of {size}");
            }
        }
    }

    #[test]
    fn a_command_keeps_few_parameters() {
        let page = format!("<!--#a{} -->", " b=\"c\"".repeat(100));
        assert_eq!(scanned(page.as_bytes(), 7).matches("b=c").count(), PARAMETERS_MAX + 1);
    }
}
