//! Applications: some live as long as the soak, some come and go, and some do not care.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::content::first_wrong;
use super::origin::{BLOCK, Head, Purpose, WRONG, send};
use super::shared::{Phase, STILL, Shared, Soak};

/// Bytes of one connection of bulk.
const BULK: u64 = 64 << 20;

/// An application.
#[derive(Clone)]
struct Client {
    ingress: SocketAddr,
    shared: Arc<Shared>,
    phases: watch::Receiver<Phase>,
}

/// Starts all applications of a soak.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    soak: &Soak,
    ingress: SocketAddr,
    shared: &Arc<Shared>,
    phases: &watch::Receiver<Phase>,
) {
    let client = || Client { ingress, shared: shared.clone(), phases: phases.clone() };
    let mut seeds = SmallRng::seed_from_u64(soak.seed ^ 0x50a4);
    let mut rng = || SmallRng::seed_from_u64(seeds.random());
    for purpose in [Purpose::Send, Purpose::Take] {
        tasks.spawn(client().bulk(purpose, rng()));
    }
    for _ in 0..soak.lasting {
        tasks.spawn(client().lasts(rng()));
    }
    for _ in 0..soak.passing {
        tasks.spawn(client().passes(rng()));
    }
    tasks.spawn(client().does_not_read(rng()));
}

impl Client {
    /// Transfers without an end, one connection after the other.
    async fn bulk(self, purpose: Purpose, mut rng: SmallRng) {
        loop {
            self.transfer(purpose, rng.random(), BULK).await;
        }
    }

    /// Keeps one connection, and sends a message now and then.
    async fn lasts(self, mut rng: SmallRng) {
        let result = self.exchange_for_ever(&mut rng).await;
        self.shared.fault(format!("a connection that lasts broke: {result:?}"));
    }

    async fn exchange_for_ever(&self, rng: &mut SmallRng) -> io::Result<()> {
        let mut stream = self.open(Head { purpose: Purpose::Echo, seed: 0, len: 0 }).await?;
        loop {
            let mut message = [0; 64];
            rng.fill(&mut message);
            let begun = Instant::now();
            stream.write_all(&message).await?;
            let mut answer = [0; 64];
            within(stream.read_exact(&mut answer)).await?;
            if answer != message {
                return Err(io::Error::other("another message came back"));
            }
            self.shared.count(|counts| {
                counts.messages += 1;
                counts.worst = counts.worst.max(begun.elapsed());
            });
            sleep(Duration::from_millis(rng.random_range(20..10_000))).await;
        }
    }

    /// Opens connections of all sizes, one after the other, while there is trouble.
    async fn passes(mut self, mut rng: SmallRng) {
        while self.phases.wait_for(|phase| *phase == Phase::Trouble).await.is_ok() {
            let purpose = if rng.random() { Purpose::Send } else { Purpose::Take };
            let len = 1 << rng.random_range(0..19);
            let (seed, len) = (rng.random(), rng.random_range(len / 2..=len));
            if rng.random_ratio(1, 5) {
                let head = Head { purpose, seed, len: BULK };
                let life = Duration::from_millis(rng.random_range(0..500));
                if self.open(head).await.is_ok() {
                    sleep(life).await;
                }
                self.shared.count(|counts| counts.given_up += 1);
            } else {
                self.transfer(purpose, seed, len).await;
            }
            sleep(Duration::from_millis(rng.random_range(0..1000))).await;
        }
    }

    /// Asks for much and does not read it, for a while.
    async fn does_not_read(mut self, mut rng: SmallRng) {
        while self.phases.wait_for(|phase| *phase == Phase::Trouble).await.is_ok() {
            let head = Head { purpose: Purpose::Send, seed: rng.random(), len: BULK };
            if let Ok(stream) = self.open(head).await {
                let life = Duration::from_millis(rng.random_range(0..20_000));
                // Rests are without it.
                let _ = timeout(life, self.phases.wait_for(|phase| *phase == Phase::Rest)).await;
                drop(stream);
            }
            self.shared.count(|counts| counts.given_up += 1);
        }
    }

    /// Transfers so many bytes over a connection of its own.
    async fn transfer(&self, purpose: Purpose, seed: u64, len: u64) {
        let head = Head { purpose, seed, len };
        let done = match purpose {
            Purpose::Take => self.upload(head).await,
            Purpose::Send | Purpose::Echo => self.download(head).await,
        };
        match done {
            Ok(()) => self.shared.count(|counts| counts.connections += 1),
            Err(error) => self.shared.fault(format!("{head:?}: {error}")),
        }
    }

    async fn download(&self, head: Head) -> io::Result<()> {
        let mut stream = self.open(head).await?;
        let mut block = vec![0; BLOCK];
        let mut offset = 0;
        loop {
            let read = within(stream.read(&mut block)).await?;
            if read == 0 {
                break;
            }
            if let Some(at) = first_wrong(head.seed, offset, &block[..read]) {
                return Err(io::Error::other(format!("byte {at} is wrong")));
            }
            offset += read as u64;
            self.shared.count(|counts| counts.bytes += read as u64);
        }
        if offset == head.len {
            return Ok(());
        }
        Err(io::Error::other(format!("it ended after {offset} bytes")))
    }

    async fn upload(&self, head: Head) -> io::Result<()> {
        let mut stream = self.open(head).await?;
        let sent = async {
            send(&mut stream, head.seed, head.len).await?;
            stream.read_u64().await
        };
        let taken = tokio::select! {
            taken = sent => taken,
            () = self.stands_still(head.seed) => {
                let arrived = self.shared.arrived(head.seed);
                Err(io::Error::other(format!("nothing for {STILL:?} after {arrived} bytes")))
            }
        };
        self.shared.forget(head.seed);
        match taken? {
            WRONG => Err(io::Error::other("a byte is wrong at the destination")),
            count if count == head.len => {
                self.shared.count(|counts| counts.bytes += count);
                Ok(())
            }
            count => Err(io::Error::other(format!("{count} bytes arrived"))),
        }
    }

    /// Waits until nothing of an upload has arrived for [`STILL`]. What its application writes says nothing: sockets on
    /// the way take megabytes, for which a slow link needs a minute.
    async fn stands_still(&self, seed: u64) {
        let (mut last, mut since) = (0, Instant::now());
        while since.elapsed() < STILL {
            sleep(Duration::from_secs(1)).await;
            let arrived = self.shared.arrived(seed);
            if arrived != last {
                (last, since) = (arrived, Instant::now());
            }
        }
    }

    async fn open(&self, head: Head) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.ingress).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&head.to_bytes()).await?;
        Ok(stream)
    }
}

/// Waits for progress, but not for ever.
async fn within<T>(progress: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let still = |_| io::Error::other(format!("nothing for {STILL:?}"));
    timeout(STILL, progress).await.map_err(still)?
}
