//! The examples do what they say.

use std::convert::Infallible;
use std::process::Command;
use std::time::Duration;

use throughline_examples::pair;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::Server;
use tower::service_fn;

fn stdout_of(program: &str) -> String {
    let output = Command::new(program).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
    stdout
}

#[test]
fn echo_answers() {
    assert_eq!(stdout_of(env!("CARGO_BIN_EXE_echo")), "HELLO\n");
}

#[test]
fn an_axum_server_knows_which_peer_asks_and_ends_with_its_node() {
    let stdout = stdout_of(env!("CARGO_BIN_EXE_axum_server"));
    assert_eq!(stdout, "hello, home\nthe server ended with its node\n");
}

#[test]
fn an_http_client_has_both_pages_and_is_told_what_is_wrong_with_a_uri() {
    let stdout = stdout_of(env!("CARGO_BIN_EXE_hyper_client"));
    assert_eq!(
        stdout,
        "200 OK from intranet.example:80 by server\n/one: a page\n\
         200 OK from intranet.example:80 by server\n/two: a page\n\
         `ftp://intranet.example/` has no port, and neither scheme `http` nor `https`; add the port\n"
    );
}

#[test]
fn a_grpc_call_is_answered() {
    assert_eq!(stdout_of(env!("CARGO_BIN_EXE_grpc")), "hello, home\n");
}

/// One that waited for a further client would keep its program from ending.
#[tokio::test]
async fn a_grpc_server_ends_with_its_node() {
    let (_here, there) = pair().await.unwrap();
    let refuse = service_fn(|_: http::Request<tonic::body::Body>| async {
        Ok::<_, Infallible>(Status::unimplemented("nothing").into_http::<tonic::body::Body>())
    });
    let listener = there.serve("greeter").unwrap().accept_all();
    let server = tokio::spawn(Server::builder().serve_with_incoming(refuse, listener));
    there.shutdown(Duration::from_secs(1)).await;
    timeout(Duration::from_secs(10), server).await.expect("it goes on").unwrap().unwrap();
}

#[test]
fn datagrams_are_answered_and_errors_say_why() {
    let stdout = stdout_of(env!("CARGO_BIN_EXE_datagrams"));
    for line in ["tick after 1\n", "tick after 3\n", "nobody serves nobody of datagrams"] {
        assert!(stdout.contains(line), "no `{line}`: {stdout}");
    }
}

#[test]
fn a_watcher_sees_a_path_die_and_come_back_and_the_end_of_its_node() {
    let stdout = stdout_of(env!("CARGO_BIN_EXE_watch"));
    let (before, after) = stdout.split_once("isp-a dies\n").expect(&stdout);
    assert!(before.ends_with("isp-a up, isp-b up\n"), "{stdout}");
    let (without, with) = after.split_once("isp-a is back\n").expect(&stdout);
    assert!(without.contains("isp-a suspect"), "{stdout}");
    assert!(with.contains("isp-a up"), "{stdout}");
    assert!(with.ends_with("the node has ended\n"), "{stdout}");
}

#[test]
fn a_transfer_survives_the_death_of_either_isp() {
    let stdout = stdout_of(env!("CARGO_BIN_EXE_survive"));
    for isp in ["isp-a", "isp-b"] {
        assert!(stdout.contains(&format!("{isp} is dead")), "it ended before the cut: {stdout}");
    }
    assert!(stdout.contains("60000000 bytes arrived, 0 of them wrong"), "{stdout}");
}
