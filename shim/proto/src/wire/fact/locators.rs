//! Where an end can be reached.

use bytes::{Buf, BufMut};

use crate::types::{Host, Locator, Target};
use crate::wire::codec::{
    DecodeError, get_bounded, get_target, get_varint, put_target, put_varint,
};

/// The most locators that a peer may advertise.
pub const MAX_LOCATORS: usize = 64;

/// Where an end can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locators {
    /// Grows with every change.
    pub generation: u64,
    /// The whole list, most preferred first.
    pub list: Vec<Locator>,
}

impl Locators {
    pub(crate) fn put(&self, out: &mut impl BufMut) {
        put_varint(out, self.generation);
        put_varint(out, self.list.len().min(MAX_LOCATORS) as u64);
        for locator in self.list.iter().take(MAX_LOCATORS) {
            put_target(out, &Target::Tcp { host: locator.host.clone(), port: locator.port });
        }
    }

    pub(crate) fn get(buf: &mut impl Buf) -> Result<Self, DecodeError> {
        let generation = get_varint(buf, "locator generation")?;
        let count = get_bounded(buf, "locator count", MAX_LOCATORS as u64)?;
        let mut list = Vec::with_capacity(count as usize);
        for _ in 0..count {
            match get_target(buf)? {
                Target::Tcp { host: host @ Host::Ip(_), port } => {
                    list.push(Locator { host, port });
                }
                _ => return Err(DecodeError::Invalid("locator kind", 3)),
            }
        }
        Ok(Self { generation, list })
    }
}
