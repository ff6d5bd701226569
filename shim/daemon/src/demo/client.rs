//! The clients: ordinary programs that speak SOCKS5 and know nothing about Throughline.

mod bulk;
mod echo;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use fast_socks5::client::{Config, Socks5Stream};
use tokio::net::TcpStream;

use super::flow::{Clock, Ending, Flow};

/// Bounds the time until a client is connected: it should take two round trips.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client; what all clients share.
#[derive(Clone)]
pub(super) struct Client {
    pub(super) seed: u64,
    pub(super) clock: Clock,
    /// Set at the end of the run, when clients are to finish.
    pub(super) stop: Arc<AtomicBool>,
}

/// How a client reaches its server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Connector {
    /// Through the SOCKS5 proxy `proxy` to `server`.
    Socks { proxy: SocketAddr, server: SocketAddr },
    /// Directly.
    Direct(SocketAddr),
}

impl Connector {
    async fn connect(self) -> Result<TcpStream, String> {
        let connect = async {
            match self {
                Self::Socks { proxy, server } => {
                    let (host, port) = (server.ip().to_string(), server.port());
                    let stream = Socks5Stream::connect(proxy, host, port, Config::default());
                    Ok(stream.await.map_err(|error| error.to_string())?.get_socket())
                }
                Self::Direct(addr) => {
                    TcpStream::connect(addr).await.map_err(|error| error.to_string())
                }
            }
        };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, connect)
            .await
            .map_err(|_| format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))??;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(stream)
    }
}

impl Client {
    /// Downloads until the end of the run and records the ending.
    pub(super) async fn download(self, connector: Connector, flow: Arc<Flow>) {
        let ending = self.run_download(connector, &flow).await;
        flow.end(ending.unwrap_or_else(Ending::Died));
    }

    /// Uploads until the end of the run and records the ending.
    pub(super) async fn upload(self, connector: Connector, flow: Arc<Flow>) {
        let ending = self.run_upload(connector).await;
        flow.end(ending.unwrap_or_else(Ending::Died));
    }

    /// Sends small messages to an echo server until the end of the run and records the ending.
    pub(super) async fn echo(self, connector: Connector, flow: Arc<Flow>) {
        let ending = self.run_echo(connector, &flow).await;
        flow.end(ending.unwrap_or_else(Ending::Died));
    }
}
