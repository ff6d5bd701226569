//! `throughline nc`: standard input and output as a connection through the daemon, for ssh's ProxyCommand.
//!
//! It is a client of an ingress like any other program, and so needs no right to the daemon's admin
//! socket.

mod pipe;
mod socks;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use thiserror::Error;

use self::socks::SocksError;
use super::codes::Coded;
use super::output::{config_error, fail, fail_as, usage_error};
use crate::catalogue::Code;
use crate::config::{Config, ConfigError, Ingress, IngressKind};
use crate::proxy::ingress::credentials::Credentials;
use throughline::{Host, Target};

/// The ingress of the examples, where none is named.
const DEFAULT_PROXY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1080);

/// Where to connect, and through which ingress.
#[derive(Debug, Args)]
pub struct NcArgs {
    /// The destination: an address, or a name that is resolved where the flow leaves
    pub host: String,
    /// Its TCP port
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Use an ingress of this configuration: its address and its password
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The name of the ingress; without it the first of kind "socks5" or "proxy"
    #[arg(long, value_name = "NAME", requires = "config")]
    pub ingress: Option<String>,
    /// Use the SOCKS5 ingress at this address [default: 127.0.0.1:1080]
    #[arg(long, value_name = "IP:PORT", conflicts_with = "config")]
    pub proxy: Option<SocketAddr>,
}

/// Why there is no connection.
#[derive(Debug, Error)]
enum NcError {
    #[error("no ingress answers at {0}: {1}; start the daemon, or write --proxy or -c")]
    NoIngress(SocketAddr, #[source] io::Error),
    #[error("no connection to {0} through {1}: {2}")]
    Socks(Target, SocketAddr, #[source] SocksError),
}

impl Coded for NcError {
    fn code(&self) -> Code {
        match self {
            Self::NoIngress(..) => Code::NoIngress,
            Self::Socks(_, _, SocksError::NotSocks5 | SocksError::Method) => Code::NotSocks,
            Self::Socks(..) => Code::NotConnected,
        }
    }
}

pub(super) fn execute(args: &NcArgs) -> ExitCode {
    let host: Host = match args.host.parse() {
        Ok(host) => host,
        Err(error) => return usage_error(Code::CommandLine, error),
    };
    let target = Target::Tcp { host, port: args.port };
    let chosen = choose_proxy(args.config.as_deref(), args.ingress.as_deref(), args.proxy);
    let (proxy, credentials) = match chosen {
        Ok(Ok(chosen)) => chosen,
        Ok(Err(error)) => return config_error(&error),
        Err(error) => return usage_error(Code::NoIngress, error),
    };
    match connect(proxy, &target, credentials.as_ref()) {
        Err(error) => fail(error),
        Ok(connection) => match pipe::relay(&connection) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                fail_as(Code::NotConnected, format!("the connection to {target} failed: {error}"))
            }
        },
    }
}

/// Returns the ingress that a command line means, and its password.
///
/// # Errors
/// The configuration has none; or, within, it is wrong.
pub(super) fn choose_proxy(
    config: Option<&Path>,
    ingress: Option<&str>,
    proxy: Option<SocketAddr>,
) -> Result<Result<(SocketAddr, Option<Credentials>), ConfigError>, String> {
    match config.map(Config::load) {
        None => Ok(Ok((proxy.unwrap_or(DEFAULT_PROXY), None))),
        Some(Err(error)) => Ok(Err(error)),
        Some(Ok(config)) => choose(&config.ingresses, ingress).map(Ok),
    }
}

fn connect(
    proxy: SocketAddr,
    target: &Target,
    credentials: Option<&Credentials>,
) -> Result<TcpStream, NcError> {
    let mut connection =
        TcpStream::connect(proxy).map_err(|error| NcError::NoIngress(proxy, error))?;
    // This fails only on a dead connection, which the first read reports.
    let _ = connection.set_nodelay(true);
    socks::connect(&mut connection, target, credentials)
        .map_err(|error| NcError::Socks(target.clone(), proxy, error))?;
    Ok(connection)
}

/// Returns where an ingress of a configuration is reached, and its password.
fn choose(
    ingresses: &[Ingress],
    name: Option<&str>,
) -> Result<(SocketAddr, Option<Credentials>), String> {
    let speaks_socks =
        |i: &&Ingress| matches!(i.kind, IngressKind::Socks5(_) | IngressKind::Proxy(_));
    let ingress = match name {
        None => ingresses.iter().find(speaks_socks).ok_or(
            "the configuration has no ingress of kind \"socks5\" or \"proxy\"; add one".to_owned(),
        )?,
        Some(name) => ingresses
            .iter()
            .find(|ingress| ingress.name == name)
            .ok_or_else(|| format!("there is no ingress `{name}` in the configuration"))?,
    };
    if !speaks_socks(&ingress) {
        return Err(format!(
            "the ingress `{}` does not speak SOCKS5; name one of kind \"socks5\" or \"proxy\"",
            ingress.name
        ));
    }
    let Some(listen) = ingress.listen.ip() else {
        return Err(format!(
            "the ingress `{}` listens at a Unix socket, which nc does not use; name one at an IP address",
            ingress.name
        ));
    };
    if listen.port() == 0 {
        return Err(format!(
            "the ingress `{}` listens on any free port, which only the daemon's log says; write it \
             as --proxy",
            ingress.name
        ));
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok((SocketAddr::new(ip, listen.port()), ingress.kind.credentials().cloned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Clients, ProxyProtocol};

    #[test]
    fn the_ingress_is_the_one_that_is_named_else_the_first_that_speaks_socks() {
        let ingress = |name: &str, listen: &str, kind| Ingress {
            name: name.to_owned(),
            listen: crate::proxy::ingress::Listen::Ip(listen.parse().unwrap()),
            kind,
            proxy_protocol: ProxyProtocol::default(),
            clients: Clients::default(),
        };
        let password = Credentials { username: "u".to_owned(), password: "p".to_owned() };
        let ingresses = [
            ingress("web", "127.0.0.1:3128", IngressKind::Http(None)),
            ingress("any", "[::]:1081", IngressKind::Proxy(Some(password.clone()))),
            ingress("socks", "0.0.0.0:1080", IngressKind::Socks5(None)),
            ingress("free", "127.0.0.1:0", IngressKind::Socks5(None)),
        ];
        let chosen = |name| choose(&ingresses, name);
        assert_eq!(chosen(None), Ok(("[::1]:1081".parse().unwrap(), Some(password))));
        assert_eq!(chosen(Some("socks")), Ok(("127.0.0.1:1080".parse().unwrap(), None)));
        for (name, reason) in [("web", "SOCKS5"), ("free", "--proxy"), ("none", "no ingress")] {
            assert!(chosen(Some(name)).unwrap_err().contains(reason), "{name}");
        }
        assert!(choose(&ingresses[..1], None).unwrap_err().contains("add one"));
    }
}
