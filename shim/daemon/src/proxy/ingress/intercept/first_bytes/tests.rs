use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

/// Returns what a TLS client begins with.
fn client_hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

fn named(name: &str) -> Seen {
    Seen::Name(Some(name.to_owned()))
}

#[test]
fn the_name_of_tls_and_of_http_is_found_in_whatever_part_it_is_complete() {
    let hello = client_hello("git.corp.example");
    assert_eq!(seen(&hello), named("git.corp.example"));
    assert_eq!(seen(&client_hello("192.0.2.1")), Seen::Name(None));
    for cut in [0, 1, 5, 40, hello.len() - 1] {
        assert_eq!(seen(&hello[..cut]), Seen::TooFew, "{cut}");
    }
    let request = b"GET / HTTP/1.1\r\nUser-Agent: x\r\nHoSt: Git.Corp.Example:8080\r\n\r\n";
    assert_eq!(seen(request), named("git.corp.example"));
    assert_eq!(seen(&request[..40]), Seen::TooFew);
    assert_eq!(seen(b"GET / HTTP/1.0\r\n\r\n"), Seen::Name(None));
    assert_eq!(seen(b"GET / HTTP/1.1\r\nHost: 192.0.2.1:80\r\n\r\n"), Seen::Name(None));
    assert_eq!(seen(b"GET / HTTP/1.1\r\nHost: [2001:db8::1]\r\n\r\n"), Seen::Name(None));
}

#[test]
fn what_is_neither_has_no_name_from_the_first_byte_on() {
    for bytes in [&b"\x05\x01\x00"[..], b"ssh-", b"\x00", b"\x16\x03\x01\xff\xff", b"A\x00\x00"] {
        assert_ne!(seen(bytes), named(""), "{bytes:?}");
    }
    assert_eq!(seen(b"\x00"), Seen::Name(None));
    assert_eq!(seen(&[22, 3, 1, 0, 4, 9, 9, 9, 9]), Seen::Name(None));
}

#[tokio::test]
async fn a_name_in_two_packets_is_waited_for_and_every_byte_stays_unread() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let hello = client_hello("git.corp.example");
    let (first, second) = hello.split_at(100);
    client.write_all(first).await.unwrap();
    let (found, ()) = tokio::join!(name(&accepted), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        client.write_all(second).await.unwrap();
    });
    assert_eq!(found.as_deref(), Some("git.corp.example"));
    let mut bytes = vec![0; 2 * hello.len()];
    assert_eq!(accepted.peek(&mut bytes).await.unwrap(), hello.len());
}

#[tokio::test]
async fn a_client_that_waits_for_the_server_and_one_that_ends_have_no_name() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    assert_eq!(name(&accepted).await, None);
    drop(client);
    assert_eq!(name(&accepted).await, None);
}
