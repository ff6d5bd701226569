//! A flow's record in a snapshot.

use super::{Application, Datagrams, FactClock, Flow, Opening, Rx, Tx};
use crate::snapshot::{
    RestoreError, get_byte, get_end, get_flags, get_version, put_flags, put_version,
};
use crate::types::FlowId;
use crate::wire::codec::{DecodeError, get_varint, put_varint};
use crate::wire::fact::{Open, Outcome, ResetAt};

impl Flow {
    /// Returns the flow's record.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_version(&mut out);
        put_varint(&mut out, self.id.0);
        let Application { reader_gone, writer_gone, read_waiting, write_waiting, ack_waiting } =
            self.app;
        let waiting = [read_waiting, write_waiting, ack_waiting];
        put_flags(&mut out, [self.local, self.open_acked, reader_gone, writer_gone]);
        put_flags(&mut out, waiting);
        self.open.put(&mut out);
        match &self.opening {
            Opening::Pending => out.push(0),
            Opening::Opened => {
                out.push(1);
                Outcome::Opened.put(&mut out);
            }
            Opening::Failed(failure) => {
                out.push(1);
                Outcome::Failed(failure.clone()).put(&mut out);
            }
        }
        self.tx.put(&mut out);
        self.rx.put(&mut out);
        for reset in [self.reset_out, self.reset_in] {
            put_flags(&mut out, [reset.is_some()]);
            if let Some(ResetAt { code, at }) = reset {
                put_varint(&mut out, code);
                put_varint(&mut out, at);
            }
        }
        self.clock.put(&mut out);
        put_varint(&mut out, self.peer_version);
        if let Some(datagrams) = &self.datagrams {
            put_varint(&mut out, datagrams.tx.next());
            put_varint(&mut out, datagrams.rx.next());
        }
        out
    }

    /// Restores a flow from its record, without lanes and timers.
    pub(crate) fn restore(mut record: &[u8]) -> Result<Self, RestoreError> {
        let record = &mut record;
        get_version(record)?;
        let id = FlowId(get_varint(record, "flow id")?);
        let [local, open_acked, reader_gone, writer_gone] = get_flags(record)?;
        let [read_waiting, write_waiting, ack_waiting] = get_flags(record)?;
        let open = Open::get(record)?;
        let opening = match get_byte(record, "opening")? {
            0 => Opening::Pending,
            1 => match Outcome::get(record)? {
                Outcome::Opened => Opening::Opened,
                Outcome::Failed(failure) => Opening::Failed(failure),
            },
            other => return Err(DecodeError::Invalid("opening", other.into()).into()),
        };
        let mut flow = Self {
            id,
            local,
            open,
            opening,
            open_acked,
            tx: Tx::get(record)?,
            rx: Rx::get(record)?,
            reset_out: get_reset(record)?,
            reset_in: get_reset(record)?,
            datagrams: None,
            clock: FactClock::get(record)?,
            peer_version: get_varint(record, "peer's version")?,
            app: Application { reader_gone, writer_gone, read_waiting, write_waiting, ack_waiting },
            timer: None,
        };
        if flow.open.target.takes_datagrams() {
            let (sent, received) =
                (get_varint(record, "next datagram")?, get_varint(record, "datagrams received")?);
            flow.datagrams = Some(Box::new(Datagrams::new(&flow.open.target, sent, received)));
        }
        get_end(record, "the flow")?;
        Ok(flow)
    }
}

fn get_reset(record: &mut &[u8]) -> Result<Option<ResetAt>, RestoreError> {
    let [is_reset] = get_flags(record)?;
    if !is_reset {
        return Ok(None);
    }
    let (code, at) = (get_varint(record, "reset code")?, get_varint(record, "reset offset")?);
    Ok(Some(ResetAt { code, at }))
}
