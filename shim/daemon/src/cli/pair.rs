//! `throughline pair`: `invite` at the other host by ssh, and `join` here with its ticket.

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Args;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::invite::SiteArgs;
use super::join::{self, JoinArgs};
use super::output::{fail_as, usage_error};
use crate::catalogue::Code;
use crate::join::plain;

/// How long a person may take to answer ssh, and the server to print a ticket.
const TICKET_TIMEOUT: Duration = Duration::from_secs(120);

/// The most lines before the ticket: a banner, and a first configuration.
const MAX_LINES: usize = 1000;

/// With whom, and what is to be asked for there.
#[derive(Debug, Args)]
pub struct PairArgs {
    /// The server, as ssh takes it; an alias of ~/.ssh/config is one
    #[arg(value_name = "USER@HOST")]
    pub server: String,
    /// As whom this host joins.
    #[command(flatten)]
    pub site: SiteArgs,
    /// The directory for identity.key and throughline.toml here [default: /etc/throughline, for others than root
    /// ~/.config/throughline]
    #[arg(long)]
    pub directory: Option<PathBuf>,
    /// The program there, if it is not in that user's PATH
    #[arg(long, value_name = "PATH", default_value = "throughline")]
    pub program: String,
}

pub(super) async fn execute(args: PairArgs) -> ExitCode {
    // ssh would take it for an option, and some of its options run programs.
    if args.server.starts_with('-') {
        return usage_error(Code::CommandLine, format!("`{}` is no host", args.server));
    }
    match pair(args).await {
        Ok(code) => code,
        Err(error) => fail_as(Code::NotJoined, error),
    }
}

async fn pair(args: PairArgs) -> Result<ExitCode, String> {
    // Before somebody types a password.
    join::file_of(args.directory.clone(), None)?;
    let mut ssh = invite(&args)?;
    let ticket = match timeout(TICKET_TIMEOUT, ticket(&mut ssh)).await {
        Ok(ticket) => ticket?,
        Err(_) => return Err(format!("{} has printed no ticket", args.server)),
    };
    let code = join::execute(JoinArgs {
        ticket: vec![ticket],
        directory: args.directory,
        config: None,
        name: None,
        no_cuts: false,
    })
    .await;
    // It ends by itself where a daemon ran there; else with its terminal, which is closed now.
    let _ = ssh.start_kill();
    let _ = ssh.wait().await;
    Ok(code)
}

/// Begins `throughline invite` at the server; with a terminal there, so that it ends with ours.
fn invite(args: &PairArgs) -> Result<Child, String> {
    let mut arguments = vec![args.program.clone(), "invite".to_owned()];
    arguments.extend(args.site.name.iter().flat_map(|name| ["--name".to_owned(), name.clone()]));
    arguments
        .extend(args.site.allow.iter().flat_map(|allow| ["--allow".to_owned(), allow.clone()]));
    let locators = args.site.locators.iter().map(ToString::to_string);
    arguments.extend(locators.flat_map(|locator| ["--locator".to_owned(), locator]));
    let arguments: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
    let mut ssh = Command::new("ssh");
    ssh.args(["-tt", "--", &args.server]).arg(arguments.join(" "));
    ssh.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    ssh.spawn().map_err(|error| format!("ssh cannot be run: {error}; install it, or use `throughline invite` and `throughline join`"))
}

/// Returns a word as the server's shell takes it for one.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Returns the ticket that is printed there; what precedes it is shown where there is none.
async fn ticket(ssh: &mut Child) -> Result<String, String> {
    let stdout = ssh.stdout.take().ok_or("ssh has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut said = String::new();
    for _ in 0..MAX_LINES {
        let line = lines.next_line().await.map_err(|error| format!("ssh: {error}"))?;
        let Some(line) = line else { break };
        if let Some(ticket) = line.trim().strip_prefix("throughline join ") {
            let ticket = ticket.to_owned();
            // Nobody reads it, and it must not stand still for that.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(ticket);
        }
        said.push_str(&plain(line.trim_end()));
        said.push('\n');
    }
    let said = said.trim();
    Err(match said.is_empty() {
        true => "the server said nothing; ssh says why above".to_owned(),
        false => format!("the server gave no ticket. It said:\n{said}"),
    })
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_word_stays_one_in_the_servers_shell() {
        assert_eq!(quoted("10.0.0.0/8:*"), "'10.0.0.0/8:*'");
        assert_eq!(quoted("a'; rm b'"), "'a'\\''; rm b'\\'''");
    }
}
