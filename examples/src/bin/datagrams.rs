//! A service of datagrams, as a game or a call has: what is lost is lost, and what comes late is not waited for.
//!
//! `cargo run -p throughline-examples --bin datagrams`

use throughline::Target;
use throughline_examples::{Error, pair};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (here, there) = pair().await?;
    let mut service = there.serve_datagrams("clock")?;
    tokio::spawn(async move {
        while let Ok(incoming) = service.accept().await {
            let flow = incoming.accept();
            tokio::spawn(async move {
                // Until the other end drops its flow.
                while let Ok(question) = flow.recv().await {
                    flow.send([b"tick after ".as_slice(), &question].concat())?;
                }
                Ok::<_, Error>(())
            });
        }
    });

    let flow = here.datagrams(there.id(), Target::datagram_service("clock")).await?;
    flow.opened().await?; // not needed: what is sent before waits for it
    println!(
        "{} takes datagrams of {} bytes in a packet",
        flow.info().peer_name.as_str(),
        flow.packet_len()
    );
    for tick in 1..=3 {
        flow.send(format!("{tick}"))?;
        println!("{}", String::from_utf8_lossy(&flow.recv().await?));
    }

    // One that is too long for a path is refused at once, and the flow goes on.
    let error = flow.send(vec![0; 100_000]).err().ok_or("it was taken")?;
    println!("{error}");

    // The far side says why it takes none.
    let nobody = here.datagrams(there.id(), Target::datagram_service("nobody")).await?;
    println!("{}", nobody.opened().await.err().ok_or("somebody is there")?);
    Ok(())
}
