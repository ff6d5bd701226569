//! An ISP fails silently under a running program, comes back, and the other one fails.
//!
//! Nothing here waits for a time and hopes: each step waits until the program has visibly got on,
//! or the lanes are back. So no failure falls beside the program, however slow the machine is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use interop_tests::support::{Outcome, clock, eventually};
use throughline_emulator::{IspHandle, Way};

use throughline_fixture::ProgramPair;

/// How long an ISP is dead at least: what was under way or in sockets' buffers has arrived by
/// then, so that what still moves moves over the other one.
const DEAD: Duration = Duration::from_secs(1);

/// A program that does not get on for so long has not survived, and a lane that is not back is
/// lost. Far more than either takes, for machines under load.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// What a program has done so far; shared with whatever watches it.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether the failures are over, so that a program may come to its end.
#[derive(Clone, Default)]
pub(crate) struct Over(Arc<AtomicBool>);

impl Over {
    pub(crate) fn yet(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Bytes that both ISPs have delivered. What keeps lanes alive is some kilobytes a second.
pub(crate) fn carried(pair: &ProgramPair) -> u64 {
    pair.isps().iter().map(passed).sum()
}

/// Kills the ISP in use under a program that goes on until it is told to end; then it comes back,
/// and the other one dies. The program must have done `step` more before each failure, while the
/// ISP is dead, and after it came back. Returns when the ISPs died.
pub(crate) async fn each_isp_dies(
    pair: &ProgramPair,
    over: &Over,
    done: impl Fn() -> u64,
    step: u64,
) -> Outcome<[Instant; 2]> {
    let started = pair.isps().map(|isp| passed(&isp));
    more(&done, step, "before the first failure").await?;
    let [a, b] = pair.isps();
    let in_order = match passed(&a) - started[0] >= passed(&b) - started[1] {
        true => [a, b],
        false => [b, a],
    };
    let mut died = [Instant::now(); 2];
    for (isp, died) in in_order.iter().zip(&mut died) {
        let before = lost(isp);
        kill(isp);
        *died = Instant::now();
        tokio::time::sleep(DEAD).await;
        more(&done, step, &format!("while {} is dead", isp.name())).await?;
        assert!(lost(isp) > before, "nobody noticed that {} is dead", isp.name());
        revive(pair, isp).await?;
        more(&done, step, &format!("after {} came back", isp.name())).await?;
    }
    over.set();
    Ok(died)
}

/// Runs `program` twice or three times. The ISP in use dies when so many bytes of it have been
/// carried, and comes back when the program has ended: first one ISP, then the other.
pub(crate) async fn strikes_during<F: Future<Output = Outcome>>(
    pair: &ProgramPair,
    bytes: u64,
    mut program: impl FnMut(usize) -> F,
) -> Outcome {
    let mut struck = [false; 2];
    for round in 0..3 {
        let started = pair.isps().map(|isp| passed(&isp));
        let strike = async {
            let total = started.iter().sum::<u64>();
            more(&(|| carried(pair) - total), bytes, "of the transfer").await?;
            let [a, b] = pair.isps().map(|isp| passed(&isp));
            let in_use = if a - started[0] >= b - started[1] { 0 } else { 1 };
            // The last round is for an ISP that was not in use in the others.
            let which = if round == 2 { usize::from(struck[0]) } else { in_use };
            let isp = pair.isps()[which].clone();
            kill(&isp);
            Outcome::Ok((which, isp, carried(pair)))
        };
        let run = async {
            program(round).await?;
            Outcome::Ok(carried(pair))
        };
        let ((which, isp, at_strike), at_end) = tokio::try_join!(strike, run)?;
        assert!(at_end > at_strike + bytes / 2, "the program was as good as over at the failure");
        revive(pair, &isp).await?;
        struck[which] = true;
        if struck == [true; 2] {
            return Ok(());
        }
    }
    Err(format!("one ISP was never struck: {struck:?}").into())
}

/// Both ISPs are dead for so long.
pub(crate) async fn both_die(pair: &ProgramPair, length: Duration) {
    pair.isps().iter().for_each(kill);
    tokio::time::sleep(length).await;
    println!("    {} both ISPs are back", clock());
    pair.isps().iter().for_each(|isp| isp.heal(Way::Both));
}

fn kill(isp: &IspHandle) {
    println!("    {} {} is dead", clock(), isp.name());
    isp.blackhole(Way::Both);
}

/// Ends the failure and waits until both ISPs have a lane again.
async fn revive(pair: &ProgramPair, isp: &IspHandle) -> Outcome {
    println!("    {} {} is back", clock(), isp.name());
    isp.heal(Way::Both);
    match eventually(STEP_TIMEOUT, async || (pair.uplinks_up().await == Ok(2)).then_some(())).await
    {
        Some(()) => Ok(()),
        None => {
            let lanes = pair.uplinks_up().await;
            Err(format!("{} has no lane {STEP_TIMEOUT:?} after it: {lanes:?}", isp.name()).into())
        }
    }
}

/// Waits until a program has done `step` more.
async fn more(done: &impl Fn() -> u64, step: u64, when: &str) -> Outcome {
    let before = done();
    let moved = eventually(STEP_TIMEOUT, async || (done() >= before + step).then_some(())).await;
    moved.ok_or_else(|| {
        let now = done() - before;
        format!("{} {when}: {now} instead of {step} in {STEP_TIMEOUT:?}", clock()).into()
    })
}

fn passed(isp: &IspHandle) -> u64 {
    isp.stats().delivered_bytes()
}

fn lost(isp: &IspHandle) -> u64 {
    let stats = isp.stats();
    stats.up.blackholed.bytes + stats.down.blackholed.bytes
}
