//! The built program, used as a person uses it.

mod codes;
mod configuration;
mod guides;
mod initial;
mod keys;
mod manual;
mod program;
mod running;
