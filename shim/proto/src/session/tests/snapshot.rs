//! A session is made anew of its snapshot, and a mute one sends nothing.
//!
//! At large, amid whatever happens: the simulation.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::snapshot::{RestoreError, VERSION};

/// Two sessions with flows in every state: bytes that wait at either end and out of order, ends, resets.
fn busy() -> Pair {
    let mut pair = Pair::new(2);
    let flows: Vec<FlowId> = (0..4).map(|n| pair.joined(n % 2, Mode::Single)).collect();
    pair.write(A, flows[0], 50_000);
    pair.run();
    pair.hold(L1);
    for flow in &flows {
        pair.write(A, *flow, 3_000);
        pair.write(B, *flow, 3_000);
    }
    pair.health(A, L1, Health::Suspect { confirmed: true });
    pair.write(A, flows[0], 5_000);
    pair.ends[A].finish(pair.now, flows[1]).unwrap();
    pair.ends[B].reset(pair.now, flows[2], 7);
    pair.drop_both(B, flows[3]);
    pair.run();
    pair.open(A, Mode::Bond);
    pair
}

fn restore(side: Side, records: &[Vec<u8>]) -> Result<Session, RestoreError> {
    let memory = Arc::new(Memory::new(1 << 30));
    let config = SessionConfig { side, params: params(), max_flows: 8, first_window: 0, memory };
    let mut session = Session::restore(config, &records[0])?;
    records[1..].iter().try_for_each(|record| session.restore_flow(record).map(|_| ()))?;
    Ok(session)
}

#[test]
fn a_restored_session_has_the_same_snapshot_and_sets_the_same_memory_aside() {
    let pair = busy();
    for (end, memory) in pair.ends.iter().zip(&pair.memory) {
        let records: Vec<_> = end.snapshot().collect();
        assert_eq!(records.len(), 1 + end.flow_count());
        // Whatever side is asked for: the record says which.
        let restored = restore(Side::Initiator, &records).unwrap();
        assert_eq!(restored.side(), end.side());
        assert_eq!(restored.snapshot().collect::<Vec<_>>(), records);
        assert_eq!(restored.memory().used(), memory.used());
        let of_another = restore(Side::Initiator, &[&records[..], &records[1..2]].concat());
        assert_eq!(of_another.unwrap_err(), RestoreError::Contradiction("flow"), "twice");
    }
}

#[test]
fn a_flow_whose_id_the_session_has_not_used_is_refused() {
    let pair = busy();
    for end in &pair.ends {
        let records: Vec<_> = end.snapshot().collect();
        // Its own record as it was before the first flow.
        let fresh = Pair::new(1).ends[end.side() as usize].snapshot().next().unwrap();
        for flow in &records[1..] {
            let refused = restore(end.side(), &[fresh.clone(), flow.clone()]).unwrap_err();
            assert_eq!(refused, RestoreError::Contradiction("flow"));
        }
        let used = restore(end.side(), &[records[0].clone(), records[1].clone()]);
        assert!(used.is_ok());
    }
}

#[test]
fn a_record_that_is_damaged_or_of_another_version_is_refused_and_never_panics() {
    let pair = busy();
    let mut rng = SmallRng::seed_from_u64(5);
    for records in pair.ends.iter().map(|end| end.snapshot().collect::<Vec<_>>()) {
        for at in 0..records.len() {
            let mut changed = records.clone();
            changed[at][0] = VERSION as u8 + 1;
            let refused = restore(Side::Initiator, &changed).unwrap_err();
            assert_eq!(refused, RestoreError::Version(VERSION + 1));
            for len in (0..records[at].len()).filter(|len| *len < 200 || len % 97 == 0) {
                changed[at] = records[at][..len].to_vec();
                assert!(restore(Side::Initiator, &changed).is_err(), "record {at} of {len} bytes");
            }
            for _ in 0..500 {
                changed[at].clone_from(&records[at]);
                let place = rng.random_range(0..records[at].len().min(300));
                changed[at][place] = rng.random();
                // It may say something else now, but nothing that cannot be.
                let _ = restore(Side::Initiator, &changed);
            }
        }
    }
}

#[test]
fn a_mute_session_sends_nothing_and_goes_on_when_it_is_no_longer() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.ends[B].mute();
    pair.given.clear();
    pair.write(A, id, 1_000);
    pair.write(B, id, 1_000);
    pair.pass(ms(1_000));
    assert!(pair.ends[A].flow(id).unwrap().tx.buffer.retained() == 1_000, "acknowledged by a mute");
    assert!(pair.given.iter().all(|given| given.side == A));
    pair.ends[B].unmute();
    pair.pass(ms(1_000));
    assert_eq!(pair.read(B, id).0, 1_000);
    assert_eq!(pair.read(A, id).0, 1_000);
    assert!(pair.ends[A].flow(id).unwrap().tx.buffer.retained() == 0);
}

#[test]
fn a_restored_session_keeps_the_number_of_flows_that_it_has_promised() {
    let mut pair = busy();
    let records: Vec<_> = pair.ends[B].snapshot().collect();
    let memory = Arc::new(Memory::new(1 << 30));
    // The new configuration allows one.
    let params = SessionParams { max_flows: 1, ..params() };
    let config =
        SessionConfig { side: Side::Acceptor, params, max_flows: 1, first_window: 0, memory };
    let restored = Session::restore(config, &records[0]).unwrap();
    assert_eq!(restored.params().max_flows, pair.ends[B].params().max_flows);
    pair.ends[B] = restored;
    records[1..].iter().for_each(|record| {
        pair.ends[B].restore_flow(record).unwrap();
    });
    [L1, L2].into_iter().for_each(|lane| pair.detach(lane));
    pair.attach(L2);
    pair.run();
    let more = pair.open(A, Mode::Single);
    pair.run();
    assert_eq!(pair.count(B, &SessionEvent::Incoming(more)), 1, "as it was promised");
}
