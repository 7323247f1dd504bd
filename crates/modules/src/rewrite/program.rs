//! The rewriting of one block, step by step.

use std::rc::Rc;

use daemun_server::runtime::LocationId;
use daemun_server::variable::Assignable;
use daemun_server::{Outcome, Request, Template};

use super::condition::Condition;
use super::return_code::Ending;
use super::rule::{Rule, Then};

/// One directive.
pub(super) enum Code {
    Set { name: String, target: Assignable, value: Template },
    Rewrite(Rule),
    If(Conditional),
    Break,
    Return(Ending),
}

/// An `if` block.
pub(super) struct Conditional {
    pub condition: Condition,
    /// As written, without its parentheses.
    pub text: String,
    pub program: Vec<Code>,
    /// Its number among the `if` blocks of its location.
    pub number: usize,
    /// Its own `rewrite_log`.
    pub log: Option<bool>,
}

/// What follows a step.
pub(super) enum Flow {
    /// The next step.
    Next,
    /// No further step of the block, nor of the blocks around it.
    Stop,
    /// The request is somewhere else.
    End(Outcome),
}

/// One run through a block.
pub(super) struct Run {
    /// The location, where the block is one; its `if` blocks stand in its place.
    location: Option<LocationId>,
    /// Whether the path is another and its location is to be looked for.
    is_changed: bool,
    /// `rewrite_log`.
    is_logged: bool,
}

impl Run {
    pub(super) fn of_server(is_logged: bool) -> Self {
        Self { location: None, is_changed: false, is_logged }
    }

    pub(super) fn of_location(is_logged: bool, location: LocationId) -> Self {
        Self { location: Some(location), is_changed: false, is_logged }
    }

    /// Runs the whole block.
    pub(super) fn finish(&mut self, program: &[Code], request: &mut Request) -> Outcome {
        match self.run(program, request) {
            Flow::End(outcome) => outcome,
            // After the server's block the location is looked for in any case.
            Flow::Next | Flow::Stop if self.is_changed && self.location.is_some() => Outcome::Relocate,
            Flow::Next | Flow::Stop => Outcome::Continue,
        }
    }

    fn run(&mut self, program: &[Code], request: &mut Request) -> Flow {
        for code in program {
            match self.step(code, request) {
                Flow::Next => {}
                flow => return flow,
            }
        }
        Flow::Next
    }

    fn step(&mut self, code: &Code, request: &mut Request) -> Flow {
        match code {
            Code::Set { name, target, value } => {
                let value = value.value(request);
                request.note(format_args!("set {name} to \"{}\"", String::from_utf8_lossy(&value)));
                target.assign(request, value);
                Flow::Next
            }
            Code::Rewrite(rule) => match rule.apply(request, self.is_logged) {
                Then::NoMatch => Flow::Next,
                Then::End(outcome) => Flow::End(outcome),
                Then::Changed => {
                    self.is_changed = !rule.is_break;
                    if rule.is_last { Flow::Stop } else { Flow::Next }
                }
            },
            Code::If(conditional) => {
                let is_true = conditional.condition.holds(request, self.is_logged);
                request.note(format_args!("if ({}): {}", conditional.text, if is_true { "yes" } else { "no" }));
                if !is_true {
                    return Flow::Next;
                }
                self.enter(conditional, request);
                let around = self.is_logged;
                self.is_logged = conditional.log.unwrap_or(around);
                let flow = self.run(&conditional.program, request);
                self.is_logged = around;
                flow
            }
            Code::Break => {
                request.note(format_args!("break"));
                self.is_changed = false;
                request.is_location_intact = false;
                Flow::Stop
            }
            Code::Return(ending) => {
                request.note(format_args!("return"));
                Flow::End(ending.end(request))
            }
        }
    }

    fn enter(&self, conditional: &Conditional, request: &mut Request) {
        let Some(location) = self.location else { return };
        let runtime = Rc::clone(&request.runtime);
        if let Some(inner) = runtime.location(location).conditionals.get(conditional.number) {
            request.location = *inner;
        }
    }
}
