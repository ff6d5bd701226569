//! An application that checks every byte that comes back.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use throughline_fixture::Outcome;

/// How long bytes may stay away: longer than a restart takes on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

const BLOCK: usize = 8 << 10;

/// Answers every byte, for as long as the test runs; returns the port.
pub(crate) fn echo_server() -> Outcome<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let (mut block, mut stream) = ([0; BLOCK], stream);
                while let Ok(count @ 1..) = stream.read(&mut block) {
                    if stream.write_all(&block[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok(port)
}

/// A connection over which blocks go there and back.
pub(crate) struct Flow {
    blocks: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), String>>,
    /// Why it has ended, if it has.
    reason: Arc<OnceLock<String>>,
}

impl Flow {
    /// Begins with one.
    pub(crate) fn begin(ingress: SocketAddr) -> Outcome<Self> {
        let mut stream = TcpStream::connect(ingress)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let (blocks, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (blocks.clone(), stop.clone());
        let reason = Arc::new(OnceLock::new());
        let failure = reason.clone();
        let mut exchange = move || {
            while !stopped.load(Ordering::Relaxed) {
                let number = count.load(Ordering::Relaxed);
                let block: Vec<u8> = (0..BLOCK as u64).map(|at| (at * 31 + number) as u8).collect();
                let mut back = vec![0; BLOCK];
                let done = stream.write_all(&block).and_then(|()| stream.read_exact(&mut back));
                done.map_err(|error| match error.kind() {
                    ErrorKind::UnexpectedEof => "an end in order".to_owned(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".to_owned(),
                    _ => error.to_string(),
                })?;
                if back != block {
                    return Err(format!("wrong bytes in block {number}"));
                }
                count.store(number + 1, Ordering::Relaxed);
            }
            Ok(())
        };
        let thread = std::thread::spawn(move || {
            exchange().inspect_err(|error: &String| {
                let _ = failure.set(error.clone());
            })
        });
        Ok(Self { blocks, stop, thread, reason })
    }

    /// Waits until blocks have come back that were sent after now.
    pub(crate) fn goes_on(&self) -> Outcome {
        let (from, began) = (self.blocks.load(Ordering::Relaxed), Instant::now());
        while self.blocks.load(Ordering::Relaxed) < from + 2 {
            let reason = self.reason.get();
            if reason.is_some() || began.elapsed() > TIMEOUT {
                return Err(format!("a flow does not go on after {from} blocks: {reason:?}").into());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Ends it; returns how many blocks there were.
    pub(crate) fn finish(self) -> Outcome<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "a flow panicked")??;
        Ok(self.blocks.load(Ordering::Relaxed))
    }

    /// Waits until it ends by itself; returns how.
    pub(crate) fn ends(self) -> Outcome<String> {
        match self.thread.join().map_err(|_| "a flow panicked")? {
            Ok(()) => Err("it was told to end".into()),
            Err(reason) => Ok(reason),
        }
    }
}
