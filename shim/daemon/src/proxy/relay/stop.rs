//! How a relay ends, and what ends it before its two directions have ended.

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;

use super::progress::Progress;
use crate::proxy::stream::Stream;

/// How a relay ended.
#[derive(Debug)]
pub enum RelayEnd {
    /// Both directions ended.
    Finished,
    /// The application reset its connection, or the connection failed; the flow was reset.
    TcpFailed(io::Error),
    /// The flow was reset; so was the connection.
    FlowReset,
    /// It was stopped; both were reset.
    Stopped,
}

/// Decides when a relay is over.
pub(crate) trait Stop: Send {
    /// Completes when that is to be decided; both directions stand between two bytes then. Cancel-safe.
    fn due(&mut self) -> impl Future<Output = ()> + Send;
    /// Returns how the relay ends, if it does: as finished, so that what was written is sent, or with a reset.
    fn end(&mut self, tcp: &Stream, progress: &Progress) -> Option<RelayEnd>;
}

/// Nothing does.
pub(super) struct Never;

impl Stop for Never {
    fn due(&mut self) -> impl Future<Output = ()> + Send {
        pending()
    }

    fn end(&mut self, _: &Stream, _: &Progress) -> Option<RelayEnd> {
        None
    }
}

/// The end of something else does.
pub(super) struct When<S>(pub(super) Pin<Box<S>>);

impl<S: Future<Output = ()> + Send> Stop for When<S> {
    fn due(&mut self) -> impl Future<Output = ()> + Send {
        self.0.as_mut()
    }

    fn end(&mut self, _: &Stream, _: &Progress) -> Option<RelayEnd> {
        Some(RelayEnd::Stopped)
    }
}
