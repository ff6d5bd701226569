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
mod ending;
mod error;
mod files;
mod ingress;
mod inside;
mod left_behind;
mod namespaces;
mod shared;
mod tcp;
mod udp;
mod udp_sockets;

use std::ffi::OsString;
use std::num::NonZero;
use std::sync::{Arc, mpsc};
use std::thread;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use self::child::Signals;
use self::ending::Ending;
pub use self::error::ExecError;
pub use self::ingress::Ingress;
use self::inside::Outlets;
pub use self::left_behind::LeftBehind;
use self::shared::Shared;
use crate::proxy::connections::{Descriptors, Gate, raise_descriptor_limit};
use crate::proxy::freezer::Freezer;
use crate::proxy::names::{Answerer, Covered, Names};
use crate::proxy::tasks::Tasks;

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status, or 128 and the number of the signal that ended it.
    pub status: u8,
    /// Its connections that were cut off with something that it had written.
    pub cut_off: usize,
    /// What it has left running, which has no network any more.
    pub left_behind: Vec<LeftBehind>,
}

/// Runs a program with these arguments; returns how it ended.
///
/// This process has to have a single thread, since a user namespace is a process's.
///
/// # Errors
/// The program has not been started.
pub fn run(ingress: Ingress, command: &[OsString]) -> Result<Ended, ExecError> {
    // Before there are threads, which have the same mask.
    let signals = Signals::block()?;
    namespaces::enter()?;
    check_threads()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(ExecError::Runtime)?;
    let status = runtime.block_on(run_inside(ingress, command, signals));
    // A look-up of a name may take longer than anybody wants to wait.
    runtime.shutdown_background();
    status
}

/// Checks whether the threads can be had: the runtime would panic.
fn check_threads() -> Result<(), ExecError> {
    // Those of the runtime, and the three of our own.
    let count = thread::available_parallelism().map_or(1, NonZero::get) + 3;
    let (hold, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let wait = || {
        let held = Arc::clone(&held);
        thread::Builder::new().spawn(move || held.lock().recv().is_ok())
    };
    let begun: Result<Vec<_>, _> = (0..count).map(|_| wait()).collect();
    drop(hold);
    let begun = begun.map_err(ExecError::Threads)?;
    // They do nothing that could panic.
    begun.into_iter().for_each(|thread| drop(thread.join()));
    Ok(())
}

async fn run_inside(
    ingress: Ingress,
    command: &[OsString],
    signals: Signals,
) -> Result<Ended, ExecError> {
    ingress.check().await?;
    let (inside, outlets) = inside::begin()?;
    let program = command.first().ok_or(ExecError::NoCommand)?;
    let started = inside.start(command.to_vec(), signals).await?;
    let child = started.map_err(|source| ExecError::Command { program: program.into(), source })?;
    // The program has the limit that it would have.
    raise_descriptor_limit();
    let network = outlets.network.clone();
    let (tasks, ending) = (Tasks::default(), Ending::default());
    serve(
        &Shared {
            ingress,
            inside,
            names: Names::default(),
            descriptors: Descriptors::default(),
            for_datagrams: Gate::default(),
            freezer: Freezer::default(),
            tasks: tasks.clone(),
            ending: ending.clone(),
        },
        outlets,
    );
    let signalled = CancellationToken::new();
    let status = child::wait(child, signals, signalled.clone()).await?;
    // Whoever sends a signal now wants no more of it.
    let cut_off = ending.pass_on(&signalled).await;
    tasks.stop();
    let left_behind = match network {
        Some(network) => network.processes().await,
        None => Vec::new(),
    };
    Ok(Ended { status, cut_off, left_behind })
}

/// Serves what comes out of the namespace.
fn serve(shared: &Shared, outlets: Outlets) {
    let Outlets { tcp, udp, dns, .. } = outlets;
    shared.names.cover(Covered::All);
    let answerer = Answerer::default();
    answerer.inherit(dns);
    answerer.serve(&shared.names, &shared.descriptors, &shared.freezer, &shared.tasks);
    shared.tasks.spawn(shared.ending.track(tcp::serve(tcp, shared.clone())));
    shared.tasks.spawn(shared.ending.track(udp::serve(udp, shared.clone())));
}
