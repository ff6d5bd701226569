//! What came of having a daemon take its next key: only what is known of it.

use crate::admin::AdminError;
use throughline::PeerId;

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The daemon has the next key.
    InUse,
    /// The daemon refused, for this reason, and goes on as it was.
    Refused(String),
    /// It did not say whether it refuses, and has the key of this text.
    Other { error: String, key: String },
    /// It did not say whether it refuses, nor which key it has.
    Unknown { error: String, status: String },
}

/// Judges by the daemon's answer to the reload; `key_now` asks it which key it has, where that says nothing.
pub(super) async fn judge(
    next: PeerId,
    reloaded: Result<(), AdminError>,
    key_now: impl Future<Output = Result<String, AdminError>>,
) -> Verdict {
    let error = match reloaded {
        Ok(()) => return Verdict::InUse,
        Err(AdminError::Refused(reason)) => return Verdict::Refused(reason),
        // A daemon that takes long, or was ended in between, may have taken it over or may yet.
        Err(error) => error.to_string(),
    };
    match key_now.await {
        Ok(key) if key == next.to_string() => Verdict::InUse,
        Ok(key) => Verdict::Other { error, key },
        Err(status) => Verdict::Unknown { error, status: status.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn no_answer() -> AdminError {
        AdminError::InvalidAnswer { path: "t.sock".into(), reason: "none came".to_owned() }
    }

    #[tokio::test]
    async fn only_a_refusal_is_taken_for_one() {
        let next = PeerId::from_bytes([1; 32]);
        let former = PeerId::from_bytes([2; 32]).to_string();
        assert_eq!(judge(next, Ok(()), pending()).await, Verdict::InUse);
        let refused = Err(AdminError::Refused("no".to_owned()));
        assert_eq!(judge(next, refused, pending()).await, Verdict::Refused("no".to_owned()));
        let key_now = ready(Ok(next.to_string()));
        assert_eq!(judge(next, Err(no_answer()), key_now).await, Verdict::InUse);
        let verdict = judge(next, Err(no_answer()), ready(Ok(former.clone()))).await;
        assert!(matches!(&verdict, Verdict::Other { key, .. } if *key == former), "{verdict:?}");
        let verdict = judge(next, Err(no_answer()), ready(Err(no_answer()))).await;
        assert!(matches!(verdict, Verdict::Unknown { .. }), "{verdict:?}");
    }
}
