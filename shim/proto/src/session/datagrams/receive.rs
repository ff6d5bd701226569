//! Datagrams of the peer.

use std::time::Instant;

use crate::datagram::OVERHEAD;
use crate::session::{Session, SessionEvent, Violation};
use crate::wire::flow_datagram::FlowDatagram;

impl Session {
    /// Takes a datagram that arrived on any lane.
    ///
    /// # Errors
    /// The peer may not send it. That its flow is not known yet is no error: what opens a flow may be slower, or lost.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: FlowDatagram,
    ) -> Result<(), Violation> {
        let FlowDatagram { flow: id, seq, open, class, payload } = datagram;
        if self.closed.is_some() {
            return Ok(());
        }
        if let Some(open) = &open
            && !self.find_flow(now, id, Some(open))?
        {
            return Ok(());
        }
        let Some(flow) = self.flows.get_mut(&id) else {
            let is_ours = id.opener() == self.config.side;
            return match is_ours && id >= self.next_flow {
                true => Err(Violation::NeverOpened(id)),
                false => Ok(()),
            };
        };
        // What the peer sent before it ended the flow may come after the end.
        let is_over = flow.reset_out.is_some() || flow.app.reader_gone;
        // A long one has room where the window may grow to it: what waits is never more than was set aside.
        let lacking = ((payload.len() + OVERHEAD) as u64).saturating_sub(flow.rx.window());
        if lacking > 0
            && !is_over
            && flow.datagrams.is_some()
            && self.config.memory.try_grow(lacking)
        {
            flow.rx.grow(lacking);
        }
        let most = flow.rx.window();
        let Some(datagrams) = &mut flow.datagrams else {
            return Err(Violation::NotOfDatagrams(id));
        };
        // Whoever answers has the open.
        flow.open_acked = true;
        if is_over || !datagrams.rx.push(seq, &payload, class, most) {
            return Ok(());
        }
        datagrams.active_at = Some(now);
        if std::mem::take(&mut flow.app.read_waiting) {
            self.events.push_back(SessionEvent::Readable(id));
        }
        Ok(())
    }
}
