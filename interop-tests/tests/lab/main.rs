//! Two real daemons in the lab, under every failure; and the lab itself.
//!
//! Each test runs in namespaces of its own, and is skipped with a line that says why where
//! there can be none. What is asserted: every byte arrives and is right, no flow is reset or
//! stuck, and nothing stands still for so long that plain waiting would have done. The bars of a
//! quiet machine are measured by the program `lab`.

mod crash;
mod failures;
mod network;
mod programs;
mod systems;
mod weather;

/// Runs an async body in the lab.
macro_rules! in_the_lab {
    ($module:literal, $name:ident, $body:expr) => {
        #[test]
        fn $name() -> interop_tests::support::Outcome {
            let name = concat!($module, "::", stringify!($name));
            if !interop_tests::lab::enter::enter_test(name)? {
                return Ok(());
            }
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build()?.block_on($body)
        }
    };
}
pub(crate) use in_the_lab;
