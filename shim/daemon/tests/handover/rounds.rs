//! Many hand-overs in a row, at random moments under load, while ISPs fail.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use throughline_emulator::{Profile, Way};
use throughline_fixture::{Outcome, ProgramPair, Shape, alone, forward};

use super::{number, program};
use throughline_fixture::flows::{self, Echo, Idle};

/// An internet that costs little.
fn shape() -> Shape {
    Shape { profile: Profile::new(20_000_000, Duration::from_millis(5)), ..Shape::default() }
}

/// `THROUGHLINE_HANDOVERS=100` hands each end over a hundred times.
#[tokio::test(flavor = "multi_thread")]
async fn no_flow_is_lost_and_no_byte_wrong_however_often_either_end_is_handed_over() -> Outcome {
    let _alone = alone().await;
    let rounds = number("THROUGHLINE_HANDOVERS", 4);
    let extras = forward("echo", flows::echo_server().await?);
    let mut pair = ProgramPair::start_program(program(), shape(), &extras, &[])?;
    let ingress = pair.near.ingress("echo")?;
    let mut bulk = Vec::new();
    for flow in 0..6 {
        bulk.push(flows::bulk(ingress, flow).await?);
    }
    let mut idle = Vec::new();
    for flow in 100..150 {
        idle.push(Idle::begin(ingress, flow).await?);
    }
    let echo = Echo::begin(ingress, 200).await?;
    let mut rng = SmallRng::seed_from_u64(rounds as u64);
    let mut worst = [Vec::new(), Vec::new()];
    for round in 0..2 * rounds {
        let [one, other] = pair.isps();
        // One of three hand-overs is amid the failure of an ISP.
        let failing = [&one, &other][rng.random_range(0..2)];
        let fails = rng.random_bool(0.33);
        if fails {
            failing.blackhole(Way::Both);
        }
        echo.further(rng.random_range(1..20)).await?;
        let _ = echo.take_worst();
        let end = round % 2;
        let former = pair.hand_over(["near", "far"][end])?;
        assert!(former.contains("handed over to another process"), "{former}");
        echo.further(3).await?;
        if fails {
            failing.heal(Way::Both);
        } else {
            worst[end].push(echo.take_worst());
        }
        let at = rng.random_range(0..idle.len());
        idle[at].speak().await?;
        // A new connection finds its way, too.
        Idle::begin(ingress, 1000 + round as u64).await?;
    }
    for flow in &mut idle {
        flow.speak().await?;
    }
    let mut moved = Vec::new();
    for flow in bulk {
        moved.push(flow.finish().await?);
    }
    echo.finish().await?;
    for (end, worst) in ["near", "far"].into_iter().zip(&mut worst) {
        worst.sort();
        let median = worst.get(worst.len() / 2).copied().unwrap_or_default();
        println!("{end}: {rounds} hand-overs, echo gaps {worst:?}, median {median:?}");
    }
    for daemon in [&pair.near, &pair.far] {
        let log = daemon.log();
        assert!(!log.contains("flows end") && !log.contains("session over"), "{log}");
    }
    println!("bytes there and back: {moved:?}");
    assert!(moved.iter().all(|bytes| *bytes > 0), "{moved:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_are_handed_over_at_the_same_moment_and_no_flow_is_lost() -> Outcome {
    let _alone = alone().await;
    let extras = forward("echo", flows::echo_server().await?);
    let mut pair = ProgramPair::start_program(program(), shape(), &extras, &[])?;
    let ingress = pair.near.ingress("echo")?;
    let mut bulk = Vec::new();
    for flow in 0..3 {
        bulk.push(flows::bulk(ingress, flow).await?);
    }
    let echo = Echo::begin(ingress, 100).await?;
    for _ in 0..3 {
        echo.further(10).await?;
        let (near, far) = (pair.begin_hand_over("near")?, pair.begin_hand_over("far")?);
        pair.end_hand_over("near", near)?;
        pair.end_hand_over("far", far)?;
    }
    echo.further(10).await?;
    for flow in bulk {
        assert!(flow.finish().await? > 0);
    }
    echo.finish().await?;
    Ok(())
}
