//! How many names are looked up at once. A look-up takes a thread until the resolver answers, however
//! short the time is that somebody waits for it.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;

/// Look-ups of a peer, or of this host's own connections, at once: a browser's page full of names.
const MAX_OF_ONE: usize = 8;

/// Look-ups at once: those of sixteen peers whose name servers are silent. Fewer than the threads of
/// the runtime (512), so that nothing else that needs one waits.
const MAX_IN_ALL: usize = 128;

static ALL: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MAX_IN_ALL)));

/// The look-ups of one peer, or of this host itself. Clones share the bound.
#[derive(Clone, Debug)]
pub struct Lookups(Arc<Semaphore>);

impl Default for Lookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_OF_ONE)))
    }
}

impl Lookups {
    /// Looks a name up as the system does. Dropping it leaves the thread to end by itself, and what it
    /// counts against until then.
    ///
    /// # Errors
    /// The resolver's.
    pub async fn resolve(&self, name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let name = name.to_owned();
        self.run(move || Ok((name.as_str(), port).to_socket_addrs()?.collect())).await
    }

    async fn run<T: Send + 'static>(
        &self,
        look_up: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        // Who has many under way waits for its own first, and holds up nobody else.
        let of_one = Arc::clone(&self.0).acquire_owned().await.map_err(io::Error::other)?;
        let of_all = Arc::clone(&ALL).acquire_owned().await.map_err(io::Error::other)?;
        let held = (of_one, of_all);
        let looked_up = tokio::task::spawn_blocking(move || {
            let result = look_up();
            drop(held);
            result
        });
        looked_up.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn look_ups_that_nobody_answers_take_few_threads_and_delay_no_other_peer() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        let greedy = Lookups::default();
        let silent = || {
            RUNNING.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(1500));
            Ok(())
        };
        for _ in 0..200 {
            let greedy = greedy.clone();
            tokio::spawn(async move {
                // Whoever waits gives up; the thread does not.
                let _ = timeout(Duration::from_millis(200), greedy.run(silent)).await;
            });
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(RUNNING.load(Ordering::Relaxed), MAX_OF_ONE);
        let began = Instant::now();
        Lookups::default().run(|| Ok(())).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    }
}
