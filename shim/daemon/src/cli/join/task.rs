//! What `join` is to do, and the part of it that does not depend on how: a flow that outlives each uplink.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::join::companion::Companion;
use crate::join::drill::{self, Drill};
use crate::join::exchange::{self, DRILL, Request};
use crate::join::{Ticket, plain};

/// What is to be done.
pub(super) struct JoinTask {
    pub(super) ticket: Ticket,
    /// What the server is to be called here.
    pub(super) name: String,
    pub(super) file: PathBuf,
    /// Whether uplinks are cut off.
    pub(super) cuts: bool,
}

/// Says what may be reached through the server.
pub(super) fn reachable(server: &str, allow: &[String]) -> String {
    match allow {
        [] => format!(
            "Through {server} nothing may be reached yet: its administrator has to write what into `allow` of this host's section there."
        ),
        allow => format!("Through {server} this host may reach {}.", plain(&allow.join(", "))),
    }
}

/// Has a flow, which `connect` begins, outlive a cut of each uplink; returns what to tell.
pub(super) async fn try_flow<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    task: &JoinTask,
    daemon: &Companion,
    connect: impl Future<Output = Result<S, String>>,
) -> Result<String, String> {
    let [up, down] = drill::wait_for_lanes(daemon, &task.name).await?;
    let mut stream = connect.await?;
    let request = Request::Drill { proof: task.ticket.proof(DRILL) };
    exchange::ask(&mut stream, &request).await.map_err(|error| error.to_string())?;
    let uplinks = if up.len() > 1 && task.cuts { &up[..] } else { &[] };
    let drill = drill::run(stream, uplinks, (daemon, &task.name)).await?;
    Ok(describe(&drill, [&up, &down], task))
}

/// Returns what a drill showed.
fn describe(drill: &Drill, [up, down]: [&[String]; 2], task: &JoinTask) -> String {
    let millis = |time: &Duration| format!("{} ms", time.as_millis().max(1));
    let mut text = format!(
        "\nA flow goes over {}; a message and its echo took {} at most.",
        up.join(" and "),
        millis(&drill.usual)
    );
    for (uplink, worst) in &drill.cuts {
        text += &format!(
            "\n{uplink} was cut off for {} s: the flow went on, and no message and its echo took longer than {}.",
            drill::CUT.as_secs(),
            millis(worst)
        );
    }
    for (uplink, reason) in &drill.refused {
        text += &format!("\n{uplink} was not cut off: {reason}.");
    }
    if up.len() < 2 {
        text += " There is no other way to the server, so a failure of it was not tried.";
    }
    if !down.is_empty() {
        text += &format!(
            "\nNo lane comes up over {}; `throughline doctor -c {}` says why.",
            down.join(" and "),
            task.file.display()
        );
    }
    text
}

/// Says that the command was interrupted, and what goes on with what it wrote.
pub(super) fn interrupted(file: &Path) -> String {
    format!(
        "interrupted; what was written stays, and `throughline run -c {}` goes on with it",
        file.display()
    )
}
