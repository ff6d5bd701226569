//! Catches the panic of a future, so that it ends what depended on it and nothing else.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use thiserror::Error;

/// A panic, with what it said.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Panicked(String);

impl Panicked {
    /// Describes a panic that another task had, within something.
    pub fn within(what: &str) -> Self {
        Self(format!("a panic within {what}"))
    }
}

impl From<Box<dyn Any + Send>> for Panicked {
    fn from(payload: Box<dyn Any + Send>) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "a panic without a message".to_owned()))
    }
}

/// Runs a future to its end, or to its panic. What it shared with others may be half changed then: the
/// caller ends that as well.
///
/// # Errors
/// It panicked.
pub async fn catch<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(payload) => Poll::Ready(Err(payload.into())),
    })
    .await
}

/// Calls a function, and catches its panic.
///
/// # Errors
/// It panicked.
pub fn catch_call<T>(call: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(call)).map_err(Panicked::from)
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("it waits"),
        }
    }

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        assert_eq!(now(catch(async { 7 })), Ok(7));
        let error = |text: &str| Err::<(), _>(Panicked(text.to_owned()));
        assert_eq!(now(catch(async { panic!("plain") })), error("plain"));
        assert_eq!(now(catch(async { panic!("number {}", 7) })), error("number 7"));
        assert_eq!(catch_call(|| panic!("called")), error("called"));
    }
}
