use std::pin::pin;

use super::*;
use crate::proxy::relay::Parked;

#[tokio::test]
async fn a_freeze_waits_for_what_is_set_up_and_for_every_relay_and_a_thaw_lets_all_go_on() {
    let freezer = Freezer::default();
    let (place, set_up) = (freezer.place(), freezer.setting_up(Setup::Connection));
    let mut closing = pin!(freezer.close());
    assert!(futures_poll(closing.as_mut()).await.is_pending());
    drop(set_up);
    closing.await;
    let relay = tokio::spawn(async move {
        place.frozen().await;
        place.park(Parked::for_test()).await;
        place
    });
    assert!(freezer.freeze().await);
    assert_eq!(freezer.parked().len(), 1);
    assert!(timeout(Duration::from_millis(20), freezer.open()).await.is_err());
    freezer.thaw();
    let place = relay.await.unwrap();
    assert!(freezer.parked().is_empty());
    freezer.open().await;
    // It parks a second time, and one that ends instead is not waited for.
    let (other, freezing) = (freezer.place(), freezer.clone());
    let freeze = tokio::spawn(async move { freezing.freeze().await });
    other.frozen().await;
    drop((other, place));
    assert!(freeze.await.unwrap());
}

#[tokio::test]
async fn a_connection_comes_before_everything_closes_and_is_waited_for_or_not_at_all() {
    let freezer = Freezer::default();
    let set_up = freezer.setting_up_if_open(Setup::Connection).unwrap();
    let mut closing = pin!(freezer.close());
    assert!(futures_poll(closing.as_mut()).await.is_pending());
    assert!(freezer.setting_up_if_open(Setup::Connection).is_none());
    drop(set_up);
    closing.await;
    freezer.thaw();
    assert!(freezer.setting_up_if_open(Setup::Connection).is_some());
}

#[tokio::test]
async fn a_relay_that_comes_while_everything_stands_still_waits_and_what_is_set_up_learns_that_it_is_cut()
 {
    let freezer = Freezer::default();
    let connection = freezer.setting_up(Setup::Connection);
    // Another process asks for it anew, so nothing waits for it at the end.
    let _flow = freezer.setting_up(Setup::Flow);
    assert!(freezer.freeze().await);
    let late = tokio::spawn({
        let freezer = freezer.clone();
        async move { freezer.unless_given(freezer.enter()).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!late.is_finished() && freezer.parked().is_empty());
    freezer.thaw();
    let place = timeout(Duration::from_secs(10), late).await.unwrap().unwrap().unwrap();
    drop(place);

    assert!(freezer.freeze().await);
    let late = tokio::spawn({
        let freezer = freezer.clone();
        async move {
            let place = freezer.unless_given(freezer.enter()).await;
            drop(connection);
            place.is_none()
        }
    });
    let began = std::time::Instant::now();
    assert_eq!(freezer.cut().await, 1);
    assert!(began.elapsed() < CUT_TIMEOUT, "it waits for what is not reset");
    assert!(timeout(Duration::from_secs(10), late).await.unwrap().unwrap());
}

async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}
