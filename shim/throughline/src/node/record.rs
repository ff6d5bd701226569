//! The record of a node in what it hands over.

use throughline_proto::snapshot::{RestoreError, VERSION};
use throughline_proto::types::PeerId;
use throughline_proto::wire::codec::{DecodeError, get_varint, put_string, put_varint};

/// What is handed over besides the sessions.
pub(super) struct NodeRecord {
    pub(super) id: PeerId,
    /// The number of the process, which peers know.
    pub(super) instance: u64,
    /// The uplinks that are drained.
    pub(super) drained: Vec<String>,
}

impl NodeRecord {
    /// The first byte of the record; those of sessions have others.
    const KIND: u8 = 0;

    /// Returns whether a record is a node's.
    pub(super) fn is_one(record: &[u8]) -> bool {
        record.first() == Some(&Self::KIND)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = vec![Self::KIND];
        put_varint(&mut out, VERSION);
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.instance.to_be_bytes());
        put_varint(&mut out, self.drained.len() as u64);
        self.drained.iter().for_each(|name| put_string(&mut out, name));
        out
    }

    pub(super) fn decode(record: &[u8]) -> Result<Self, RestoreError> {
        const TRUNCATED: RestoreError = RestoreError::Decode(DecodeError::Truncated("the node"));
        let mut rest = record.get(1..).ok_or(TRUNCATED)?;
        match get_varint(&mut rest, "version")? {
            1..=VERSION => {}
            other => return Err(RestoreError::Version(other)),
        }
        let (id, rest) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        let (instance, mut rest) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        let mut drained = Vec::new();
        for _ in 0..get_varint(&mut rest, "drained uplinks")? {
            let len = get_varint(&mut rest, "name of an uplink")? as usize;
            let (name, after) = rest.split_at_checked(len).ok_or(TRUNCATED)?;
            drained.push(String::from_utf8_lossy(name).into_owned());
            rest = after;
        }
        let (id, instance) = (PeerId::from_bytes(*id), u64::from_be_bytes(*instance));
        Ok(Self { id, instance, drained })
    }
}
