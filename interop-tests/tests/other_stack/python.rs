//! Python with aioquic, in a virtual environment below `target`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use interop_tests::support::Outcome;
use interop_tests::{process, skip};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// A scenario ends itself after a minute; this ends one that hangs.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);

/// The download is some 10 MB.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(300);

/// Exits with an error where Python is older than 3.11, which has the task groups and the uniform
/// `TimeoutError` that the peer needs.
const VERSION_CHECK: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";

/// A virtual environment with the packages that the peer needs.
#[derive(Clone)]
pub(crate) struct Python {
    interpreter: PathBuf,
    /// `target/other-stack`
    place: PathBuf,
}

impl Python {
    /// Returns the environment, which the first caller makes, or `None` with a message where it
    /// cannot be made.
    ///
    /// With `THROUGHLINE_NO_SKIP=1`, as in CI, that is an error.
    pub(crate) async fn ready() -> Outcome<Option<Self>> {
        static READY: OnceCell<Result<Python, String>> = OnceCell::const_new();
        match READY.get_or_init(|| async { Self::make().await.map_err(|e| e.to_string()) }).await {
            Ok(python) => Ok(Some(python.clone())),
            Err(why) => {
                skip::not_installed("the other QUIC stack", why);
                Ok(None)
            }
        }
    }

    async fn make() -> Outcome<Self> {
        let missing = "Python 3.11 or later with venv is not installed (apt-get install python3 \
                       python3-venv)";
        let system = process::installed("python3").ok_or(missing)?;
        run(Command::new(&system).args(["-c", VERSION_CHECK]), COMMAND_TIMEOUT)
            .await
            .map_err(|_| missing)?;
        // target/PROFILE/deps/TEST
        let test = std::env::current_exe()?;
        let place = test.ancestors().nth(3).ok_or("no target directory")?.join("other-stack");
        let environment = place.join("venv");
        let python = Self { interpreter: environment.join("bin/python"), place };
        // Written last, so that an incomplete environment is made anew.
        let mark = environment.join("requirements");
        let wanted = peer().join("requirements.txt");
        if std::fs::read(&mark).is_ok_and(|made| std::fs::read(&wanted).is_ok_and(|w| w == made)) {
            return Ok(python);
        }
        let mut venv = Command::new(&system);
        run(venv.args(["-m", "venv", "--clear"]).arg(&environment), COMMAND_TIMEOUT).await?;
        let mut pip = Command::new(&python.interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--require-hashes", "--only-binary", ":all:", "--requirement"]).arg(&wanted);
        let installed = run(&mut pip, INSTALL_TIMEOUT).await;
        installed.map_err(|error| format!("aioquic cannot be downloaded: {error}"))?;
        std::fs::copy(&wanted, &mark)?;
        Ok(python)
    }

    /// Returns its program.
    pub(crate) fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// Runs a scenario.
    pub(crate) async fn run(&self, name: &str) -> Outcome {
        let mut command = self.command();
        command.arg("--throughline").arg(process::throughline()?);
        command.arg("--artefacts").arg(self.place.join("failed")).arg(name);
        print!("{}", run(&mut command, COMMAND_TIMEOUT).await?);
        Ok(())
    }

    /// Returns the names of all scenarios.
    pub(crate) async fn scenarios(&self) -> Outcome<Vec<String>> {
        let listed = run(self.command().arg("--list"), COMMAND_TIMEOUT).await?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.interpreter());
        command.args(["-m", "scenarios"]).current_dir(peer());
        command
    }
}

fn peer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/aioquic")
}

/// Runs a command to its end and returns its standard output, or an error with all output.
async fn run(command: &mut Command, timeout: Duration) -> Outcome<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(timeout, command.output());
    let output = output.await.map_err(|_| format!("{command:?} does not end"))??;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}\n{stdout}{errors}", output.status).into());
    }
    Ok(stdout)
}
