//! How it ends: exit status, signals, a daemon that dies, and what cannot begin.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::site::{NAME, Site, as_user, ended, finished, printed, serve, with_namespaces};

#[test]
fn the_exit_status_is_the_programs_and_signals_reach_it() {
    let name = "ends::the_exit_status_is_the_programs_and_signals_reach_it";
    with_namespaces(name, || {
        let site = Site::new();
        let status = |arguments: &[&str]| site.run(arguments).status.code();
        assert_eq!(status(&["true"]), Some(0));
        assert_eq!(status(&["sh", "-c", "exit 7"]), Some(7));
        assert_eq!(status(&["sh", "-c", "kill -9 $$"]), Some(137));
        for (program, code, said) in
            [("no-such-program", 127, "cannot be run"), ("/etc/passwd", 126, "cannot be run")]
        {
            let output = site.run(&[program]);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{errors}");
            assert!(errors.contains(said) && errors.contains(program), "{errors}");
        }
        for (signal, code) in [(Signal::SIGTERM, 41), (Signal::SIGINT, 42), (Signal::SIGHUP, 43)] {
            let script = "trap 'exit 41' TERM; trap 'exit 42' INT; trap 'exit 43' HUP; echo ready; \
                          while :; do sleep 0.05; done";
            let mut child =
                site.exec().args(["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
            let mut ready = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
            assert_eq!(ready, "ready\n");
            // setpriv and env become what they run.
            kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
            assert_eq!(ended(&mut child, "a program that was told to end").code(), Some(code));
        }
    });
}

/// Runs a client in Python against a port of the far side; returns what reads its next line.
fn run_client(site: &Site, client: &str, port: u16) -> (Child, impl FnMut() -> String + use<>) {
    let mut command = site.exec();
    command.args(["python3", "-c", client, NAME, &port.to_string()]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, move || lines.next().unwrap().unwrap())
}

#[test]
fn a_daemon_that_is_killed_ends_the_programs_connections_and_new_ones_fail_at_once() {
    let name =
        "ends::a_daemon_that_is_killed_ends_the_programs_connections_and_new_ones_fail_at_once";
    with_namespaces(name, || {
        const CLIENT: &str = "import socket, sys\n\
            s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)\n\
            s.sendall(b'x')\n\
            assert s.recv(1) == b'x'\n\
            print('open', flush=True)\n\
            try:\n  s.recv(1); print('an end', flush=True)\n\
            except ConnectionResetError: print('reset', flush=True)\n\
            try:\n  n = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30); n.settimeout(30); n.recv(1); print('an end', flush=True)\n\
            except (ConnectionResetError, ConnectionRefusedError): print('reset', flush=True)\n";
        let site = Site::new();
        let port = serve(|stream| drop(std::io::copy(&mut &stream, &mut &stream)));
        let (mut child, mut line) = run_client(&site, CLIENT, port);
        assert_eq!(line(), "open", "{}", site.near.log());
        let Site { near, directory, .. } = site;
        near.crash();
        assert_eq!((line(), line()), ("reset".to_owned(), "reset".to_owned()));
        assert!(ended(&mut child, "the client").success());
        drop(directory);
    });
}

/// Checks that `exec` does not run anything, and says these.
fn refused(mut command: Command, said: &[&str]) {
    command.args(["--", "true"]).current_dir("/");
    let output = finished(command);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{errors}");
    for said in said {
        assert!(errors.contains(said), "{said}: {errors}");
    }
}

#[test]
fn what_keeps_a_program_from_being_run_is_said_with_its_cure() {
    let name = "ends::what_keeps_a_program_from_being_run_is_said_with_its_cure";
    with_namespaces(name, || {
        let site = Site::new();
        let exec = || {
            let mut command = as_user();
            command.arg(&site.program).arg("exec");
            command
        };
        let with = |arguments: &[&str]| {
            let mut command = exec();
            command.args(arguments);
            command
        };
        refused(with(&["--proxy", "127.0.0.1:9"]), &["o ingress answers", "start the daemon"]);
        // Something else answers.
        let other = serve(|stream| drop(std::io::Write::write_all(&mut &stream, b"220 hello\r\n")));
        refused(with(&["--proxy", &format!("127.0.0.1:{other}")]), &["SOCKS5", "name an ingress"]);
        let file = site.path().join("web.toml");
        std::fs::write(
            &file,
            "identity = \"near.key\"\n[ingress.web]\nkind = \"http\"\nlisten = \"127.0.0.1:1\"\n",
        )
        .unwrap();
        refused(with(&["-c", file.to_str().unwrap()]), &["no ingress of kind", "add one"]);
        // Where users may make no namespaces.
        let mut none = Command::new("unshare");
        let line = "echo 0 > /proc/sys/user/max_user_namespaces; exec \"$@\"";
        none.args([
            "-r",
            "sh",
            "-c",
            line,
            "sh",
            "setpriv",
            "--bounding-set",
            "-all",
            "--inh-caps",
            "-all",
        ]);
        none.arg(&site.program).args(["exec", "--proxy", &site.socks.to_string()]);
        refused(none, &["max_user_namespaces is 0", "sysctl", "as root"]);
        assert!(site.run(&["true"]).status.success());
    });
}

#[test]
fn what_a_host_does_not_allow_a_program_is_said_with_its_cure() {
    let name = "ends::what_a_host_does_not_allow_a_program_is_said_with_its_cure";
    with_namespaces(name, || {
        let site = Site::new();
        let socks = site.socks.to_string();
        let with_line = |line: &str| {
            let mut command = as_user();
            command.args(["unshare", "-rm", "sh", "-c", line, "sh"]).arg(&site.program);
            command.args(["exec", "--proxy", &socks]);
            command
        };
        let line = "for nft in $(command -v nft /usr/sbin/nft /sbin/nft); do mount --bind /dev/null $nft; done; exec \"$@\"";
        refused(with_line(line), &["`nft` cannot be started", "nftables"]);
        let line = "echo 0 > /proc/sys/user/max_net_namespaces; exec \"$@\"";
        refused(with_line(line), &["max_net_namespaces is 0", "sysctl"]);
        let mut command = as_user();
        command.env("TMPDIR", "/no-such-directory").arg(&site.program);
        command.args(["exec", "--proxy", &socks]);
        refused(command, &["/no-such-directory", "set TMPDIR"]);
        // Within itself.
        let mut command = site.exec();
        command.arg(&site.program).args(["exec", "--proxy", &socks]);
        refused(command, &["o ingress answers", "goes through the daemon already"]);
    });
}

#[test]
fn few_processes_are_said_to_be_too_few() {
    let name = "ends::few_processes_are_said_to_be_too_few";
    with_namespaces(name, || {
        let site = Site::new();
        let mut command = as_user();
        command.args(["prlimit", "--nproc=1"]).arg(&site.program);
        command.args(["exec", "--proxy", &site.socks.to_string(), "true"]);
        let output = finished(command);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{errors}");
        assert!(errors.contains("ulimit -u") && !errors.contains("panicked"), "{errors}");
    });
}

#[test]
fn a_key_of_the_terminal_reaches_the_program_once() {
    let name = "ends::a_key_of_the_terminal_reaches_the_program_once";
    with_namespaces(name, || {
        const TERMINAL: &str = "import os, pty, sys\n\
            pid, terminal = pty.fork()\n\
            if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])\n\
            out, pressed = b'', False\n\
            while True:\n  \
              try: read = os.read(terminal, 4096)\n  \
              except OSError: break\n  \
              if not read: break\n  \
              out += read\n  \
              if b'ready' in out and not pressed: pressed = os.write(terminal, b'\\x03')\n\
            print(out.count(b'got it'), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
        const PROGRAM: &str = "trap 'echo got it; n=$((n + 1))' INT; echo ready; \
            while [ -z \"$n\" ]; do sleep 0.05; done; sleep 0.3; exit 9";
        let site = Site::new();
        let exec = site.exec();
        let mut command = Command::new("python3");
        command.args(["-c", TERMINAL]).arg(exec.get_program()).args(exec.get_args());
        command.args(["sh", "-c", PROGRAM]).current_dir("/");
        assert_eq!(printed(&finished(command)), "1 9");
    });
}

#[test]
fn when_exec_itself_is_killed_new_connections_of_its_program_fail_at_once() {
    let name = "ends::when_exec_itself_is_killed_new_connections_of_its_program_fail_at_once";
    with_namespaces(name, || {
        const CLIENT: &str = "import socket, sys\n\
            s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)\n\
            print('open', flush=True)\n\
            try: s.recv(1)\n\
            except ConnectionResetError: print('reset', flush=True)\n\
            # What is still closing may take one more of each.\n\
            try: socket.create_connection(('192.0.2.1', 80), 30).recv(1)\n\
            except (ConnectionRefusedError, ConnectionResetError): print('refused', flush=True)\n\
            u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
            u.settimeout(1); u.connect(('192.0.2.1', 80))\n\
            for attempt in range(20):\n  \
              try: u.send(b'x'); u.recv(1)\n  \
              except ConnectionRefusedError: print('refused', flush=True); break\n  \
              except TimeoutError: pass\n";
        let site = Site::new();
        let port = serve(|stream| drop(std::io::copy(&mut &stream, &mut &stream)));
        let (mut child, mut line) = run_client(&site, CLIENT, port);
        assert_eq!(line(), "open", "{}", site.near.log());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!([line(), line(), line()], ["reset", "refused", "refused"]);
    });
}
