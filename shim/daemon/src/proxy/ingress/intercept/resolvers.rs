//! The resolvers of this host: programs that have the port of DNS here, and ask others.

use std::fs;

/// Where the kernel lists sockets of UDP (proc(5)); below the process, since a service may see no more of it.
const LISTS: [&str; 2] = ["/proc/self/net/udp", "/proc/self/net/udp6"];

/// The port of DNS as it is listed.
const PORT: &str = ":0035";

/// Returns the users of those who have the port, each once.
pub fn users() -> Vec<u32> {
    let texts = LISTS.iter().filter_map(|list| fs::read_to_string(list).ok());
    let mut users: Vec<u32> = texts.flat_map(|text| listed(&text)).collect();
    users.sort_unstable();
    users.dedup();
    users
}

fn listed(text: &str) -> Vec<u32> {
    let user = |line: &str| {
        let mut fields = line.split_whitespace();
        let is_it = fields.nth(1)?.ends_with(PORT);
        // Of state, queues, timer and retransmissions it knows nothing.
        let user = fields.nth(5)?.parse().ok()?;
        is_it.then_some(user)
    };
    text.lines().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_has_the_port_is_found_in_the_kernels_list() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            1: 3500007F:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000   991        0 1 2 0 0\n\
            2: 0100007F:0143 00000000:0000 07 00000000:00000000 00:00000000 00000000   992        0 1 2 0 0\n\
            3: 00000000:1234 0100007F:0035 01 00000000:00000000 00:00000000 00000000   993        0 1 2 0 0\n";
        assert_eq!(listed(text), [991]);
    }
}
