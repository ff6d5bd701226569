//! The status page: what a browser shows of a daemon, live.
//!
//! ```text
//! browser ── GET / ─────────▸ page: one document, the same for everybody
//!         ── GET /events ───▸ guard ─▸ board ─▸ history, state     an event stream: plots once, then log and state
//!         ── POST /drain ───▸ guard ─▸ the node
//! ```
//!
//! `guard` says who is answered, `history` and `state` what is shown (pure, and bounded), `board` when. Nothing of the
//! daemon's depends on any of it.

mod board;
mod body;
mod guard;
mod history;
mod page;
mod server;
mod state;
mod token;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::board::Board;
use self::guard::Access;
use self::server::{ChangeUplink, Service};
pub use self::token::{Token, TokenError};
use crate::http_listener::HttpListener;
use crate::proxy::tasks::Tasks;
use crate::report::ReportSource;
use throughline::Node;
use throughline_proto::panics::catch;

/// Pause before a keeper that has panicked begins anew.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// What the page shows and changes.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) node: Node,
    pub(crate) report: ReportSource,
    pub(crate) change: ChangeUplink,
    pub(crate) tasks: Tasks,
}

/// Where the page is, and who may change something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) addr: SocketAddr,
    pub(crate) token: Option<Token>,
}

/// What the page is to be from now on: everything that can fail is done. By default there is none.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    settings: Option<Settings>,
    /// None where it goes on at the address that it has.
    listener: Option<HttpListener>,
}

/// The page of a daemon, where there is one. Clones are handles to the same one.
#[derive(Clone, Default)]
pub(crate) struct Web(Arc<Mutex<Option<Running>>>);

struct Running {
    settings: Settings,
    listener: Weak<TcpListener>,
    addr: SocketAddr,
    board: Arc<Board>,
    /// Ends what serves it.
    serving: CancellationToken,
    /// Ends the history.
    keeping: CancellationToken,
}

impl Web {
    /// Prepares the page that is wanted. Its address is bound, or `inherited` from another process, unless it is the
    /// one that the page has; with `dry_run` it is only looked whether it could be.
    ///
    /// # Errors
    /// It cannot be bound.
    pub(crate) fn prepare(
        &self,
        settings: Settings,
        inherited: Option<io::Result<TcpListener>>,
        dry_run: bool,
    ) -> io::Result<Prepared> {
        let is_here = |running: &Running| running.settings.addr == settings.addr;
        let listener = match inherited {
            _ if self.0.lock().as_ref().is_some_and(is_here) => None,
            _ if dry_run => HttpListener::try_bind(settings.addr).map(|()| None)?,
            Some(listener) => Some(HttpListener::of(listener?)?),
            None => Some(HttpListener::bind(settings.addr)?),
        };
        Ok(Prepared { settings: Some(settings), listener })
    }

    /// Has the page be as it was prepared. Where it changes, whoever looks has to look again.
    pub(crate) fn apply(&self, prepared: Prepared, source: impl FnOnce() -> Source) {
        let Prepared { settings, listener } = prepared;
        let mut running = self.0.lock();
        if listener.is_none() && running.as_ref().map(|of| &of.settings) == settings.as_ref() {
            return;
        }
        let former = running.take();
        // It is served until `serving` is cancelled, and lives as long.
        let goes_on = || HttpListener::shared(former.as_ref()?.listener.upgrade()?).ok();
        let wanted = settings.and_then(|settings| Some((settings, listener.or_else(goes_on)?)));
        if let Some(former) = &former {
            former.serving.cancel();
        }
        match wanted {
            Some((settings, listener)) => {
                let kept = former.map(|former| (former.board, former.keeping));
                *running = Some(Running::begin(settings, listener, kept, source()));
            }
            None => {
                if let Some(former) = former {
                    former.keeping.cancel();
                }
            }
        }
    }

    /// Returns its socket and the address that it has, for as long as it is served: another process may go on with it.
    pub(crate) fn socket(&self) -> Option<(SocketAddr, Weak<TcpListener>)> {
        self.0.lock().as_ref().map(|running| (running.addr, running.listener.clone()))
    }

    /// Returns the address that it has.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.0.lock().as_ref().map(|running| running.addr)
    }
}

impl Running {
    fn begin(
        settings: Settings,
        listener: HttpListener,
        kept: Option<(Arc<Board>, CancellationToken)>,
        source: Source,
    ) -> Self {
        let serving = CancellationToken::new();
        let (board, keeping) = kept.unwrap_or_else(|| begin_history(&source));
        board.set_can_change(settings.token.is_some());
        let addr = listener.addr();
        info!(%addr, "the status page is at http://{addr}/");
        let access = Access { is_loopback: addr.ip().is_loopback(), token: settings.token.clone() };
        let (service, socket) =
            (Service::new(board.clone(), access, source.change), listener.socket());
        let (tasks, stop) = (source.tasks, serving.clone());
        let of_connections = tasks.clone();
        let spawn = move |connection: Pin<Box<dyn Future<Output = ()> + Send>>| {
            let until = of_connections.clone();
            of_connections.spawn(async move {
                tokio::select! {
                    () = connection => {}
                    () = until.draining() => {}
                }
            });
        };
        let until = tasks.clone();
        tasks.spawn_vital("the status page's task".to_owned(), async move {
            tokio::select! {
                () = service.serve(listener, stop, spawn) => {}
                () = until.draining() => {}
            }
        });
        Self { settings, listener: socket, addr, board, serving, keeping }
    }
}

/// Begins a history, which goes on until it is cancelled. A fault in it is none of the daemon's: it begins anew.
fn begin_history(source: &Source) -> (Arc<Board>, CancellationToken) {
    let (board, keeping) = (Board::new(), CancellationToken::new());
    let (node, report) = (source.node.clone(), source.report.clone());
    let (kept, stop, until) = (board.clone(), keeping.clone(), source.tasks.clone());
    source.tasks.spawn(async move {
        let keep = async {
            while let Err(panicked) = catch(kept.keep(&node, &report)).await {
                error!("the status page's history panicked: {panicked}. Please report this");
                sleep(RESTART_DELAY).await;
            }
        };
        tokio::select! {
            () = keep => {}
            () = stop.cancelled() => {}
            () = until.draining() => {}
        }
    });
    (board, keeping)
}
