//! Which request headers become variables, and how.
//!
//! A header becomes `HTTP_` and its name in upper case with `_` for `-`. Because of that, `X_Foo`
//! and `X-Foo` would be one variable, and a client could set one that the edge thinks it owns:
//! names with anything but letters, digits and `-` are dropped, as nginx drops them. `Proxy` is
//! dropped since `HTTP_PROXY` means something else to programs (CVE-2016-5385).

use daemun_http::{HeaderId, Headers};

use crate::variable::{Full, VariableId, VariableName, VariableSink};

/// Adds the variables of all `headers` to `sink`.
///
/// A header that comes several times gives one variable, at the place of the first, with the
/// values joined by `, ` (`; ` for cookies).
///
/// # Errors
///
/// [`Full`] when one does not fit; those before it have been added.
pub fn add_headers(headers: &Headers, sink: &mut (impl VariableSink + ?Sized)) -> Result<(), Full> {
    let repeated = Repeated::of(headers);
    for (position, header) in headers.iter().enumerate() {
        let Some(name) = variable_name(header.id, header.name) else { continue };
        if !repeated.may_hold(header.id) {
            sink.variable(name, &[header.value])?;
        } else if is_first(headers, position, header.id, header.name) {
            add_joined(headers, name, header.id, header.name, sink)?;
        }
    }
    Ok(())
}

/// The variable that a header becomes; `None` when it does not become one.
pub fn variable_name(id: HeaderId, name: &[u8]) -> Option<VariableName<'_>> {
    if let Some(id) = VariableId::of_header(id) {
        return (!is_proxy(name)).then_some(VariableName::Known(id));
    }
    let is_plain = !name.is_empty() && name.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-');
    (is_plain && !is_proxy(name)).then_some(VariableName::Header(name))
}

/// Kept out of line: hardly any request repeats a header.
#[cold]
fn add_joined(
    headers: &Headers,
    variable: VariableName<'_>,
    id: HeaderId,
    name: &[u8],
    sink: &mut (impl VariableSink + ?Sized),
) -> Result<(), Full> {
    let separator: &[u8] = if id == HeaderId::Cookie { b"; " } else { b", " };
    let mut parts = Vec::new();
    for other in headers.iter().filter(|other| is_same(other.id, other.name, id, name)) {
        if !parts.is_empty() {
            parts.push(separator);
        }
        parts.push(other.value);
    }
    sink.variable(variable, &parts)
}

fn is_first(headers: &Headers, position: usize, id: HeaderId, name: &[u8]) -> bool {
    !headers.iter().take(position).any(|other| is_same(other.id, other.name, id, name))
}

fn is_same(one: HeaderId, one_name: &[u8], other: HeaderId, other_name: &[u8]) -> bool {
    one == other && (one != HeaderId::Other || one_name.eq_ignore_ascii_case(other_name))
}

fn is_proxy(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"proxy")
}

/// Which header ids come more than once; [`HeaderId::Other`] does when its names might.
struct Repeated {
    twice: [u64; 4],
}

impl Repeated {
    fn of(headers: &Headers) -> Self {
        let mut once = [0_u64; 4];
        let mut twice = [0_u64; 4];
        for header in headers.iter() {
            let (word, bit) = place(header.id);
            twice[word] |= once[word] & bit;
            once[word] |= bit;
        }
        Self { twice }
    }

    fn may_hold(&self, id: HeaderId) -> bool {
        let (word, bit) = place(id);
        self.twice[word] & bit != 0
    }
}

/// The word and the bit of an id in a set of 256.
fn place(id: HeaderId) -> (usize, u64) {
    let number = id as u8;
    (usize::from(number >> 6), 1 << (number & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, RecordFront, RecordWriter};

    fn variables(headers: &[(&[u8], &[u8])]) -> Vec<(String, String)> {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.append(name, value);
        }
        let mut out = Vec::new();
        let mut writer = RecordWriter::new(&mut out, 4096, &RecordFront::default());
        add_headers(&all, &mut writer).expect("fits");
        writer.finish();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Record::read(&out)
            .expect("whole")
            .pairs()
            .map(|pair| {
                let (name, value) = pair.expect("whole");
                let mut spelt = Vec::new();
                name.write(&mut spelt);
                (text(&spelt), text(value))
            })
            .collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn headers_become_variables_in_order() {
        assert_eq!(
            variables(&[
                (b"host", b"a.example"),
                (b"Content-Type", b"text/plain"),
                (b"X-Foo-1", b""),
                (b"content-length", b"3")
            ]),
            [
                pair("HTTP_HOST", "a.example"),
                pair("CONTENT_TYPE", "text/plain"),
                pair("HTTP_X_FOO_1", ""),
                pair("CONTENT_LENGTH", "3")
            ]
        );
    }

    #[test]
    fn names_that_could_pass_for_others_are_dropped() {
        assert_eq!(
            variables(&[(b"X_Foo", b"1"), (b"Proxy", b"2"), (b"X.Y", b"3"), (b"X-Real-Ip", b"4")]),
            [pair("HTTP_X_REAL_IP", "4")]
        );
    }

    #[test]
    fn repeated_headers_are_joined() {
        assert_eq!(
            variables(&[
                (b"Cookie", b"a=1"),
                (b"X-A", b"1"),
                (b"X-B", b"0"),
                (b"Accept", b"x"),
                (b"x-a", b"2"),
                (b"cookie", b"b=2"),
                (b"X-A", b"3"),
                (b"Accept", b"y"),
            ]),
            [
                pair("HTTP_COOKIE", "a=1; b=2"),
                pair("HTTP_X_A", "1, 2, 3"),
                pair("HTTP_X_B", "0"),
                pair("HTTP_ACCEPT", "x, y")
            ]
        );
    }
}
