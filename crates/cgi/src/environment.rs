//! What a program is told of its request: the variables of RFC 3875 §4.1 and those of `cgi_param`.

use daemun_gateway::environment::{add_headers, variable_name};
use daemun_gateway::variable::{Full, VariableName, VariableSink};
use daemun_http::{HeaderId, Headers, Method};
use daemun_server::{Request, Template};

use crate::mounts::Conventions;
use crate::script::Script;

/// One `cgi_param`.
pub(crate) struct Parameter {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Template,
    /// Left out when its value is empty.
    pub(crate) if_not_empty: bool,
}

/// Name and value of each variable.
pub(crate) type Variables = Vec<(Vec<u8>, Vec<u8>)>;

/// What a location or a pool tells of its requests.
pub(crate) struct Telling<'a> {
    pub(crate) parameters: &'a [Parameter],
    /// Whether the request's fields become variables.
    pub(crate) passes_fields: bool,
    /// Whether the program gets the body.
    pub(crate) passes_body: bool,
    pub(crate) conventions: Option<&'a Conventions>,
}

/// The variables for `script`; a parameter stands in the place of the variable of its name.
///
/// Fields that speak of the connection, or that prove who the client is, do not become variables (§4.1.18).
pub(crate) fn variables(request: &Request, script: &Script, telling: &Telling<'_>) -> Variables {
    let mut out = Sink(Vec::with_capacity(32));
    for parameter in telling.parameters {
        let value = parameter.value.value(request);
        if !(parameter.if_not_empty && value.is_empty()) {
            out.put(&parameter.name, &value);
        }
    }
    if let Some(conventions) = telling.conventions {
        add_conventional(request, script, conventions, &mut out);
    }
    out.put(b"GATEWAY_INTERFACE", b"CGI/1.1");
    out.put(b"SERVER_SOFTWARE", concat!("daemun/", env!("CARGO_PKG_VERSION")).as_bytes());
    out.put(b"SERVER_PROTOCOL", request.head.version.as_str().as_bytes());
    out.put(b"SERVER_NAME", request.host());
    out.put(b"SERVER_PORT", server_port(request).to_string().as_bytes());
    out.put(b"REQUEST_METHOD", request.passed_method().as_str().as_bytes());
    out.put(b"SCRIPT_NAME", &script.name);
    out.put(b"QUERY_STRING", &request.args);
    out.put(b"REMOTE_ADDR", request.remote.address.as_bytes());
    // A look-up of the name would keep everybody waiting; the address may stand in for it (§4.1.9).
    out.put(b"REMOTE_HOST", request.remote.address.as_bytes());
    if !script.path_info.is_empty() {
        out.put(b"PATH_INFO", &script.path_info);
        let mut translated = Vec::new();
        request.document_root(&mut translated);
        translated.extend_from_slice(&script.path_info);
        out.put(b"PATH_TRANSLATED", &translated);
    }
    if request.is_authenticated {
        out.put(b"AUTH_TYPE", b"Basic");
        out.put(
            b"REMOTE_USER",
            &Template::parse("$remote_user").map_or_else(|_| Vec::new(), |user| user.value(request)),
        );
    }
    if telling.passes_body {
        add_body(request, &mut out);
    }
    if telling.passes_fields {
        // A value that does not fit is none: this sink takes all.
        let _ = add_headers(&told(request.passed_headers()), &mut out);
    }
    if let Some(conventions) = telling.conventions {
        out.0.retain(|(name, _)| !conventions.unset.iter().any(|unset| unset.as_bytes() == name));
    }
    out.0
}

/// What uWSGI tells programs, beside what the web server in front of it says of the client.
fn add_conventional(request: &Request, script: &Script, conventions: &Conventions, out: &mut Sink) {
    let root = conventions.root.as_os_str().as_encoded_bytes();
    out.put(b"DOCUMENT_ROOT", root);
    out.put(b"SCRIPT_FILENAME", script.path.as_os_str().as_encoded_bytes());
    out.put(b"REQUEST_URI", request.head.target());
    // Without it, newer PHP runs nothing.
    out.put(b"REDIRECT_STATUS", b"200");
    if !script.path_info.is_empty() {
        out.put(b"PATH_TRANSLATED", &[root, script.path_info.as_slice()].concat());
    }
    for (name, value) in &request.gateway_variables {
        if matches!(name.as_slice(), b"REMOTE_USER" | b"AUTH_TYPE" | b"HTTPS" | b"SERVER_NAME" | b"SERVER_PORT") {
            out.put(name, value);
        }
    }
}

fn add_body(request: &Request, out: &mut Sink) {
    let length = request.body.length().unwrap_or(0);
    // Behind a local redirect the fields speak of a body that is for nobody.
    let has_fields = length > 0 || !matches!(request.method(), Method::Get | Method::Head);
    if !has_fields {
        return;
    }
    if length > 0 || request.headers().has(HeaderId::ContentLength) {
        out.put(b"CONTENT_LENGTH", length.to_string().as_bytes());
    }
    if let Some(kind) = request.headers().first(HeaderId::ContentType) {
        out.put(b"CONTENT_TYPE", kind);
    }
}

/// The fields that a script may see.
fn told(headers: &Headers) -> Headers {
    let mut told = headers.clone();
    told.retain(|header| {
        let is_told_otherwise = matches!(
            header.id,
            HeaderId::Authorization | HeaderId::ProxyAuthorization | HeaderId::ContentLength | HeaderId::ContentType
        );
        !is_told_otherwise && !header.id.is_hop_by_hop() && variable_name(header.id, header.name).is_some()
    });
    told
}

/// The port that the client asked for.
fn server_port(request: &Request) -> u16 {
    let default = if request.is_https { 443 } else { 80 };
    request.client.local_port.or(request.head.port()).unwrap_or(default)
}

/// The first of a name holds; what no environment can hold is left out.
struct Sink(Variables);

impl Sink {
    fn put(&mut self, name: &[u8], value: &[u8]) {
        let is_possible = !name.is_empty() && !name.contains(&b'=') && !name.contains(&0) && !value.contains(&0);
        if is_possible && !self.0.iter().any(|(other, _)| other == name) {
            self.0.push((name.to_vec(), value.to_vec()));
        }
    }
}

impl VariableSink for Sink {
    fn variable(&mut self, name: VariableName<'_>, parts: &[&[u8]]) -> Result<(), Full> {
        let mut spelt = Vec::with_capacity(name.len());
        name.write(&mut spelt);
        self.put(&spelt, &parts.concat());
        Ok(())
    }
}
