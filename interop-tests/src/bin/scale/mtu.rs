//! A loopback interface with another MTU, in a network namespace of this program's own. All systems that are measured
//! find it there; segments that are sent at once stay together on it, as on a network card that cuts them itself.

use std::os::unix::process::CommandExt;
use std::process::Command;

use interop_tests::support::Outcome;

/// Set inside.
const INSIDE: &str = "THROUGHLINE_SCALE_INSIDE";

/// Returns inside only. Outside the program becomes `unshare` (util-linux), which starts it again with the same
/// arguments; processes keep their numbers, by which `/proc` says what they use.
///
/// # Errors
/// When `unshare` cannot be started.
pub(super) fn enter(mtu: u32) -> Outcome {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let mut command = Command::new("unshare");
    command.arg("--net");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    // Where administrators' programs are is not in everybody's path.
    let start =
        format!("PATH=$PATH:/usr/sbin:/sbin; ip link set lo mtu {mtu} up && exec \"$0\" \"$@\"");
    command.args(["sh", "-c", &start]).arg(std::env::current_exe()?);
    let error = command.args(std::env::args_os().skip(1)).env(INSIDE, "1").exec();
    Err(format!("cannot start `unshare` (apt-get install util-linux): {error}").into())
}
