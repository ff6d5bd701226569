//! A hand-over of many flows.

use std::time::{Duration, Instant};

use throughline_emulator::Profile;
use throughline_fixture::{Outcome, ProgramPair, Shape, alone, forward};

use super::{number, program};
use throughline_fixture::flows::{self, Idle};

/// Connections that are made, or speak, side by side.
const BATCH: usize = 100;

/// `THROUGHLINE_HANDOVER_FLOWS=10000` hands over ten thousand.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_flows_are_handed_over_at_either_end_and_each_goes_on() -> Outcome {
    let _alone = alone().await;
    let count = number("THROUGHLINE_HANDOVER_FLOWS", 1000) as u64;
    let extras = forward("echo", flows::echo_server().await?);
    let shape =
        Shape { profile: Profile::new(50_000_000, Duration::from_millis(5)), ..Shape::default() };
    let mut pair = ProgramPair::start_program(program(), shape, &extras, &[])?;
    let ingress = pair.near.ingress("echo")?;
    let mut idle = Vec::new();
    let flows: Vec<u64> = (0..count).collect();
    for batch in flows.chunks(BATCH) {
        let begun: Vec<_> =
            batch.iter().map(|flow| tokio::spawn(Idle::begin(ingress, *flow))).collect();
        for flow in begun {
            idle.push(flow.await??);
        }
    }
    for end in ["near", "far"] {
        let process = if end == "near" { &pair.near } else { &pair.far };
        let before = process.resident()?;
        let began = Instant::now();
        let former = pair.hand_over(end)?;
        let took = began.elapsed();
        let line = former.lines().find(|line| line.contains("nothing moved for"));
        println!("{end}: {took:?} in all, {before} bytes before; {}", line.unwrap_or_default());
        let mut spoken = Vec::with_capacity(idle.len());
        while !idle.is_empty() {
            let batch = idle.drain(..idle.len().min(BATCH));
            let speaking: Vec<_> = batch.map(|flow| tokio::spawn(flow.spoken())).collect();
            for flow in speaking {
                spoken.push(flow.await??);
            }
        }
        idle = spoken;
    }
    Ok(())
}
