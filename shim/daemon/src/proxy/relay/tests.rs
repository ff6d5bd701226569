use std::io;
use std::time::Duration;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::*;
use crate::proxy::freezer::Freezer;

/// One direction of a fake flow: bytes, and how it ended.
#[derive(Default)]
struct Pipe {
    queue: VecDeque<Bytes>,
    taken: usize,
    finished: bool,
    reset: bool,
}

#[derive(Clone, Default)]
struct Shared {
    pipe: Arc<Mutex<Pipe>>,
    notify: Arc<Notify>,
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut Pipe)) {
        change(&mut self.pipe.lock());
        self.notify.notify_waiters();
    }

    async fn until<T>(&self, mut check: impl FnMut(&mut Pipe) -> Option<T>) -> T {
        loop {
            let changed = self.notify.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(value) = check(&mut self.pipe.lock()) {
                return value;
            }
            changed.await;
        }
    }
}

fn reset() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

struct FakeReader(Shared);
struct FakeWriter {
    shared: Shared,
    room: usize,
}

impl Source for FakeReader {
    async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> io::Result<usize> {
        self.0
            .until(|pipe| {
                let count = pipe.queue.len().min(chunks.len());
                for (slot, chunk) in chunks.iter_mut().zip(pipe.queue.drain(..count)) {
                    *slot = chunk;
                }
                match count {
                    0 if pipe.reset => Some(Err(reset())),
                    0 if pipe.finished => Some(Ok(0)),
                    0 => None,
                    count => Some(Ok(count)),
                }
            })
            .await
    }

    async fn broken(&mut self) -> io::Error {
        self.0.until(|pipe| pipe.reset.then(reset)).await
    }
}

impl Sink for FakeWriter {
    async fn capacity(&mut self) -> io::Result<usize> {
        let room = self.room;
        self.shared
            .until(|pipe| match room.saturating_sub(pipe.taken) {
                _ if pipe.reset => Some(Err(reset())),
                0 => None,
                left => Some(Ok(left)),
            })
            .await
    }

    async fn write_chunk(&mut self, chunk: &mut Bytes) -> io::Result<usize> {
        let room = self.capacity().await?;
        let taken = chunk.split_to(room.min(chunk.len()));
        let size = taken.len();
        self.shared.change(|pipe| {
            pipe.taken += size;
            pipe.queue.push_back(taken);
        });
        Ok(size)
    }

    async fn closed(&mut self) -> io::Result<()> {
        self.shared.until(|pipe| pipe.reset.then(|| Err(reset()))).await
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shared.change(|pipe| pipe.finished = true);
        Ok(())
    }

    fn reset(self) {
        self.shared.change(|pipe| pipe.reset = true);
    }
}

struct Bench {
    app: TcpStream,
    to_app: Shared,
    from_app: Shared,
    relay: tokio::task::JoinHandle<Relayed>,
}

fn relay_fakes(
    early: Bytes,
    tcp: TcpStream,
    reader: FakeReader,
    writer: FakeWriter,
) -> impl Future<Output = Relayed> {
    let joint = Joint { tcp: tcp.into(), ingress: None, progress: Progress::after(early) };
    let other_end = OtherEnd::Flow((throughline::SessionId(0), throughline::FlowId(0)));
    relay_halves(joint, reader, writer, (other_end, Freezer::default().place()), Never)
}

async fn bench(room: usize) -> Bench {
    bench_after(Bytes::new(), room).await
}

async fn bench_after(early: Bytes, room: usize) -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (inner, _) = listener.accept().await.unwrap();
    let (to_app, from_app) = (Shared::default(), Shared::default());
    let (reader, writer) =
        (FakeReader(to_app.clone()), FakeWriter { shared: from_app.clone(), room });
    let relay = tokio::spawn(relay_fakes(early, inner, reader, writer));
    Bench { app, to_app, from_app, relay }
}

async fn ended(relay: tokio::task::JoinHandle<Relayed>) -> Relayed {
    timeout(Duration::from_secs(5), relay).await.expect("the relay hangs").unwrap()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

#[tokio::test]
async fn what_was_read_before_the_relay_goes_first_and_waits_for_room() {
    let mut bench = bench_after(Bytes::from_static(b"early"), 3).await;
    bench.app.write_all(b" late").await.unwrap();
    bench.from_app.until(|pipe| (pipe.taken == 3).then_some(())).await;
    assert_eq!(*bench.from_app.pipe.lock().queue.front().unwrap(), &b"ear"[..]);
    // An application that resets is noticed although nothing moves.
    socket2::SockRef::from(&bench.app).set_linger(Some(Duration::ZERO)).unwrap();
    drop(bench.app);
    assert!(matches!(ended(bench.relay).await.end, RelayEnd::TcpFailed(_)));

    let mut bench = bench_after(Bytes::from_static(b"early"), usize::MAX).await;
    bench.app.write_all(b" late").await.unwrap();
    bench.app.shutdown().await.unwrap();
    bench.from_app.until(|pipe| pipe.finished.then_some(())).await;
    let sent: Vec<u8> = bench.from_app.pipe.lock().queue.iter().flatten().copied().collect();
    assert_eq!(sent, b"early late");
    bench.to_app.change(|pipe| pipe.finished = true);
    assert_eq!(ended(bench.relay).await.to_flow, 10);
}

#[tokio::test]
async fn both_directions_are_byte_exact_and_end_independently() {
    let mut bench = bench(usize::MAX).await;
    let sent = pattern(3_000_000);
    for chunk in sent.chunks(1171) {
        let chunk = Bytes::copy_from_slice(chunk);
        bench.to_app.change(|pipe| pipe.queue.push_back(chunk));
    }
    bench.to_app.change(|pipe| pipe.finished = true);
    let mut received = Vec::new();
    bench.app.read_to_end(&mut received).await.unwrap();
    assert!(received == sent, "the download differs");

    // The peer's direction is over; ours still works.
    bench.app.write_all(&sent).await.unwrap();
    bench.app.shutdown().await.unwrap();
    let relayed = ended(bench.relay).await;
    assert!(matches!(relayed.end, RelayEnd::Finished), "{relayed:?}");
    assert_eq!((relayed.to_flow, relayed.to_tcp), (3_000_000, 3_000_000));
    let pipe = bench.from_app.pipe.lock();
    assert!(pipe.finished && !pipe.reset);
    assert!(pipe.queue.iter().flatten().eq(sent.iter()), "the upload differs");
}

#[tokio::test]
async fn a_fin_of_the_application_leaves_the_other_direction_open() {
    let mut bench = bench(usize::MAX).await;
    bench.app.write_all(b"request").await.unwrap();
    bench.app.shutdown().await.unwrap();
    bench.from_app.until(|pipe| pipe.finished.then_some(())).await;
    bench.to_app.change(|pipe| {
        pipe.queue.push_back(Bytes::from_static(b"answer"));
        pipe.finished = true;
    });
    let mut answer = String::new();
    bench.app.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "answer");
    assert!(matches!(ended(bench.relay).await.end, RelayEnd::Finished));
}

#[tokio::test]
async fn an_application_whose_relay_is_dropped_does_not_take_what_it_has_for_the_whole() {
    let mut bench = bench(usize::MAX).await;
    bench.to_app.change(|pipe| pipe.queue.push_back(Bytes::from_static(b"a part")));
    bench.app.read_exact(&mut [0; 6]).await.unwrap();
    bench.relay.abort();
    let error = timeout(Duration::from_secs(5), bench.app.read(&mut [0])).await.unwrap();
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_reset_of_the_application_resets_the_flow() {
    let bench = bench(usize::MAX).await;
    close_with_reset(bench.app.into());
    assert!(matches!(ended(bench.relay).await.end, RelayEnd::TcpFailed(_)));
    assert!(bench.from_app.pipe.lock().reset);
}

#[tokio::test]
async fn a_reset_of_the_application_is_detected_while_the_flow_has_no_room() {
    let mut bench = bench(10).await;
    bench.app.write_all(&pattern(100)).await.unwrap();
    bench.from_app.until(|pipe| (pipe.taken == 10).then_some(())).await;
    close_with_reset(bench.app.into());
    assert!(matches!(ended(bench.relay).await.end, RelayEnd::TcpFailed(_)));
}

#[tokio::test]
async fn a_reset_of_the_application_after_its_fin_is_detected() {
    let mut bench = bench(usize::MAX).await;
    bench.app.shutdown().await.unwrap();
    bench.from_app.until(|pipe| pipe.finished.then_some(())).await;
    close_with_reset(bench.app.into());
    assert!(matches!(ended(bench.relay).await.end, RelayEnd::TcpFailed(_)));
}

#[tokio::test]
async fn a_reset_of_the_flow_delivers_preceding_bytes_and_then_resets_the_application() {
    let mut bench = bench(usize::MAX).await;
    bench.to_app.change(|pipe| {
        pipe.queue.push_back(Bytes::from_static(b"last words"));
        pipe.reset = true;
    });
    bench.from_app.change(|pipe| pipe.reset = true);
    let relayed = ended(bench.relay).await;
    assert!(matches!(relayed.end, RelayEnd::FlowReset), "{relayed:?}");
    assert_eq!(relayed.to_tcp, 10);
    let error = bench.app.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_idle_application_learns_of_a_reset() {
    let mut bench = bench(usize::MAX).await;
    bench.to_app.change(|pipe| pipe.finished = true);
    assert_eq!(bench.app.read(&mut [0; 1]).await.unwrap(), 0);
    bench.from_app.change(|pipe| pipe.reset = true);
    assert!(matches!(ended(bench.relay).await.end, RelayEnd::FlowReset));
}

#[tokio::test]
async fn reading_from_the_application_stops_when_the_flow_has_no_room() {
    let mut bench = bench(100_000).await;
    let sent = pattern(300_000);
    let mut app = bench.app;
    let writing = tokio::spawn(async move {
        app.write_all(&sent).await.unwrap();
        app
    });
    bench.from_app.until(|pipe| (pipe.taken == 100_000).then_some(())).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(bench.from_app.pipe.lock().taken, 100_000);
    bench.from_app.change(|pipe| pipe.taken = 0);
    bench.from_app.until(|pipe| (pipe.taken == 100_000).then_some(())).await;
    bench.app = writing.await.unwrap();
    bench.relay.abort();
}

#[tokio::test]
async fn the_relay_of_an_idle_flow_is_small() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let writer = FakeWriter { shared: Shared::default(), room: 0 };
    let size = size_of_val(&relay_fakes(Bytes::new(), app, FakeReader(Shared::default()), writer));
    assert!(size <= 4096, "{size} bytes");
}

#[tokio::test]
async fn small_chunks_do_not_keep_large_buffers_alive() {
    let mut bench = bench(usize::MAX).await;
    for _ in 0..20 {
        bench.app.write_all(&pattern(100)).await.unwrap();
        let before = bench.from_app.pipe.lock().taken;
        bench
            .from_app
            .until(|pipe| (pipe.taken > before || pipe.taken % 100 == 0).then_some(()))
            .await;
    }
    bench.app.shutdown().await.unwrap();
    bench.from_app.until(|pipe| pipe.finished.then_some(())).await;
    for chunk in bench.from_app.pipe.lock().queue.drain(..) {
        // The sole owner of its allocation gives it back as it is: no larger than the read.
        let chunk = chunk.try_into_mut().expect("the chunk shares its allocation");
        assert!(chunk.capacity() <= 4096);
    }
    bench.relay.abort();
}

/// Fills the connection of an application that does not read; returns how many chunks are left.
async fn fill(bench: &Bench) -> usize {
    let chunk = Bytes::from(vec![0; 1 << 20]);
    bench.to_app.change(|pipe| pipe.queue.extend((0..128).map(|_| chunk.clone())));
    let mut left = usize::MAX;
    loop {
        sleep(Duration::from_millis(100)).await;
        let now = bench.to_app.pipe.lock().queue.len();
        if now == left {
            return left;
        }
        left = now;
    }
}

/// An application that does not read, after its FIN or without it; its flow is reset.
async fn closed_window(after_fin: bool) {
    let mut bench = bench(usize::MAX).await;
    if after_fin {
        bench.app.shutdown().await.unwrap();
        bench.from_app.until(|pipe| pipe.finished.then_some(())).await;
    }
    assert!(fill(&bench).await > 0, "the connection takes everything");
    for pipe in [&bench.to_app, &bench.from_app] {
        pipe.change(|pipe| pipe.reset = true);
    }
    let relayed = timeout(RESET_FLUSH_TIMEOUT * 2, bench.relay).await;
    let relayed = relayed.expect("it keeps its connection").unwrap();
    assert!(matches!(relayed.end, RelayEnd::FlowReset), "{relayed:?}");
    let error = bench.app.read_to_end(&mut Vec::new()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_application_that_closed_its_window_is_reset_soon_after_its_flow() {
    tokio::join!(closed_window(true), closed_window(false));
}

/// Both ends of a connection.
async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// An application and its destination, and the relay between them.
async fn direct() -> (TcpStream, TcpStream, tokio::task::JoinHandle<Relayed>) {
    let ((app, tcp), (destination, other)) = tokio::join!(connected(), connected());
    let progress = Progress::after(Bytes::from_static(b"e"));
    let joint = Joint { tcp: tcp.into(), ingress: None, progress };
    let relay = tokio::spawn(relay_directly(joint, other, Freezer::default().place()));
    (app, destination, relay)
}

async fn is_reset(mut stream: TcpStream) -> bool {
    let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new())).await;
    read.expect("it hangs").is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn a_direct_relay_passes_bytes_and_ends_on_both_ways() {
    let (app, destination, relay) = direct().await;
    let (up, down) = (pattern(2_000_000), pattern(3_000_000));
    let ((mut from_relay, mut to_relay), (mut from_app, mut to_app)) =
        (app.into_split(), destination.into_split());
    let (mut heard_there, mut heard_here) = (Vec::new(), Vec::new());
    let asking = async {
        to_relay.write_all(&up).await.unwrap();
        to_relay.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(from_app.read_to_end(&mut heard_there), asking);
    assert!(read.unwrap() == 2_000_001 && heard_there[0] == b'e' && heard_there[1..] == up);
    // The other direction goes on.
    let answering = async {
        to_app.write_all(&down).await.unwrap();
        to_app.shutdown().await.unwrap();
    };
    let (read, ()) = tokio::join!(from_relay.read_to_end(&mut heard_here), answering);
    assert!(read.unwrap() == 3_000_000 && heard_here == down);
    let relayed = ended(relay).await;
    assert!(matches!(relayed.end, RelayEnd::Finished), "{relayed:?}");
}

#[tokio::test]
async fn a_direct_relay_passes_resets_on_and_resets_both_where_it_is_dropped() {
    let (app, destination, relay) = direct().await;
    close_with_reset(destination.into());
    assert!(is_reset(app).await);
    assert!(!matches!(ended(relay).await.end, RelayEnd::Finished));

    let (app, destination, relay) = direct().await;
    close_with_reset(app.into());
    assert!(is_reset(destination).await);
    assert!(matches!(ended(relay).await.end, RelayEnd::TcpFailed(_)));

    let (app, mut destination, relay) = direct().await;
    assert_eq!(
        timeout(Duration::from_secs(5), destination.read_u8()).await.unwrap().unwrap(),
        b'e'
    );
    relay.abort();
    assert!(is_reset(app).await && is_reset(destination).await);
}
