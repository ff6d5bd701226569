//! Asks a daemon for its state, again and again, at a pace at which that costs little.

use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::admin::{self, AdminError};
use crate::report::{Detail, Report};

/// How often uplinks and lanes are asked for: a failure is on the screen within twice that.
const PACE: Duration = Duration::from_millis(500);

/// How often flows are asked for while there are few.
const PACE_OF_FLOWS: Duration = Duration::from_secs(1);

/// What asking for flows may take of the time, as a divisor. An answer is made, sent and read in that time by two
/// processes, so this is what both together take of a core.
const SHARE_OF_FLOWS: u32 = 200;

/// The longest time between two answers about flows, however many they are.
const SLOWEST: Duration = Duration::from_secs(30);

/// How long a daemon that answers needs at the most; flows have longer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// An answer of a daemon, or why none came.
pub(crate) type Answered = (Detail, Result<Report, AdminError>);

/// Asks the daemon behind the socket at `path` at once and then at its pace, until nobody receives the answers.
pub(crate) async fn follow(path: &Path, detail: Detail, answers: mpsc::Sender<Answered>) {
    let mut at = Instant::now();
    loop {
        sleep_until(at).await;
        let asked_at = Instant::now();
        let answer = ask(path, detail).await;
        at = asked_at + pause(detail, asked_at.elapsed());
        if answers.send((detail, answer)).await.is_err() {
            return;
        }
    }
}

async fn ask(path: &Path, detail: Detail) -> Result<Report, AdminError> {
    match detail {
        // However many they are: the admin socket's own bound holds.
        Detail::Flows => admin::report(path, detail).await,
        Detail::Lanes => match timeout(ANSWER_TIMEOUT, admin::report(path, detail)).await {
            Ok(answer) => answer,
            Err(_) => {
                let reason = format!("none came within {} s", ANSWER_TIMEOUT.as_secs());
                Err(AdminError::InvalidAnswer { path: path.to_owned(), reason })
            }
        },
    }
}

/// Returns how long after a question, whose answer took so long, the next one comes.
fn pause(detail: Detail, took: Duration) -> Duration {
    match detail {
        Detail::Lanes => PACE,
        Detail::Flows => (took * SHARE_OF_FLOWS).clamp(PACE_OF_FLOWS, SLOWEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_are_asked_for_the_more_rarely_the_more_they_cost_and_lanes_always_as_often() {
        let millis = |detail, took| pause(detail, Duration::from_millis(took)).as_millis();
        assert_eq!(
            [1, 5, 20, 1000].map(|took| millis(Detail::Flows, took)),
            [1000, 1000, 4000, 30_000]
        );
        assert_eq!([1, 900].map(|took| millis(Detail::Lanes, took)), [500, 500]);
    }
}
