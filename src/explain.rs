//! `daemun explain`: which server, location and handler would answer a request, and why not the others. Nothing is bound, nobody
//! is asked.

use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use daemun_conf::{Diagnostic, FileSystem, Span};
use daemun_net::ListenAddress;
use daemun_server::backend::{BodyTransfer, Environment};
use daemun_server::explain::{Question, explain as explain_request};
use daemun_server::listener::Protocol;
use daemun_server::runtime::{ListenerId, Runtime};
use daemun_server::{Backend, LocalFuture, Outcome, Request};

use crate::cli::Settings;
use crate::load;
use crate::serve::{self, Judged};

/// What the command line asks to have explained.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `http://host[:port]/path?arguments`, `https://...`, or a path.
    pub url: String,
    /// The method.
    pub method: String,
    /// Fields as `name: value`.
    pub fields: Vec<String>,
    /// Who asks.
    pub client: Option<IpAddr>,
    /// The listener, as the configuration writes it with its address.
    pub listen: Option<String>,
}

/// Explains what would become of a request, on standard output.
pub fn explain(settings: &Settings, asked: &Asked) -> ExitCode {
    match answer(settings, asked) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("{}", text.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// # Errors
/// A text for the terminal: what is wrong with the question, or with the configuration.
fn answer(settings: &Settings, asked: &Asked) -> Result<String, String> {
    let target = Target::read(&asked.url)?;
    let mut loaded = load::load(settings, &FileSystem);
    let Judged { runtime, definitions, .. } = serve::judged(settings, &mut loaded).map_err(|diagnostics| {
        let errors: Vec<_> = diagnostics.into_iter().filter(Diagnostic::is_error).collect();
        load::render(&loaded, &errors)
    })?;
    let listener = choose_listener(&runtime, &target, asked.listen.as_deref())?;
    let address = &runtime.listeners[listener.0 as usize].setting.address;
    let client = asked.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let question = Question { listener, client, head: head(&target, asked, address)? };
    let backends: Vec<Rc<dyn Backend>> =
        definitions.iter().map(|pool| Rc::new(Named(pool.name.clone())) as Rc<dyn Backend>).collect();
    let mut text = format!("{} {} from {client}\n", asked.method, asked.url);
    if let Some(user) = serve::edge_identity(settings.mode, &runtime)? {
        // From here on with the rights of those who will serve: what they cannot read, this cannot read.
        user.assume().map_err(|error| format!("daemun: becoming user {} failed: {error}", user.name))?;
        text.push_str(&format!("files are looked at as user {}\n", user.name));
    }
    let sources = loaded.sources;
    let place = move |span: Span| {
        let name = sources.source(span.file).map(|source| source.name().to_owned()).unwrap_or_default();
        format!("{name}:{}", span.line)
    };
    let failed = |error: std::io::Error| format!("daemun: {error}");
    text.push_str(&explain_request(Arc::new(runtime), backends, &question, place).map_err(failed)?);
    Ok(text)
}

/// An application pool, of which it is only told that it would be asked.
struct Named(String);

impl Backend for Named {
    fn call<'a>(
        self: Rc<Self>,
        request: &'a mut Request,
        _: &'a dyn Environment,
        _: BodyTransfer,
    ) -> LocalFuture<'a, Outcome> {
        let outcome = request.answered_by(format_args!("the application \"{}\" would be asked", self.0));
        Box::pin(std::future::ready(outcome))
    }

    fn in_flight(&self) -> usize {
        0
    }
}

/// What a URL says.
struct Target<'a> {
    /// Host and port as written; `None` where the URL is a path.
    authority: Option<&'a str>,
    is_tls: bool,
    host: &'a str,
    port: u16,
    /// Path and arguments.
    path: &'a str,
}

impl<'a> Target<'a> {
    fn read(url: &'a str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("daemun explain: \"{url}\": {what}"));
        if url.chars().any(|one| one.is_whitespace() || one.is_control()) {
            return wrong("a URL has no spaces; write %20");
        }
        if url.contains('#') {
            return wrong("what follows # stays with the browser; leave it out");
        }
        if url.starts_with('/') {
            return Ok(Self { authority: None, is_tls: false, host: "", port: 0, path: url });
        }
        let (rest, is_tls) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            (None, None) => return wrong("neither http://host/path nor /path"),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => match port.parse() {
                Ok(port) => (host, port),
                Err(_) => return wrong(&format!("\"{port}\" is no port")),
            },
            _ => (authority, if is_tls { 443 } else { 80 }),
        };
        if host.is_empty() || authority.contains('@') {
            return wrong("it names no host, or a user too");
        }
        Ok(Self { authority: Some(authority), is_tls, host, port, path })
    }
}

/// The request's head, octet by octet as it would be sent.
fn head(target: &Target<'_>, asked: &Asked, address: &ListenAddress) -> Result<Vec<u8>, String> {
    let slash = if target.path.starts_with('/') { "" } else { "/" };
    let mut head = format!("{} {slash}{} HTTP/1.1\r\n", asked.method, target.path);
    let is_host = |field: &&String| field.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("host"));
    if asked.fields.iter().find(is_host).is_none() {
        let own = address.to_string().replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
        head.push_str(&format!("Host: {}\r\n", target.authority.unwrap_or(&own)));
    }
    for field in &asked.fields {
        if !field.contains(':') || field.contains(['\r', '\n']) {
            return Err(format!("daemun explain: \"{field}\" is no header: write -H \"name: value\""));
        }
        head.push_str(&format!("{field}\r\n"));
    }
    head.push_str("\r\n");
    Ok(head.into_bytes())
}

/// Where the request would come in: at the address of the URL where it is one, else at the listener for all addresses.
fn choose_listener(runtime: &Runtime, target: &Target<'_>, listen: Option<&str>) -> Result<ListenerId, String> {
    let speaks_http = runtime.listeners.iter().enumerate().filter(|(_, one)| one.setting.protocol == Protocol::Http);
    let all: Vec<_> = speaks_http.map(|(at, one)| (at, &one.setting.address)).collect();
    let found = match (listen, target.authority) {
        (Some(text), _) => all.iter().find(|(_, address)| address.to_string() == text),
        (None, None) => all.first(),
        (None, Some(_)) => {
            let literal: Option<IpAddr> = target.host.trim_matches(['[', ']']).parse().ok();
            let at_port = || all.iter().filter(|(_, address)| address.port() == Some(target.port));
            let is_at = |address: &ListenAddress, wanted: &dyn Fn(IpAddr) -> bool| match address {
                ListenAddress::Tcp(address) => wanted(address.ip()),
                ListenAddress::Unix(_) => false,
            };
            let named = at_port().find(|(_, address)| is_at(address, &|ip| Some(ip) == literal));
            let for_all = || at_port().find(|(_, address)| is_at(address, &|ip| ip.is_unspecified()));
            let any = || at_port().find(|_| literal.is_none());
            named.or_else(for_all).or_else(any)
        }
    };
    if let (Some((at, address)), Some(_)) = (found, target.authority) {
        match (runtime.listeners[*at].setting.is_tls, target.is_tls) {
            (true, false) => return Err(format!("daemun explain: {address} speaks TLS; ask for https://")),
            (false, true) => return Err(format!("daemun explain: {address} speaks no TLS; ask for http://")),
            _ => {}
        }
    }
    let place = found.and_then(|(at, _)| u32::try_from(*at).ok()).map(ListenerId);
    place.ok_or_else(|| {
        let addresses: Vec<_> = all.iter().map(|(_, address)| address.to_string()).collect();
        let there = if addresses.is_empty() { "nowhere".to_owned() } else { addresses.join(", ") };
        let wanted = listen.map_or_else(|| format!("port {} of {}", target.port, target.host), str::to_owned);
        format!("daemun explain: nothing listens on {wanted}; HTTP is spoken on: {there}")
    })
}
