//! Which lane carries a flow: decided anew for every flow whenever a lane changes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use throughline_proto::selection::{Candidate, Cost, Demand, Evidence, Placement};
use throughline_proto::types::{LaneId, Mode};

fn lane(id: u64) -> Candidate {
    Candidate {
        id: LaneId(id),
        local_risk: id % 4,
        remote_risk: id % 2,
        cost: Cost::FREE,
        order: (id % 4) as u32,
        rtt: Duration::from_millis(20),
        synced: true,
        late: false,
        suspect: false,
        confirmed: false,
        draining: false,
        lossy: false,
        evidence: Evidence::default(),
    }
}

fn selection(c: &mut Criterion) {
    let now = Instant::now();
    let demand = Demand { mode: Mode::Auto, thin: true };
    // What a session wants, and the most that it may have.
    for count in [2, 4, 16] {
        let mut lanes: Vec<Candidate> = (0..count).map(lane).collect();
        c.bench_function(&format!("a flow stays, {count} lanes"), |b| {
            let mut placement = Placement::default();
            placement.select(now, &lanes, demand);
            b.iter(|| placement.select(now, black_box(&lanes), demand));
        });
        lanes[0].suspect = true;
        c.bench_function(&format!("a flow leaves a suspect lane, {count} lanes"), |b| {
            b.iter(|| {
                let mut placement = Placement { primary: Some(LaneId(0)), ..Placement::default() };
                placement.select(now, black_box(&lanes), demand);
                placement
            });
        });
    }
}

criterion_group!(benches, selection);
criterion_main!(benches);
