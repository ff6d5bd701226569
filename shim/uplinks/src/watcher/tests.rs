use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::*;
use crate::network_state::NetworkState;
use crate::network_state::tests::network;

/// A source whose notifications the test sends, and which counts how often it is read.
struct Scripted {
    notifications: mpsc::Receiver<ChangeKind>,
    reads: Arc<Reads>,
}

#[derive(Default)]
struct Reads {
    /// How many of the next readings fail.
    failing: AtomicUsize,
    /// Whether the routes cannot be read.
    without_routes: AtomicBool,
    addresses: AtomicUsize,
    routes: AtomicUsize,
    last: Mutex<(Option<Instant>, Option<Instant>)>,
}

impl Source for Scripted {
    async fn read(
        &mut self,
        what: ChangeKind,
        mut before: NetworkState,
    ) -> io::Result<NetworkState> {
        let fails = |left: usize| left.checked_sub(1);
        if self.reads.failing.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            return Err(io::Error::from_raw_os_error(24)); // EMFILE
        }
        if what != ChangeKind::Addresses {
            if self.reads.without_routes.load(Ordering::Relaxed) {
                return Err(io::Error::from_raw_os_error(105)); // ENOBUFS
            }
            self.reads.routes.fetch_add(1, Ordering::Relaxed);
            self.reads.last.lock().1 = Some(Instant::now());
        }
        if what != ChangeKind::Routes {
            self.reads.last.lock().0 = Some(Instant::now());
            // A new address with every reading.
            let count = self.reads.addresses.fetch_add(1, Ordering::Relaxed) + 1;
            before = network(&[("eth0", format!("10.0.0.{}/24", count % 250 + 1).as_str())]);
        }
        Ok(before)
    }

    async fn changed(&mut self) -> io::Result<ChangeKind> {
        let mut received = self.notifications.recv().await.ok_or(io::ErrorKind::UnexpectedEof)?;
        while let Ok(more) = self.notifications.try_recv() {
            received = received.merge(more);
        }
        Ok(received)
    }
}

struct Fixture {
    notifications: mpsc::Sender<ChangeKind>,
    reads: Arc<Reads>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    changes: Arc<Changes>,
    task: tokio::task::JoinHandle<io::Error>,
}

/// Begins to watch, and waits for the first snapshot.
async fn fixture() -> Fixture {
    let (notifications, received) = mpsc::channel(1024);
    let (publish, mut snapshot) = watch::channel(Arc::default());
    let reads = Arc::new(Reads::default());
    let mut source = Scripted { notifications: received, reads: reads.clone() };
    let changes = Arc::new(Changes::default());
    let mut watcher = Watcher::new(Arc::from([]), publish, Box::new(|_| ()), changes.clone());
    let task = tokio::spawn(async move { watcher.run(&mut source, ChangeKind::Everything).await });
    snapshot.wait_for(|s| s.generation == 1).await.unwrap();
    Fixture { notifications, reads, snapshot, changes, task }
}

impl Fixture {
    fn reads(&self) -> (usize, usize) {
        let Reads { addresses, routes, .. } = &*self.reads;
        (addresses.load(Ordering::Relaxed), routes.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn the_first_snapshot_comes_by_itself_and_is_whole() {
    let fixture = fixture().await;
    assert_eq!(fixture.reads(), (1, 1));
    assert_eq!(fixture.snapshot.borrow().uplinks.len(), 1);
}

#[tokio::test]
async fn a_notification_after_silence_is_answered_at_once() {
    let mut fixture = fixture().await;
    tokio::time::sleep(ADDRESSES_GAP * 2).await;
    let since = Instant::now();
    fixture.notifications.try_send(ChangeKind::Addresses).unwrap();
    fixture.snapshot.changed().await.unwrap();
    fixture.snapshot.wait_for(|s| s.generation == 2).await.unwrap();
    println!("{:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_millis(100));
}

#[tokio::test]
async fn other_uplinks_are_published_with_the_network_that_is_known() {
    let mut fixture = fixture().await;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let before: BeforePublish = Box::new(move |snapshot| {
        count.store(snapshot.uplinks.len(), Ordering::Relaxed);
    });
    let uplink = |name: &str| UplinkConfig::new(name).interface("eth0");
    // The last of two counts, and what is to be done before is not lost with the first.
    fixture.changes.send([uplink("a")].into(), Some(before));
    fixture.changes.send([uplink("b")].into(), None);
    fixture.snapshot.wait_for(|s| s.uplinks.iter().any(|u| u.name == "b")).await.unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 1);
    assert_eq!(fixture.reads(), (1, 1), "nothing is read anew");
}

#[tokio::test]
async fn a_storm_of_notifications_is_answered_a_few_times_and_at_its_end() {
    let fixture = fixture().await;
    let since = Instant::now();
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_micros(500)).await;
        fixture.notifications.try_send(ChangeKind::Everything).unwrap();
    }
    let (lasted, last_notification) = (since.elapsed(), Instant::now());
    // The last notifications are answered too, addresses and routes.
    let answered = |at: Option<Instant>| at.is_some_and(|at| at >= last_notification);
    while !(answered(fixture.reads.last.lock().0) && answered(fixture.reads.last.lock().1)) {
        assert!(last_notification.elapsed() < Duration::from_secs(2), "{:?}", fixture.reads());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (addresses, routes) = fixture.reads();
    let most = |gap: Duration| lasted.as_micros() as usize / gap.as_micros() as usize + 4;
    assert!(addresses > 2 && addresses <= most(ADDRESSES_GAP), "{addresses} in {lasted:?}");
    assert!(routes > 1 && routes <= most(ROUTES_GAP), "{routes} in {lasted:?}");
}

#[tokio::test]
async fn addresses_do_not_wait_for_routes() {
    let mut fixture = fixture().await;
    let since = Instant::now();
    // The routes were read a moment ago; the addresses are not to wait for their turn.
    fixture.notifications.try_send(ChangeKind::Everything).unwrap();
    fixture.snapshot.wait_for(|s| s.generation == 2).await.unwrap();
    assert_eq!(fixture.reads(), (2, 1), "after {:?}", since.elapsed());
    fixture.snapshot.wait_for(|s| s.generation == 3).await.unwrap();
    assert_eq!(fixture.reads(), (2, 2));
}

#[tokio::test]
async fn a_change_of_routes_alone_is_published_too() {
    let mut fixture = fixture().await;
    fixture.notifications.try_send(ChangeKind::Routes).unwrap();
    fixture.snapshot.wait_for(|s| s.generation == 2).await.unwrap();
    assert_eq!(fixture.reads(), (1, 2));
}

#[tokio::test]
async fn the_watcher_ends_with_its_source() {
    let Fixture { notifications, task, .. } = fixture().await;
    drop(notifications);
    assert_eq!(task.await.unwrap().kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_reading_that_fails_is_tried_again_and_the_published_state_stays_meanwhile() {
    let mut fixture = fixture().await;
    fixture.reads.failing.store(3, Ordering::Relaxed);
    fixture.notifications.try_send(ChangeKind::Everything).unwrap();
    while fixture.reads.failing.load(Ordering::Relaxed) > 0 {
        assert_eq!(fixture.snapshot.borrow().uplinks.len(), 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fixture.snapshot.wait_for(|s| s.generation == 2).await.unwrap();
    // Later changes are followed as before.
    fixture.notifications.try_send(ChangeKind::Addresses).unwrap();
    fixture.snapshot.wait_for(|s| s.generation >= 3).await.unwrap();
}

#[tokio::test]
async fn addresses_are_followed_although_routes_cannot_be_read() {
    let mut fixture = fixture().await;
    fixture.reads.without_routes.store(true, Ordering::Relaxed);
    tokio::time::sleep(ROUTES_GAP * 2).await;
    for generation in 2..6 {
        let since = Instant::now();
        fixture.notifications.try_send(ChangeKind::Everything).unwrap();
        fixture.snapshot.wait_for(|s| s.generation == generation).await.unwrap();
        assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    }
    assert_eq!(fixture.reads(), (5, 1));
    fixture.reads.without_routes.store(false, Ordering::Relaxed);
    fixture.snapshot.wait_for(|s| s.generation == 6).await.unwrap();
    assert_eq!(fixture.reads(), (5, 2));
}
