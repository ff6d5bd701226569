//! Basic authentication to the proxy (RFC 7617, RFC 9110 §11.7).

use data_encoding::BASE64;
use hyper::HeaderMap;
use hyper::header::PROXY_AUTHORIZATION;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::proxy::ingress::credentials::Credentials;
use crate::proxy::ingress::handshake::REJECT_DELAY;

/// Whether a request may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authorization {
    /// It may.
    Granted,
    /// It has no credentials that can be read; clients send them when they are asked.
    Missing,
    /// It has wrong ones.
    Wrong,
}

/// The tries of a password on one connection: after a wrong one none for [`REJECT_DELAY`], however many
/// requests the client has at once, and whether or not it waits for the answers.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// Before this moment nothing is compared. Held by the request that waits for it; the others wait for
    /// that one, in their order.
    not_before: Mutex<Option<Instant>>,
}

impl Tries {
    /// Compares what a request shows with what is wanted, and says only after a while that it is wrong.
    pub(super) async fn authorize(
        &self,
        fields: &HeaderMap,
        wanted: Option<&Credentials>,
    ) -> Authorization {
        let Some(wanted) = wanted else { return Authorization::Granted };
        let given = fields.get(PROXY_AUTHORIZATION).and_then(|given| parse(given.to_str().ok()?));
        let Some((username, password)) = given else { return Authorization::Missing };
        let mut not_before = self.not_before.lock().await;
        if let Some(at) = *not_before {
            sleep_until(at).await;
        }
        if wanted.matches(&username, &password) {
            return Authorization::Granted;
        }
        // Set before the wait: a client that resets its stream ends the wait, and not this.
        let at = Instant::now() + REJECT_DELAY;
        *not_before = Some(at);
        drop(not_before);
        sleep_until(at).await;
        Authorization::Wrong
    }
}

/// Returns the user name, which ends at the first colon, and the password.
fn parse(value: &str) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = BASE64.decode(encoded.trim().as_bytes()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (username, password) = decoded.split_once(':')?;
    Some((username.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn wanted() -> Credentials {
        Credentials { username: "user".to_owned(), password: "pass:word".to_owned() }
    }

    fn fields(value: Option<&str>) -> HeaderMap {
        let mut fields = HeaderMap::new();
        if let Some(value) = value {
            fields.insert(PROXY_AUTHORIZATION, value.parse().unwrap());
        }
        fields
    }

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text.as_bytes()))
    }

    /// Returns what a connection's first request is told.
    async fn verdict(value: Option<&str>) -> Authorization {
        Tries::default().authorize(&fields(value), Some(&wanted())).await
    }

    #[tokio::test]
    async fn only_the_right_user_and_password_are_let_in() {
        assert_eq!(verdict(Some(&basic("user:pass:word"))).await, Authorization::Granted);
        let spelled = basic("user:pass:word").replace("Basic", "bAsIc ");
        assert_eq!(verdict(Some(&spelled)).await, Authorization::Granted);
        let wrong = ["user:pass:wor", "user:pass:word2", "User:pass:word", ":", "user:"];
        let wrong =
            wrong.map(|wrong| tokio::spawn(async move { verdict(Some(&basic(wrong))).await }));
        for verdict in wrong {
            assert_eq!(verdict.await.unwrap(), Authorization::Wrong);
        }
        for unreadable in ["", "Basic", "Basic !", "Bearer abc", &basic("user")] {
            assert_eq!(verdict(Some(unreadable)).await, Authorization::Missing, "{unreadable}");
        }
        assert_eq!(verdict(None).await, Authorization::Missing);
        let open = Tries::default();
        assert_eq!(open.authorize(&HeaderMap::new(), None).await, Authorization::Granted);
    }

    #[tokio::test]
    async fn a_wrong_try_whose_stream_is_reset_delays_the_next_one_all_the_same() {
        let (tries, wanted) = (Tries::default(), wanted());
        let (wrong, right) =
            (fields(Some(&basic("user:x"))), fields(Some(&basic("user:pass:word"))));
        let began = Instant::now();
        {
            let mut given_up = pin!(tries.authorize(&wrong, Some(&wanted)));
            assert!(given_up.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
        assert_eq!(tries.authorize(&right, Some(&wanted)).await, Authorization::Granted);
        assert!(began.elapsed() >= REJECT_DELAY, "{:?}", began.elapsed());
    }
}
