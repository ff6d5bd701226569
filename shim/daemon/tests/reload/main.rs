//! The built program reloads its configuration under load: what is untouched does not notice, what is refused
//! changes nothing, and what is removed ends.

mod changes;
mod hook;
mod http;
mod keys;
mod load;
mod refused;
mod site;
mod storm;
mod unix;
mod web;
