//! The variables of a request that came straight to a pool's own listener.

use daemun_gateway::environment::add_headers;
use daemun_gateway::variable::{Full, VariableId, VariableName, VariableSink};
use daemun_http::{Framing, HeaderId};
use daemun_server::Request;
use daemun_server::backend::Environment;
use daemun_server::listener::Protocol;

/// What uWSGI gives an application behind `http-socket` and `socket`.
///
/// Over HTTP the variables are made from the head, over the gateway protocols they are the peer's own, all of them.
pub struct ListenerEnvironment;

impl Environment for ListenerEnvironment {
    fn write(&self, request: &Request, sink: &mut dyn VariableSink) -> Result<(), Full> {
        match request.client.protocol {
            Protocol::Http => from_head(request, sink),
            Protocol::Uwsgi | Protocol::Scgi | Protocol::FastCgi => from_peer(request, sink),
        }
    }
}

fn from_peer(request: &Request, sink: &mut dyn VariableSink) -> Result<(), Full> {
    for (name, value) in &request.gateway_variables {
        // nginx sends all three. PEP 3333 has other names for two of them; the last means something else to programs
        // (CVE-2016-5385).
        if matches!(name.as_slice(), b"HTTP_CONTENT_TYPE" | b"HTTP_CONTENT_LENGTH" | b"HTTP_PROXY") {
            continue;
        }
        let name = VariableId::of(name).map_or(VariableName::Literal(name), VariableName::Known);
        sink.variable(name, &[value])?;
    }
    Ok(())
}

fn from_head(request: &Request, sink: &mut dyn VariableSink) -> Result<(), Full> {
    let mut known = |id, value: &[u8]| sink.variable(VariableName::Known(id), &[value]);
    let client = &request.client;
    let mut digits = [0; 5];
    known(VariableId::REQUEST_METHOD, request.method().as_str().as_bytes())?;
    known(VariableId::REQUEST_URI, request.head.target())?;
    known(VariableId::PATH_INFO, &request.uri)?;
    known(VariableId::QUERY_STRING, &request.args)?;
    known(VariableId::SERVER_PROTOCOL, request.head.version.as_str().as_bytes())?;
    known(VariableId::SCRIPT_NAME, b"")?;
    known(VariableId::SERVER_NAME, host_name().as_bytes())?;
    known(VariableId::SERVER_PORT, decimal(client.local_port.unwrap_or(0), &mut digits))?;
    known(VariableId::REMOTE_ADDR, request.remote.address.as_bytes())?;
    known(VariableId::REMOTE_PORT, decimal(request.remote.port.unwrap_or(0), &mut digits))?;
    known(VariableId::REQUEST_SCHEME, request.scheme().as_bytes())?;
    if request.is_https {
        known(VariableId::HTTPS, b"on")?;
    }
    // A chunked body has been read by now, and the application is told its length.
    if request.head.framing() == Framing::Chunked
        && let Some(length) = request.body.length()
    {
        known(VariableId::CONTENT_LENGTH, length.to_string().as_bytes())?;
    }
    add_headers(request.headers(), sink)?;
    if !request.headers().has(HeaderId::Host)
        && let Some(host) = request.head.host()
    {
        sink.variable(VariableName::Literal(b"HTTP_HOST"), &[host])?;
    }
    Ok(())
}

/// A port in digits, at the end of `digits`.
fn decimal(port: u16, digits: &mut [u8; 5]) -> &[u8] {
    let mut rest = port;
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return &digits[at..];
        }
    }
}

/// The machine's name, which uWSGI tells as `SERVER_NAME`.
fn host_name() -> &'static str {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}
