//! Two hosts, and a doctor at the near one.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::world::{Daemon, Far, PROGRAM, ip, keygen, two_providers};

/// Defines a test of a broken set-up, which runs in a namespace of its own.
macro_rules! broken {
    ($($name:ident => $body:expr;)*) => {$(
        #[test]
        fn $name() {
            let module = module_path!().split("::").last().unwrap();
            let name = format!("{module}::{}", stringify!($name));
            crate::world::in_namespace(&name, $body);
        }
    )*};
}
pub(crate) use broken;

/// The two uplinks of the near host.
pub(crate) const UPLINKS: &str =
    "[uplinks.isp-a]\ninterface = \"a0\"\n[uplinks.isp-b]\ninterface = \"b0\"\n";

/// A way in, so that the configuration is of use.
pub(crate) const INGRESS: &str =
    "[ingress.socks]\nkind = \"socks5\"\nlisten = \"127.0.0.1:1080\"\nvia = \"far\"\n";

/// Where the far host's daemon is dialed.
pub(crate) const LOCATOR: &str = "203.0.113.1:5443";

/// The near host, with keys for both.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    pub(crate) near_key: String,
    pub(crate) far_key: String,
}

impl Site {
    /// Creates the keys.
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (near_key, far_key) =
            (keygen(directory.path(), "near"), keygen(directory.path(), "far"));
        Self { directory, near_key, far_key }
    }

    /// Creates the keys, the links of both ISPs and the routes over them.
    pub(crate) fn with_isps() -> (Self, Far) {
        let far = two_providers();
        ip("route add default via 192.0.2.1 dev a0 metric 100");
        ip("route add default via 198.51.100.1 dev b0 metric 200");
        (Self::new(), far)
    }

    /// The same, with the far daemon.
    pub(crate) fn with_peer() -> (Self, Far, Daemon) {
        let (site, far) = Self::with_isps();
        let there = site.start_far(&far, &site.near_key);
        (site, far, there)
    }

    /// Starts the far daemon, which knows a peer of this key.
    pub(crate) fn start_far(&self, far: &Far, near_key: &str) -> Daemon {
        let config = format!(
            "listen = \"{LOCATOR}\"\n[peers.near]\nkey = \"{near_key}\"\nallow = [\"localhost:80\"]\n"
        );
        Daemon::start(self.path(), "far", &config, Some(far))
    }

    /// Returns a configuration of the near daemon with one thing more or other: its uplinks, and where the peer is.
    pub(crate) fn config(&self, uplinks: &str, locator: &str) -> String {
        let key = &self.far_key;
        format!("{uplinks}[peers.far]\nkey = \"{key}\"\nlocators = [\"{locator}\"]\n{INGRESS}")
    }

    /// Returns a configuration in which nothing is wrong.
    pub(crate) fn good(&self) -> String {
        self.config(UPLINKS, LOCATOR)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the near daemon's configuration.
    pub(crate) fn write(&self, config: &str) {
        let text = format!("identity = \"near.key\"\nadmin = \"near.sock\"\n{config}");
        std::fs::write(self.path().join("near.toml"), text).unwrap();
    }

    /// Runs the doctor on the near host by a command before it, if any.
    pub(crate) fn doctor_by(&self, before: &[&str]) -> Output {
        let mut command = Command::new(before.first().copied().unwrap_or(PROGRAM));
        if let [_, arguments @ ..] = before {
            command.args(arguments).arg(PROGRAM);
        }
        command
            .args(["doctor", "--json", "--timeout", "1", "-c"])
            .arg(self.path().join("near.toml"));
        command.output().unwrap()
    }

    /// Runs the doctor on the near host with more options.
    pub(crate) fn doctor_with(&self, options: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(["doctor", "--json", "--timeout", "1"]).args(options);
        command.arg("-c").arg(self.path().join("near.toml")).output().unwrap()
    }

    /// Runs the doctor with this configuration, and asserts that the worst that it finds is this.
    pub(crate) fn finds(&self, config: &str, code: &str, severity: &str, cause: &str) -> Value {
        self.write(config);
        worst_is(&self.doctor_by(&[]), code, severity, cause)
    }
}

/// Returns the findings, and asserts that the exit status is that of their severity.
pub(crate) fn findings(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    let diagnosis: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{said}"));
    let status = match diagnosis["severity"].as_str().unwrap() {
        "error" => [1, 2],
        "warning" => [3, 3],
        _ => [0, 0],
    };
    assert!(status.contains(&output.status.code().unwrap()), "{:?} {text}", output.status);
    diagnosis["findings"].as_array().unwrap().clone()
}

/// Asserts what the worst finding is, and that whatever needs a cure has one; returns it.
pub(crate) fn worst_is(output: &Output, code: &str, severity: &str, cause: &str) -> Value {
    let all = findings(output);
    let shown = || serde_json::to_string_pretty(&all).unwrap();
    for finding in &all {
        let is_bad = ["warning", "error"].contains(&finding["severity"].as_str().unwrap());
        assert!(!is_bad || finding["cure"].is_string(), "{}", shown());
    }
    let worst = all.iter().filter(|finding| finding["severity"] == all[0]["severity"]);
    let found = worst.clone().find(|finding| finding["code"] == code);
    let Some(found) = found else { panic!("{code} is not among the worst: {}", shown()) };
    assert_eq!(found["severity"], severity, "{}", shown());
    assert!(found["cause"].as_str().unwrap().contains(cause), "{cause}: {}", shown());
    if severity != "note" {
        // Nothing else is blamed.
        assert!(worst.clone().all(|finding| finding["code"] == code), "{}", shown());
    }
    found.clone()
}

/// Runs `body` where nft is there.
pub(crate) fn with_nft(body: impl FnOnce()) {
    let mut command = Command::new("nft");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => body(),
        _ => {
            let _ = writeln!(std::io::stderr(), "SKIPPED: a broken set-up: there is no nft");
        }
    }
}

/// Adds a chain with one rule to a host.
pub(crate) fn filter(at: Option<&Far>, hook: &str, rule: &str) {
    let script = format!(
        "nft -f - <<'END'\ntable inet broken {{\nchain c {{\ntype {hook} priority 0;\n{rule}\n}}\n}}\nEND"
    );
    match at {
        Some(far) => far.sh(&script),
        None => {
            let status = Command::new("sh").args(["-c", &script]).status().unwrap();
            assert!(status.success(), "{script}");
        }
    }
}
