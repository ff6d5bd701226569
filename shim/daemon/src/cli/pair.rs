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
use super::output::{MORE, fail_as, usage_error};
use crate::catalogue::Code;
use crate::join::plain;
use crate::shell::quoted;

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
        Err(Refusal { code, reason }) => fail_as(code, reason),
    }
}

/// Why nothing came of it, at this end or at the server.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    code: Code,
    reason: String,
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self { code: Code::NotJoined, reason }
    }
}

async fn pair(args: PairArgs) -> Result<ExitCode, Refusal> {
    // Before somebody types a password.
    join::file_of(args.directory.clone(), None)?;
    let mut ssh = invite(&args)?;
    let ticket = match timeout(TICKET_TIMEOUT, ticket(&mut ssh)).await {
        Ok(ticket) => ticket?,
        Err(_) => {
            let reason = format!(
                "{} has printed no ticket within {} s; run `throughline invite` there and `throughline join` here",
                args.server,
                TICKET_TIMEOUT.as_secs()
            );
            return Err(reason.into());
        }
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

/// Returns the ticket that is printed there; what precedes it is shown where there is none.
async fn ticket(ssh: &mut Child) -> Result<String, Refusal> {
    let stdout = ssh.stdout.take().ok_or_else(|| "ssh has no output".to_owned())?;
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
    Err(refusal(&said))
}

/// Returns why the server gave no ticket, of what it said; the code of its error is that of ours, which is printed once.
fn refusal(said: &str) -> Refusal {
    let code_of = |line: &str| line.strip_prefix(MORE)?.strip_suffix("`.")?.parse::<Code>().ok();
    let code = said.lines().find_map(code_of).unwrap_or(Code::NotJoined);
    let lines: Vec<_> = said.lines().filter(|line| code_of(line).is_none()).collect();
    let reason = match lines.join("\n").trim() {
        "" => "the server said nothing; ssh says why above".to_owned(),
        // The shell's words, and not `invite`'s.
        said if code == Code::NotJoined && said.contains("not found") => format!(
            "the server gave no ticket. Install the program there, or name it by --program PATH. It said:\n{said}"
        ),
        said => format!("the server gave no ticket. It said:\n{said}"),
    };
    Refusal { code, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_code_is_taken_for_ours_and_its_words_are_passed_on() {
        let said =
            "Debian\nerror: There is a peer `a` already.\nMore: `throughline explain TL0410`.\n";
        let found = refusal(said);
        assert_eq!(found.code, Code::NotInvited);
        assert!(found.reason.ends_with("Debian\nerror: There is a peer `a` already."), "{found:?}");
        let unknown = refusal("bash: throughline: command not found\n");
        assert_eq!(unknown.code, Code::NotJoined);
        assert!(unknown.reason.contains("--program PATH. It said:\nbash: "), "{unknown:?}");
        assert_eq!(refusal("\n").reason, "the server said nothing; ssh says why above");
    }
}
