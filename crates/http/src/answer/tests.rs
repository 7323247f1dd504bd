//! Answers, right and wrong, whole and in pieces.

use proptest::prelude::*;

use super::*;

/// Parses `input` as it would arrive in pieces that end at `cuts`.
fn parse_cut(
    form: AnswerForm,
    input: &[u8],
    cuts: &[usize],
) -> Result<(Parsed, ResponseHead, AnswerFraming, bool), AnswerError> {
    let limits = AnswerLimits { head_bytes: 300, headers: 4 };
    let mut reader = AnswerReader::new(form);
    let mut head = ResponseHead::default();
    let mut parsed = Parsed::Incomplete;
    for &cut in cuts.iter().chain([&input.len()]) {
        parsed = reader.parse(&input[..cut], &limits, &mut head)?;
        if parsed != Parsed::Incomplete {
            break;
        }
    }
    let framing = reader.framing(&head, false);
    let keep_alive = reader.keep_alive();
    Ok((parsed, head, framing, keep_alive))
}

fn parse(form: AnswerForm, input: &str) -> Result<(Parsed, ResponseHead, AnswerFraming, bool), AnswerError> {
    parse_cut(form, input.as_bytes(), &[])
}

#[test]
fn status_lines_are_read() {
    for (line, status, reason, keep_alive) in [
        ("HTTP/1.1 200 OK\r\n", 200, "", true),
        ("HTTP/1.1 200 OK\n", 200, "", true),
        ("HTTP/1.0 200 OK\r\n", 200, "", false),
        ("HTTP/1.1 200\r\n", 200, "", true),
        ("HTTP/1.1 200 \r\n", 200, "", true),
        ("HTTP/1.1  404 Nothing Here\r\n", 404, "Nothing Here", true),
        ("HTTP/1.1 302 Found\r\n", 302, "Found", true),
        ("HTTP/1.1 403.1 Forbidden\r\n", 403, "", true),
        ("HTTP/1.1 999\r\n", 999, "", true),
    ] {
        for form in [AnswerForm::Http, AnswerForm::Gateway] {
            let input = format!("{line}\r\nbody");
            let (parsed, head, framing, stays) = parse(form, &input).expect(line);
            assert_eq!(parsed, Parsed::Complete { taken: input.len() - 4 });
            assert_eq!((head.status.as_u16(), head.reason.as_slice()), (status, reason.as_bytes()), "{line}");
            assert_eq!((framing, stays), (AnswerFraming::UntilClose, keep_alive), "{line}");
        }
    }
}

#[test]
fn gateway_answers_say_their_status_in_a_field() {
    for (input, status, reason, fields) in [
        ("Status: 404 Not Found\r\nX: y\r\n\r\n", 404, "", 1),
        ("X: y\nStatus: 201 Made\n\n", 201, "Made", 1),
        ("status: 500\r\n\r\n", 500, "", 0),
        ("Location: /x\r\n\r\n", 302, "", 1),
        ("Content-Type: text/html\n\n", 200, "", 1),
        ("\r\n", 200, "", 0),
        ("HTTP/1.1 200 OK\r\nStatus: 404\r\n\r\n", 200, "", 1),
    ] {
        let (parsed, head, _, _) = parse(AnswerForm::Gateway, input).expect(input);
        assert_eq!(parsed, Parsed::Complete { taken: input.len() });
        assert_eq!((head.status.as_u16(), head.reason.as_slice()), (status, reason.as_bytes()), "{input:?}");
        assert_eq!(head.headers.len(), fields, "{input:?}");
    }
}

#[test]
fn framing_follows_the_fields_and_the_status() {
    use AnswerFraming::{Chunked, Length, None, UntilClose};
    for (status, fields, framing) in [
        ("200", "", UntilClose),
        ("200", "Content-Length: 5\r\n", Length(5)),
        ("200", "Content-Length: 0\r\n", Length(0)),
        ("200", "Transfer-Encoding: Chunked\r\n", Chunked),
        ("204", "Content-Length: 5\r\n", None),
        ("304", "Content-Length: 5\r\n", None),
        ("100", "", None),
    ] {
        let (_, _, seen, _) = parse(AnswerForm::Http, &format!("HTTP/1.1 {status}\r\n{fields}\r\n")).expect(fields);
        assert_eq!(seen, framing, "{status} {fields:?}");
    }
    let mut head = ResponseHead::default();
    let mut reader = AnswerReader::new(AnswerForm::Http);
    let input = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    reader.parse(input, &AnswerLimits::default(), &mut head).expect("right");
    assert_eq!(reader.framing(&head, true), None);
}

#[test]
fn connections_stay_open_by_version_and_option() {
    for (line, keep_alive) in [
        ("HTTP/1.1 200\r\nConnection: close\r\n", false),
        ("HTTP/1.1 200\r\nConnection: x, Close\r\n", false),
        ("HTTP/1.0 200\r\nConnection: keep-alive\r\n", true),
        ("HTTP/1.0 200\r\nConnection: keep-alive\r\nConnection: close\r\n", false),
        ("Status: 200\r\n", false),
    ] {
        let (_, _, _, stays) = parse(AnswerForm::Gateway, &format!("{line}\r\n")).expect(line);
        assert_eq!(stays, keep_alive, "{line:?}");
    }
}

#[test]
fn a_second_status_line_is_skipped() {
    let (_, head, ..) = parse(AnswerForm::Http, "HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\nX: y\r\n\r\n").expect("right");
    assert_eq!(head.headers.first_by_name(b"x"), Some(&b"y"[..]));
}

#[test]
fn wrong_answers_are_refused() {
    for (input, message) in [
        ("<html>\r\n\r\n", "no valid HTTP/1.0 header"),
        ("\r\n\r\n", "no valid HTTP/1.0 header"),
        ("HTTP/1.1\r\n\r\n", "no valid HTTP/1.0 header"),
        ("HTTP/1.1 20\r\n\r\n", "no valid HTTP/1.0 header"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "no valid HTTP/1.0 header"),
        ("HTTP/1.1 099 OK\r\n\r\n", "no valid HTTP/1.0 header"),
        ("HTTP/1.1 abc OK\r\n\r\n", "no valid HTTP/1.0 header"),
        ("HTTP/ 200 OK\r\n\r\n", "no valid HTTP/1.0 header"),
        ("HTTP/1 200 OK\r\n\r\n", "no valid HTTP/1.0 header"),
        ("HTTP/1.1 200 O\rK\r\n\r\n", "no valid HTTP/1.0 header"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "invalid header"),
        ("HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "invalid header"),
        ("HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "invalid header"),
        ("HTTP/1.1 200 OK\r\nX: y\0\r\n\r\n", "invalid header"),
        ("HTTP/1.1 200 OK\r\nX: y\rz\r\n\r\n", "invalid header"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "duplicate header line"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", "invalid \"Content-Length\""),
        ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "invalid \"Content-Length\""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "at the same time"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", "at the same time"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "unknown \"Transfer-Encoding\""),
        ("HTTP/1.1 200 OK\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\n\r\n", "too many header lines"),
    ] {
        let error = parse(AnswerForm::Http, input).expect_err(input);
        assert!(error.to_string().contains(message), "{input:?}: {error}");
    }
    for status in ["2", "abc", "2000", "099", ""] {
        let input = format!("Status: {status}\r\n\r\n");
        let error = parse(AnswerForm::Gateway, &input).expect_err(status);
        assert_eq!(error, AnswerError::Status { value: Excerpt::of(status.as_bytes()) });
    }
}

#[test]
fn size_is_limited_and_the_largest_field_named() {
    let input = format!("HTTP/1.1 200 OK\r\nX-Small: 1\r\nX-Large: {}\r\nX-Next: {}", "l".repeat(200), "n".repeat(200));
    let error = parse(AnswerForm::Http, &input).expect_err("too large");
    assert_eq!(error, AnswerError::TooLarge { limit: 300, largest: Excerpt::of(b"X-Large"), size: 200 });
    assert!(matches!(parse(AnswerForm::Http, &"x".repeat(300)), Err(AnswerError::TooLarge { .. })));
    assert!(matches!(parse(AnswerForm::Http, &"x".repeat(299)), Ok((Parsed::Incomplete, ..))));
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        pieces in proptest::collection::vec(prop_oneof![
            Just("HTTP/1.1 200 OK\r\n"), Just("HTTP/1.0 404 x\n"), Just("X: y\r\n"), Just("Status: 201\n"), Just("\r\n"),
            Just("\r"), Just("\n"), Just(" "), Just("Content-Length: 5\r\n"), Just("Transfer-Encoding: chunked\r\n"),
            Just("abc"), Just(":"), Just("\0"), Just("Connection: close\r\n"),
            Just("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ], 0..10),
        is_http: bool,
    ) {
        let form = if is_http { AnswerForm::Http } else { AnswerForm::Gateway };
        let input = pieces.concat();
        let octets: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(parse_cut(form, input.as_bytes(), &octets), parse_cut(form, input.as_bytes(), &[]));
    }
}
