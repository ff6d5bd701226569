//! A PostgreSQL server of the test's own, and psql.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use interop_tests::process::{self, Process};
use interop_tests::support::Outcome;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use interop_tests::skip;

/// Where Debian has the programs that are not for users.
const PROGRAMS: &str = "/usr/lib/postgresql";

/// The user of Debian's package: PostgreSQL refuses to be run by root.
const USER: &str = "postgres";

/// A running server with an empty database. Anybody on loopback may do anything in it.
pub(crate) struct Postgres {
    pub(crate) port: u16,
    programs: PathBuf,
    directory: TempDir,
    _process: Process,
}

/// Returns where the programs of the newest version are; says so if there are none.
pub(crate) fn installed(test: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir(PROGRAMS).into_iter().flatten().flatten();
    let mut programs: Vec<_> = versions.map(|version| version.path().join("bin")).collect();
    programs.retain(|programs| ["initdb", "pgbench"].iter().all(|p| programs.join(p).is_file()));
    programs.sort();
    let missing = ["psql", "setpriv"].into_iter().find(|name| process::installed(name).is_none());
    match (programs.pop(), missing) {
        (Some(programs), None) => Some(programs),
        (found, _) => {
            let what = missing.filter(|_| found.is_some()).unwrap_or("PostgreSQL");
            skip::not_installed(
                test,
                format!("{what} is not installed (apt-get install postgresql)"),
            );
            None
        }
    }
}

impl Postgres {
    /// Makes a database and serves it.
    pub(crate) fn start(programs: PathBuf) -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        if id("-u", None)? == "0" {
            let number = |option| Outcome::Ok(id(option, Some(USER))?.parse::<u32>()?);
            let (user, group) = (number("-u")?, number("-g")?);
            std::os::unix::fs::chown(directory.path(), Some(user), Some(group))?;
        }
        let data = directory.path().join("data");
        let mut initdb = unprivileged(&programs.join("initdb"), directory.path())?;
        initdb.args(["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        initdb.arg(format!("--username={USER}")).arg("--pgdata").arg(&data);
        let output = initdb.output()?;
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let port = process::free_tcp_port()?;
        let mut command = unprivileged(&programs.join("postgres"), directory.path())?;
        command.arg("-D").arg(&data).args(["-p", &port.to_string(), "-h", "127.0.0.1", "-F"]);
        // No socket in /run, which a test need not be able to write to.
        command.args(["-k", "", "-c", "max_wal_size=4GB"]);
        let process = Process::start("postgres", command.stdout(Stdio::null()))?;
        process.says("ready to accept connections")?;
        Ok(Self { port, programs, directory, _process: process })
    }

    /// psql on a port: the server's own, or an ingress that leads there.
    pub(crate) fn psql(&self, port: u16) -> Outcome<Psql> {
        let mut command = Command::new("psql");
        // No ~/.psqlrc; bare values; the first error is the end.
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]).args(reach(port));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let keys = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
        Ok(Psql { child, keys, answers })
    }

    /// pgbench on a port, as `psql`.
    pub(crate) fn pgbench(&self, port: u16, options: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("pgbench"));
        command.args(options).args(reach(port)).kill_on_drop(true);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Not only its first process, as a kill would: that leaves shared memory behind.
        if let Ok(mut command) = unprivileged(&self.programs.join("pg_ctl"), self.directory.path())
        {
            command.args(["stop", "--silent", "--mode=immediate", "--pgdata"]);
            let _ = command.arg(self.directory.path().join("data")).status();
        }
    }
}

/// A running psql.
pub(crate) struct Psql {
    child: Child,
    keys: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Psql {
    /// Runs a statement that answers with one value.
    pub(crate) async fn ask(&mut self, statement: &str) -> Outcome<String> {
        self.execute(statement).await?;
        let answer = self.answers.next_line().await?;
        answer.ok_or_else(|| format!("psql ended at `{statement}`").into())
    }

    /// Runs a statement that answers with nothing.
    pub(crate) async fn execute(&mut self, statement: &str) -> Outcome {
        Ok(self.keys.write_all(format!("{statement};\n").as_bytes()).await?)
    }

    /// Ends it; nothing may have failed.
    pub(crate) async fn close(mut self) -> Outcome {
        drop(self.keys);
        assert_eq!(self.answers.next_line().await?, None, "more than was asked");
        assert!(self.child.wait().await?.success(), "psql failed at its end");
        Ok(())
    }
}

/// Returns the last words of a command line: server, user and database.
fn reach(port: u16) -> [String; 4] {
    let port = format!("--port={port}");
    ["--host=127.0.0.1".into(), port, format!("--username={USER}"), "postgres".into()]
}

/// Returns the program as the package's user if this is root, in a place that user may be.
fn unprivileged(program: &Path, place: &Path) -> Outcome<std::process::Command> {
    let mut command = if id("-u", None)? == "0" {
        let mut setpriv = std::process::Command::new("setpriv");
        setpriv.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(program);
        setpriv
    } else {
        std::process::Command::new(program)
    };
    command.current_dir(place);
    Ok(command)
}

fn id(option: &str, user: Option<&str>) -> Outcome<String> {
    let output = std::process::Command::new("id").arg(option).args(user).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
