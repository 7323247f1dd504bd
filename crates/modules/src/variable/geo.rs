//! `geo`: a variable whose value depends on an address.

mod ranges;
mod table;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive, Node};
use daemun_http::HeaderId;
use daemun_server::config::setter;
use daemun_server::module::nothing_to_finish;
use daemun_server::variable::declare_computed;
use daemun_server::{Module, Request, Template};

use self::ranges::{RangeError, Ranges};
use self::table::{AddressTable, ValueNumber, Values};
use crate::forwarded::{client_behind, parse_address};
use crate::network::{Network, NetworkError};

/// Named once, in the program's list of modules.
pub static MODULE: Module<Geo> = Module {
    name: "geo",
    directives: &[Directive {
        name: "geo",
        contexts: Context::HTTP,
        arity: Arity::Block { min: 1, max: 2 },
        default: "none",
        help: "[$address] $variable block of `network value`: a variable by the client's address or another; default, delete, ranges, proxy, proxy_recursive, volatile",
        set: set_geo,
    }],
    merge: |_, _| {},
    finish: nothing_to_finish,
    is_active: |_| false,
    phases: &[],
    filters: &[],
    variables: &[],
};

/// A `geo` has no settings of a location: all of it is in its variable.
#[derive(Default)]
pub struct Geo;

/// Whose address is looked up.
struct Subject {
    /// The text that says it; `None` is the client.
    source: Option<Template>,
    /// Whose `X-Forwarded-For` is believed.
    proxies: Vec<Network>,
    is_recursive: bool,
}

fn set_geo(_: &mut Geo, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let last = arguments.len() - 1;
    let source = if last == 1 {
        super::variable_name(arguments, 0)?;
        Some(setter::template(arguments, 0)?)
    } else {
        None
    };
    let name = super::variable_name(arguments, last)?;
    let mut reading = Reading {
        subject: Subject { source, proxies: Vec::new(), is_recursive: false },
        values: Values::default(),
        networks: HashMap::new(),
        ranges: None,
        default: None,
        is_volatile: false,
    };
    for node in arguments.block().unwrap_or_default() {
        if let Err(diagnostic) = reading.entry(node, arguments) {
            arguments.report(diagnostic);
        }
    }
    let is_volatile = reading.is_volatile;
    let (subject, table) = reading.finish();
    let compute = Arc::new(move |request: &Request, out: &mut Vec<u8>| {
        out.extend_from_slice(table.find(subject.address(request)));
        true
    });
    declare_computed(name, compute, is_volatile)
        .map(|_| ())
        .map_err(|error| ArgumentError::new(Some(last), error.to_string()))
}

impl Subject {
    /// `None` where there is no address, as of a client of a unix socket.
    fn address(&self, request: &Request) -> Option<IpAddr> {
        let (address, is_known) = match &self.source {
            None => (request.remote.ip, true),
            Some(source) => {
                let address = parse_address(&source.value(request)).map(|(address, _)| address);
                (address, address.is_some())
            }
        };
        if self.proxies.is_empty() || !is_known {
            return address;
        }
        let list: Vec<&[u8]> = request.headers().all(HeaderId::XForwardedFor).collect();
        let is_proxy = |address: Option<IpAddr>| {
            address.is_some_and(|address| self.proxies.iter().any(|proxy| proxy.contains(address)))
        };
        let behind = client_behind(address, &list.join(&b","[..]), self.is_recursive, is_proxy);
        behind.map(|(address, _)| address).or(address)
    }
}

/// A block as far as it has been read.
struct Reading {
    subject: Subject,
    values: Values,
    networks: HashMap<Network, ValueNumber>,
    /// With `ranges`, in place of the networks.
    ranges: Option<Ranges>,
    default: Option<ValueNumber>,
    is_volatile: bool,
}

impl Reading {
    fn entry(&mut self, node: &Node, arguments: &mut Arguments<'_>) -> Result<(), Diagnostic> {
        let span = node.name.span;
        let error = |message: String| Diagnostic::error(span, message);
        let key = node.name.text.as_str();
        match (key, node.args.as_slice()) {
            ("ranges", []) if self.networks.is_empty() && self.default.is_none() => {
                self.ranges.get_or_insert_default();
            }
            ("ranges", []) if self.ranges.is_none() => {
                let message = "the \"ranges\" directive must be the first directive inside \"geo\" block";
                return Err(error(message.to_owned()));
            }
            ("ranges", []) => {}
            ("proxy_recursive", []) => self.subject.is_recursive = true,
            ("volatile", []) => self.is_volatile = true,
            ("proxy", [network]) => self.subject.proxies.push(read_network(node, &network.text, arguments)?),
            ("default", [value]) => {
                let value = self.values.number_of(value.text.as_bytes());
                if let Some(old) = self.default.replace(value) {
                    arguments.report(self.duplicate(node, "default geo value", value, old));
                }
            }
            ("delete", [text]) => self.delete(node, &text.text, arguments)?,
            (key, [value]) => {
                let value = self.values.number_of(value.text.as_bytes());
                self.add(node, key, value, arguments)?;
            }
            _ => return Err(error("invalid number of the geo parameters".to_owned())),
        }
        Ok(())
    }

    fn add(
        &mut self,
        node: &Node,
        key: &str,
        value: ValueNumber,
        arguments: &mut Arguments<'_>,
    ) -> Result<(), Diagnostic> {
        let old = match &mut self.ranges {
            Some(ranges) => ranges.add(key, value).map_err(|reason| of_range(node, key, &reason))?,
            None => self.networks.insert(read_network(node, key, arguments)?, value),
        };
        if let Some(old) = old {
            let what = if self.ranges.is_some() { "range" } else { "network" };
            arguments.report(self.duplicate(node, &format!("{what} \"{key}\""), value, old));
        }
        Ok(())
    }

    fn delete(&mut self, node: &Node, key: &str, arguments: &mut Arguments<'_>) -> Result<(), Diagnostic> {
        let (was_there, what) = match &mut self.ranges {
            Some(ranges) => (ranges.delete(key).map_err(|reason| of_range(node, key, &reason))?, "address range"),
            None => (self.networks.remove(&read_network(node, key, arguments)?).is_some(), "network"),
        };
        if !was_there {
            arguments.report(Diagnostic::warning(node.name.span, format!("no {what} \"{key}\" to delete")));
        }
        Ok(())
    }

    fn duplicate(&self, node: &Node, what: &str, value: ValueNumber, old: ValueNumber) -> Diagnostic {
        let shown = |value| String::from_utf8_lossy(self.values.octets(value)).into_owned();
        let message = format!("duplicate {what}, value: \"{}\", old value: \"{}\"", shown(value), shown(old));
        Diagnostic::warning(node.name.span, message)
    }

    fn finish(self) -> (Subject, AddressTable) {
        let default = self.default.unwrap_or_default();
        let table = match self.ranges {
            Some(ranges) => AddressTable::of_ranges(self.values, ranges, default),
            None => AddressTable::of_networks(self.values, &self.networks, default),
        };
        (self.subject, table)
    }
}

fn of_range(node: &Node, key: &str, error: &RangeError) -> Diagnostic {
    let message = match error {
        RangeError::Invalid => format!("invalid range \"{key}\""),
        RangeError::Overlap(first, last) => format!("range \"{key}\" overlaps \"{first}-{last}\""),
    };
    Diagnostic::error(node.name.span, message)
}

fn read_network(node: &Node, text: &str, arguments: &mut Arguments<'_>) -> Result<Network, Diagnostic> {
    match Network::parse(text) {
        Ok(network) => Ok(network),
        Err(NetworkError::LowBits(network)) => {
            let message = format!("low address bits of {text} are meaningless");
            arguments.report(Diagnostic::warning(node.name.span, message));
            Ok(network)
        }
        Err(NetworkError::Invalid) => Err(Diagnostic::error(node.name.span, format!("invalid network \"{text}\""))),
    }
}
