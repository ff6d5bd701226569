//! The file that holds the state of a daemon, but for its sockets.
//!
//! ```text
//! "throughline state\n", 8 bytes: format
//! frames: 1 byte kind, 8 bytes length, so many bytes
//! ```
//!
//! Numbers are big-endian. A frame of kind 1 is a record of the node, in the order in which it writes them;
//! one of kind 2 is a relay into a flow, whose connection is the next of the descriptors; one of kind 3, since
//! format 2, is a direct relay, whose connections are the next two, the application's first. Since format 3 an
//! application's connection may be one of a Unix socket, which a flag of its relay says. Since format 4 there are, in
//! JSON, frames of kind 4, an association, and of kind 5, a flow of datagrams, each with as many sockets as it says; a
//! flow comes after its association. A frame of kind 0 ends the file. The file is in memory (memfd_create(2)), and is
//! passed as a descriptor.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};

use super::datagrams::{AssociationRecord, DatagramsRecord};
use crate::proxy::parked::ParkedTask;
use crate::proxy::relay::{Down, FlowKey, OtherEnd, Parked, Progress, Up};
use crate::proxy::stream::StreamKind;
use throughline::{FlowId, SessionId};

const MAGIC: &[u8] = b"throughline state\n";

/// The formats that are read and written.
pub(crate) const FORMATS: RangeInclusive<u64> = 1..=4;

/// The first format that has direct relays.
const DIRECT_SINCE: u64 = 2;

/// The first format that has connections of Unix sockets.
pub(super) const UNIX_SINCE: u64 = 3;

/// The first format whose readers know of names.
pub(super) const NAMES_SINCE: u64 = 3;

/// The first format that has flows of datagrams.
const DATAGRAMS_SINCE: u64 = 4;

/// Returns the first format that has this kind of relay.
fn relay_since(relay: &Parked) -> u64 {
    match (&relay.other_end, relay.tcp.kind()) {
        (_, StreamKind::Unix { .. }) => UNIX_SINCE,
        (OtherEnd::Direct(_), StreamKind::Tcp) => DIRECT_SINCE,
        (OtherEnd::Flow(_), StreamKind::Tcp) => *FORMATS.start(),
    }
}

/// Returns the newest format that is among those of another program.
pub(super) fn newest_common(theirs: &[u64]) -> Option<u64> {
    theirs.iter().copied().filter(|format| FORMATS.contains(format)).max()
}

/// Bytes after which what has been read is given back to the system: the state must not need memory a third
/// time.
const RELEASE_AFTER: u64 = 4 << 20;

/// What a file consists of.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// A record of the node.
    Node(Vec<u8>),
    /// A relay.
    Relay(RelayRecord),
    /// An association.
    Association(AssociationRecord),
    /// A flow of datagrams.
    Datagrams(DatagramsRecord),
}

/// A relay, but for its connection.
#[derive(Clone, Debug)]
pub(super) struct RelayRecord {
    /// Its flow; none of a direct relay.
    pub(super) key: Option<FlowKey>,
    pub(super) ingress: Option<String>,
    /// What its application's connection is.
    pub(super) kind: StreamKind,
    pub(super) progress: Progress,
}

const END: u8 = 0;
const NODE: u8 = 1;
const RELAY: u8 = 2;
const DIRECT: u8 = 3;
const ASSOCIATION: u8 = 4;
const DATAGRAMS: u8 = 5;

/// The flags of a relay that say what its application's connection is; the two before them say which directions have
/// ended.
const IS_UNIX: u8 = 4;
const HOLDS_BYTE: u8 = 8;

/// Writes a state.
pub(super) struct StateWriter {
    file: BufWriter<File>,
    format: u64,
}

impl StateWriter {
    /// Begins a state of this format.
    pub(super) fn create(format: u64) -> io::Result<Self> {
        let file = memfd_create("throughline-state", MemfdFlags::CLOEXEC)?;
        let mut file = BufWriter::new(File::from(file));
        file.write_all(MAGIC)?;
        file.write_all(&format.to_be_bytes())?;
        Ok(Self { file, format })
    }

    /// Returns whether the format has what stands still.
    pub(super) fn takes(&self, standing: &ParkedTask) -> bool {
        let since = match standing {
            ParkedTask::Relay(relay) => relay_since(relay),
            ParkedTask::Association(_) | ParkedTask::Datagrams(..) => DATAGRAMS_SINCE,
        };
        self.format >= since
    }

    pub(super) fn node(&mut self, record: &[u8]) -> io::Result<()> {
        self.frame(NODE, record)
    }

    pub(super) fn relay(&mut self, relay: &RelayRecord) -> io::Result<()> {
        let kind = if relay.key.is_some() { RELAY } else { DIRECT };
        self.frame(kind, &relay.encode())
    }

    pub(super) fn association(&mut self, record: &AssociationRecord) -> io::Result<()> {
        self.frame(ASSOCIATION, &serde_json::to_vec(record)?)
    }

    pub(super) fn datagrams(&mut self, record: &DatagramsRecord) -> io::Result<()> {
        self.frame(DATAGRAMS, &serde_json::to_vec(record)?)
    }

    fn frame(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(&[kind])?;
        self.file.write_all(&(bytes.len() as u64).to_be_bytes())?;
        self.file.write_all(bytes)
    }

    /// Ends the state; returns its file.
    pub(super) fn finish(mut self) -> io::Result<OwnedFd> {
        self.frame(END, &[])?;
        Ok(self.file.into_inner().map_err(io::IntoInnerError::into_error)?.into())
    }
}

/// Reads a state, and gives its memory back as it goes.
pub(super) struct StateReader {
    file: BufReader<File>,
    at: u64,
    released: u64,
}

impl StateReader {
    /// Opens a state; returns it with its format.
    pub(super) fn open(file: OwnedFd) -> io::Result<(Self, u64)> {
        let mut file = File::from(file);
        file.rewind()?;
        let mut reader = Self { file: BufReader::new(file), at: 0, released: 0 };
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(invalid("it is no state of a daemon"));
        }
        let format = reader.number()?;
        Ok((reader, format))
    }

    /// Returns the next frame; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Frame>> {
        let kind = self.take(1)?[0];
        let len = usize::try_from(self.number()?).map_err(io::Error::other)?;
        let bytes = self.take(len)?;
        self.release();
        match kind {
            END => Ok(None),
            NODE => Ok(Some(Frame::Node(bytes))),
            RELAY | DIRECT => {
                let relay = RelayRecord::decode(&bytes, kind == DIRECT);
                Ok(Some(Frame::Relay(relay.ok_or_else(|| invalid("a relay is damaged"))?)))
            }
            ASSOCIATION => Ok(Some(Frame::Association(serde_json::from_slice(&bytes)?))),
            DATAGRAMS => Ok(Some(Frame::Datagrams(serde_json::from_slice(&bytes)?))),
            _ => Err(invalid("a part is of an unknown kind")),
        }
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact(&mut bytes)?;
        self.at += 8;
        Ok(u64::from_be_bytes(bytes))
    }

    fn take(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = (&mut self.file).take(len as u64).read_to_end(&mut bytes)?;
        self.at += read as u64;
        if read < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
    }

    /// Gives back the memory of what has been read. Where that fails it is given back at the end.
    fn release(&mut self) {
        if self.at - self.released >= RELEASE_AFTER {
            let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let (from, len) = (self.released, self.at - self.released);
            let _ = fallocate(self.file.get_ref().as_fd(), hole, from, len);
            self.released = self.at;
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl RelayRecord {
    fn encode(&self) -> Vec<u8> {
        let Progress { up, down } = &self.progress;
        let mut out = Vec::new();
        if let Some((session, flow)) = self.key {
            out.extend_from_slice(&session.0.to_be_bytes());
            out.extend_from_slice(&flow.0.to_be_bytes());
        }
        let kind = match self.kind {
            StreamKind::Tcp => 0,
            StreamKind::Unix { holds_byte } => IS_UNIX | (u8::from(holds_byte) * HOLDS_BYTE),
        };
        out.push(u8::from(up.ended) | u8::from(down.ended) << 1 | kind);
        out.push(u8::from(self.ingress.is_some()));
        let ingress = self.ingress.as_deref().unwrap_or_default();
        let unwritten: Vec<&[u8]> = down.unwritten.iter().map(|chunk| &chunk[..]).collect();
        for part in [&[ingress.as_bytes()], &[&up.unsent[..]], &unwritten[..]] {
            let len: usize = part.iter().map(|chunk| chunk.len()).sum();
            out.extend_from_slice(&(len as u64).to_be_bytes());
            part.iter().for_each(|chunk| out.extend_from_slice(chunk));
        }
        out.extend_from_slice(&up.moved.to_be_bytes());
        out.extend_from_slice(&down.moved.to_be_bytes());
        out
    }

    fn decode(mut bytes: &[u8], is_direct: bool) -> Option<Self> {
        let bytes = &mut bytes;
        let key = match is_direct {
            true => None,
            false => {
                let session = SessionId(u128::from_be_bytes(array(bytes)?));
                Some((session, FlowId(u64::from_be_bytes(array(bytes)?))))
            }
        };
        let [flags, has_ingress] = array(bytes)?;
        let ingress = String::from_utf8(part(bytes)?.to_vec()).ok()?;
        let unsent = Bytes::copy_from_slice(part(bytes)?);
        let unwritten = part(bytes)?;
        let unwritten = match unwritten.is_empty() {
            true => Vec::new(),
            false => vec![Bytes::copy_from_slice(unwritten)],
        };
        let [up, down] = [array(bytes)?, array(bytes)?].map(u64::from_be_bytes);
        let up = Up { unsent, ended: flags & 1 != 0, moved: up };
        let down = Down { unwritten, ended: flags & 2 != 0, moved: down };
        bytes.is_empty().then_some(Self {
            key,
            ingress: (has_ingress == 1).then_some(ingress),
            kind: match flags & IS_UNIX {
                0 => StreamKind::Tcp,
                _ => StreamKind::Unix { holds_byte: flags & HOLDS_BYTE != 0 },
            },
            progress: Progress { up, down },
        })
    }
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(u64::from_be_bytes(array(bytes)?)).ok()?;
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

impl PartialEq for RelayRecord {
    fn eq(&self, other: &Self) -> bool {
        self.encode() == other.encode()
    }
}

#[cfg(test)]
mod tests;
