//! `allow` and `deny`: who may, by the client's address.

use std::net::IpAddr;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_http::StatusCode;
use daemun_server::config::{HTTP_SERVER_LOCATION, Satisfy};
use daemun_server::log::Level;
use daemun_server::module::nothing_to_finish;
use daemun_server::{Handler, Module, Outcome, Phase, Request};

use crate::network::{Network, NetworkError};

const PLACES: Context = HTTP_SERVER_LOCATION.or(Context::LIMIT_EXCEPT);

/// Named once, in the program's list of modules.
pub static MODULE: Module<AddressRules> = Module {
    name: "access",
    directives: &[
        Directive {
            name: "allow",
            contexts: PLACES,
            arity: Arity::Exactly(1),
            default: "none",
            help: "address | CIDR | unix: | all: lets these clients in; the first rule that fits decides",
            set: |conf, arguments| conf.push(arguments, true),
        },
        Directive {
            name: "deny",
            contexts: PLACES,
            arity: Arity::Exactly(1),
            default: "none",
            help: "address | CIDR | unix: | all: answers these clients 403; the first rule that fits decides",
            set: |conf, arguments| conf.push(arguments, false),
        },
    ],
    merge: |parent, child| {
        // Rules of a block stand in place of the enclosing block's.
        if child.rules.is_empty() {
            child.rules.clone_from(&parent.rules);
        }
    },
    finish: nothing_to_finish,
    is_active: |conf| !conf.rules.is_empty(),
    phases: &[(Phase::Access, Handler::Sync(check))],
    filters: &[],
    variables: &[],
};

/// The rules of one block, in their order. A block without any has those of the enclosing block.
#[derive(Default)]
pub struct AddressRules {
    rules: Arc<Vec<Rule>>,
}

#[derive(Clone, Debug)]
struct Rule {
    whom: Whom,
    allows: bool,
    /// As written.
    text: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    All,
    Unix,
    Network(Network),
}

impl AddressRules {
    fn push(&mut self, arguments: &mut Arguments<'_>, allows: bool) -> Result<(), ArgumentError> {
        let text = arguments.text(0)?;
        let whom = match text {
            "all" => Whom::All,
            "unix:" => Whom::Unix,
            _ => match Network::parse(text) {
                Ok(network) => Whom::Network(network),
                Err(NetworkError::LowBits(network)) => {
                    arguments.warn_at(0, format!("low address bits of {text} are meaningless"));
                    Whom::Network(network)
                }
                Err(NetworkError::Invalid) => {
                    return Err(ArgumentError::new(Some(0), format!("invalid parameter \"{text}\"")));
                }
            },
        };
        Arc::make_mut(&mut self.rules).push(Rule { whom, allows, text: text.into() });
        Ok(())
    }

    /// The first rule that fits.
    fn judge(&self, client: Option<IpAddr>) -> Option<&Rule> {
        let fits = |rule: &&Rule| match (rule.whom, client) {
            (Whom::All, _) | (Whom::Unix, None) => true,
            (Whom::Network(network), Some(address)) => network.contains(address),
            (Whom::Unix, Some(_)) | (Whom::Network(_), None) => false,
        };
        self.rules.iter().find(fits)
    }
}

fn check(conf: &AddressRules, request: &mut Request) -> Outcome {
    let client = request.remote.address;
    let Some(rule) = conf.judge(request.remote.ip) else {
        request.note(format_args!("no rule fits the client {client}"));
        return Outcome::Continue;
    };
    let word = if rule.allows { "allow" } else { "deny" };
    request.note(format_args!("\"{word} {}\" fits the client {client}", rule.text));
    match rule.allows {
        true => Outcome::Allow,
        false => {
            if request.core().satisfy() == Satisfy::All {
                request.log(Level::Error, format_args!("access forbidden by rule"));
            }
            Outcome::Finish(StatusCode::FORBIDDEN)
        }
    }
}
