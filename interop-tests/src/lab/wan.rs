//! An emulated wide area network: wires with a rate, a delay, a queue, loss and failures, between
//! network namespaces.
//!
//! # Model
//!
//! A **wire** joins two TUN devices in two namespaces: a site's (near) and its ISP's (far). It has
//! two directions, each a link of [`throughline_link`]: **up**, from the site into the internet, and **down**. What the
//! kernel sends into one device is read by the emulator, held by the link for as long as a
//! real one would, and written to the other device. A TUN device knows no neighbours and no
//! offloads: a blackhole is silent, and every packet is one that could stand on a cable.
//!
//! A link sends one packet after the other at its rate or by a trace of delivery opportunities, holds a
//! bounded queue before that (tail drop or CoDel), and delivers a delay later, which may vary. It may
//! lose at random or in bursts, police, let packets be overtaken, and refuse what is too large, silently
//! or with an ICMP error. What is sent into a blackhole, or under way
//! when it opens, is lost silently.
//!
//! # Life-cycle
//!
//! One OS thread moves everything. With nothing to do it sleeps in `ppoll`; a lone packet wakes it
//! at once, and leaves within some tens of microseconds of its time. Under load it works in
//! ticks of `engine::TICK`, so that cost hardly grows with the rate. It ends with the [`Wan`],
//! and the devices with it.
//!
//! # What it never does
//!
//! Corrupt packets, or duplicate them unless a [`Profile`] asks for it.

mod engine;
mod handle;
mod icmp;
mod port;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::access::Access;
use crate::support::Outcome;

pub use handle::WireHandle;
pub use port::End;
pub use throughline_link::{
    Duplication, Jitter, Lateness, Loss, Oversize, Policer, Profile, Queue, Rate, Reordering, Way,
};

use engine::Engine;
use port::Port;

/// Wires to be, and then their thread. Dropping it ends the thread and removes the devices.
#[derive(Default)]
pub struct Wan {
    wires: Vec<(Port, Port, WireHandle)>,
    running: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Wan {
    /// Makes a wire from `near`, the customer, to `far`. The devices are down; who owns the namespaces gives them
    /// addresses and brings them up. Nothing passes before [`start`](Self::start).
    ///
    /// # Errors
    /// When a device cannot be made.
    pub fn wire(&mut self, near: &End<'_>, far: &End<'_>, access: Access) -> Outcome<WireHandle> {
        let handle = WireHandle::new(access);
        let (near, far) = (Port::make(near)?, Port::make(far)?);
        self.wires.push((near, far, handle.clone()));
        Ok(handle)
    }

    /// Starts the thread. Wires made after it are not part of it.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(&mut self) -> io::Result<()> {
        let stop = Arc::new(AtomicBool::new(false));
        let engine = Engine::new(std::mem::take(&mut self.wires), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("wan".into()).spawn(move || engine.run())?;
        self.running = Some((stop, thread));
        Ok(())
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            stop.store(true, Ordering::Relaxed);
            // A panic in there has been printed; there is nothing to add while dropping.
            let _ = thread.join();
        }
    }
}
