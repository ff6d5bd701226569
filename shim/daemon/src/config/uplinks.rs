//! The `[uplinks.NAME]` tables.

use std::collections::HashMap;

use ipnet::IpNet;
use toml::Spanned;

use super::budget::{self, Budget};
use super::error::ConfigError;
use super::raw::{RawUplink, SpannedList, SpannedText, Tables};
use super::source::{Located, Source, in_order, located, located_list};
use crate::catalogue::Code;
use throughline::{AddressClass, UplinkConfig};

/// Parses the uplinks in the order of the file.
pub(super) fn parse(
    source: &Source<'_>,
    tables: &Tables<RawUplink>,
) -> Result<Vec<UplinkConfig>, ConfigError> {
    let mut owners = Owners { source, prefixes: HashMap::new(), interfaces: HashMap::new() };
    let uplinks: Vec<_> = in_order(tables)
        .map(|(name, raw)| uplink(source, &mut owners, name, raw))
        .collect::<Result<_, _>>()?;
    let overflow = in_order(tables).find_map(|(_, raw)| raw.overflow.as_ref());
    if let Some(overflow) = overflow
        && uplinks.iter().all(|uplink| uplink.overflow.is_some())
    {
        let message = "Every uplink is `overflow`, so that none is left that is to be full first; remove it from the \
                       cheapest.";
        return Err(source.error(Code::FieldsConflict, overflow.span(), message));
    }
    Ok(uplinks)
}

/// Parses what the uplinks may carry, by their names.
pub(super) fn budgets(
    source: &Source<'_>,
    tables: &Tables<RawUplink>,
) -> Result<Vec<(String, Budget)>, ConfigError> {
    let mut budgets = Vec::new();
    for (name, raw) in in_order(tables) {
        let budget = budget::parse(source, raw)?;
        budgets.extend(budget.map(|budget| (name.get_ref().clone(), budget)));
    }
    Ok(budgets)
}

fn uplink<'a>(
    source: &Source<'_>,
    owners: &mut Owners<'a>,
    name: &'a Spanned<String>,
    raw: &'a RawUplink,
) -> Result<UplinkConfig, ConfigError> {
    if raw.prefixes.is_none() && raw.interface.is_none() {
        let message = format!(
            "The uplink `{}` has neither `prefixes` nor `interface`; write one of them, so that \
             its addresses are known.",
            name.get_ref()
        );
        return Err(source.error(Code::FieldMissing, name.span(), message));
    }
    let prefixes = owners.claim_prefixes(name.get_ref(), raw.prefixes.as_ref())?;
    if let Some(interface) = &raw.interface {
        owners.claim_interface(name.get_ref(), interface)?;
    }
    let mut uplink = UplinkConfig::new(name.get_ref())
        .prefixes(prefixes)
        .class(class(source, raw.class.as_ref())?)
        .metered(raw.metered)
        .overflow(budget::overflow(source, raw)?);
    uplink.interface = raw.interface.as_ref().map(|name| name.get_ref().clone());
    Ok(uplink)
}

/// Which uplink each prefix and each interface belongs to.
struct Owners<'a> {
    source: &'a Source<'a>,
    prefixes: HashMap<IpNet, &'a str>,
    interfaces: HashMap<&'a str, &'a str>,
}

impl<'a> Owners<'a> {
    fn claim_prefixes(
        &mut self,
        uplink: &'a str,
        list: Option<&SpannedList>,
    ) -> Result<Vec<IpNet>, ConfigError> {
        located_list(list).into_iter().map(|at| self.claim_prefix(uplink, at)).collect()
    }

    fn claim_prefix(&mut self, uplink: &'a str, at: Located<'_>) -> Result<IpNet, ConfigError> {
        let prefix = self.source.prefix(at.clone())?;
        match self.prefixes.insert(prefix, uplink) {
            None => Ok(prefix),
            Some(other) => {
                let message = format!(
                    "{prefix} belongs to the uplink `{other}` already; give each uplink prefixes \
                     of its own."
                );
                Err(self.source.error(Code::GivenTwice, at.1, message))
            }
        }
    }

    fn claim_interface(
        &mut self,
        uplink: &'a str,
        interface: &'a Spanned<String>,
    ) -> Result<(), ConfigError> {
        match self.interfaces.insert(interface.get_ref(), uplink) {
            None => Ok(()),
            Some(other) => {
                let message = format!(
                    "The interface {} belongs to the uplink `{other}` already; distinguish the \
                     two by `prefixes`.",
                    interface.get_ref()
                );
                Err(self.source.error(Code::GivenTwice, interface.span(), message))
            }
        }
    }
}

fn class(source: &Source<'_>, class: Option<&SpannedText>) -> Result<AddressClass, ConfigError> {
    match class.map(located) {
        None => Ok(AddressClass::default()),
        Some((text, span)) => text.parse().map_err(|_| {
            let message = format!(
                "`{text}` is not a `class`; write \"pa\" (provider-assigned addresses) or \"pi\" \
                 (provider-independent addresses)."
            );
            source.error(Code::WrongValue, span, message)
        }),
    }
}
