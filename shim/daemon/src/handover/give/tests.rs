//! A hand-over and the end of the daemon at the same moment.

use super::*;

/// A giver, and a successor that has asked it and is shown everything.
async fn shown() -> (Giver, Channel) {
    let node = Node::builder().build().await.unwrap();
    let offer = || -> MakingBundle {
        Box::pin(async { Ok(Bundle { sockets: Vec::new(), unchanged: Box::new(()) }) })
    };
    let giver = Giver::new(node, Freezer::default(), Box::new(offer));
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
