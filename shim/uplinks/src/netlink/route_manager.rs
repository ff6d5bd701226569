//! Keeps the kernel's rules and routes as [`ManagedRouting`] wants them, and removes all of ours at
//! the end.
//!
//! What is ours is recognised by its protocol number, never remembered: the kernel itself drops
//! routes (with their link, with their address), and a crash leaves them behind.

use std::io;
use std::net::IpAddr;
use std::time::Instant;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::RouteNetlinkMessage;
use throughline_proto::throttle::LogThrottle;
use tracing::{debug, info, warn};

use super::lock::{LockError, RoutesLock};
use super::socket::RequestSocket;
use super::{kernel_routes, messages};
use crate::config::ManageError;
use crate::routes::{ManagedRoute, ManagedRouting, ManagedRule, PRIORITIES, TABLES, Tables};
use crate::snapshot::Snapshot;

/// Manages the routes until it is dropped.
pub(crate) struct RouteManager {
    tables: Tables,
    socket: RequestSocket,
    throttle: LogThrottle<String>,
    /// What was last logged about what is set.
    logged: String,
    /// What is in the kernel is of this process.
    has_begun: bool,
    _lock: RoutesLock,
}

impl RouteManager {
    /// Makes ready to manage the routes. The first [`apply`](Self::apply) begins, and removes what a crash left; before
    /// that nothing changes, as it may be a trial.
    ///
    /// # Errors
    /// The process may not change routes, the kernel cannot, or another process manages them.
    pub(crate) fn start() -> Result<Self, ManageError> {
        let lock = RoutesLock::acquire().map_err(|error| match error {
            LockError::Taken => ManageError::Taken,
            LockError::Io(error) => ManageError::Lock(error),
        })?;
        let mut socket = RequestSocket::new().map_err(ManageError::Kernel)?;
        require_permission(&mut socket)?;
        Ok(Self {
            tables: Tables::default(),
            socket,
            throttle: LogThrottle::default(),
            logged: String::new(),
            has_begun: false,
            _lock: lock,
        })
    }

    /// Makes the kernel's rules and routes what `snapshot` asks for.
    pub(crate) fn apply(&mut self, snapshot: &Snapshot) {
        let wanted = self.tables.routing(snapshot);
        if !std::mem::replace(&mut self.has_begun, true) {
            self.remove_stale();
        }
        match self.reconcile(&wanted) {
            Ok(true) => self.log_change(&wanted),
            // The failure has been logged.
            Ok(false) => {}
            Err(error) => self.log_failure("the rules and routes cannot be read", &error),
        }
    }

    fn remove_stale(&mut self) {
        match kernel_routes::remove_all(&mut self.socket) {
            Ok(0) => {}
            Ok(stale) => info!(stale, "rules and routes that an earlier run left were removed"),
            Err(error) => self.log_failure("what an earlier run left cannot be removed", &error),
        }
    }

    /// Logs what is set, where that is new: it changes how the host sends.
    fn log_change(&mut self, set: &ManagedRouting) {
        let text = match self.tables.count() {
            0 => "no rule is set, as no uplink has a router of its own".to_owned(),
            tables => format!(
                "{} rules and {tables} tables are set for the uplinks {}",
                set.rules.len(),
                self.tables.uplinks().join(", ")
            ),
        };
        if self.logged != text {
            info!("manage-routes: {text}");
            self.logged = text;
        }
    }

    /// Adds what is missing and removes what is not wanted; returns whether all of it worked.
    fn reconcile(&mut self, wanted: &ManagedRouting) -> io::Result<bool> {
        let there = kernel_routes::read(&mut self.socket)?;
        let mut done = true;
        // Routes before the rules that lead to them; the other way round at the end.
        for route in wanted.routes.difference(&there.routes) {
            debug!(?route, "route added");
            let request = RouteNetlinkMessage::NewRoute(messages::route_message(route));
            done &= self.execute(request, NLM_F_CREATE | NLM_F_REPLACE);
        }
        for rule in wanted.rules.difference(&there.rules) {
            debug!(?rule, "rule added");
            let request = RouteNetlinkMessage::NewRule(messages::rule_message(rule));
            done &= self.execute(request, NLM_F_CREATE | NLM_F_EXCL);
        }
        for rule in there.rules.difference(&wanted.rules) {
            debug!(?rule, "rule removed");
            done &= self.execute(RouteNetlinkMessage::DelRule(messages::rule_message(rule)), 0);
        }
        for route in there.routes.difference(&wanted.routes) {
            // What replaced it under the same metric has taken it away already.
            let replaced = |other: &ManagedRoute| {
                (other.table, other.v6, other.to, other.metric)
                    == (route.table, route.v6, route.to, route.metric)
            };
            if !wanted.routes.iter().any(replaced) {
                debug!(?route, "route removed");
                done &=
                    self.execute(RouteNetlinkMessage::DelRoute(messages::route_message(route)), 0);
            }
        }
        Ok(done)
    }

    /// Executes a request; returns whether it worked. One that failed is made again with the next
    /// snapshot, as the difference is still there.
    fn execute(&mut self, request: RouteNetlinkMessage, flags: u16) -> bool {
        match self.socket.execute(request, flags) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            // ESRCH, ENOENT, ENODEV: the kernel removed it by itself, or with its link.
            Err(error) if matches!(error.raw_os_error(), Some(2 | 3 | 19)) => true,
            Err(error) => {
                self.log_failure("a rule or route cannot be set", &error);
                false
            }
        }
    }

    fn log_failure(&mut self, what: &str, error: &io::Error) {
        let text = format!("{what}: {error}");
        if self.throttle.admit(Instant::now(), text.clone()).is_some() {
            warn!("{text}; packets may leave by the wrong uplink (`status` tells)");
        }
    }
}

impl Drop for RouteManager {
    fn drop(&mut self) {
        if !self.has_begun {
            return;
        }
        match kernel_routes::remove_all(&mut self.socket) {
            Ok(removed) => info!("manage-routes: {removed} rules and routes of ours are removed"),
            Err(error) => warn!("our rules and routes cannot be removed: {error}"),
        }
    }
}

/// Removes the rules and routes that a process has left, for a node that does not manage routes (any more).
///
/// # Errors
/// Another process may manage them. All else is logged.
pub(crate) fn remove_leftovers() -> Result<(), ManageError> {
    let remove = || -> io::Result<Option<usize>> {
        let mut socket = RequestSocket::new()?;
        // The rules are few; where there is none there are no routes that matter.
        if kernel_routes::read_rules(&mut socket)?.is_empty() {
            return Ok(Some(0));
        }
        let Ok(_lock) = RoutesLock::acquire_for_removal() else { return Ok(None) };
        kernel_routes::remove_all(&mut socket).map(Some)
    };
    match remove() {
        Ok(None) => return Err(ManageError::Taken),
        Ok(Some(0)) => {}
        Ok(Some(stale)) => info!(stale, "rules and routes that an earlier run left were removed"),
        Err(error) => warn!(
            "rules that an earlier run left cannot be removed ({error}); remove them with \
             `ip rule del priority {}` and `{}`, for `ip -6` too",
            PRIORITIES[0], PRIORITIES[1]
        ),
    }
    Ok(())
}

/// Checks that this process may manage routes, whoever does now.
///
/// # Errors
/// It may not, or the kernel cannot.
pub(crate) fn may_manage_routes() -> Result<(), ManageError> {
    require_permission(&mut RequestSocket::new().map_err(ManageError::Kernel)?)
}

/// Checks that the process may change rules, by removing one that does not exist.
fn require_permission(socket: &mut RequestSocket) -> Result<(), ManageError> {
    let rule = ManagedRule {
        priority: PRIORITIES[1],
        from: IpAddr::from([192, 0, 2, 255]),
        table: TABLES.end,
    };
    match socket.execute(RouteNetlinkMessage::DelRule(messages::rule_message(&rule)), 0) {
        Ok(()) => Ok(()),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            io::ErrorKind::PermissionDenied => Err(ManageError::Denied),
            _ => Err(ManageError::Kernel(error)),
        },
    }
}
