//! The rewrite phases, of the server and of the location: `set`, `rewrite`, `if`, `break` and `return`, in the order in which a
//! block has them.

mod condition;
mod program;
mod return_code;
mod rule;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Directive};
use daemun_server::config::{HTTP_SERVER_LOCATION, inherit, setter};
use daemun_server::module::nothing_to_finish;
use daemun_server::{Handler, Module, Outcome, Phase, Request};

use condition::Condition;
use program::{Code, Conditional, Run};
use rule::Rule;

/// Named once, in the program's list of modules.
pub static MODULE: Module<Rewrite> = Module {
    name: "rewrite",
    directives: DIRECTIVES,
    merge: |parent, child| inherit!(parent, child; log), // Nothing else is inherited.
    finish: nothing_to_finish,
    is_active: |conf| !conf.program.is_empty(),
    phases: &[(Phase::ServerRewrite, Handler::Sync(rewrite_server)), (Phase::Rewrite, Handler::Sync(rewrite_location))],
    filters: &[],
    variables: &[],
};

/// Settings of one block.
#[derive(Default)]
pub struct Rewrite {
    program: Vec<Code>,
    log: Option<bool>,
}

const BLOCKS: Context = Context::SERVER.or(Context::LOCATION);
const WITH_IF: Context = BLOCKS.or(Context::IF_IN_SERVER).or(Context::IF_IN_LOCATION);

/// The directives that make the program.
const DIRECTIVES: &[Directive<Rewrite>] = &[
    Directive {
        name: "return",
        contexts: WITH_IF,
        arity: Arity::Between(1, 2),
        default: "none",
        help: "code [text|URL] | URL: ends the request; 444 closes the connection without an answer",
        set: |conf, arguments| {
            conf.program.push(Code::Return(return_code::read(arguments)?));
            Ok(())
        },
    },
    Directive {
        name: "rewrite",
        contexts: WITH_IF,
        arity: Arity::Between(2, 3),
        default: "none",
        help: "regex replacement [last|break|redirect|permanent]: changes the path, or sends the client elsewhere",
        set: |conf, arguments| {
            conf.program.push(Code::Rewrite(Rule::read(arguments)?));
            Ok(())
        },
    },
    Directive {
        name: "break",
        contexts: WITH_IF,
        arity: Arity::Exactly(0),
        default: "none",
        help: "ends the rewriting of this block",
        set: |conf, _| {
            conf.program.push(Code::Break);
            Ok(())
        },
    },
    Directive {
        name: "if",
        contexts: BLOCKS,
        arity: Arity::Block { min: 1, max: u8::MAX },
        default: "none",
        help: "(condition) block: what holds for requests of which the condition is true",
        set: set_if,
    },
    Directive {
        name: "set",
        contexts: WITH_IF,
        arity: Arity::Exactly(2),
        default: "none",
        help: "$variable value: gives a variable a value",
        set: set_variable,
    },
    Directive {
        name: "rewrite_log",
        contexts: HTTP_SERVER_LOCATION.or(Context::IF_IN_SERVER).or(Context::IF_IN_LOCATION),
        arity: Arity::Flag,
        default: "off",
        help: "on|off: what rewrites do is logged at the level notice",
        set: |conf, arguments| {
            let value = arguments.flag(0)?;
            arguments.set_once(&mut conf.log, value)
        },
    },
];

fn set_variable(conf: &mut Rewrite, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let name = arguments.text(0)?.to_owned();
    let target = setter::assignable(arguments, 0)?;
    conf.program.push(Code::Set { name, target, value: setter::template(arguments, 1)? });
    Ok(())
}

/// The block's own program is read here; the server takes its other settings as those of a location without a name.
fn set_if(conf: &mut Rewrite, arguments: &mut Arguments<'_>) -> Result<(), ArgumentError> {
    let condition = Condition::read(arguments)?;
    let words: Vec<_> = arguments.words().iter().map(|word| word.text.as_str()).collect();
    let text = words.join(" ").trim_start_matches('(').trim_end_matches(')').trim().to_owned();
    let mut inner = Rewrite::default();
    // The server reads these nodes once more, with its own place for messages.
    let mut said_elsewhere = Vec::new();
    for node in arguments.block().unwrap_or_default() {
        let directive = DIRECTIVES.iter().find(|directive| node.is(directive.name));
        let directive = directive.filter(|directive| directive.contexts.intersects(Context::IF_IN_LOCATION));
        if let Some(directive) = directive {
            let _ = directive.apply(node, Context::IF_IN_LOCATION, &mut inner, &mut said_elsewhere);
        }
    }
    let number = conf.program.iter().filter(|code| matches!(code, Code::If(_))).count();
    conf.program.push(Code::If(Conditional { condition, text, program: inner.program, number, log: inner.log }));
    Ok(())
}

fn rewrite_server(conf: &Rewrite, request: &mut Request) -> Outcome {
    let mut run = Run::of_server(conf.log.unwrap_or(false) || request.is_explained());
    run.finish(&conf.program, request)
}

/// Where no location fits, the server's own settings stand in for one; its rewrites have had their turn then.
fn rewrite_location(conf: &Rewrite, request: &mut Request) -> Outcome {
    if request.location == request.server().settings {
        return Outcome::Continue;
    }
    let mut run = Run::of_location(conf.log.unwrap_or(false) || request.is_explained(), request.location);
    run.finish(&conf.program, request)
}
