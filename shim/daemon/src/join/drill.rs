//! The drill: a flow to the server goes on while each uplink is cut off in turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinError;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::companion::Companion;
use crate::report::{LaneReport, Report, UplinkReport};

/// A message, every so often: what a person types, or a game, or a call.
const MESSAGE: usize = 64;
const PACE: Duration = Duration::from_millis(20);

/// How long the flow is watched with nothing cut, and how long each uplink is cut off.
const USUAL: Duration = Duration::from_secs(1);
pub(crate) const CUT: Duration = Duration::from_secs(2);

/// How often it is looked whether they have.
const POLL: Duration = Duration::from_millis(50);

/// How long lanes may take to come up: several dials.
const LANES_TIMEOUT: Duration = Duration::from_secs(12);

/// What a drill showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drill {
    /// The longest that a message took with nothing cut.
    pub(crate) usual: Duration,
    /// The same while each uplink was cut off.
    pub(crate) cuts: Vec<(String, Duration)>,
    /// The uplinks that the daemon did not cut off, and why.
    pub(crate) refused: Vec<(String, String)>,
}

/// Waits until every uplink has a lane to `peer` that answers, or for as long as lanes take; returns those that have
/// one, and those that have none.
pub(crate) async fn wait_for_lanes(
    daemon: &Companion,
    peer: &str,
) -> Result<[Vec<String>; 2], String> {
    let began = Instant::now();
    loop {
        let report = daemon.report().await?;
        let [up, down] = by_lanes(&report, peer);
        if down.is_empty() && !up.is_empty() || began.elapsed() > LANES_TIMEOUT {
            return Ok([up, down]);
        }
        sleep(POLL).await;
    }
}

/// Returns the names of the uplinks that have a lane to the peer, and of those that should have one.
fn by_lanes(report: &Report, peer: &str) -> [Vec<String>; 2] {
    let of_peer = report.peers.iter().filter(|p| p.name == peer).flat_map(|p| &p.sessions);
    let lanes: Vec<_> = of_peer.flat_map(|session| &session.lanes).collect();
    let has = |uplink: &str, state: Option<&str>| {
        let is_in = |lane: &LaneReport| state.is_none_or(|state| lane.state == state);
        lanes.iter().any(|lane| lane.uplink.as_deref() == Some(uplink) && is_in(lane))
    };
    let is_usable = |u: &&UplinkReport| !u.addresses.is_empty() && !u.metered && !u.draining;
    let leads_out =
        report.uplinks.iter().filter(is_usable).filter(|u| {
            has(&u.name, None) || !u.addresses.iter().all(|address| address.is_loopback())
        });
    let (up, down): (Vec<_>, Vec<_>) = leads_out.partition(|u| has(&u.name, Some("up")));
    [up, down].map(|all| all.into_iter().map(|u| u.name.clone()).collect())
}

/// Sends messages over `stream`, which come back, while each of `uplinks` is cut off in turn; ends it in order.
pub(crate) async fn run(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
    uplinks: &[String],
    (daemon, peer): (&Companion, &str),
) -> Result<Drill, String> {
    let (from, to) = tokio::io::split(stream);
    let (waiting, stop) = (Arc::new(Waiting::default()), CancellationToken::new());
    // They end with this, however it ends.
    let sending = AbortOnDropHandle::new(tokio::spawn(send(to, waiting.clone(), stop.clone())));
    let mut receiving = AbortOnDropHandle::new(tokio::spawn(receive(from, waiting.clone())));
    let broken = |outcome: Result<std::io::Result<u64>, JoinError>| match outcome {
        Ok(Ok(_)) => "the flow ended too early".to_owned(),
        Ok(Err(error)) => format!("the flow broke off: {error}"),
        Err(error) => error.to_string(),
    };
    let outcome = tokio::select! {
        outcome = cut_each(uplinks, (daemon, peer), &waiting) => outcome,
        ended = &mut receiving => Err(broken(ended)),
    };
    stop.cancel();
    let drill = outcome?;
    let (sent, received) =
        match timeout(LANES_TIMEOUT, async { tokio::join!(sending, receiving) }).await {
            Ok((Ok(Ok(sent)), Ok(Ok(received)))) => (sent, received),
            Ok((_, ended)) => return Err(broken(ended)),
            Err(_) => return Err("what was sent last did not come back".to_owned()),
        };
    match sent == received {
        true => Ok(drill),
        false => Err(format!("of {sent} messages {received} came back")),
    }
}

async fn cut_each(
    uplinks: &[String],
    (daemon, peer): (&Companion, &str),
    waiting: &Waiting,
) -> Result<Drill, String> {
    sleep(USUAL).await;
    let usual = waiting.worst();
    let mut drill = Drill { usual, cuts: Vec::new(), refused: Vec::new() };
    for uplink in uplinks {
        let [up, _] = wait_for_lanes(daemon, peer).await?;
        if up.iter().all(|name| name == uplink) {
            return Err(format!(
                "nothing but {uplink} reaches the server any more, so it was not cut off"
            ));
        }
        let _ = waiting.worst();
        // As where another peer is reached over nothing else.
        if let Err(reason) = daemon.cut_uplink(uplink, CUT).await {
            drill.refused.push((uplink.clone(), reason));
            continue;
        }
        sleep(CUT).await;
        drill.cuts.push((uplink.clone(), waiting.worst()));
    }
    Ok(drill)
}

/// The messages that have not come back.
#[derive(Default)]
struct Waiting(Mutex<State>);

#[derive(Default)]
struct State {
    sent: VecDeque<Instant>,
    worst: Duration,
}

impl Waiting {
    fn sent(&self) {
        self.0.lock().sent.push_back(Instant::now());
    }

    fn came_back(&self) {
        let mut state = self.0.lock();
        if let Some(sent) = state.sent.pop_front() {
            state.worst = state.worst.max(sent.elapsed());
        }
    }

    /// Returns the longest that a message took since the last call, with those that are still on their way.
    fn worst(&self) -> Duration {
        let mut state = self.0.lock();
        let oldest = state.sent.front().map_or(Duration::ZERO, Instant::elapsed);
        std::mem::take(&mut state.worst).max(oldest)
    }
}

/// Sends until it is to stop; returns how many messages.
async fn send(
    mut to: impl AsyncWrite + Unpin,
    waiting: Arc<Waiting>,
    stop: CancellationToken,
) -> std::io::Result<u64> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0_u64;
    while stop.run_until_cancelled(pace.tick()).await.is_some() {
        let mut message = [0; MESSAGE];
        message[..8].copy_from_slice(&number.to_be_bytes());
        waiting.sent();
        to.write_all(&message).await?;
        number += 1;
    }
    to.shutdown().await?;
    Ok(number)
}

/// Checks what comes back, to its end; returns how many messages.
async fn receive(mut from: impl AsyncRead + Unpin, waiting: Arc<Waiting>) -> std::io::Result<u64> {
    let mut number = 0_u64;
    loop {
        let mut message = [0; MESSAGE];
        let read = from.read(&mut message).await?;
        if read == 0 {
            return Ok(number);
        }
        from.read_exact(&mut message[read..]).await?;
        if message[..8] != number.to_be_bytes() {
            return Err(std::io::Error::other("what came back is not what was sent"));
        }
        waiting.came_back();
        number += 1;
    }
}
