use super::*;
use throughline::OpenFailure;

fn failed(code: FailureCode) -> DispatchError {
    DispatchError::Peer(OpenFailure::new(code, "h:1: no").into())
}

#[test]
fn each_failure_has_its_status_and_its_error_type() {
    let unreachable = ConnectError::Unreachable { peer: "p".into(), reason: "silent".to_owned() };
    let unanswered = ConnectError::Unanswered { peer: "p".into(), reason: "30 s".to_owned() };
    for (error, status, error_type) in [
        (failed(FailureCode::Refused), 502, "connection_refused"),
        (failed(FailureCode::HostUnreachable), 502, "destination_ip_unroutable"),
        (failed(FailureCode::NetworkUnreachable), 502, "destination_ip_unroutable"),
        (failed(FailureCode::NameNotFound), 502, "dns_error"),
        (failed(FailureCode::NoService), 502, "destination_unavailable"),
        (failed(FailureCode::NotAllowed), 403, "destination_ip_prohibited"),
        (failed(FailureCode::TimedOut), 504, "connection_timeout"),
        (failed(FailureCode::LimitReached), 503, "connection_limit_reached"),
        (failed(FailureCode::Other), 502, "proxy_internal_error"),
        (DispatchError::Rejected("h:1".parse().unwrap()), 403, "http_request_denied"),
        (unreachable.into(), 503, "destination_unavailable"),
        (unanswered.into(), 504, "connection_timeout"),
        (ConnectError::NoLocator("p".into()).into(), 503, "destination_unavailable"),
        (ConnectError::TooManyFlows(9).into(), 503, "connection_limit_reached"),
        (ConnectError::ShuttingDown.into(), 503, "proxy_internal_error"),
        (DispatchError::PeersDown(vec!["p".into()]), 503, "destination_unavailable"),
    ] {
        let answer = Answer::of_dispatch(&"h:1".parse().unwrap(), &error);
        assert_eq!((answer.status.as_u16(), answer.error), (status, error_type), "{error:?}");
    }
}

#[test]
fn the_text_is_one_sentence_that_says_what_to_do() {
    let target: Target = "h:1".parse().unwrap();
    let text = |error| Answer::of_dispatch(&target, &error).text;
    assert_eq!(
        text(failed(FailureCode::Refused)),
        "No connection to h:1: no; check that a program listens on that port."
    );
    assert_eq!(
        text(DispatchError::Rejected(target.clone())),
        "No connection to h:1: rejected by this host's rules; let a [[rule]] or the ingress's `via` \
         say where it goes."
    );
}

#[test]
fn the_proxy_status_is_a_valid_structured_field_whatever_it_quotes() {
    let answer = Answer::bad_request("`a\"b\\c\r\nd\u{e9}` is wrong");
    let status = answer.proxy_status();
    assert_eq!(status.matches('"').count(), 2, "{status}");
    assert!(status.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'\\'), "{status}");
    assert!(answer.response().headers().contains_key("proxy-status"));
    assert_eq!(String::from_utf8(answer.to_bytes()).unwrap().matches("\r\n\r\n").count(), 1);
}
