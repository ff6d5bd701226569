//! What a configuration comes to: a node, its identity, what its peers may reach.

use std::path::PathBuf;

use super::error::StartError;
use crate::admin::AdminSocket;
use crate::config::{Admin, Config, IdentitySource};
use crate::proxy::egress::PeerAcl;
use crate::web::{self, Token};
use throughline::{Identity, Node, NodeBuilder};

/// Returns the node that a configuration asks for, but for its identity.
pub(super) fn node_config(config: &Config) -> NodeBuilder {
    let mut builder =
        Node::builder().limits(config.limits.clone()).manage_routes(config.manage_routes);
    builder = config.listen.iter().fold(builder, |builder, addr| builder.bind(*addr));
    builder = config.uplinks.iter().fold(builder, |builder, u| builder.uplink(u.clone()));
    config.peers.iter().fold(builder, |builder, peer| builder.peer(peer.config.clone()))
}

/// Returns what each peer may reach through this host.
pub(super) fn acls(config: &Config) -> Vec<PeerAcl> {
    config.peers.iter().map(|p| (p.config.keys().collect(), p.acl.clone())).collect()
}

/// Returns the identity of the daemon, which no peer of the configuration may have.
///
/// # Errors
/// The identity cannot be read, or a peer has the same key.
pub fn identity(config: &Config) -> Result<Identity, StartError> {
    let identity = match &config.identity {
        IdentitySource::File(path) => Identity::load(path)?,
        IdentitySource::Given(identity) => identity.clone(),
    };
    config.check_own_key(identity.peer_id())?;
    Ok(identity)
}

/// Returns where the status page is to be, and with which token.
///
/// # Errors
/// There is no token in its file.
pub(crate) fn web(config: &Config) -> Result<Option<web::Settings>, StartError> {
    let Some(web) = &config.web else { return Ok(None) };
    let token = web.token_file.as_ref().map(|path| Token::load(path)).transpose()?;
    Ok(Some(web::Settings { addr: web.listen, token }))
}

/// Returns the path at which a daemon that runs with this is asked, if it has an admin socket.
pub(crate) fn running_admin_path(admin: &Admin) -> Option<PathBuf> {
    match admin {
        Admin::Default => Some(AdminSocket::running_path()),
        other => admin_path(other),
    }
}

/// Returns the path of the admin socket, if there is to be one.
pub(crate) fn admin_path(admin: &Admin) -> Option<PathBuf> {
    match admin {
        Admin::Off => None,
        Admin::At(path) => Some(path.clone()),
        Admin::Default => Some(AdminSocket::default_path()),
    }
}
