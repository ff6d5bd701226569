//! What a program has written just before its end: it is passed on all the same, and nothing else holds its end up.

use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::site::{NAME, SOON, Site, printed, serve, with_namespaces};

/// How much is written: more than the buffers of one connection on the way hold.
const LEN: usize = 4 << 20;

/// Writes all of that and is gone, as it is told to be: by its end, or by a signal.
const WRITER: &str = "import os, socket, sys\n\
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)\n\
    s.sendall(b'x' * int(sys.argv[3]))\n\
    os.kill(os.getpid(), 9) if sys.argv[4] == 'killed' else os._exit(0)\n";

/// Counts what each connection brings, and says whether it came to an end.
fn sink() -> (u16, Receiver<(usize, bool)>) {
    let (sender, counted) = channel();
    let port = serve(move |mut stream: TcpStream| {
        let (mut count, mut buffer) = (0, vec![0; 1 << 16]);
        let ended = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break true,
                Ok(read) => count += read,
                Err(_) => break false,
            }
        };
        let _ = sender.send((count, ended));
    });
    (port, counted)
}

#[test]
fn what_a_program_has_written_is_passed_on_though_it_has_ended() {
    let name = "last_bytes::what_a_program_has_written_is_passed_on_though_it_has_ended";
    with_namespaces(name, || {
        let site = Site::new();
        let (port, counted) = sink();
        for (len, how, code) in [(LEN, "ended", 0), (LEN, "killed", 137), (1, "ended", 0)] {
            let arguments = [&port.to_string(), &len.to_string(), how].map(str::to_owned);
            let [port, len_text, how] = arguments.each_ref().map(String::as_str);
            let output = site.run(&["python3", "-c", WRITER, NAME, port, len_text, how]);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), &*errors), (Some(code), ""), "{how}");
            let came = counted.recv_timeout(SOON);
            assert_eq!(came, Ok((len, true)), "{how}: {}", site.near.log());
        }
        // Each by a program of its own, of which the shell waits for none but the last.
        let line = format!("for n in 1 2 3 4 5; do echo hello > /dev/tcp/{NAME}/{port}; done");
        printed(&site.run(&["bash", "-c", &line]));
        for _ in 0..5 {
            assert_eq!(counted.recv_timeout(SOON), Ok((6, true)), "{}", site.near.log());
        }
    });
}

#[test]
fn what_a_program_leaves_behind_does_not_hold_its_end_up() {
    let name = "last_bytes::what_a_program_leaves_behind_does_not_hold_its_end_up";
    with_namespaces(name, || {
        const FORKING: &str = "import os, socket, sys\n\
            s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)\n\
            s.sendall(b'x')\n\
            assert s.recv(1) == b'x'\n\
            if os.fork(): os._exit(3)\n\
            for fd in (0, 1, 2): os.close(fd)\n\
            try: s.recv(1)\n\
            except OSError: pass\n";
        let site = Site::new();
        let port = serve(|stream| drop(std::io::copy(&mut &stream, &mut &stream)));
        let since = Instant::now();
        let output = site.run(&["python3", "-c", FORKING, NAME, &port.to_string()]);
        assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
        // What goes on without a network is said.
        let output = site.run(&["sh", "-c", "sleep 4 > /dev/null 2>&1 & exit 3"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{errors}");
        assert!(errors.contains(": sleep (process ") && errors.contains("foreground"), "{errors}");
    });
}

#[test]
fn a_datagram_that_is_a_programs_last_act_is_passed_on() {
    let name = "last_bytes::a_datagram_that_is_a_programs_last_act_is_passed_on";
    with_namespaces(name, || {
        let site = Site::new();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let port = receiver.local_addr().unwrap().port().to_string();
        let line = format!("echo last > /dev/udp/{NAME}/{port}");
        let mut buffer = [0; 16];
        let arrives = |_| {
            printed(&site.run(&["bash", "-c", &line]));
            receiver.recv(&mut buffer).is_ok_and(|len| &buffer[..len] == b"last\n")
        };
        // UDP may lose one, on a busy machine.
        let came = (0..10).map(arrives).filter(|came| *came).count();
        assert!(came >= 8, "{came} of 10: {}", site.near.log());
    });
}
