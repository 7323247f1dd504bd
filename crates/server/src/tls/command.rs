//! `ssl_conf_command`: commands of OpenSSL's configuration, as far as they have a meaning here.
//!
//! # Source
//! SSL_CONF_cmd(3), of which the manual says which commands there are.

use daemun_conf::{ArgumentError, Arguments, Span};
use daemun_net::tls::Offer;

use super::certificates::Written;
use crate::Template;

/// One command.
#[derive(Clone)]
pub struct Command {
    name: String,
    value: String,
    written: Template,
    /// Where it is written.
    pub span: Span,
}

impl Command {
    /// Reads a command and its value.
    ///
    /// # Errors
    /// For a command that OpenSSL does not know, or a value that it would not take.
    pub fn read(arguments: &mut Arguments<'_>) -> Result<Self, ArgumentError> {
        let (name, value) = (arguments.text(0)?.to_owned(), arguments.text(1)?.to_owned());
        let written = Template::constant(&value);
        let command = Self { name: name.to_ascii_lowercase(), value, written, span: arguments.span() };
        let text = format!("SSL_CONF_cmd(\"{name}\", \"{}\") failed", command.value);
        match command.apply(&mut Offer::default()) {
            Ok(unavailable) => {
                for one in unavailable {
                    arguments.warn_at(1, format!("{one} has no effect in daemun"));
                }
                Ok(command)
            }
            Err(error) => Err(ArgumentError::new(None, format!("{text} ({error})"))),
        }
    }

    /// Obeys it; what of it cannot be obeyed is told.
    ///
    /// # Errors
    /// In words, where it cannot be read.
    pub fn apply(&self, offer: &mut Offer) -> Result<Vec<String>, String> {
        match self.name.as_str() {
            "ciphersuites" => offer.set_ciphersuites(&self.value),
            "cipherstring" => offer.set_ciphers(&self.value),
            "groups" | "curves" => offer.set_curves(&self.value),
            "minprotocol" => self.limit(offer, |limit| (limit <= 12, true)),
            "maxprotocol" => self.limit(offer, |limit| (limit >= 12, limit >= 13)),
            "options" => Ok(self.value.split(',').filter_map(|option| set_option(offer, option)).collect()),
            "certificate" | "privatekey" => Ok(Vec::new()),
            known if WITHOUT_EFFECT.contains(&known) => Ok(vec![format!("\"{}\"", self.name)]),
            _ => Err("unknown cmd name".to_owned()),
        }
    }

    fn limit(&self, offer: &mut Offer, kept: impl Fn(u32) -> (bool, bool)) -> Result<Vec<String>, String> {
        let limit = match self.value.as_str() {
            "None" | "SSLv3" | "TLSv1" | "TLSv1.0" | "TLSv1.1" => 11,
            "TLSv1.2" => 12,
            "TLSv1.3" => 13,
            _ => return Err("bad value".to_owned()),
        };
        let (keeps_12, keeps_13) = kept(limit);
        offer.tls12 &= keeps_12;
        offer.tls13 &= keeps_13;
        Ok(Vec::new())
    }
}

/// Sets one of `Options`; gives it back where it has no meaning.
fn set_option(offer: &mut Offer, option: &str) -> Option<String> {
    let (is_on, name) = match option.split_at_checked(1) {
        Some(("-", name)) => (false, name),
        Some(("+", name)) => (true, name),
        _ => (true, option),
    };
    match name {
        "ServerPreference" => offer.prefers_own = is_on,
        "SessionTicket" => {} // Obeyed with the sessions.
        _ => return Some(format!("option \"{option}\"")),
    }
    None
}

/// What `Options SessionTicket` says, where it says it.
#[must_use]
pub fn session_tickets(commands: &[Command]) -> Option<bool> {
    let options = commands.iter().filter(|command| command.name == "options");
    let mut said = options.flat_map(|command| command.value.split(',')).filter_map(|option| match option {
        "SessionTicket" | "+SessionTicket" => Some(true),
        "-SessionTicket" => Some(false),
        _ => None,
    });
    said.next_back()
}

/// A certificate and its key in the place of those of the directives.
#[must_use]
pub fn certificate(commands: &[Command]) -> Option<(Written, Written)> {
    let last = |name: &str| {
        let command = commands.iter().rev().find(|command| command.name == name)?;
        Some(Written { name: command.written.clone(), text: command.value.clone(), span: command.span })
    };
    Some((last("certificate")?, last("privatekey")?))
}

/// Commands that OpenSSL has, and that name nothing that could be changed here.
const WITHOUT_EFFECT: &[&str] = &[
    "signaturealgorithms",
    "clientsignaturealgorithms",
    "protocol",
    "numtickets",
    "recordpadding",
    "dhparameters",
    "chaincafile",
    "chaincapath",
    "verifycafile",
    "verifycapath",
    "requestcafile",
    "clientcafile",
    "clientcapath",
    "verifymode",
    "ecdhparameters",
    "serverinfofile",
];
