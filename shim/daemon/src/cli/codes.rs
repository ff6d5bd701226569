//! The code in the catalogue of each error that a command ends with. What has no code cannot be printed as an error.

use std::io;

use crate::admin::AdminError;
use crate::catalogue::Code;
use crate::config::ConfigError;
#[cfg(target_os = "linux")]
use crate::exec::ExecError;
use crate::handover::TakeOverError;
use crate::proxy::ingress::intercept::InterceptError;
use crate::run::StartError;
use throughline::{BuildError, IdentityError};

/// An error whose kind is in the catalogue.
pub(super) trait Coded {
    /// Returns its kind.
    fn code(&self) -> Code;
}

impl<T: Coded> Coded for &T {
    fn code(&self) -> Code {
        (*self).code()
    }
}

impl Coded for ConfigError {
    fn code(&self) -> Code {
        ConfigError::code(self)
    }
}

impl Coded for AdminError {
    fn code(&self) -> Code {
        match self {
            Self::InUse(_) | Self::NotASocket(_) | Self::Bind { .. } => Code::NoAdminSocket,
            Self::NotRunning { .. } => Code::DaemonAbsent,
            Self::PermissionDenied { .. } => Code::DaemonDenied,
            Self::Refused(_) => Code::DaemonRefuses,
            Self::InvalidAnswer { .. } | Self::Busy(_) => Code::DaemonUnclear,
        }
    }
}

impl Coded for IdentityError {
    fn code(&self) -> Code {
        match self {
            Self::Missing { .. } => Code::IdentityMissing,
            Self::Exposed { .. } => Code::IdentityExposed,
            Self::Exists { .. } | Self::NoDirectory { .. } | Self::Write { .. } => Code::NotWritten,
            // And what a later version of the library may add.
            _ => Code::IdentityUnusable,
        }
    }
}

impl Coded for BuildError {
    fn code(&self) -> Code {
        match self {
            Self::Bind { .. } => Code::CannotListen,
            Self::DuplicatePeer(..) => Code::GivenTwice,
            Self::OwnKey(_) => Code::OwnKeyAsPeer,
            Self::Routes(_) => Code::RoutesNotManaged,
            // What a later version of the library may add.
            _ => Code::Internal,
        }
    }
}

impl Coded for InterceptError {
    fn code(&self) -> Code {
        match self {
            Self::NoProgram(_) => Code::NoNft,
            Self::NoIp(_) => Code::NoIp,
            Self::Denied => Code::NotPrivileged,
            Self::NoUser(_) => Code::UnknownName,
            Self::Unroutable(..) | Self::Refused(_) | Self::TimedOut(_) => Code::RulesRefused,
        }
    }
}

impl Coded for TakeOverError {
    fn code(&self) -> Code {
        Code::NotTakenOver
    }
}

impl Coded for StartError {
    fn code(&self) -> Code {
        match self {
            Self::Identity(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::Intercept(error) => error.code(),
            Self::Admin(error) => error.code(),
            Self::Node(error) => error.code(),
            Self::TakeOver(error) => error.code(),
            Self::Listen { .. }
            | Self::ListenUnix { .. }
            | Self::Dns { .. }
            | Self::Metrics { .. }
            | Self::Web { .. }
            | Self::WebInTheWay { .. } => Code::CannotListen,
            Self::WebToken(_) => Code::NoToken,
            Self::Egress(_) => Code::Internal,
        }
    }
}

#[cfg(target_os = "linux")]
impl Coded for ExecError {
    fn code(&self) -> Code {
        match self {
            Self::NoIngress { .. } => Code::NoIngress,
            Self::NotSocks5 { .. } => Code::NotSocks,
            Self::NoNamespaces(_) => Code::NoNamespaces,
            Self::Rules(error) => error.code(),
            Self::Mount { .. } | Self::TemporaryFile { .. } => Code::NotPutInPlace,
            Self::Sockets(_) | Self::Threads(_) | Self::Runtime(_) | Self::Signals(_) => {
                Code::SystemRefuses
            }
            Self::NoCommand => Code::CommandLine,
            Self::Command { .. } | Self::Wait(_) => Code::ProgramNotRun,
        }
    }
}

/// What the system refuses, such as a terminal or a signal handler.
impl Coded for io::Error {
    fn code(&self) -> Code {
        Code::SystemRefuses
    }
}
