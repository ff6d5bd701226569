//! Python with aioquic, in a virtual environment of its own below `target`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use interop_tests::lab::Outcome;
use interop_tests::process;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// A scenario gives itself a minute; this is for one that does not even notice.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the peer is written for: `match`, and timeouts that are the same everywhere.
const OLDEST: &str = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";

/// An environment with what the peer needs.
#[derive(Clone)]
pub(crate) struct Python {
    interpreter: PathBuf,
    /// `target/other-stack`
    place: PathBuf,
}

impl Python {
    /// Made by the first test that needs it; `None` where there is no Python, which is said.
    ///
    /// With `THROUGHLINE_NO_SKIP=1`, as in CI, that is an error.
    pub(crate) async fn ready() -> Outcome<Option<Self>> {
        static READY: OnceCell<Result<Option<Python>, String>> = OnceCell::const_new();
        let make = || async { Self::make().await.map_err(|error| error.to_string()) };
        let ready = READY.get_or_init(make).await.clone()?;
        if ready.is_none() {
            let why = "Python 3.11 or later with venv is not installed (apt-get install python3 \
                       python3-venv)";
            if std::env::var_os("THROUGHLINE_NO_SKIP").is_some_and(|value| value == "1") {
                return Err(why.into());
            }
            println!("SKIPPED: {why}");
        }
        Ok(ready)
    }

    async fn make() -> Outcome<Option<Self>> {
        let Some(system) = process::installed("python3") else { return Ok(None) };
        let fits =
            Command::new(&system).args(["-c", OLDEST]).stderr(Stdio::null()).status().await?;
        if !fits.success() {
            return Ok(None);
        }
        // target/PROFILE/deps/TEST
        let test = std::env::current_exe()?;
        let place = test.ancestors().nth(3).ok_or("no target directory")?.join("other-stack");
        let environment = place.join("venv");
        let python = Self { interpreter: environment.join("bin/python"), place };
        // Written last, so that an environment half made is made anew.
        let (wanted, mark) = (peer().join("requirements.txt"), environment.join("requirements"));
        if std::fs::read(&mark).is_ok_and(|made| std::fs::read(&wanted).is_ok_and(|w| w == made)) {
            return Ok(Some(python));
        }
        run(Command::new(&system).args(["-m", "venv", "--clear"]).arg(&environment)).await?;
        let mut pip = Command::new(&python.interpreter);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
        pip.args(["--require-hashes", "--only-binary", ":all:", "--requirement"]).arg(&wanted);
        run(&mut pip).await?;
        std::fs::copy(&wanted, &mark)?;
        Ok(Some(python))
    }

    /// Runs one.
    pub(crate) async fn run(&self, name: &str) -> Outcome {
        let mut command = self.command();
        command.arg("--throughline").arg(process::throughline()?);
        command.arg("--artefacts").arg(self.place.join("failed")).arg(name);
        print!("{}", run(&mut command).await?);
        Ok(())
    }

    /// The names of all.
    pub(crate) async fn scenarios(&self) -> Outcome<Vec<String>> {
        let listed = run(self.command().arg("--list")).await?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.interpreter);
        command.args(["-m", "scenarios"]).current_dir(peer());
        command
    }
}

fn peer() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/aioquic")
}

/// Runs it to its end and returns what it said; its errors are ours.
async fn run(command: &mut Command) -> Outcome<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output());
    let output = output.await.map_err(|_| format!("{command:?} does not end"))??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{said}{errors}").into());
    }
    Ok(said)
}
