use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::*;
use crate::picture::tests::picture;

/// A source whose bells are rung by the test, and that counts how often it is read.
struct Scripted {
    bells: mpsc::Receiver<What>,
    reads: Arc<Reads>,
}

#[derive(Default)]
struct Reads {
    addresses: AtomicUsize,
    routes: AtomicUsize,
    last: Mutex<(Option<Instant>, Option<Instant>)>,
}

impl Source for Scripted {
    async fn read(&mut self, what: What, mut before: Picture) -> io::Result<Picture> {
        if what != What::Addresses {
            self.reads.routes.fetch_add(1, Ordering::Relaxed);
            self.reads.last.lock().1 = Some(Instant::now());
        }
        if what != What::Routes {
            self.reads.last.lock().0 = Some(Instant::now());
            // A new address with every reading.
            let count = self.reads.addresses.fetch_add(1, Ordering::Relaxed) + 1;
            before = picture(&[("eth0", format!("10.0.0.{}/24", count % 250 + 1).as_str())]);
        }
        Ok(before)
    }

    async fn changed(&mut self) -> io::Result<What> {
        let mut heard = self.bells.recv().await.ok_or(io::ErrorKind::UnexpectedEof)?;
        while let Ok(more) = self.bells.try_recv() {
            heard = heard.and(more);
        }
        Ok(heard)
    }
}

struct World {
    bells: mpsc::Sender<What>,
    reads: Arc<Reads>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    task: tokio::task::JoinHandle<io::Error>,
}

/// Begins to watch, and waits for the first snapshot.
async fn world() -> World {
    let (bells, heard) = mpsc::channel(1024);
    let (publish, mut snapshot) = watch::channel(Arc::default());
    let reads = Arc::new(Reads::default());
    let source = Scripted { bells: heard, reads: reads.clone() };
    let watcher = Watcher::new(source, Arc::from([]), publish, Box::new(|_| ()));
    let task = tokio::spawn(watcher.run());
    snapshot.wait_for(|s| s.generation == 1).await.unwrap();
    World { bells, reads, snapshot, task }
}

impl World {
    fn reads(&self) -> (usize, usize) {
        let Reads { addresses, routes, .. } = &*self.reads;
        (addresses.load(Ordering::Relaxed), routes.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn the_first_snapshot_comes_by_itself_and_is_whole() {
    let world = world().await;
    assert_eq!(world.reads(), (1, 1));
    assert_eq!(world.snapshot.borrow().uplinks.len(), 1);
}

#[tokio::test]
async fn a_bell_after_silence_is_answered_at_once() {
    let mut world = world().await;
    tokio::time::sleep(ADDRESSES_GAP * 2).await;
    let since = Instant::now();
    world.bells.try_send(What::Addresses).unwrap();
    world.snapshot.changed().await.unwrap();
    world.snapshot.wait_for(|s| s.generation == 2).await.unwrap();
    println!("{:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_millis(100));
}

#[tokio::test]
async fn a_storm_of_bells_is_answered_a_few_times_and_at_its_end() {
    let world = world().await;
    let since = Instant::now();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_micros(500)).await;
        world.bells.try_send(What::Everything).unwrap();
    }
    let (lasted, last_bell) = (since.elapsed(), Instant::now());
    // The last bells are answered too, addresses and routes.
    let answered = |at: Option<Instant>| at.is_some_and(|at| at >= last_bell);
    while !(answered(world.reads.last.lock().0) && answered(world.reads.last.lock().1)) {
        assert!(last_bell.elapsed() < Duration::from_secs(2), "{:?}", world.reads());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (addresses, routes) = world.reads();
    let most = |gap: Duration| lasted.as_micros() as usize / gap.as_micros() as usize + 4;
    assert!(addresses > 2 && addresses <= most(ADDRESSES_GAP), "{addresses} in {lasted:?}");
    assert!(routes > 1 && routes <= most(ROUTES_GAP), "{routes} in {lasted:?}");
}

#[tokio::test]
async fn addresses_do_not_wait_for_routes() {
    let mut world = world().await;
    let since = Instant::now();
    // The routes were read a moment ago; the addresses are not to wait for their turn.
    world.bells.try_send(What::Everything).unwrap();
    world.snapshot.wait_for(|s| s.generation == 2).await.unwrap();
    assert_eq!(world.reads(), (2, 1), "after {:?}", since.elapsed());
    world.snapshot.wait_for(|s| s.generation == 3).await.unwrap();
    assert_eq!(world.reads(), (2, 2));
}

#[tokio::test]
async fn a_change_of_routes_alone_is_published_too() {
    let mut world = world().await;
    world.bells.try_send(What::Routes).unwrap();
    world.snapshot.wait_for(|s| s.generation == 2).await.unwrap();
    assert_eq!(world.reads(), (1, 2));
}

#[tokio::test]
async fn the_watcher_ends_with_its_source() {
    let World { bells, task, .. } = world().await;
    drop(bells);
    assert_eq!(task.await.unwrap().kind(), io::ErrorKind::UnexpectedEof);
}
