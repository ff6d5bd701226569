//! PostgreSQL: an open transaction, pgbench, and a client that waits to be notified.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use interop_tests::skip;
use interop_tests::support::Outcome;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::failure::{self, Count, Over};
use crate::postgres::{self, Postgres};
use crate::turn;
use throughline_fixture::{ProgramPair, Shape, forward};

/// Statements, transactions or notifications before, during and after each failure.
const STEP: u64 = 10;

/// Seconds of a pgbench; there are more of them if the failures are not over.
const PGBENCH: &str = "8";

#[tokio::test(flavor = "multi_thread")]
async fn a_postgresql_transaction_stays_open_while_each_isp_dies() -> Outcome {
    let Some(programs) = postgres::installed("a transaction of PostgreSQL") else {
        return Ok(());
    };
    let _turn = turn::shared().await;
    let server = Postgres::start(programs)?;
    ProgramPair::start(Shape::default(), &forward("db", server.port))?
        .run(async |pair: &ProgramPair| {
            let mut direct = server.psql(server.port)?;
            direct.execute("CREATE TABLE kept (number int PRIMARY KEY, text text)").await?;
            assert_eq!(direct.ask("SELECT count(*) FROM kept").await?, "0");
            let mut client = server.psql(pair.near.ingress("db")?.port())?;
            let (over, inserted) = (Over::default(), Count::default());
            let transaction = async {
                client.execute("BEGIN").await?;
                let first = client.ask("SELECT pg_backend_pid() || ' ' || txid_current()").await?;
                while !over.yet() {
                    let number = inserted.now();
                    let insert = format!(
                        "INSERT INTO kept VALUES ({number}, repeat(md5('{number}'), 100)) \
                         RETURNING number"
                    );
                    assert_eq!(client.ask(&insert).await?, number.to_string());
                    inserted.add(1);
                }
                assert_eq!(direct.ask("SELECT count(*) FROM kept").await?, "0", "was not open");
                let last = client.ask("SELECT pg_backend_pid() || ' ' || txid_current()").await?;
                assert_eq!(first, last, "not the same transaction");
                client.execute("COMMIT").await?;
                client.close().await
            };
            let failures = failure::each_isp_dies(pair, &over, || inserted.now(), STEP);
            tokio::try_join!(transaction, failures)?;
            let right = "SELECT count(*) || ' ' || min(number) || ' ' || max(number) FROM kept \
                         WHERE text = repeat(md5(number::text), 100)";
            let rows = inserted.now();
            assert_eq!(direct.ask(right).await?, format!("{rows} 0 {}", rows - 1));
            assert_eq!(direct.ask("SELECT count(*) FROM kept").await?, rows.to_string());
            direct.close().await?;
            println!("    postgresql: {rows} rows in one transaction");
            Ok(())
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pgbench_has_no_failed_transaction_while_each_isp_dies() -> Outcome {
    let Some(programs) = postgres::installed("pgbench") else { return Ok(()) };
    let _turn = turn::shared().await;
    let server = Postgres::start(programs)?;
    let output = server.pgbench(server.port, &["-i", "-s", "4", "-q"]).output().await?;
    assert!(output.status.success(), "pgbench -i: {output:?}");
    ProgramPair::start(Shape::default(), &forward("db", server.port))?
        .run(async |pair: &ProgramPair| {
            let ingress = pair.near.ingress("db")?.port();
            let (over, seen) = (Over::default(), Count::default());
            let benching = async {
                let mut processed = 0;
                while !over.yet() {
                    // -n: what an earlier run did stays.
                    let options = ["-n", "-c", "4", "-T", PGBENCH];
                    let output = server.pgbench(ingress, &options).output().await?;
                    let said = String::from_utf8(output.stdout)?;
                    let errors = String::from_utf8_lossy(&output.stderr);
                    assert!(output.status.success(), "pgbench: {said}{errors}");
                    assert_eq!(count(&said, "number of failed transactions: ")?, 0, "{said}");
                    processed += count(&said, "number of transactions actually processed: ")?;
                }
                Outcome::Ok(processed)
            };
            let mut direct = server.psql(server.port)?;
            let watching = async {
                while !over.yet() {
                    let count = direct.ask("SELECT count(*) FROM pgbench_history").await?;
                    seen.add(count.parse::<u64>()? - seen.now());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Outcome::Ok(())
            };
            let failures = failure::each_isp_dies(pair, &over, || seen.now(), STEP);
            let (processed, (), _) = tokio::try_join!(benching, watching, failures)?;
            // Each transaction adds the same to three tables and a line to a fourth: exactly once.
            let sums = "SELECT (SELECT count(*) FROM pgbench_history) || ' ' || \
                        (SELECT sum(delta) FROM pgbench_history) = '{n} ' || sum(abalance) AND \
                        sum(abalance) = (SELECT sum(tbalance) FROM pgbench_tellers) AND \
                        sum(abalance) = (SELECT sum(bbalance) FROM pgbench_branches) \
                        FROM pgbench_accounts";
            let sums = sums.replace("{n}", &processed.to_string());
            assert_eq!(direct.ask(&sums).await?, "t", "not {processed} transactions, each once");
            direct.close().await?;
            println!("    pgbench: {processed} transactions, none failed");
            Ok(())
        })
        .await
}

/// Returns the number after `label`.
fn count(said: &str, label: &str) -> Outcome<u64> {
    let rest = said.split(label).nth(1).ok_or(format!("no `{label}` in: {said}"))?;
    Ok(rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_notifies_a_client_that_waits_while_each_isp_dies() -> Outcome {
    let name = "LISTEN and NOTIFY";
    let Some(programs) = postgres::installed(name) else { return Ok(()) };
    let Some(python) = skip::python(name, "psycopg2", "python3-psycopg2") else { return Ok(()) };
    let _turn = turn::shared().await;
    let server = Postgres::start(programs)?;
    ProgramPair::start(Shape::default(), &forward("db", server.port))?
        .run(async |pair: &ProgramPair| {
            let mut direct = server.psql(server.port)?;
            let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
            let mut command = Command::new(&python);
            command.arg(scripts.join("postgresql_listen.py"));
            command.arg(pair.near.ingress("db")?.port().to_string());
            let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
            let stdout = child.stdout.take().ok_or("no standard output")?;
            let mut lines = BufReader::new(stdout).lines();
            assert_eq!(lines.next_line().await?.as_deref(), Some("listening"));
            let (over, came) = (Over::default(), Count::default());
            let listening = async {
                while let Some(line) = lines.next_line().await? {
                    if line == "enough" {
                        return Outcome::Ok(());
                    }
                    assert_eq!(line, came.now().to_string());
                    came.add(1);
                }
                Err("the client ended before it was told to".into())
            };
            let notifying = async {
                let mut number = 0u64;
                while !over.yet() {
                    // At times a pause, so that the client is found waiting.
                    let pause = if number.is_multiple_of(10) { 300 } else { 20 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    direct.execute(&format!("NOTIFY news, '{number}'")).await?;
                    number += 1;
                }
                direct.execute("NOTIFY news, 'enough'").await?;
                Outcome::Ok(number)
            };
            let failures = failure::each_isp_dies(pair, &over, || came.now(), STEP);
            let ((), number, _) = tokio::try_join!(listening, notifying, failures)?;
            assert_eq!(came.now(), number, "notifications that came");
            assert!(child.wait().await?.success(), "the client failed at its end");
            println!("    postgresql: {number} notifications, each once and in order");
            Ok(())
        })
        .await
}
