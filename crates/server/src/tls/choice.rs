//! `ssl_protocols`, `ssl_ciphers` and `ssl_conf_command`, of whatever prefix: what is offered in handshakes.

use daemun_conf::{ArgumentError, Arguments, Diagnostic, Span};
use daemun_net::tls::Offer;

use super::command::Command;

/// What directives say of versions, suites and groups. An unset field is inherited from the enclosing block.
#[derive(Clone, Default)]
pub struct OfferChoice {
    protocols: Option<Protocols>,
    ciphers: Option<String>,
    curves: Option<String>,
    prefers_own: Option<bool>,
    commands: Option<Vec<Command>>,
}

/// Which versions are wanted.
#[derive(Clone, Copy, Debug, Default)]
struct Protocols {
    tls12: bool,
    tls13: bool,
}

type Set = Result<(), ArgumentError>;

impl OfferChoice {
    /// Takes from the enclosing block what is unset.
    pub fn merge(parent: &Self, child: &mut Self) {
        crate::inherit!(parent, child; protocols, ciphers, curves, prefers_own, commands);
    }

    /// Reads `ssl_protocols`.
    ///
    /// # Errors
    /// For a word that is no version.
    pub fn set_protocols(&mut self, arguments: &mut Arguments<'_>) -> Set {
        let mut protocols = Protocols::default();
        for index in 0..arguments.len() {
            match arguments.text(index)? {
                "TLSv1.2" => protocols.tls12 = true,
                "TLSv1.3" => protocols.tls13 = true,
                old @ ("SSLv2" | "SSLv3" | "TLSv1" | "TLSv1.1") => {
                    arguments.warn_at(index, format!("{old} is not spoken by daemun; TLSv1.2 and TLSv1.3 are"));
                }
                _ => return Err(arguments.invalid_value(index)),
            }
        }
        if !protocols.tls12 && !protocols.tls13 {
            arguments.warn("none of these versions is spoken by daemun: TLSv1.2 and TLSv1.3 are offered");
            protocols = Protocols { tls12: true, tls13: true };
        }
        arguments.set_once(&mut self.protocols, protocols)
    }

    /// Reads `ssl_ciphers`.
    ///
    /// # Errors
    /// For a list that names nothing known.
    pub fn set_ciphers(&mut self, arguments: &mut Arguments<'_>) -> Set {
        let list = arguments.text(0)?.to_owned();
        let unavailable = Offer::default().set_ciphers(&list).map_err(|error| refused(arguments, &list, &error))?;
        warn_unavailable(arguments, &unavailable);
        arguments.set_once(&mut self.ciphers, list)
    }

    /// Reads `ssl_ecdh_curve`.
    ///
    /// # Errors
    /// For a name that is no group's.
    pub fn set_curves(&mut self, arguments: &mut Arguments<'_>) -> Set {
        let list = arguments.text(0)?.to_owned();
        let unavailable = Offer::default().set_curves(&list).map_err(|error| refused(arguments, &list, &error))?;
        warn_unavailable(arguments, &unavailable);
        arguments.set_once(&mut self.curves, list)
    }

    /// Reads `ssl_prefer_server_ciphers`.
    ///
    /// # Errors
    /// For another word than `on` and `off`.
    pub fn set_preference(&mut self, arguments: &mut Arguments<'_>) -> Set {
        let flag = arguments.flag(0)?;
        arguments.set_once(&mut self.prefers_own, flag)
    }

    /// Reads `ssl_conf_command`.
    ///
    /// # Errors
    /// For a command that there is not.
    pub fn add_command(&mut self, arguments: &mut Arguments<'_>) -> Set {
        let command = Command::read(arguments)?;
        self.commands.get_or_insert_default().push(command);
        Ok(())
    }

    /// The commands.
    #[must_use]
    pub fn commands(&self) -> &[Command] {
        self.commands.as_deref().unwrap_or_default()
    }

    /// All of it together; `span` is where the connection is asked for.
    ///
    /// # Errors
    /// Nothing is left to offer.
    pub fn offer(&self, span: Span) -> Result<Offer, Diagnostic> {
        let mut offer = Offer::default();
        if let Some(Protocols { tls12, tls13 }) = self.protocols {
            (offer.tls12, offer.tls13) = (tls12, tls13);
        }
        let wrong = |error: String| Diagnostic::error(span, error);
        if let Some(list) = &self.ciphers {
            offer.set_ciphers(list).map_err(wrong)?;
        }
        if let Some(list) = &self.curves {
            offer.set_curves(list).map_err(wrong)?;
        }
        offer.prefers_own = self.prefers_own.unwrap_or(true);
        for command in self.commands() {
            command.apply(&mut offer).map_err(|error| Diagnostic::error(command.span, error))?;
        }
        if offer.is_empty() {
            return Err(wrong("the protocols and ciphers leave nothing that can be offered".to_owned()));
        }
        Ok(offer)
    }
}

fn refused(arguments: &Arguments<'_>, value: &str, error: &str) -> ArgumentError {
    ArgumentError::new(Some(0), format!("\"{}\" \"{value}\" failed ({error})", arguments.name()))
}

fn warn_unavailable(arguments: &mut Arguments<'_>, unavailable: &[String]) {
    for one in unavailable {
        arguments.warn_at(0, format!("{one} cannot be offered by daemun"));
    }
}
