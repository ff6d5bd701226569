//! Two nodes on an emulated internet of two ISPs: outages of both, what a session costs while nothing
//! happens, moves, paths that narrow. Each test has the machine to itself, but for those that only
//! wait: outages are long, and begin first (libtest goes by the names).

mod all_down;
mod idle;
mod migration;
mod mtu;
