//! How a connection whose other end is gone is noticed although nothing is sent on it.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Probes of an idle connection without an answer after which it is given up.
const KEEPALIVE_PROBES: u32 = 4;

/// The time limits of TCP connections to applications and destinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTimeouts {
    /// An other end that answers nothing for so long is gone (keepalive, RFC 9293 §3.8.4); `None` asks
    /// nothing. Half of it passes in silence, in the other half probes are sent.
    pub keepalive: Option<Duration>,
    /// Bytes may wait for an acknowledgement this long (RFC 5482), where the other end's window is
    /// closed as well; `None` leaves it to the system, which lets an application that answers pause
    /// for as long as it likes.
    pub user_timeout: Option<Duration>,
}

impl Default for TcpTimeouts {
    fn default() -> Self {
        Self { keepalive: Some(Duration::from_secs(120)), user_timeout: None }
    }
}

impl TcpTimeouts {
    /// Applies the limits, and `TCP_NODELAY`. A connection that takes none of it is dead, or of a
    /// system without it, and works as well as it can.
    pub fn apply(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        let socket = SockRef::from(stream);
        if let Some(within) = self.keepalive {
            let interval = (within / 2 / KEEPALIVE_PROBES).max(Duration::from_secs(1));
            let idle = (within / 2).max(Duration::from_secs(1));
            let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval);
            let _ = socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_PROBES));
        }
        #[cfg(target_os = "linux")]
        if self.user_timeout.is_some() {
            let _ = socket.set_tcp_user_timeout(self.user_timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_asked_whether_its_other_end_is_still_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        TcpTimeouts::default().apply(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(60));
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(15));
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket.tcp_user_timeout().unwrap(), None);
            let user_timeout = Some(Duration::from_secs(30));
            TcpTimeouts { keepalive: None, user_timeout }.apply(&stream);
            assert_eq!(socket.tcp_user_timeout().unwrap(), user_timeout);
        }
    }
}
