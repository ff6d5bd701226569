//! What programs and hosts do that is unusual, and works all the same.

use std::process::Command;

use crate::site::{
    NAME, Site, as_user, echo_after_end, echo_datagrams, finished, printed, web, with_namespaces,
};

#[test]
fn a_program_that_binds_another_address_than_ours_has_its_answers() {
    let name = "corners::a_program_that_binds_another_address_than_ours_has_its_answers";
    with_namespaces(name, || {
        const CLIENT: &str = "import socket, sys\n\
            name, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n\
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n  \
              s.bind(('192.0.2.77', 0)); s.settimeout(1)\n  \
              for attempt in range(10):\n    \
                s.sendto(b'ping', (name, udp))\n    \
                try: assert s.recv(9) == b'ping'; break\n    \
                except TimeoutError: pass\n  \
              else: raise SystemExit('no answer to a datagram')\n\
            with socket.create_connection((name, tcp), 5, ('192.0.2.77', 0)) as s:\n  \
              s.sendall(b'ping'); s.shutdown(socket.SHUT_WR); s.settimeout(10)\n  \
              assert s.recv(9) == b'ping'\n\
            print('right')\n";
        let site = Site::new();
        let ports = [echo_after_end(), echo_datagrams()].map(|port| port.to_string());
        let output = site.run(&["python3", "-c", CLIENT, NAME, &ports[0], &ports[1]]);
        assert_eq!(printed(&output), "right", "{}", site.near.log());
    });
}

#[test]
fn a_name_with_a_dot_is_asked_for_as_it_is_whatever_the_hosts_resolv_conf_has_for_it() {
    let name = "corners::a_name_with_a_dot_is_asked_for_as_it_is_whatever_the_hosts_resolv_conf_has_for_it";
    with_namespaces(name, || {
        let site = Site::new();
        let file = site.path().join("resolv.conf");
        let text = "nameserver 10.96.0.10\nsearch ns.svc.cluster.local svc.cluster.local\noptions ndots:5\n";
        std::fs::write(&file, text).unwrap();
        let mut command = as_user();
        let line = "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"";
        command.args(["unshare", "-rm", "sh", "-c", line, "sh"]).arg(&file);
        command.arg(&site.program).args(["exec", "--proxy", &site.socks.to_string(), "--"]);
        let url = format!("http://{NAME}:{}/", web());
        command.args(["curl", "-sS", "--noproxy", "*", "--max-time", "30", &url]);
        assert_eq!(printed(&finished(command)), "hello", "{}", site.near.log());
    });
}

/// Returns what runs a program under `exec` with so many descriptors.
fn with_descriptors(site: &Site, limit: u32) -> Command {
    let mut command = as_user();
    command.args(["sh", "-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh"]);
    command.arg(&site.program).args(["exec", "--proxy", &site.socks.to_string(), "--"]);
    command
}

#[test]
fn datagrams_that_want_more_descriptors_than_there_are_stop_neither_others_nor_connections() {
    let name = "corners::datagrams_that_want_more_descriptors_than_there_are_stop_neither_others_nor_connections";
    with_namespaces(name, || {
        const CLIENT: &str = "import select, socket, sys, time\n\
            name, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])\n\
            to = socket.getaddrinfo(name, udp, socket.AF_INET, socket.SOCK_DGRAM)[0][4]\n\
            all = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(40)]\n\
            answered, until = set(), time.monotonic() + 10\n\
            while not answered and time.monotonic() < until:\n  \
              for s in all: s.sendto(b'ping', to)\n  \
              answered |= set(select.select(all, [], [], 1)[0])\n\
            if not answered: raise SystemExit('no answer to any')\n\
            with socket.create_connection((name, tcp), 10) as s:\n  \
              s.sendall(b'ping'); s.shutdown(socket.SHUT_WR); s.settimeout(10)\n  \
              assert s.recv(9) == b'ping'\n\
            print('right')\n";
        let site = Site::new();
        let ports = [echo_after_end(), echo_datagrams()].map(|port| port.to_string());
        let mut command = with_descriptors(&site, 64);
        command.args(["python3", "-c", CLIENT, NAME, &ports[0], &ports[1]]);
        assert_eq!(printed(&finished(command)), "right", "{}", site.near.log());
    });
}

#[test]
fn a_socket_for_each_question_finds_its_place_as_those_before_are_closed() {
    let name = "corners::a_socket_for_each_question_finds_its_place_as_those_before_are_closed";
    with_namespaces(name, || {
        const CLIENT: &str = "import socket, sys\n\
            to = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), socket.AF_INET, socket.SOCK_DGRAM)[0][4]\n\
            for question in range(20):\n  \
              with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:\n    \
                s.settimeout(0.3)\n    \
                for attempt in range(20):\n      \
                  s.sendto(b'ping', to)\n      \
                  try: assert s.recv(9) == b'ping'; break\n      \
                  except TimeoutError: pass\n    \
                else: raise SystemExit(f'no answer to {question}')\n\
            print('right')\n";
        let site = Site::new();
        let mut command = with_descriptors(&site, 64);
        command.args(["python3", "-c", CLIENT, NAME, &echo_datagrams().to_string()]);
        assert_eq!(printed(&finished(command)), "right", "{}", site.near.log());
    });
}
