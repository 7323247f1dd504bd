//! Directives as data: what is said about place, end, number and kind of their words.

use std::time::Duration;

use daemun_conf::{
    Arguments, Arity, Context, Diagnostic, Directive, Node, Parsed, parse_text, render_all, unknown_directive,
};

#[derive(Debug, Default, PartialEq)]
struct Settings {
    flag: Option<bool>,
    number: u64,
    size: u64,
    offset: u64,
    time: Duration,
    seconds: Duration,
    color: Option<u8>,
    depth: usize,
}

static DIRECTIVES: &[Directive<Settings>] = &[
    Directive {
        name: "flag",
        contexts: Context::MAIN,
        arity: Arity::Flag,
        default: "off",
        help: "on | off: whether it holds",
        set: |settings, arguments| arguments.set_once(&mut settings.flag, arguments.flag(0)?),
    },
    Directive {
        name: "number",
        contexts: Context::ANY,
        arity: Arity::Exactly(1),
        default: "1",
        help: "number: from 1 to 10",
        set: |settings, arguments| {
            settings.number = arguments.number(0, 1..=10)?;
            if settings.number == 10 {
                arguments.warn_at(0, "10 is much");
            }
            Ok(())
        },
    },
    Directive {
        name: "quantities",
        contexts: Context::MAIN.or(Context::HTTP),
        arity: Arity::Between(1, 4),
        default: "",
        help: "size, offset, time, seconds",
        set: |settings, arguments| {
            settings.size = arguments.size(0)?;
            settings.offset = arguments.offset(1)?;
            settings.time = arguments.time(2)?;
            settings.seconds = arguments.seconds(3)?;
            Ok(())
        },
    },
    Directive {
        name: "color",
        contexts: Context::HTTP.or(Context::SERVER),
        arity: Arity::OneOf(&[1, 3]),
        default: "red",
        help: "red | green",
        set: |settings, arguments| {
            settings.color = Some(arguments.choice(0, &[("red", 1), ("green", 2)])?);
            Ok(())
        },
    },
    Directive {
        name: "http",
        contexts: Context::MAIN,
        arity: Arity::Block { min: 0, max: 0 },
        default: "",
        help: "a block",
        set: |settings, arguments: &mut Arguments<'_>| {
            settings.depth += 1;
            let nodes = arguments.block().unwrap_or_default();
            apply(nodes, Context::HTTP, settings, arguments.diagnostics());
            Ok(())
        },
    },
];

fn apply(nodes: &[Node], current: Context, settings: &mut Settings, diagnostics: &mut Vec<Diagnostic>) {
    for node in nodes {
        let Some(directive) = DIRECTIVES.iter().find(|directive| node.is(directive.name)) else {
            diagnostics.push(unknown_directive(node, DIRECTIVES.iter().map(|directive| directive.name)));
            continue;
        };
        if let Err(diagnostic) = directive.apply(node, current, settings, diagnostics) {
            diagnostics.push(diagnostic);
        }
    }
}

fn read(text: &str) -> (Settings, String) {
    let Parsed { tree, sources, diagnostics: mut all } = parse_text("x.conf", text);
    let mut settings = Settings::default();
    apply(&tree, Context::MAIN, &mut settings, &mut all);
    (settings, render_all(&all, &sources))
}

#[test]
fn right_words() {
    let (settings, messages) = read("flag ON; quantities 8k 75m 1m30s 30d; http { color Green a b; number 3; }");
    assert_eq!(messages, "");
    assert_eq!(
        settings,
        Settings {
            flag: Some(true),
            number: 3,
            size: 8192,
            offset: 75 << 20,
            time: Duration::from_secs(90),
            seconds: Duration::from_secs(30 * 86_400),
            color: Some(2),
            depth: 1,
        }
    );
}

#[test]
fn wrong_words() {
    let text = "\
flag on;
flag off;
flag maybe;
flag on off;
flag { }
numbr 5;
number x;
number 0;
number 11;
number 10;
number -1;
number 99999999999999999999;
number
quantities 1 1 1 1;
quantities 1g;
quantities 1k 1t;
quantities 1k 1g soon;
quantities 1k 1g 1ms 1ms;
quantities 1k;
color red;
http;
http x { }
http {
    flag on;
    color gren;
    color blue;
    color red green;
    http { }
}
";
    let (_, messages) = read(text);
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("directives_wrong_words", format!("{text}--------\n{messages}"));
    });
}

#[test]
fn arities_in_words() {
    let words: Vec<String> = [
        Arity::Exactly(0),
        Arity::Exactly(2),
        Arity::Between(1, 2),
        Arity::Between(1, 3),
        Arity::AtLeast(1),
        Arity::OneOf(&[1, 3]),
        Arity::Flag,
        Arity::Block { min: 1, max: u8::MAX },
        Arity::Block { min: 1, max: 1 },
    ]
    .map(Arity::describe)
    .into();
    assert_eq!(
        words,
        [
            "no arguments",
            "2 arguments",
            "1 or 2 arguments",
            "1 to 3 arguments",
            "1 argument or more",
            "1 or 3 arguments",
            "\"on\" or \"off\"",
            "1 argument or more",
            "1 argument"
        ]
    );
}
