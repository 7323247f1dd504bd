//! Zones: state with a name that all threads share and that lives on when the configuration is replaced.
//!
//! What a zone holds is its module's business. Here is who declared which name for what, so that a new runtime takes over
//! what an earlier one knew.

use std::any::Any;
use std::sync::Arc;

use daemun_conf::{Diagnostic, Span};

/// The zones of one runtime.
#[derive(Clone, Default)]
pub struct Zones {
    zones: Vec<Zone>,
}

#[derive(Clone)]
struct Zone {
    name: Box<str>,
    owner: &'static str,
    octets: u64,
    state: Arc<dyn Any + Send + Sync>,
}

/// A zone as a directive declares it.
#[derive(Clone, Copy, Debug)]
pub struct ZoneName<'a> {
    /// Its name, one for all modules.
    pub name: &'a str,
    /// The directive that gives it its use.
    pub owner: &'static str,
    /// What its state may take, in octets.
    pub octets: u64,
    /// Where it is declared.
    pub span: Span,
}

impl Zones {
    /// The state of a new zone: that of `earlier` where name, use and size are the same.
    ///
    /// # Errors
    /// When the name is taken, in nginx's words.
    pub fn declare<T: Any + Send + Sync>(
        &mut self,
        name: &ZoneName<'_>,
        earlier: &Self,
        make: impl FnOnce() -> T,
    ) -> Result<Arc<T>, Diagnostic> {
        if let Some(known) = self.find(name.name) {
            let shown = name.name;
            let message = if known.owner == name.owner {
                format!("{} \"{shown}\" is declared twice", name.owner)
            } else {
                format!("the shared memory zone \"{shown}\" is already declared for a different use")
            };
            return Err(Diagnostic::error(name.span, message));
        }
        let same = earlier.find(name.name).filter(|zone| zone.owner == name.owner && zone.octets == name.octets);
        let state = same.and_then(|zone| Arc::clone(&zone.state).downcast().ok()).unwrap_or_else(|| Arc::new(make()));
        self.zones.push(Zone {
            name: name.name.into(),
            owner: name.owner,
            octets: name.octets,
            state: Arc::<T>::clone(&state),
        });
        Ok(state)
    }

    fn find(&self, name: &str) -> Option<&Zone> {
        self.zones.iter().find(|zone| &*zone.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{ZoneName, Zones};

    fn named<'a>(name: &'a str, owner: &'static str, octets: u64) -> ZoneName<'a> {
        let parsed = daemun_conf::parse_text("test", "zone;");
        ZoneName { name, owner, octets, span: parsed.tree[0].name.span }
    }

    #[test]
    fn a_zone_of_the_same_name_use_and_size_lives_on() {
        let mut first = Zones::default();
        let state = first.declare(&named("one", "a_zone", 64), &Zones::default(), || 1_u32).expect("declared");
        let mut second = Zones::default();
        let same = second.declare(&named("one", "a_zone", 64), &first, || 2_u32).expect("declared");
        assert!(Arc::ptr_eq(&state, &same));
        for other in [named("one", "a_zone", 65), named("one", "b_zone", 64), named("two", "a_zone", 64)] {
            let made = Zones::default().declare(&other, &first, || 2_u32).expect("declared");
            assert_eq!(*made, 2, "{other:?}");
        }
    }

    #[test]
    fn a_name_stands_for_one_zone() {
        let mut zones = Zones::default();
        zones.declare(&named("one", "a_zone", 64), &Zones::default(), || 1_u32).expect("declared");
        for owner in ["a_zone", "b_zone"] {
            assert!(zones.declare(&named("one", owner, 64), &Zones::default(), || 1_u32).is_err());
        }
    }
}
