//! Refusals of a prefix location that a location with an expression takes requests away from.

use daemun_conf::{Diagnostic, Node, Span};
use daemun_server::Pattern;
use daemun_server::config::read_matcher;
use daemun_server::pattern::example_path;
use daemun_server::route::{LocationTree, Matcher};
use daemun_server::runtime::LocationId;

use super::{Review, argument, children, location_name};

/// Ways in which a block keeps clients out, and where it says so.
#[derive(Clone, Copy, Default)]
struct Guards {
    rules: Option<Span>,
    password: Option<Span>,
    subrequest: Option<Span>,
    /// `internal`, or `return` with a refusal: nobody gets in.
    closed: Option<Span>,
}

/// A location of one server.
struct Place<'a> {
    node: &'a Node,
    name: String,
    /// The expression of a location that has one and stands at the server's level.
    expression: Option<Pattern>,
    /// Whether requests may be taken away from it.
    is_open_prefix: bool,
    own: Guards,
    in_force: Guards,
    /// Whether the block itself says whom it lets in.
    is_deliberate: bool,
}

pub(super) fn review(review: &Review<'_>, found: &mut Vec<Diagnostic>) {
    let around = Guards::default().within(review.http);
    for server in children(review.http.children(), "server") {
        let mut places = Vec::new();
        let mut entries = Vec::new();
        collect(server, around.within(server), None, &mut places, &mut entries);
        let tree = LocationTree::new(entries);
        for guarded in places.iter().filter(|place| place.is_open_prefix && place.own.is_any()) {
            for (at, other) in places.iter().enumerate() {
                found.extend(bypassed(review, guarded, other, at, &tree));
            }
        }
    }
}

type Entry = (Matcher, LocationId, Option<String>);

fn collect<'a>(
    block: &'a Node,
    around: Guards,
    within: Option<&str>,
    places: &mut Vec<Place<'a>>,
    entries: &mut Vec<Entry>,
) {
    for node in children(block.children(), "location") {
        let Ok((Some(matcher), name)) = read_matcher(node, None) else { continue };
        let Ok(number) = u32::try_from(places.len()) else { return };
        let expression = match &matcher {
            Matcher::Regex(pattern) if within.is_none() => Some(pattern.clone()),
            _ => None,
        };
        let is_prefix = matches!(matcher, Matcher::Prefix { .. });
        let in_force = around.within(node);
        places.push(Place {
            node,
            name: name.clone(),
            expression,
            is_open_prefix: matches!(matcher, Matcher::Prefix { is_final: false, .. }),
            own: Guards::default().within(node),
            in_force,
            is_deliberate: ["allow", "satisfy"].iter().any(|word| children(node.children(), word).next().is_some())
                || node.children().iter().any(|node| node.name.text.starts_with("auth_") && argument(node, 0) == "off"),
        });
        entries.push((matcher, LocationId(number), within.map(str::to_owned)));
        collect(node, in_force, if is_prefix { Some(&name) } else { within }, places, entries);
    }
}

impl Guards {
    /// What holds in a block inside of one where `self` holds.
    fn within(self, block: &Node) -> Self {
        let nodes = block.children();
        let first = |name: &'static str| children(nodes, name).next();
        let switch = |name, outer| match first(name) {
            Some(node) if argument(node, 0) == "off" => None,
            Some(node) => Some(node.name.span),
            None => outer,
        };
        let has_rules = first("allow").or_else(|| first("deny")).is_some();
        let refusal = children(nodes, "return").find(|node| {
            let code = argument(node, 0).parse::<u16>();
            node.args.len() == 1 && code.is_ok_and(|code| (400..500).contains(&code))
        });
        Self {
            rules: if has_rules { first("deny").map(|node| node.name.span) } else { self.rules },
            password: switch("auth_basic", self.password),
            subrequest: switch("auth_request", self.subrequest),
            closed: first("internal").or(refusal).map(|node| node.name.span),
        }
    }

    fn is_any(self) -> bool {
        self.kinds().iter().any(|(_, span)| span.is_some())
    }

    fn kinds(self) -> [(&'static str, Option<Span>); 4] {
        [
            ("deny", self.rules),
            ("auth_basic", self.password),
            ("auth_request", self.subrequest),
            ("internal or return", self.closed),
        ]
    }

    /// What `self` has and `other`, where the requests go instead, has not.
    fn lost_in(self, other: Self) -> Option<Span> {
        if other.closed.is_some() {
            return None;
        }
        let pairs = self.kinds().into_iter().zip(other.kinds());
        pairs.into_iter().find_map(|((_, own), (_, theirs))| own.filter(|_| theirs.is_none()))
    }
}

fn bypassed(
    review: &Review<'_>,
    guarded: &Place<'_>,
    other: &Place<'_>,
    at: usize,
    tree: &LocationTree,
) -> Option<Diagnostic> {
    let expression = other.expression.as_ref()?;
    let span = guarded.own.lost_in(other.in_force).filter(|_| !other.is_deliberate)?;
    // Who opens one part of a site that is closed otherwise means it.
    if guarded.name == "/" && expression.text().trim_start_matches("(?i)").starts_with('^') {
        return None;
    }
    let id = u32::try_from(at).ok().map(LocationId)?;
    let path = example_path(expression, guarded.name.as_bytes(), |path| tree.find(path) == Some(id))?;
    let guard = guarded.node.children().iter().find(|node| node.name.span == span)?;
    let (ours, theirs) = (location_name(guarded.node), location_name(other.node));
    let (shown, place) = (String::from_utf8_lossy(&path), review.place(other.node.name.span));
    let message = format!(
        "\"{}\" of \"{ours}\" does not hold for \"{shown}\": \"{theirs}\" ({place}) takes it, for expressions go before prefixes",
        guard.name.text
    );
    let hint = format!("write \"location ^~ {}\", or say the same in \"{theirs}\"", guarded.name);
    Some(Diagnostic::warning(span, message).with_hint(hint))
}
