//! A hand-over and the end of the daemon at the same moment.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use super::*;

/// A giver of a node, which says what it does with what is offered.
async fn giver(settle: impl Fn(&Freezer) -> io::Result<()> + Send + Sync + 'static) -> Giver {
    let node = Node::builder().build().await.unwrap();
    let (freezer, settle) = (Freezer::default(), Arc::new(settle));
    let frozen = freezer.clone();
    let offer = move || -> MakingBundle {
        let (settle, freezer) = (Arc::clone(&settle), frozen.clone());
        let settle = Box::new(move || settle(&freezer));
        Box::pin(async { Ok(Bundle { sockets: Vec::new(), settle, unchanged: Box::new(()) }) })
    };
    Giver::new(node, freezer, Box::new(offer))
}

/// A giver, and a successor that has asked it and is shown everything.
async fn shown() -> (Giver, Channel) {
    let giver = giver(|_| Ok(())).await;
    let (here, there) = UnixStream::pair().unwrap();
    let giving = giver.clone();
    tokio::spawn(async move { giving.give(here, vec![2], &Tasks::default()).await });
    let mut successor = Channel::new(there);
    assert!(matches!(successor.receive().await.unwrap(), Message::Inventory { format: 2, .. }));
    successor.send(&Message::Proceed).await.unwrap();
    assert_eq!(successor.receive().await.unwrap(), Message::State { connections: 0 });
    assert_eq!(successor.receive_descriptors(1).await.unwrap().len(), 1);
    (giver, successor)
}

#[tokio::test]
async fn a_daemon_that_is_about_to_end_gives_nothing() {
    let (giver, mut successor) = shown().await;
    assert!(!giver.give_no_more().await);
    let refused = Message::Refused(GiveError::Ending.to_string());
    assert_eq!(successor.receive().await.unwrap(), refused);
    assert!(!giver.is_under_way(), "it goes on");
}

#[tokio::test]
async fn a_daemon_whose_successor_is_told_already_leaves_it_everything() {
    let (giver, mut successor) = shown().await;
    successor.send(&Message::Ready).await.unwrap();
    assert_eq!(successor.receive().await.unwrap(), Message::Yours);
    assert!(giver.give_no_more().await);
    assert_eq!(successor.receive().await.unwrap(), Message::Left);
    assert!(giver.given().await.is_some());
}

#[tokio::test]
async fn what_is_offered_is_brought_up_to_date_when_nothing_moves_and_before_anybody_reads_it() {
    let settled = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&settled);
    let giver = giver(move |freezer| {
        let entering = pin!(freezer.enter()).poll(&mut Context::from_waker(Waker::noop()));
        assert!(entering.is_pending(), "it stands still");
        // The third time it cannot.
        match counting.fetch_add(1, Ordering::SeqCst) {
            2.. => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    })
    .await;
    for expected in 1..=2 {
        let (here, there) = UnixStream::pair().unwrap();
        let giving = giver.clone();
        let given =
            tokio::spawn(async move { giving.give(here, vec![3], &Tasks::default()).await });
        let mut successor = Channel::new(there);
        let offered = successor.receive().await.unwrap();
        assert!(matches!(offered, Message::Inventory { .. }), "{offered:?}");
        assert_eq!(settled.load(Ordering::SeqCst), expected - 1);
        successor.send(&Message::Proceed).await.unwrap();
        assert_eq!(successor.receive().await.unwrap(), Message::State { connections: 0 });
        assert_eq!(settled.load(Ordering::SeqCst), expected);
        successor.send(&Message::Failed("no".to_owned())).await.unwrap();
        given.await.unwrap();
    }
    let tasks = Tasks::default();
    let kept = giver.keep(&[3], &tasks, async |_| panic!("it is not up to date")).await;
    assert!(matches!(kept, Err(GiveError::Io(_))));
    assert!(!giver.is_under_way(), "it goes on");
}

#[test]
fn a_successor_is_offered_what_a_program_knows_that_reads_its_format() {
    let offered = |format| {
        let unix = Socket::UnixIngress { path: "/run/a.sock".into() };
        let listen = "[::1]:1080".parse().unwrap();
        let all = [
            (Socket::Ingress { name: "a".to_owned(), listen }, 1),
            (Socket::Lanes { listen }, 1),
            (unix, 3),
            (Socket::DnsDatagrams, 3),
            (Socket::DnsConnections, 3),
            (Socket::Names, 3),
        ];
        all.into_iter().all(|(socket, since)| is_known(&socket, format) == (since <= format))
    };
    assert!(FORMATS.into_iter().all(offered));
}
