//! Runs one program in a network of its own, of which everything goes to an ingress of the running daemon.
//!
//! ```text
//! outside: the threads of this process     │ inside: one thread, and the program
//!   ingress ◂─SOCKS5─ connection ◂─ relay ◂─┼─ listener ◂─tproxy─┐
//!   ingress ◂─SOCKS5─ association ◂─────────┼─ socket   ◂─tproxy─┤ every address is local ◂─ program
//!                     DNS answerer ◂────────┼─ sockets  ◂─redirect┘ (port 53)
//! ```
//!
//! **No packet leaves.** The network namespace has nothing but its loopback interface, every address is local to it
//! (`ip route add local default dev lo`), and nftables gives what goes to another than its own to two sockets of this
//! process (`tproxy`). So the program's TCP is the kernel's own at both ends: its half closes, resets, windows and speed
//! are, and there is no second TCP/IP stack that could have them otherwise.
//!
//! **Sockets know no walls.** A socket belongs to the namespace of the thread that made it, and any thread may use it.
//! One thread is `inside`, makes the sockets there and starts the program; all others are where they began and reach
//! the daemon. No descriptor is passed, and no process is left over.
//!
//! **Names** are all given [stand-ins](crate::proxy::names), which come to the ingress as names again: its rules decide,
//! and they are resolved where the flow leaves.
//!
//! A user other than root gets a user namespace first, in which it has the rights for the others, and is itself. The
//! program has none of these rights.

mod child;
mod error;
mod files;
mod ingress;
mod inside;
mod namespaces;
mod shared;
mod tcp;
mod udp;

use std::ffi::OsString;
use std::process::Command as StdCommand;

use tokio::process::Command;

use self::child::Signals;
pub use self::error::ExecError;
pub use self::ingress::Ingress;
use self::inside::Outlets;
use self::shared::Shared;
use crate::proxy::connections::{Descriptors, raise_descriptor_limit};
use crate::proxy::freezer::Freezer;
use crate::proxy::names::{Answerer, Covered, Names};
use crate::proxy::tasks::Tasks;

/// Runs a program with these arguments; returns its exit status, or 128 and the number of the signal that ended it.
///
/// This process has to have a single thread, since a user namespace is a process's.
///
/// # Errors
/// The program has not been started.
pub fn run(ingress: Ingress, command: &[OsString]) -> Result<u8, ExecError> {
    // Before there are threads, which have the same mask.
    let signals = Signals::block()?;
    namespaces::enter()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(ExecError::Runtime)?;
    let status = runtime.block_on(run_inside(ingress, command, signals));
    // A look-up of a name may take longer than anybody wants to wait.
    runtime.shutdown_background();
    status
}

async fn run_inside(
    ingress: Ingress,
    command: &[OsString],
    signals: Signals,
) -> Result<u8, ExecError> {
    ingress.check().await?;
    let (inside, outlets) = inside::begin()?;
    let Some((program, arguments)) = command.split_first() else {
        return Err(ExecError::NoCommand);
    };
    let mut command = StdCommand::new(program);
    command.args(arguments);
    let started = inside.start(Command::from(command), signals).await?;
    let child = started.map_err(|source| ExecError::Command { program: program.into(), source })?;
    // The program has the limit that it would have.
    raise_descriptor_limit();
    let tasks = Tasks::default();
    serve(
        &Shared {
            ingress,
            inside,
            names: Names::default(),
            descriptors: Descriptors::default(),
            freezer: Freezer::default(),
            tasks: tasks.clone(),
        },
        outlets,
    );
    let status = child::wait(child, signals).await;
    tasks.stop();
    status
}

/// Serves what comes out of the namespace.
fn serve(shared: &Shared, outlets: Outlets) {
    let Outlets { tcp, udp, dns } = outlets;
    shared.names.cover(Covered::All);
    let answerer = Answerer::default();
    answerer.inherit(dns);
    answerer.serve(&shared.names, &shared.descriptors, &shared.freezer, &shared.tasks);
    shared.tasks.spawn(tcp::serve(tcp, shared.clone()));
    shared.tasks.spawn(udp::serve(udp, shared.clone()));
}
