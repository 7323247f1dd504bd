//! A module: its directives, its handlers and its filters, as data.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments, Arity, Context, Diagnostic, Directive};
use daemun_http::ResponseHead;

use crate::config::Build;
use crate::phase::{Handler, LocalFuture, Origin, Outcome, Phase, Plan, Step};
use crate::request::Request;
use crate::response::Response;
use crate::variable::Variable;

/// A feature. One `static` of this type per file of the `modules`, `proxy` and `app` crates; the program
/// lists them all once, and that order is the order of steps within a phase and of filters.
pub struct Module<C: 'static> {
    /// The name, as nginx's documentation has it without `ngx_` and `_module`.
    pub name: &'static str,
    /// What the configuration may say.
    pub directives: &'static [Directive<C>],
    /// Fills what `child` leaves unset from the enclosing block.
    pub merge: fn(parent: &C, child: &mut C),
    /// Resolves names once the whole configuration is read; runs for each block after `merge`.
    pub finish: fn(&mut C, &mut Build<'_>) -> Result<(), Diagnostic>,
    /// Whether the handlers and filters have anything to do with these settings. Those of a server or location where it is false
    /// are shared by the blocks within that say nothing to the module: `merge` and `finish` do not run for these.
    pub is_active: fn(&C) -> bool,
    /// Handlers by phase.
    pub phases: &'static [(Phase, Handler<C>)],
    /// Changes answers on their way out.
    pub filters: &'static [Filter<C>],
    /// Variables that the module defines.
    pub variables: &'static [Variable],
}

/// Changes an answer: its head, and its body by wrapping it.
pub type Filter<C> = fn(&C, &mut Request, Box<Response>) -> Box<Response>;

/// For [`Module::finish`] of a module that names nothing.
///
/// # Errors
/// None.
pub fn nothing_to_finish<C>(_: &mut C, _: &mut Build<'_>) -> Result<(), Diagnostic> {
    Ok(())
}

/// A filter bound to the settings of one location.
pub trait BoundFilter: Send + Sync {
    /// The module it is of.
    fn name(&self) -> &'static str;

    /// Changes `response`.
    fn apply(&self, request: &mut Request, response: Box<Response>) -> Box<Response>;
}

/// Settings of one module in one block, their type forgotten.
pub type Settings = Arc<dyn Any + Send + Sync>;

/// Settings while the block is still being read.
pub type OpenSettings = Box<dyn Any + Send + Sync>;

/// What a directive's entry says, its type forgotten: the source of the manual and of suggestions.
#[derive(Clone, Copy, Debug)]
pub struct DirectiveEntry {
    /// The directive's name.
    pub name: &'static str,
    /// Where it may stand.
    pub contexts: Context,
    /// How many arguments it takes.
    pub arity: Arity,
    /// What holds when it is not given.
    pub default: &'static str,
    /// One line for the manual.
    pub help: &'static str,
}

/// A [`Module`] with its settings' type forgotten.
pub trait AnyModule: Sync {
    /// See [`Module::name`].
    fn name(&self) -> &'static str;
    /// The directives, in the order that [`AnyModule::set`] counts them.
    fn directives(&self) -> Vec<DirectiveEntry>;
    /// The variables.
    fn variables(&self) -> &'static [Variable];
    /// Applies directive number `index` to the settings of a block.
    ///
    /// # Errors
    /// What the directive's setter says of its arguments.
    fn set(
        &self,
        index: usize,
        settings: &mut Option<OpenSettings>,
        arguments: &mut Arguments<'_>,
    ) -> Result<(), ArgumentError>;
    /// Closes a block: merges, finishes.
    ///
    /// # Errors
    /// What [`Module::finish`] says.
    fn close(
        &self,
        parent: Option<&Settings>,
        open: Option<OpenSettings>,
        build: &mut Build<'_>,
    ) -> Result<Settings, Diagnostic>;
    /// Adds the handlers to a location's plan and its filters to the list.
    fn plan(&self, settings: &Settings, plan: &mut Plan, filters: &mut Vec<Box<dyn BoundFilter>>);
}

impl<C: Default + Send + Sync + 'static> Module<C> {
    /// The module's filters by settings that say nothing, for what no configuration speaks of.
    pub fn unset_filters(&self) -> Vec<Box<dyn BoundFilter>> {
        let settings = Arc::new(C::default());
        let bound = |filter: &Filter<C>| -> Box<dyn BoundFilter> {
            Box::new(BoundFilterFunction { name: self.name, settings: Arc::clone(&settings), filter: *filter })
        };
        self.filters.iter().map(bound).collect()
    }
}

impl<C: Default + Send + Sync + 'static> AnyModule for Module<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn directives(&self) -> Vec<DirectiveEntry> {
        entries(self.directives)
    }

    fn variables(&self) -> &'static [Variable] {
        self.variables
    }

    fn set(
        &self,
        index: usize,
        settings: &mut Option<OpenSettings>,
        arguments: &mut Arguments<'_>,
    ) -> Result<(), ArgumentError> {
        let settings = settings.get_or_insert_with(|| Box::new(C::default()));
        let typed = settings.downcast_mut::<C>().expect("settings of a block are made by the module that reads them");
        (self.directives[index].set)(typed, arguments)
    }

    fn close(
        &self,
        parent: Option<&Settings>,
        open: Option<OpenSettings>,
        build: &mut Build<'_>,
    ) -> Result<Settings, Diagnostic> {
        let is_content = self.phases.iter().any(|(phase, _)| *phase == Phase::Content);
        if let (None, Some(parent), Context::IF_IN_LOCATION, true) = (&open, parent, build.context(), is_content) {
            return Ok(Arc::clone(parent)); // Who answers in a location answers in its `if` blocks.
        }
        let is_inner = !build.context().intersects(Context::MAIN.or(Context::HTTP).or(Context::SERVER));
        if let (None, Some(parent), true) = (&open, parent, is_inner)
            && !parent.downcast_ref().is_some_and(self.is_active)
        {
            // Thousands of locations have nothing to do with most modules.
            return Ok(Arc::clone(parent));
        }
        // A block that says nothing has settings of its own all the same: what is not inherited stays behind.
        let mut settings = match open {
            Some(open) => *open.downcast::<C>().expect("settings of a block are made by the module that reads them"),
            None => C::default(),
        };
        if let Some(parent) = parent {
            let parent = parent.downcast_ref::<C>().expect("parent settings are the module's own");
            (self.merge)(parent, &mut settings);
        }
        (self.finish)(&mut settings, build)?;
        Ok(Arc::new(settings))
    }

    fn plan(&self, settings: &Settings, plan: &mut Plan, filters: &mut Vec<Box<dyn BoundFilter>>) {
        let typed = Arc::clone(settings).downcast::<C>().expect("settings are the module's own");
        if !(self.is_active)(&typed) {
            return;
        }
        for (phase, handler) in self.phases {
            plan.push(
                *phase,
                Box::new(BoundHandler { name: self.name, settings: Arc::clone(&typed), handler: *handler }),
            );
        }
        for filter in self.filters {
            filters.push(Box::new(BoundFilterFunction {
                name: self.name,
                settings: Arc::clone(&typed),
                filter: *filter,
            }));
        }
    }
}

/// The untyped view of a directive table.
pub(crate) fn entries<C>(directives: &'static [Directive<C>]) -> Vec<DirectiveEntry> {
    let entry = |directive: &'static Directive<C>| DirectiveEntry {
        name: directive.name,
        contexts: directive.contexts,
        arity: directive.arity,
        default: directive.default,
        help: directive.help,
    };
    directives.iter().map(entry).collect()
}

struct BoundHandler<C: 'static> {
    name: &'static str,
    settings: Arc<C>,
    handler: Handler<C>,
}

impl<C: Send + Sync> Step for BoundHandler<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&self, request: &mut Request) -> Option<Outcome> {
        match self.handler {
            Handler::Sync(handler) => Some(handler(&self.settings, request)),
            Handler::Async(_) | Handler::Origin(_) => None,
        }
    }

    fn start<'a>(&'a self, request: &'a mut Request) -> LocalFuture<'a, Outcome> {
        match self.handler {
            Handler::Sync(handler) => {
                let outcome = handler(&self.settings, request);
                Box::pin(std::future::ready(outcome))
            }
            Handler::Async(handler) | Handler::Origin(Origin { ask: handler, .. }) => handler(&self.settings, request),
        }
    }

    fn write_key(&self, request: &mut Request, out: &mut Vec<u8>) -> bool {
        match &self.handler {
            Handler::Origin(origin) => (origin.key)(&self.settings, request, out),
            Handler::Sync(_) | Handler::Async(_) => false,
        }
    }

    fn accept(&self, head: &Rc<ResponseHead>, request: &mut Request) -> Outcome {
        match &self.handler {
            Handler::Origin(origin) => (origin.accept)(&self.settings, head, request),
            Handler::Sync(_) | Handler::Async(_) => Outcome::Continue,
        }
    }
}

/// Makes of the settings of a location and the handler that is held the one that takes its place.
pub type Hold<C> = fn(Arc<C>, Box<dyn Step>) -> Box<dyn Step>;

/// A module that holds the content handler of another one: what it makes of that handler stands in its place. In the program's
/// list it follows the other.
pub struct Holder<C: 'static> {
    /// The module itself.
    pub module: Module<C>,
    /// Whose handler it holds.
    pub holds: &'static str,
    /// Makes the handler that takes the other's place.
    pub hold: Hold<C>,
}

impl<C: Default + Send + Sync + 'static> AnyModule for Holder<C> {
    fn name(&self) -> &'static str {
        self.module.name()
    }

    fn directives(&self) -> Vec<DirectiveEntry> {
        self.module.directives()
    }

    fn variables(&self) -> &'static [Variable] {
        self.module.variables()
    }

    fn set(
        &self,
        index: usize,
        settings: &mut Option<OpenSettings>,
        arguments: &mut Arguments<'_>,
    ) -> Result<(), ArgumentError> {
        self.module.set(index, settings, arguments)
    }

    fn close(
        &self,
        parent: Option<&Settings>,
        open: Option<OpenSettings>,
        build: &mut Build<'_>,
    ) -> Result<Settings, Diagnostic> {
        self.module.close(parent, open, build)
    }

    fn plan(&self, settings: &Settings, plan: &mut Plan, filters: &mut Vec<Box<dyn BoundFilter>>) {
        self.module.plan(settings, plan, filters);
        let typed = Arc::clone(settings).downcast::<C>().expect("settings are the module's own");
        if (self.module.is_active)(&typed) {
            plan.wrap(Phase::Content, self.holds, |held| (self.hold)(typed, held));
        }
    }
}

struct BoundFilterFunction<C: 'static> {
    name: &'static str,
    settings: Arc<C>,
    filter: Filter<C>,
}

impl<C: Send + Sync> BoundFilter for BoundFilterFunction<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn apply(&self, request: &mut Request, response: Box<Response>) -> Box<Response> {
        (self.filter)(&self.settings, request, response)
    }
}
