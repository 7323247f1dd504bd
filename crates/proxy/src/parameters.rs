//! The variables that a request becomes for a server of the CGI family: those of `..._param`, then the request's fields.

use std::sync::Arc;

use daemun_conf::{ArgumentError, Arguments};
use daemun_gateway::variable::{Full, VariableId, VariableName, VariableSink};
use daemun_server::Request;
use daemun_server::Template;
use daemun_server::config::setter;

/// The `..._param` of one location.
#[derive(Clone, Default)]
pub struct Parameters(Option<Arc<Vec<Parameter>>>);

/// One of them.
struct Parameter {
    name: Vec<u8>,
    id: Option<VariableId>,
    value: Template,
    /// Left out when its value is empty.
    if_not_empty: bool,
}

impl Parameters {
    /// Those of the enclosing block, where this one says nothing.
    pub fn inherit(&mut self, parent: &Self) {
        if self.0.is_none() {
            self.0.clone_from(&parent.0);
        }
    }

    /// Reads one: `name value [if_not_empty]`.
    ///
    /// # Errors
    /// For an unknown variable or parameter.
    pub fn add(&mut self, arguments: &Arguments<'_>) -> Result<(), ArgumentError> {
        let if_not_empty = arguments.len() == 3;
        if if_not_empty && arguments.text(2)? != "if_not_empty" {
            return Err(arguments.invalid_parameter(2));
        }
        let name = arguments.text(0)?.as_bytes().to_vec();
        let value = setter::template(arguments, 1)?;
        let parameter = Parameter { id: VariableId::of(&name), name, value, if_not_empty };
        match Arc::get_mut(self.0.get_or_insert_default()) {
            Some(list) => list.push(parameter),
            None => return Err(ArgumentError::new(None, "parameters are shared before their block is closed")),
        }
        Ok(())
    }

    /// Gives the variables to `sink`; the request's fields, `with_fields`, only where no parameter stands for them.
    ///
    /// # Errors
    /// [`Full`] when they are larger than what carries them.
    pub fn write(&self, request: &Request, with_fields: bool, sink: &mut dyn VariableSink) -> Result<(), Full> {
        let mut value = Vec::with_capacity(64);
        for parameter in self.iter() {
            value.clear();
            parameter.value.render(request, &mut value);
            if parameter.if_not_empty && value.is_empty() {
                continue;
            }
            let name = parameter.id.map_or(VariableName::Literal(&parameter.name), VariableName::Known);
            sink.variable(name, &[&value])?;
        }
        if !with_fields {
            return Ok(());
        }
        daemun_gateway::environment::add_headers(request.passed_headers(), &mut PassedFields { parameters: self, sink })
    }

    fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.0.iter().flat_map(|list| list.iter())
    }

    fn has(&self, name: VariableName<'_>) -> bool {
        match name {
            VariableName::Known(id) => self.iter().filter_map(|parameter| parameter.id).any(|other| other == id),
            other => {
                let mut written = Vec::with_capacity(other.len());
                other.write(&mut written);
                self.iter().filter(|parameter| parameter.id.is_none()).any(|parameter| parameter.name == written)
            }
        }
    }
}

/// Lets through what no parameter stands for.
struct PassedFields<'a> {
    parameters: &'a Parameters,
    sink: &'a mut dyn VariableSink,
}

impl VariableSink for PassedFields<'_> {
    fn variable(&mut self, name: VariableName<'_>, parts: &[&[u8]]) -> Result<(), Full> {
        // CONTENT_TYPE and CONTENT_LENGTH are parameters' business alone.
        if matches!(name, VariableName::Known(VariableId::CONTENT_TYPE | VariableId::CONTENT_LENGTH))
            || self.parameters.has(name)
        {
            return Ok(());
        }
        self.sink.variable(name, parts)
    }
}
