//! The admin socket: a Unix socket that answers questions about the daemon.
//!
//! A connection carries one line of JSON as the [`Request`], `{"command": "status"}`, and one line
//! as the [`Answer`], `{"status": {…}}` or `{"error": "…"}`. Only [`Request::Events`] is answered
//! with a line per event, for as long as the client follows, and [`Request::Qlog`] with one for what each lane logs.
//! The socket has mode 0600 before anybody can connect. A file left by a daemon that died is replaced; one whose daemon
//! answers is not.

mod client;
mod error;
mod event;
mod protocol;
mod qlog;
mod qlog_sender;
mod serve;
mod socket;
mod uplinks;

pub use self::client::{
    EventReader, EventUpdate, QlogAnswers, change_uplink, cut_uplink, events, qlog, reload, report,
    status,
};
pub use self::error::AdminError;
pub use self::event::EventReport;
pub use self::protocol::{
    Answer, CutAnswer, ReloadAnswer, ReloadRequest, Request, UplinkAnswer, UplinkChange,
};
pub use self::qlog::QlogAnswer;
pub use self::socket::AdminSocket;
pub(crate) use self::uplinks::{TAKEN_OVER, change as change_uplink_of};

#[cfg(test)]
mod tests;
