//! The house rules, one file each. Every file has, beside the rule, a test with a sample that breaks it.

pub mod danger;
pub mod dependency;
pub mod direction;
pub mod member;
pub mod name;
pub mod purity;
pub mod size;
pub mod truth;
pub mod unfinished;
pub mod wording;
