//! Changes the use of an uplink, for whoever asks.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::protocol::UplinkChange;
use throughline::{Drain, Node, UnknownUplink};

/// The time for a lane to be dialed when an uplink is drained: longer than a dial takes.
const LANE_SET_UP: Duration = Duration::from_secs(5);

/// How often it is looked whether there is one.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Why nothing is changed while another process takes over, which may not have learned of it.
pub(crate) const TAKEN_OVER: &str =
    "another process is taking over from this one; try again in a moment";

/// Drains an uplink, or uses it again. Where peers are reached over a drained one alone, a standby or another lane has
/// its time to be set up.
pub(crate) async fn change(
    node: &Node,
    uplink: &str,
    change: UplinkChange,
) -> Result<Drain, UnknownUplink> {
    if change == UplinkChange::Resume {
        return node.resume_uplink(uplink);
    }
    // Whether the others answer is to be known, not remembered.
    node.probe_lanes().await;
    let mut drain = node.drain_uplink(uplink)?;
    let deadline = Instant::now() + LANE_SET_UP;
    while !drain.last && !drain.only_way_to.is_empty() && Instant::now() < deadline {
        sleep(DRAIN_POLL).await;
        drain.only_way_to = node.drain_uplink(uplink)?.only_way_to;
    }
    Ok(drain)
}
