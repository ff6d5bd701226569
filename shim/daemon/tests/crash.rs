//! The built program is killed at one end and started anew: its own applications have a reset, which is no end in
//! order; those at the other end are told within a second, nothing of theirs is left, and new flows work at once.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use throughline_emulator::{Profile, Way};
use throughline_fixture::process::Process;
use throughline_fixture::{
    DEADLINE, Outcome, POLL_INTERVAL, ProgramPair, Shape, alone, forward, until,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// After the restart, or the end of the ISPs' silence, an application has its reset within this.
const BAR: Duration = Duration::from_secs(1);

const FLOWS: usize = 200;

/// Of these in the bulk tests; the others are idle there, too.
const BULK_FLOWS: usize = 20;

/// What a flow is done with after it was opened: nothing is under way any more, so that only who asks hears
/// of a crash. Keep-alives come 15 s after the last packet.
const SETTLED: Duration = Duration::from_secs(3);

/// Descriptors beyond those from before the crash that are no leak: a prober keeps its socket for 30 s after
/// the last path that it asked, one for each uplink.
const PROBERS: usize = 2;

/// How long both ISPs are silent, with the restart in between.
const SILENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Near,
    Far,
}

/// What the end that is killed leaves behind.
#[derive(Clone, Copy)]
struct Crash {
    end: End,
    bulk: bool,
    silent: bool,
}

/// Both ends of the flows' connections.
struct Site {
    pair: ProgramPair,
    /// What destinations accept.
    accepted: mpsc::Receiver<TcpStream>,
}

impl Site {
    async fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let profile = Profile::new(50_000_000, Duration::from_millis(5));
        let program = Path::new(env!("CARGO_BIN_EXE_throughline"));
        let shape = Shape { profile, ..Shape::default() };
        let pair = ProgramPair::start_program(program, shape, &forward("in", port), &[])?;
        let (sender, accepted) = mpsc::channel(FLOWS);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let _ = sender.send(tcp).await;
            }
        });
        Ok(Self { pair, accepted })
    }

    fn ingress(&self) -> Outcome<SocketAddr> {
        self.pair.near.ingress("in")
    }

    /// Opens a flow that has carried a byte each way; returns the application's and the destination's end.
    async fn open(&mut self) -> Outcome<(TcpStream, TcpStream)> {
        let opening = async {
            let mut near = TcpStream::connect(self.ingress()?).await?;
            near.write_all(b"x").await?;
            let mut far = self.accepted.recv().await.ok_or("no destination")?;
            far.read_exact(&mut [0]).await?;
            far.write_all(b"y").await?;
            near.read_exact(&mut [0]).await?;
            Ok((near, far))
        };
        timeout(DEADLINE, opening).await.map_err(|_| "a flow does not open")?
    }

    fn survivor(&self, crashed: End) -> &Process {
        match crashed {
            End::Near => &self.pair.far,
            End::Far => &self.pair.near,
        }
    }
}

/// Fills both directions of a connection; returns when it ends, by which error. The system tells a reset
/// once: to who reads, or to who writes.
async fn bulk(tcp: TcpStream) -> ErrorKind {
    let (mut reader, mut writer) = tcp.into_split();
    let writing = tokio::spawn(async move {
        let chunk = [7; 16 * 1024];
        loop {
            if let Err(error) = writer.write_all(&chunk).await {
                return error.kind();
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match reader.read(&mut buffer).await {
            // The writer was told, or is: there is no honest end while we write.
            Ok(0) => return writing.await.unwrap_or(ErrorKind::UnexpectedEof),
            Ok(_) => {}
            Err(error) => {
                writing.abort();
                return error.kind();
            }
        }
    }
}

/// Waits until a connection on which nothing is sent ends; returns by which error.
async fn idle(mut tcp: TcpStream) -> ErrorKind {
    match tcp.read(&mut [0]).await {
        Ok(_) => ErrorKind::UnexpectedEof,
        Err(error) => error.kind(),
    }
}

/// Lets both ISPs of the near end lose everything, or nothing.
fn silence(pair: &ProgramPair, silent: bool) {
    for isp in pair.isps() {
        match silent {
            true => isp.blackhole(Way::Both),
            false => isp.heal(Way::Both),
        }
    }
}

/// Opens the flows; returns the tasks that watch the surviving applications, and the other ends.
async fn open_flows(
    site: &mut Site,
    crash: Crash,
) -> Outcome<(JoinSet<(ErrorKind, Instant)>, JoinSet<ErrorKind>)> {
    let (mut watched, mut others) = (JoinSet::new(), JoinSet::new());
    for number in 0..FLOWS {
        let (near, far) = site.open().await?;
        let (survives, dies) = match crash.end {
            End::Near => (far, near),
            End::Far => (near, far),
        };
        let filled = crash.bulk && number < BULK_FLOWS;
        watched.spawn(async move {
            let ended = if filled { bulk(survives).await } else { idle(survives).await };
            (ended, Instant::now())
        });
        others.spawn(async move { if filled { bulk(dies).await } else { idle(dies).await } });
    }
    Ok((watched, others))
}

/// Returns how many descriptors a daemon has when that has not changed for a while: its first dials, of which
/// some were for nothing, are over.
async fn settled_descriptors(daemon: &Process) -> Outcome<usize> {
    let settling = async {
        let (mut count, mut since) = (daemon.descriptors()?, Instant::now());
        while since.elapsed() < SETTLED {
            sleep(POLL_INTERVAL).await;
            let now = daemon.descriptors()?;
            if now != count {
                (count, since) = (now, Instant::now());
            }
        }
        Ok(count)
    };
    timeout(DEADLINE, settling).await.map_err(|_| "descriptors come and go")?
}

/// Waits until the applications of the end that was killed are told.
async fn are_reset(mut applications: JoinSet<ErrorKind>) -> Outcome {
    let next = async |applications: &mut JoinSet<ErrorKind>| {
        timeout(DEADLINE, applications.join_next()).await.map_err(|_| "an application is not told")
    };
    while let Some(kind) = next(&mut applications).await? {
        let kind = kind?;
        // Of what fills both directions the system tells the reader or the writer.
        assert!(matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{kind:?}");
    }
    Ok(())
}

async fn crashes(name: &str, crash: Crash) -> Outcome {
    let _alone = alone().await;
    let mut site = Site::start().await?;
    drop(site.open().await?);
    let survivor = site.survivor(crash.end);
    let before = (settled_descriptors(survivor).await?, survivor.resident()?);
    let (mut watched, others) = open_flows(&mut site, crash).await?;
    sleep(SETTLED).await;
    let held = site.survivor(crash.end).descriptors()?;
    // A prober's socket may have been there before, and be gone.
    let flows = held + PROBERS - before.0;
    assert!(flows >= FLOWS, "{held} descriptors with {FLOWS} flows, {} before", before.0);

    if crash.silent {
        silence(&site.pair, true);
    }
    match crash.end {
        End::Near => {
            site.pair.near.kill();
            site.pair.restart_near()?;
        }
        End::Far => site.pair.crash_and_restart_far()?,
    }
    are_reset(others).await?;
    if crash.silent {
        sleep(SILENCE).await;
        assert_eq!(watched.len(), FLOWS);
        assert!(watched.try_join_next().is_none(), "told while nobody could tell");
        silence(&site.pair, false);
    }
    let back = Instant::now();
    let mut worst = Duration::ZERO;
    while let Some(ended) =
        timeout(DEADLINE, watched.join_next()).await.map_err(|_| "a flow hangs")?
    {
        let (kind, at) = ended?;
        assert_eq!(kind, ErrorKind::ConnectionReset);
        worst = worst.max(at.saturating_duration_since(back));
    }
    let asked = Instant::now();
    let fresh = site.open().await?;
    let opened = asked.elapsed();
    let survivor = site.survivor(crash.end);
    println!("    {name}: {FLOWS} resets within {worst:?}, a new flow in {opened:?}");
    assert!(worst <= BAR, "{worst:?}");
    assert!(opened <= BAR, "a new flow took {opened:?}");
    survivor.says("the peer's process ended")?;
    drop(fresh);

    let settled =
        until(async || survivor.descriptors().is_ok_and(|now| now <= before.0 + PROBERS)).await;
    let after = (survivor.descriptors()?, survivor.resident()?);
    println!(
        "    {name}: descriptors {} → {held} → {}, memory {} → {} kB",
        before.0,
        after.0,
        before.1 / 1024,
        after.1 / 1024
    );
    assert!(settled, "{} descriptors, {} before", after.0, before.0);
    Ok(())
}

macro_rules! crash_tests {
    ($($name:ident: $end:ident, bulk $bulk:literal, silent $silent:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() -> Outcome {
            let crash = Crash { end: End::$end, bulk: $bulk, silent: $silent };
            crashes(stringify!($name), crash).await
        }
    )*};
}

crash_tests! {
    an_acceptor_that_is_killed_under_idle_flows: Far, bulk false, silent false;
    an_acceptor_that_is_killed_under_bulk: Far, bulk true, silent false;
    an_acceptor_that_is_killed_under_bulk_while_both_isps_are_silent: Far, bulk true, silent true;
    an_initiator_that_is_killed_under_idle_flows: Near, bulk false, silent false;
    an_initiator_that_is_killed_under_bulk: Near, bulk true, silent false;
    an_initiator_that_is_killed_under_bulk_while_both_isps_are_silent: Near, bulk true, silent true;
}
