//! Daemons that are handed over and reloaded at random moments, at either end, under real programs and many flows,
//! while ISPs fail.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use interop_tests::process::{self, Process};
use interop_tests::skip::{self, skipped};
use interop_tests::support::Outcome;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use throughline_emulator::{Profile, Way};
use throughline_fixture::flows::{self, Echo, Flow, Idle};
use throughline_fixture::{ProgramPair, Shape, forward};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::task::{JoinHandle, JoinSet};

use crate::failure::{Count, Over};
use crate::postgres::Postgres;
use crate::ssh::{Server, Through};
use crate::{postgres, ssh, turn};

/// How often each end is handed over and reloaded; with `THROUGHLINE_CHANGES=100` a hundred times, under
/// `THROUGHLINE_CHANGES_BULK=100` bulk flows both ways and `THROUGHLINE_CHANGES_IDLE=1000` idle ones.
const ROUNDS: usize = 3;
const BULK: usize = 10;
const IDLE: usize = 100;

fn number(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A program that goes on until it is told to end, and then says whether all was right.
struct Program {
    name: &'static str,
    done: Count,
    task: JoinHandle<Outcome>,
}

impl Program {
    fn begin(
        name: &'static str,
        run: impl Future<Output = Outcome> + Send + 'static,
        done: Count,
    ) -> Self {
        Self { name, done, task: tokio::spawn(run) }
    }

    /// Waits until it has got on.
    async fn gets_on(&self) -> Outcome {
        let from = self.done.now();
        let on = throughline_fixture::until(async || self.done.now() > from + 1).await;
        on.then_some(()).ok_or_else(|| format!("{} does not get on after {from}", self.name).into())
    }

    async fn ends(self) -> Outcome {
        let ended = tokio::time::timeout(Duration::from_secs(60), self.task).await;
        let ended = ended.map_err(|_| format!("{} hangs", self.name))?;
        ended?.map_err(|error| format!("{}: {error}", self.name))?;
        println!("    {}: {} times", self.name, self.done.now());
        Ok(())
    }
}

/// `ssh … cat`, line by line.
async fn ssh_session(mut client: Command, over: Over, done: Count) -> Outcome {
    let mut child = client.spawn()?;
    let mut keys = child.stdin.take().ok_or("no standard input")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
    while !over.yet() {
        let line = format!("line {}", done.now());
        keys.write_all(format!("{line}\n").as_bytes()).await?;
        assert_eq!(lines.next_line().await?, Some(line));
        done.add(1);
    }
    drop(keys);
    assert_eq!(lines.next_line().await?, None, "more than was typed");
    assert!(child.wait().await?.success(), "ssh failed at its end");
    Ok(())
}

/// One transaction, with a row at a time.
async fn transaction(mut client: postgres::Psql, over: Over, done: Count) -> Outcome {
    client.execute("CREATE TABLE kept (number int PRIMARY KEY, text text)").await?;
    client.execute("BEGIN").await?;
    let identity = "SELECT pg_backend_pid() || ' ' || txid_current()";
    let first = client.ask(identity).await?;
    while !over.yet() {
        let number = done.now();
        let insert = format!(
            "INSERT INTO kept VALUES ({number}, repeat(md5('{number}'), 100)) RETURNING number"
        );
        assert_eq!(client.ask(&insert).await?, number.to_string());
        done.add(1);
    }
    assert_eq!(client.ask(identity).await?, first, "not the same transaction");
    client.execute("COMMIT").await?;
    let right = "SELECT count(*) FROM kept WHERE text = repeat(md5(number::text), 100)";
    assert_eq!(client.ask(right).await?, done.now().to_string());
    client.close().await
}

/// Numbered messages both ways, until standard input is closed.
async fn websocket(mut client: Command, over: Over, done: Count) -> Outcome {
    let mut child = client.spawn()?;
    let stdin = child.stdin.take().ok_or("no standard input")?;
    let mut stdin = Some(stdin);
    let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
    while let Some(line) = lines.next_line().await? {
        if line.starts_with("closed") {
            assert!(line.starts_with("closed with 1000"), "{line}");
            assert!(child.wait().await?.success(), "the client failed at its end");
            return Ok(());
        }
        assert_eq!(line, done.now().to_string());
        done.add(1);
        if over.yet() {
            drop(stdin.take());
        }
    }
    Err("the client ended before it was told to".into())
}

/// The servers of the programs, which live as long as the test.
struct Servers {
    ssh: Option<Server>,
    database: Option<Postgres>,
    web: Option<(std::path::PathBuf, Process, u16)>,
}

impl Servers {
    fn start(keys: &Path) -> Outcome<Self> {
        let has_ssh = !skipped("ssh under hand-overs", &ssh::PROGRAMS, ssh::PACKAGES);
        let ssh = has_ssh.then(|| Server::start(keys)).transpose()?;
        let database = postgres::installed("PostgreSQL under hand-overs");
        let database = database.map(Postgres::start).transpose()?;
        let name = "a WebSocket under hand-overs";
        let web = match skip::python(name, "websockets", "python3-websockets") {
            Some(python) => {
                let mut command = std::process::Command::new(&python);
                command.env("PYTHONDONTWRITEBYTECODE", "1").arg(script("websocket_server.py"));
                let server = Process::start("websocket server", &mut command)?;
                let said = server.says("listening on")?;
                let port = said.trim_end_matches(';').rsplit(' ').next().ok_or("no port")?;
                let port = port.parse()?;
                Some((python, server, port))
            }
            None => None,
        };
        Ok(Self { ssh, database, web })
    }

    /// Returns the near daemon's ingresses that lead to them.
    fn forwards(&self) -> String {
        let ports = [
            ("ssh", self.ssh.as_ref().map(|server| server.port)),
            ("db", self.database.as_ref().map(|server| server.port)),
            ("web", self.web.as_ref().map(|(_, _, port)| *port)),
        ];
        ports.iter().filter_map(|(name, port)| Some(forward(name, (*port)?))).collect()
    }

    /// Starts their clients.
    fn clients(&self, pair: &ProgramPair, over: &Over) -> Outcome<Vec<Program>> {
        let mut programs = Vec::new();
        if let Some(server) = &self.ssh {
            let client = server.client(Through::Forward(pair.near.ingress("ssh")?), &[], "cat");
            let done = Count::default();
            let run = ssh_session(client, over.clone(), done.clone());
            programs.push(Program::begin("ssh", run, done));
        }
        if let Some(server) = &self.database {
            let client = server.psql(pair.near.ingress("db")?.port())?;
            let done = Count::default();
            let run = transaction(client, over.clone(), done.clone());
            programs.push(Program::begin("postgresql", run, done));
        }
        if let Some((python, _, _)) = &self.web {
            let mut client = Command::new(python);
            client.env("PYTHONDONTWRITEBYTECODE", "1").arg(script("websocket_client.py"));
            client.arg(format!("ws://{}/", pair.near.ingress("web")?));
            client.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
            let done = Count::default();
            let run = websocket(client, over.clone(), done.clone());
            programs.push(Program::begin("websocket", run, done));
        }
        Ok(programs)
    }
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// The flows whose bytes the test itself compares.
struct Flows {
    bulk: Vec<Flow>,
    idle: Vec<Idle>,
    echo: Echo,
}

impl Flows {
    async fn begin(pair: &ProgramPair) -> Outcome<Self> {
        let ingress = pair.near.ingress("echo")?;
        let (bulk_count, idle_count) =
            (number("THROUGHLINE_CHANGES_BULK", BULK), number("THROUGHLINE_CHANGES_IDLE", IDLE));
        let mut idle = Vec::new();
        let numbers: Vec<u64> = (10_000..10_000 + idle_count as u64).collect();
        for batch in numbers.chunks(50) {
            let mut beginning = JoinSet::new();
            for flow in batch {
                beginning.spawn(Idle::begin(ingress, *flow));
            }
            while let Some(begun) = beginning.join_next().await {
                idle.push(begun??);
            }
        }
        let mut bulk = Vec::new();
        for flow in 0..bulk_count as u64 {
            bulk.push(flows::bulk(ingress, flow).await?);
        }
        Ok(Self { bulk, idle, echo: Echo::begin(ingress, 5000).await? })
    }

    async fn end(self) -> Outcome {
        for mut idle in self.idle {
            idle.speak().await?;
        }
        self.echo.finish().await?;
        let (count, mut bytes) = (self.bulk.len(), 0);
        for flow in self.bulk {
            bytes += flow.finish().await?;
        }
        println!("    {count} bulk flows: {bytes} bytes there and back, each right");
        Ok(())
    }
}

/// Writes a configuration that differs by one field, and has the daemon reload it. Every third is refused.
async fn reload(pair: &ProgramPair, end: &str, round: usize, texts: &[String; 2]) -> Outcome {
    let original = &texts[usize::from(end == "far")];
    let field = match round % 3 {
        0 => format!("linger = '{}m'\n", 10 + round),
        1 => format!("memory = '{}MiB'\n", 200 + round),
        _ => "linger = 'for ever'\n".to_owned(),
    };
    let file = pair.directory().join(format!("{end}.toml"));
    std::fs::write(&file, format!("{field}{original}"))?;
    let mut command = Command::new(process::throughline()?);
    let output = command.args(["reload", "-c"]).arg(&file).output().await?;
    // What a successor is started with is valid in any case.
    std::fs::write(&file, original)?;
    match output.status.success() == (round % 3 != 2) {
        true => Ok(()),
        false => Err(format!("reload {end} with {field}: {output:?}").into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_and_flows_notice_neither_hand_overs_nor_reloads_while_isps_fail() -> Outcome {
    let _alone = turn::alone().await;
    let keys = tempfile::tempdir()?;
    let servers = Servers::start(keys.path())?;
    let extras = servers.forwards() + &forward("echo", flows::echo_server().await?);
    let profile = Profile::new(20_000_000, Duration::from_millis(5));
    let mut pair = ProgramPair::start(Shape { profile, ..Shape::default() }, &extras)?;
    let read = |end: &str| std::fs::read_to_string(pair.directory().join(format!("{end}.toml")));
    let texts = [read("near")?, read("far")?];
    let over = Over::default();
    let programs = servers.clients(&pair, &over)?;
    let mut flows = Flows::begin(&pair).await?;
    let rounds = number("THROUGHLINE_CHANGES", ROUNDS);
    let mut rng = SmallRng::seed_from_u64(rounds as u64);
    let (mut gaps, mut reload_gaps) = ([Vec::new(), Vec::new()], Vec::new());
    for round in 0..2 * rounds {
        let end = ["near", "far"][round % 2];
        let [one, other] = pair.isps();
        let failing = [&one, &other][rng.random_range(0..2)];
        let fails = rng.random_bool(0.33);
        if fails {
            failing.blackhole(Way::Both);
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
        let _ = flows.echo.take_worst();
        reload(&pair, end, round, &texts).await?;
        flows.echo.further(2).await?;
        let reload_gap = flows.echo.take_worst();
        pair.hand_over(end)?;
        flows.echo.further(3).await?;
        match fails {
            true => failing.heal(Way::Both),
            false => {
                reload_gaps.push(reload_gap);
                gaps[round % 2].push(flows.echo.take_worst());
            }
        }
        let at = rng.random_range(0..flows.idle.len());
        flows.idle[at].speak().await?;
        for program in &programs {
            program.gets_on().await?;
        }
    }
    over.set();
    for program in programs {
        program.ends().await?;
    }
    flows.end().await?;
    for (what, gaps) in ["near", "far"].into_iter().zip(&mut gaps) {
        say(&format!("handed over at the {what} end"), gaps);
    }
    say("reloaded", &mut reload_gaps);
    Ok(())
}

fn say(what: &str, gaps: &mut [Duration]) {
    gaps.sort();
    let (median, worst) = (gaps.get(gaps.len() / 2), gaps.last());
    println!(
        "    {what}: {} echoes without a failure, median {median:?}, worst {worst:?}",
        gaps.len()
    );
}
