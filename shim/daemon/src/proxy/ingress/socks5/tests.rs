use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::*;
use throughline::{ConnectError, OpenFailure};

const HELLO: &[u8] = &[5, 1, 0];
const CONNECT_NAME: &[u8] = b"\x05\x01\x00\x03\x07Host.ex\x01\xbb";

struct Outcome {
    /// Everything the client got.
    replies: Vec<u8>,
    /// What the ingress was asked to open, and whether the client's connection went on.
    asked: Option<Target>,
    served: bool,
}

/// Serves a client as the ingress does, up to its connection's way out.
async fn serve_client<T, F, Fut>(
    tcp: TcpStream,
    credentials: Option<&Credentials>,
    descriptors: &Descriptors,
    open: F,
) -> Result<(Stream, Served<T>), Refusal>
where
    F: FnOnce(Target) -> Fut,
    Fut: Future<Output = Result<T, DispatchError>>,
{
    let mut tcp = Stream::from(tcp);
    match negotiate(&mut tcp, credentials, descriptors, open).await {
        Ok(served) => Ok((tcp, served)),
        Err(refusal) => {
            close_gracefully(tcp).await;
            Err(refusal)
        }
    }
}

/// A client that says `says` and hangs up, and an ingress that answers it with `answer`.
async fn play(
    says: &[u8],
    credentials: Option<Credentials>,
    answer: Result<(), DispatchError>,
) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (tcp, _) = listener.accept().await.unwrap();
    let (requested, asked) = oneshot::channel();
    let ingress = tokio::spawn(async move {
        let open = |target| async {
            requested.send(target).unwrap();
            answer
        };
        serve_client(tcp, credentials.as_ref(), &Descriptors::default(), open).await.is_ok()
    });
    client.write_all(says).await.unwrap();
    client.shutdown().await.unwrap();
    let mut replies = Vec::new();
    client.read_to_end(&mut replies).await.unwrap();
    Outcome { replies, asked: asked.await.ok(), served: ingress.await.unwrap() }
}

fn failed(code: FailureCode) -> Result<(), DispatchError> {
    Err(DispatchError::Direct(OpenFailure::new(code, "no")))
}

/// What the client gets: the method reply, then the reply with this code.
fn replies(code: u8) -> Vec<u8> {
    [&[5, 0][..], &[5, code, 0, 1, 0, 0, 0, 0, 0, 0]].concat()
}

#[tokio::test]
async fn a_name_leaves_as_a_name() {
    let outcome = play(&[HELLO, CONNECT_NAME].concat(), None, Ok(())).await;
    assert_eq!(outcome.replies, replies(0));
    assert_eq!(outcome.asked, Some("host.ex:443".parse().unwrap()));
    assert!(outcome.served);
}

#[tokio::test]
async fn addresses_of_both_families_are_connected_to() {
    let v4 = [HELLO, b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x16"].concat();
    assert_eq!(play(&v4, None, Ok(())).await.asked, Some("10.0.0.1:22".parse().unwrap()));
    let v6 = [HELLO, b"\x05\x01\x00\x04\x20\x01\x0d\xb8", &[0; 11], &[1, 0, 22]].concat();
    assert_eq!(play(&v6, None, Ok(())).await.asked, Some("[2001:db8::1]:22".parse().unwrap()));
}

#[tokio::test]
async fn the_reply_carries_the_far_sides_outcome() {
    let table = [
        (failed(FailureCode::Refused), 5),
        (failed(FailureCode::HostUnreachable), 4),
        (failed(FailureCode::NameNotFound), 4),
        (failed(FailureCode::NetworkUnreachable), 3),
        (failed(FailureCode::NotAllowed), 2),
        (failed(FailureCode::TimedOut), 6),
        (failed(FailureCode::LimitReached), 3),
        (failed(FailureCode::Other), 1),
        (Err(DispatchError::Rejected("h:1".parse().unwrap())), 2),
        (
            Err(ConnectError::Unreachable { peer: "p".into(), reason: "silent".to_owned() }.into()),
            4,
        ),
        (Err(ConnectError::NoLocator("p".into()).into()), 4),
        (Err(DispatchError::PeersDown(vec!["p".into()])), 4),
        (Err(ConnectError::ShuttingDown.into()), 1),
    ];
    for (answer, code) in table {
        let context = format!("{answer:?}");
        let outcome = play(&[HELLO, CONNECT_NAME].concat(), None, answer).await;
        assert_eq!(outcome.replies, replies(code), "{context}");
        assert!(!outcome.served);
    }
}

#[tokio::test]
async fn the_reply_waits_for_the_outcome() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (tcp, _) = listener.accept().await.unwrap();
    let (release, held) = oneshot::channel();
    let open = |_| async {
        held.await.unwrap();
        Ok(())
    };
    let ingress =
        tokio::spawn(async move { serve_client(tcp, None, &Descriptors::default(), open).await });
    client.write_all(&[HELLO, CONNECT_NAME].concat()).await.unwrap();
    client.read_exact(&mut [0; 2]).await.unwrap();
    let early = timeout(Duration::from_millis(100), client.read_exact(&mut [0; 1])).await;
    assert!(early.is_err(), "a reply before the outcome");
    release.send(()).unwrap();
    client.read_exact(&mut [0; 10]).await.unwrap();
    assert!(ingress.await.unwrap().is_ok());
}

#[tokio::test]
async fn udp_associate_is_answered_with_the_address_of_a_socket() {
    let mut request = CONNECT_NAME.to_vec();
    request[1] = 3;
    let outcome = play(&[HELLO, &request].concat(), None, Ok(())).await;
    assert_eq!(outcome.replies[..10], [5, 0, 5, 0, 0, 1, 127, 0, 0, 1]);
    assert_ne!(outcome.replies[10..], [0, 0]);
    assert!(outcome.served && outcome.asked.is_none());
}

#[tokio::test]
async fn bind_and_unknown_commands_are_not_supported() {
    for command in [2, 9] {
        let mut request = CONNECT_NAME.to_vec();
        request[1] = command;
        let outcome = play(&[HELLO, &request].concat(), None, Ok(())).await;
        assert_eq!(outcome.replies, replies(7), "command {command}");
        assert_eq!(outcome.asked, None);
    }
}

#[tokio::test]
async fn a_configured_password_is_required() {
    let credentials =
        || Some(Credentials { username: "user".to_owned(), password: "secret".to_owned() });
    let good = [b"\x05\x02\x00\x02\x01\x04user\x06secret", CONNECT_NAME].concat();
    let outcome = play(&good, credentials(), Ok(())).await;
    assert_eq!(outcome.replies[..4], [5, 2, 1, 0]);
    assert!(outcome.served);

    let wrong = [b"\x05\x01\x02\x01\x04user\x06secres", CONNECT_NAME].concat();
    let outcome = play(&wrong, credentials(), Ok(())).await;
    assert_eq!(outcome.replies, [5, 2, 1, 0xff]);
    assert_eq!(outcome.asked, None);

    let none = [HELLO, CONNECT_NAME].concat();
    let outcome = play(&none, credentials(), Ok(())).await;
    assert_eq!(outcome.replies, [5, 0xff]);
    assert_eq!(outcome.asked, None);
}

#[tokio::test]
async fn a_client_that_violates_socks5_opens_nothing() {
    for says in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[4, 1, 0, 80, 1, 2, 3, 4, 0], &[5], &[], &[5, 1, 0, 5]]
    {
        let outcome = play(says, None, Ok(())).await;
        assert_eq!(outcome.asked, None, "{says:?}");
        assert!(!outcome.served);
    }
}

#[tokio::test]
async fn port_0_and_an_invalid_name_are_refused() {
    for request in
        [&b"\x05\x01\x00\x01\x0a\x00\x00\x01\x00\x00"[..], b"\x05\x01\x00\x03\x03a b\x01\xbb"]
    {
        let outcome = play(&[HELLO, request].concat(), None, Ok(())).await;
        assert_eq!(outcome.replies, replies(4));
        assert_eq!(outcome.asked, None);
    }
}
