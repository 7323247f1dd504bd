//! Limits by what the client itself says: whoever wants to pass them says something else each time.

use daemun_conf::{Diagnostic, Node};

use super::{Review, argument, children, has_within};

pub(super) fn review(review: &Review<'_>, found: &mut Vec<Diagnostic>) {
    let is_proxied = has_within(review.http, &|node| node.is("set_real_ip_from"))
        || children(review.http.children(), "set_real_ip_from").next().is_some();
    for name in ["limit_req_zone", "limit_conn_zone"] {
        for zone in children(review.http.children(), name) {
            let Some(key) = zone.args.first() else { continue };
            let Some(variable) = variables(&key.text).find(|name| is_clients(name)) else { continue };
            let message =
                format!("\"{name}\" counts by ${variable}, which the client chooses: another value is another count");
            let hint = match (names_address(variable), is_proxied) {
                (true, true) => "count by $binary_remote_addr: it is the client that the trusted proxy names",
                (true, false) => {
                    "name the proxies in \"set_real_ip_from\" and the field in \"real_ip_header\", and count by $binary_remote_addr"
                }
                (false, _) => "count by $binary_remote_addr",
            };
            found.push(Diagnostic::warning(key.span, message).with_hint(hint));
        }
    }
    trusted_by_all(review.http, found);
}

/// Whether the client decides on a variable's value.
fn is_clients(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["http_", "arg_", "cookie_"];
    const NAMES: [&str; 3] = ["args", "query_string", "proxy_add_x_forwarded_for"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// Whether it is the field by which proxies name the client.
fn names_address(name: &str) -> bool {
    matches!(name, "http_x_forwarded_for" | "proxy_add_x_forwarded_for" | "http_x_real_ip" | "http_forwarded")
}

/// The variables of a text, in their order.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|one: char| !one.is_ascii_alphanumeric() && one != '_').unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    })
}

/// `set_real_ip_from` for everybody: the client's address is what the client says.
fn trusted_by_all(node: &Node, found: &mut Vec<Diagnostic>) {
    for child in node.children() {
        let network = argument(child, 0);
        if child.is("set_real_ip_from") && matches!(network, "0.0.0.0/0" | "::/0") {
            let message = format!("\"set_real_ip_from {network}\" lets every client choose its own address");
            let hint = "name the addresses of your own proxies";
            found.push(
                Diagnostic::warning(child.args.first().map_or(child.name.span, |word| word.span), message)
                    .with_hint(hint),
            );
        }
        trusted_by_all(child, found);
    }
}
