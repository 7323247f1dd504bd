//! Directives that stand where nothing comes of them.

use daemun_conf::{Diagnostic, Node};

use super::{Review, argument, children, has_within, location_name};

pub(super) fn review(review: &Review<'_>, found: &mut Vec<Diagnostic>) {
    behind_return(review, review.http, found);
    behind_all(review.http, found);
    same_expression(review, review.http, found);
    password_without_file(review.http, false, found);
    real_ip_without_proxy(review.http, found);
    compression_that_is_off(review.http, found);
    unused_zones(review.http, found);
}

/// Phases behind the rewrite phase, which `return` ends.
const LATER: [&str; 13] = [
    "allow",
    "deny",
    "auth_basic",
    "auth_request",
    "limit_req",
    "limit_conn",
    "try_files",
    "proxy_pass",
    "uwsgi_pass",
    "fastcgi_pass",
    "scgi_pass",
    "memcached_pass",
    "cgi_pass",
];

/// Steps of the rewrite phase, in their order.
const REWRITES: [&str; 5] = ["rewrite", "set", "if", "return", "break"];

fn behind_return(review: &Review<'_>, block: &Node, found: &mut Vec<Diagnostic>) {
    let nodes = block.children();
    if let Some(at) = nodes.iter().position(|node| node.is("return"))
        && !block.is("if")
    {
        let ending = &nodes[at];
        let place = review.place(ending.name.span);
        let is_off = |node: &Node| argument(node, 0) == "off";
        let is_late = |node: &&Node| LATER.contains(&node.name.text.as_str()) && !is_off(node);
        let is_behind = |node: &&Node| REWRITES.contains(&node.name.text.as_str());
        let is_location = |node: &&Node| block.is("server") && node.is("location");
        let late = nodes.iter().filter(is_late).chain(nodes.iter().find(is_location));
        for node in late.chain(nodes.iter().skip(at + 1).filter(is_behind)) {
            let message = format!("\"{}\" is never reached: \"return\" ({place}) has answered before", node.name.text);
            let hint = "put \"return\" into a location of its own, or take this out";
            found.push(Diagnostic::warning(node.name.span, message).with_hint(hint));
        }
    }
    for child in nodes {
        behind_return(review, child, found);
    }
}

/// Rules behind one for `all` decide nothing.
fn behind_all(block: &Node, found: &mut Vec<Diagnostic>) {
    let rules = block.children().iter().filter(|node| node.is("allow") || node.is("deny"));
    let mut closing: Option<&Node> = None;
    for rule in rules {
        match closing {
            None if argument(rule, 0) == "all" => closing = Some(rule),
            None => {}
            Some(all) => {
                let (name, whom, before) = (&rule.name.text, argument(rule, 0), &all.name.text);
                let message = format!(
                    "\"{name} {whom}\" is never looked at: \"{before} all\" stands before it, and the first rule that fits decides"
                );
                let hint = format!("put it before \"{before} all\"");
                found.push(Diagnostic::warning(rule.name.span, message).with_hint(hint));
            }
        }
    }
    for child in block.children() {
        behind_all(child, found);
    }
}

/// The second location with the same expression is never the first that matches.
fn same_expression(review: &Review<'_>, block: &Node, found: &mut Vec<Diagnostic>) {
    let mut seen: Vec<&Node> = Vec::new();
    for node in children(block.children(), "location") {
        let is_expression = argument(node, 0).starts_with('~');
        let earlier = seen.iter().find(|other| is_expression && location_name(other) == location_name(node));
        if let Some(earlier) = earlier {
            let (name, place) = (location_name(node), review.place(earlier.name.span));
            let message = format!("\"{name}\" is never reached: the one ({place}) matches the same paths before it");
            found.push(Diagnostic::warning(node.name.span, message).with_hint("make one of the two"));
        }
        seen.push(node);
    }
    for child in block.children() {
        same_expression(review, child, found);
    }
}

/// `auth_basic` without its file lets everybody in, as in nginx.
fn password_without_file(block: &Node, has_file: bool, found: &mut Vec<Diagnostic>) {
    let nodes = block.children();
    let has_file = has_file || children(nodes, "auth_basic_user_file").next().is_some();
    let has_file_within = has_within(block, &|node| node.is("auth_basic_user_file"));
    for node in children(nodes, "auth_basic").filter(|node| argument(node, 0) != "off") {
        if !has_file && !has_file_within {
            let message = "\"auth_basic\" without \"auth_basic_user_file\" asks for no password: everybody gets in";
            let hint = "name the file with the users and their passwords in \"auth_basic_user_file\"";
            found.push(Diagnostic::warning(node.name.span, message).with_hint(hint));
        }
    }
    for child in nodes {
        password_without_file(child, has_file, found);
    }
}

fn real_ip_without_proxy(http: &Node, found: &mut Vec<Diagnostic>) {
    if has_within(http, &|node| node.is("set_real_ip_from")) {
        return;
    }
    for_all(http, &mut |node| {
        if node.is("real_ip_header") || node.is("real_ip_recursive") {
            let name = &node.name.text;
            let message = format!("\"{name}\" has no effect: no \"set_real_ip_from\" says which proxies are trusted");
            let hint = "name the addresses of your proxies in \"set_real_ip_from\"";
            found.push(Diagnostic::warning(node.name.span, message).with_hint(hint));
        }
    });
}

/// Sub-directives of compressions that are nowhere switched on, for each the first.
fn compression_that_is_off(http: &Node, found: &mut Vec<Diagnostic>) {
    for coding in ["gzip", "brotli", "zstd"] {
        let is_on = |node: &Node| node.is(coding) && argument(node, 0) == "on";
        if has_within(http, &is_on) {
            continue;
        }
        let parts = ["types", "comp_level", "min_length", "proxied"].map(|part| format!("{coding}_{part}"));
        let mut first = None;
        for_all(http, &mut |node| {
            if first.is_none() && parts.contains(&node.name.text) {
                first = Some(node.name.clone());
            }
        });
        if let Some(name) = first {
            let message = format!("\"{}\" has no effect: \"{coding}\" is nowhere on", name.text);
            found.push(Diagnostic::warning(name.span, message).with_hint(format!("write \"{coding} on;\"")));
        }
    }
}

fn unused_zones(http: &Node, found: &mut Vec<Diagnostic>) {
    for (declaring, using) in [("limit_req_zone", "limit_req"), ("limit_conn_zone", "limit_conn")] {
        for zone in children(http.children(), declaring) {
            let named = |word: &str| word.strip_prefix("zone=").map(str::to_owned);
            let Some(parameter) = zone.args.iter().find_map(|word| named(&word.text)) else { continue };
            let name = parameter.split(':').next().unwrap_or_default();
            let uses = |node: &Node| {
                node.is(using)
                    && node.args.iter().any(|word| word.text.strip_prefix("zone=").unwrap_or(&word.text) == name)
            };
            if !has_within(http, &uses) {
                let message = format!("\"{declaring}\" limits nothing: no \"{using}\" names the zone \"{name}\"");
                found.push(
                    Diagnostic::warning(zone.name.span, message)
                        .with_hint(format!("write \"{using}\" where it is to hold")),
                );
            }
        }
    }
}

fn for_all<'a>(block: &'a Node, visit: &mut dyn FnMut(&'a Node)) {
    for node in block.children() {
        visit(node);
        for_all(node, visit);
    }
}
