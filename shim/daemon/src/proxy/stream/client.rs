//! Who an application is, as the log says it.

use std::fmt;
use std::net::SocketAddr;

use tokio::net::UnixStream;

/// The other end of an application's connection. `Display` gives what the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddr {
    /// Its address.
    Ip(SocketAddr),
    /// A program of this host, by a Unix socket (`SO_PEERCRED`): as whom it ran when it connected.
    Local {
        /// The user; none where the system does not say.
        uid: Option<u32>,
        /// The process; none where it is one of another namespace.
        pid: Option<i32>,
    },
}

impl ClientAddr {
    /// Returns the other end of a connection by a Unix socket.
    pub fn of(stream: &UnixStream) -> Self {
        let credentials = stream.peer_cred().ok();
        let uid = credentials.map(|credentials| credentials.uid());
        let pid = credentials.and_then(|credentials| credentials.pid()).filter(|pid| *pid > 0);
        Self::Local { uid, pid }
    }

    /// Returns its address; none of a Unix socket.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(addr) => Some(*addr),
            Self::Local { .. } => None,
        }
    }
}

impl From<SocketAddr> for ClientAddr {
    fn from(addr: SocketAddr) -> Self {
        Self::Ip(addr)
    }
}

impl fmt::Display for ClientAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(addr) => addr.fmt(f),
            Self::Local { uid: Some(uid), pid: Some(pid) } => write!(f, "uid={uid},pid={pid}"),
            Self::Local { uid: Some(uid), pid: None } => write!(f, "uid={uid}"),
            Self::Local { uid: None, .. } => f.write_str("uid=?"),
        }
    }
}
