//! A request made of the variables that another web server sent.

use daemun_http::{HeadLimits, HeaderId, Headers, Method, Parsed, Version, target};

use super::client::Remote;
use crate::body::RequestBody;
use crate::request::Request;

/// A variable that no request can have.
#[derive(Debug, thiserror::Error)]
#[error("variable {name} has the invalid value \"{value}\"")]
pub struct VariableError {
    name: &'static str,
    value: String,
}

/// Makes the request's own fields of its variables, and finds its server.
///
/// Who sends variables is a web server that the listener's owner trusts: what it says of the client is so.
///
/// # Errors
/// [`VariableError`]; there is no request then.
pub(super) fn fill(request: &mut Request) -> Result<(), VariableError> {
    let variables = std::mem::take(&mut request.gateway_variables);
    let find = |wanted: &[u8]| variables.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_slice());
    let invalid = |name, value: &[u8]| VariableError { name, value: String::from_utf8_lossy(value).into_owned() };
    let method = find(b"REQUEST_METHOD").unwrap_or(b"GET");
    let method = Method::of(method).ok_or_else(|| invalid("REQUEST_METHOD", method))?;
    let is_old = find(b"SERVER_PROTOCOL") == Some(b"HTTP/1.0");
    let target = find(b"REQUEST_URI").filter(|target| !target.is_empty()).unwrap_or(b"/");
    set_line(request, &method, target, is_old, find(b"HTTP_HOST"));
    request.head.version = if is_old { Version::Http10 } else { Version::Http11 };
    add_headers(&variables, &mut request.head.headers);
    set_path(request, &find);
    request.args.extend_from_slice(find(b"QUERY_STRING").unwrap_or_default());
    if let Some(ip) = find(b"REMOTE_ADDR").and_then(text).and_then(|text| text.parse().ok()) {
        request.remote = Remote::new(ip, find(b"REMOTE_PORT").and_then(text).and_then(|text| text.parse().ok()));
    }
    request.is_https = matches!(find(b"HTTPS"), Some(b"on" | b"On" | b"ON" | b"1"))
        || find(b"REQUEST_SCHEME").is_some_and(|scheme| scheme == b"https");
    let length = match find(b"CONTENT_LENGTH") {
        None | Some(b"") => None,
        Some(digits) => {
            let length = digits.iter().all(u8::is_ascii_digit).then(|| text(digits)?.parse().ok()).flatten();
            Some(length.ok_or_else(|| invalid("CONTENT_LENGTH", digits))?)
        }
    };
    request.body = RequestBody::of_gateway(&request.client, length);
    request.gateway_variables = variables;
    super::http1::choose_server(request);
    Ok(())
}

fn text(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets).ok()
}

/// The request line, for logs, and the host; what no line may hold is left out.
fn set_line(request: &mut Request, method: &Method, target: &[u8], is_old: bool, host: Option<&[u8]>) {
    let host = host.filter(|host| !host.is_empty());
    let version = |has_host: bool| if is_old || !has_host { &b"HTTP/1.0"[..] } else { b"HTTP/1.1" };
    let attempts = [(target, host), (target, None), (&b"/"[..], None)];
    for (target, host) in attempts {
        let mut line = [method.as_str().as_bytes(), b" ", target, b" ", version(host.is_some()), b"\r\n"].concat();
        if let Some(host) = host {
            line.extend_from_slice(&[b"Host: ", host, b"\r\n"].concat());
        }
        line.extend_from_slice(b"\r\n");
        request.head.clear();
        if matches!(request.head.parse(&line, &HeadLimits::default()), Ok(Parsed::Complete { .. })) {
            return;
        }
    }
}

/// What the other server calls the path: decoded, by the variables of CGI, else as the client wrote it.
fn set_path<'a>(request: &mut Request, find: &impl Fn(&[u8]) -> Option<&'a [u8]>) {
    let path = find(b"PATH_INFO").filter(|path| !path.is_empty());
    if let Some(path) = path {
        let script = find(b"SCRIPT_NAME").unwrap_or_default();
        request.uri.extend_from_slice(script);
        request.uri.extend_from_slice(path);
        return;
    }
    let Request { head, uri, .. } = request;
    if target::normalize(target::split(head.target()).path, true, uri).is_err() {
        uri.clear();
        uri.extend_from_slice(find(b"SCRIPT_NAME").filter(|name| !name.is_empty()).unwrap_or(b"/"));
    }
}

fn add_headers(variables: &[(Vec<u8>, Vec<u8>)], headers: &mut Headers) {
    for (name, value) in variables {
        match name.as_slice() {
            b"CONTENT_TYPE" if !value.is_empty() => headers.append_known(HeaderId::ContentType, value),
            b"CONTENT_LENGTH" if !value.is_empty() => headers.append_known(HeaderId::ContentLength, value),
            // The first is there already, the next two stand above, the last two are nobody's business behind a server.
            b"HTTP_HOST"
            | b"HTTP_CONTENT_TYPE"
            | b"HTTP_CONTENT_LENGTH"
            | b"HTTP_PROXY"
            | b"HTTP_TRANSFER_ENCODING" => {}
            name => {
                let Some(field) = name.strip_prefix(b"HTTP_") else { continue };
                let field: Vec<u8> = field.iter().map(|octet| if *octet == b'_' { b'-' } else { *octet }).collect();
                headers.append(&field, value);
            }
        }
    }
}
