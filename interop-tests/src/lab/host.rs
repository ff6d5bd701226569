//! A host or a router: a network namespace, and what runs in it.

use std::fs::File;
use std::future::Future;
use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::namespace;
use crate::process::Process;
use crate::support::Outcome;

/// A host. Dropping it ends its traffic; programs started in it end with their own handles.
pub struct Host {
    name: String,
    namespace: Arc<File>,
    traffic: OnceLock<Traffic>,
}

/// A thread in the namespace on which tasks run, so that every socket they make is there.
struct Traffic {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How long links take at most until they are up.
const SETTLES: Duration = Duration::from_secs(5);

/// For every namespace, before it has any device.
const SYSCTLS: [(&str, &str); 6] = [
    // Where a packet comes in from says nothing with two ISPs.
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    // Addresses are ours at once.
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    // Link-local addresses would bring multicast chatter.
    ("net/ipv6/conf/all/addr_gen_mode", "1"),
    ("net/ipv6/conf/default/addr_gen_mode", "1"),
];

impl Host {
    /// Returns a host with a loopback interface and no other.
    ///
    /// # Errors
    /// When there can be no namespace.
    pub fn new(name: &str) -> Outcome<Self> {
        let namespace = Arc::new(namespace::create()?);
        let host = Self { name: name.to_owned(), namespace, traffic: OnceLock::new() };
        for (path, value) in SYSCTLS {
            host.sysctl(path, value)?;
        }
        host.ip("link set dev lo up")?;
        Ok(host)
    }

    /// Returns a host that forwards.
    ///
    /// # Errors
    /// When there can be no namespace.
    pub fn router(name: &str) -> Outcome<Self> {
        let host = Self::new(name)?;
        host.sysctl("net/ipv4/ip_forward", "1")?;
        host.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        Ok(host)
    }

    /// Returns what it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &File {
        &self.namespace
    }

    /// Runs `work` in it, on a thread of its own.
    ///
    /// # Errors
    /// When `work` panics.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Outcome<T> {
        namespace::within(&self.namespace, work)
    }

    /// Sets a kernel parameter below `/proc/sys`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sysctl(&self, path: &str, value: &str) -> Outcome {
        let (file, value) = (format!("/proc/sys/{path}"), value.to_owned());
        let said = format!("{}: cannot set {path} to {value}", self.name);
        let written = self.run(move || std::fs::write(file, value))?;
        written.map_err(|error| format!("{said}: {error}").into())
    }

    /// Joins it to another host by a cable without limits, whose ends are these devices.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn join(&self, device: &str, other: &Self, there: &str) -> Outcome {
        let namespace = namespace::path(other.namespace())?;
        self.ip(&format!("link add {device} type veth peer name {there} netns {namespace}"))
    }

    /// Runs `ip` with each line of `batch`, in one go; the first that fails ends it.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip(&self, batch: &str) -> Outcome {
        self.feed(Command::new("ip").args(["-batch", "-"]), batch)
    }

    /// Waits until all its links are up. The kernel takes note of a veth's carrier up to a second late
    /// (it handles such events in batches), and only then does IPv6 answer neighbours there.
    ///
    /// # Errors
    /// What `ip` says; when it takes longer than 5 s.
    pub(super) fn settle(&self) -> Outcome {
        let until = Instant::now() + SETTLES;
        loop {
            let mut links = Command::new("ip");
            links.args(["-brief", "link", "show"]);
            let links = self.output(links)?;
            if !links.lines().any(|line| line.split_whitespace().nth(1) == Some("DOWN")) {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("{}: not all links are up:\n{links}", self.name).into());
            }
            std::thread::sleep(SETTLES / 250);
        }
    }

    /// The same for one family; `ip rule` takes the other's addresses otherwise for wrong ones.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn ip_of(&self, family: IpAddr, batch: &str) -> Outcome {
        let flag = if family.is_ipv4() { "-4" } else { "-6" };
        self.feed(Command::new("ip").args([flag, "-batch", "-"]), batch)
    }

    /// Loads rules into `nft`.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn nft(&self, rules: &str) -> Outcome {
        self.feed(Command::new("nft").args(["-f", "-"]), rules)
    }

    fn feed(&self, command: &mut Command, input: &str) -> Outcome {
        let mut fed = Command::new(command.get_program());
        fed.args(command.get_args());
        let (name, input) = (self.name.clone(), input.to_owned());
        self.run(move || -> Outcome {
            fed.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = fed.spawn()?;
            // Dropping it closes it.
            child.stdin.take().ok_or("no standard input")?.write_all(input.as_bytes())?;
            let output = child.wait_with_output()?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{name}: {fed:?} with\n{input}\n{said}").into());
            }
            Ok(())
        })?
    }

    /// Runs a program to its end; what it wrote to its standard output.
    ///
    /// # Errors
    /// When it fails; what it wrote to its standard error.
    pub fn output(&self, mut command: Command) -> Outcome<String> {
        let name = self.name.clone();
        self.run(move || -> Outcome<String> {
            let output = command.stdin(Stdio::null()).output()?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                return Err(format!("{name}: {command:?}: {}: {said}", output.status).into());
            }
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })?
    }

    /// Starts a program that goes on until its handle is dropped.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, name: &str, mut command: Command) -> Outcome<Process> {
        let name = format!("{name} ({})", self.name);
        self.run(move || Process::start(&name, &mut command))?
    }

    /// Runs a task in it: its sockets are this host's.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Outcome<tokio::task::JoinHandle<T>> {
        if let Some(traffic) = self.traffic.get() {
            return Ok(traffic.handle.spawn(task));
        }
        let made = Traffic::start(&self.name, &self.namespace)?;
        Ok(self.traffic.get_or_init(|| made).handle.spawn(task))
    }
}

impl Traffic {
    fn start(name: &str, namespace: &File) -> Outcome<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let namespace = namespace.try_clone()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if let Err(error) = namespace::enter(&namespace) {
                eprintln!("cannot enter a namespace: {error}");
                return;
            }
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
