//! Flows that say how long they stood still, and whether a byte was wrong.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use throughline::{Mode, Node, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// One observation of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When it was made.
    pub at: Instant,
    /// Bulk: bytes received in all. Echo: the round trip in microseconds.
    pub value: u64,
}

/// What a flow did, while it does it.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<Vec<Sample>>>);

impl fmt::Debug for Record {
    /// Without the samples: there are thousands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record(..)")
    }
}

impl Record {
    pub(crate) async fn push(&self, value: u64) {
        self.0.lock().await.push(Sample { at: Instant::now(), value });
    }

    /// Returns everything observed so far.
    pub async fn samples(&self) -> Vec<Sample> {
        self.0.lock().await.clone()
    }

    /// Returns when the latest observation was made.
    pub async fn latest(&self) -> Option<Instant> {
        self.0.lock().await.last().map(|sample| sample.at)
    }

    /// Bulk: the longest time without a byte between `from` and `to`.
    pub async fn longest_gap(&self, from: Instant, to: Instant) -> Duration {
        let samples = self.samples().await;
        let inside = samples.iter().map(|s| s.at).filter(|at| (from..=to).contains(at));
        let mut last = from;
        let mut longest = Duration::ZERO;
        for at in inside.chain([to]) {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    }

    /// Echo: the worst round trip of the messages sent between `from` and `to`.
    pub async fn worst(&self, from: Instant, to: Instant) -> Duration {
        let samples = self.samples().await;
        let sent = |s: &Sample| s.at - Duration::from_micros(s.value);
        let inside = samples.iter().filter(|s| (from..=to).contains(&sent(s)));
        Duration::from_micros(inside.map(|s| s.value).max().unwrap_or(0))
    }

    /// Echo: a quantile (0 to 1) of the round trips of the messages sent between `from` and `to`, if
    /// there are any.
    pub async fn quantile(&self, part: f64, from: Instant, to: Instant) -> Option<Duration> {
        let samples = self.samples().await;
        let sent = |s: &Sample| s.at - Duration::from_micros(s.value);
        let inside = samples.iter().filter(|s| (from..=to).contains(&sent(s)));
        let mut trips: Vec<_> = inside.map(|s| s.value).collect();
        trips.sort_unstable();
        let index = (part * trips.len() as f64) as usize;
        trips.get(index.min(trips.len().saturating_sub(1))).copied().map(Duration::from_micros)
    }

    /// Bulk: the mean rate in bit/s of each `step` from `from` on, up to `to`.
    pub async fn rates(&self, from: Instant, to: Instant, step: Duration) -> Vec<f64> {
        let (mut rates, mut begin) = (Vec::new(), from);
        while begin + step <= to {
            rates.push(self.rate(begin, begin + step).await);
            begin += step;
        }
        rates
    }

    /// Bulk: how long after `from` the flow first ran at `rate` bit/s over 100 ms.
    pub async fn recovered(&self, from: Instant, rate: u64) -> Option<Duration> {
        const SPAN: Duration = Duration::from_millis(100);
        let samples = self.samples().await;
        let mut first = 0;
        for (index, sample) in samples.iter().enumerate() {
            while samples[first].at + SPAN < sample.at {
                first += 1;
            }
            let begun = samples[first].at;
            if begun < from || index == first {
                continue;
            }
            let bytes = sample.value - samples[first].value;
            let span = sample.at - begun;
            if span >= SPAN * 9 / 10 && bytes * 8 >= (rate as f64 * span.as_secs_f64()) as u64 {
                return Some(begun - from);
            }
        }
        None
    }

    /// Bulk: the mean rate in bit/s between `from` and `to`; when nothing comes counts, too.
    pub async fn rate(&self, from: Instant, to: Instant) -> f64 {
        let samples = self.samples().await;
        let until =
            |time| samples.iter().take_while(|s| s.at <= time).last().map_or(0, |s| s.value);
        (until(to) - until(from)) as f64 * 8.0 / (to - from).as_secs_f64()
    }
}

/// Returns the byte at an offset of the test stream.
fn pattern(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

/// The period of [`block`]: the stream repeats after it. A prime, so that no segment that is put
/// in another's place looks right.
pub(crate) const PERIOD: usize = 1_048_573;

/// One period of the test stream, twice, so that any part of it is one slice.
pub(crate) fn block() -> Bytes {
    (0..2 * PERIOD as u64).map(|i| pattern(i % PERIOD as u64)).collect::<Vec<u8>>().into()
}

/// What the services of bulk flows are called; a number follows.
const BULK: &str = "bulk-";

/// A bulk flow that runs until it is told to end.
pub struct Bulk {
    /// What the receiver saw.
    pub record: Record,
    stop: Arc<std::sync::atomic::AtomicBool>,
    sender: JoinHandle<Result<u64>>,
    receiver: JoinHandle<Result<u64>>,
}

impl Bulk {
    /// Starts a bulk flow from `from` to `to`, opened by `opener` (one of the two).
    ///
    /// # Errors
    /// When the flow cannot be opened.
    pub async fn start(opener: &Node, acceptor: &Node, upload: bool, mode: Mode) -> Result<Self> {
        let name = format!("{BULK}{:x}", rand::random::<u64>());
        let mut listener = acceptor.serve(&name)?;
        let far = tokio::spawn(async move { listener.accept().await.map(|f| f.accept()) });
        let near = opener.connect_with(acceptor.id(), Target::service(name), mode).await?;
        let far = far.await??;
        let (from, to) = if upload { (near, far) } else { (far, near) };
        let record = Record::default();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (block, seen, ends) = (block(), record.clone(), stop.clone());
        let send_block = block.clone();
        // The half that is not used stays with its task, so that dropping it resets nothing.
        let sender = tokio::spawn(async move {
            let (mut unused, mut writer) = from.into_split();
            let mut sent = 0u64;
            while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                let at = (sent % PERIOD as u64) as usize;
                let mut chunk = send_block.slice(at..at + 64 * 1024);
                sent += writer.write_chunk(&mut chunk).await? as u64;
            }
            writer.finish()?;
            unused.read_to_end(&mut Vec::new()).await?;
            Ok(sent)
        });
        let receiver = tokio::spawn(async move {
            let (mut reader, mut unused) = to.into_split();
            unused.finish()?;
            let mut got = 0u64;
            let mut chunks = vec![Bytes::new(); 64];
            loop {
                let count = reader.read_chunks(&mut chunks).await?;
                if count == 0 {
                    return Ok(got);
                }
                for chunk in &chunks[..count] {
                    for part in chunk.chunks(PERIOD) {
                        let at = (got % PERIOD as u64) as usize;
                        if part != &block[at..at + part.len()] {
                            return Err(format!("wrong bytes near offset {got}").into());
                        }
                        got += part.len() as u64;
                    }
                }
                seen.push(got).await;
            }
        });
        Ok(Self { record, stop, sender, receiver })
    }

    /// Returns whether a flow with this target, as a node's status shows it, is a bulk flow.
    pub fn is_target(target: &str) -> bool {
        target.strip_prefix("service ").is_some_and(|name| name.starts_with(BULK))
    }

    /// Ends the flow in order; returns the bytes it carried.
    ///
    /// # Errors
    /// When a byte was wrong or missing, or the flow broke.
    pub async fn finish(self) -> Result<u64> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let (sent, got) = (self.sender.await?, self.receiver.await?);
        // The receiver's error first: it may be that a byte was wrong, and the sender's its echo.
        let (got, sent) = (got?, sent?);
        if sent == got { Ok(got) } else { Err(format!("{sent} bytes sent, {got} received").into()) }
    }
}

/// Messages that may be under way: ten minutes of silence.
const UNANSWERED: usize = 30_000;

/// A 64-byte message every 20 ms, sent back by the far end.
pub struct Echo {
    /// The round trips.
    pub record: Record,
    stop: Arc<std::sync::atomic::AtomicBool>,
    task: JoinHandle<Result<u64>>,
}

impl Echo {
    /// Starts it.
    ///
    /// # Errors
    /// When the flow cannot be opened.
    pub async fn start(opener: &Node, acceptor: &Node, mode: Mode) -> Result<Self> {
        let name = format!("echo-{:x}", rand::random::<u64>());
        let mut listener = acceptor.serve(&name)?;
        tokio::spawn(async move {
            let flow = listener.accept().await?.accept();
            let (mut reader, mut writer) = tokio::io::split(flow);
            tokio::io::copy(&mut reader, &mut writer).await?;
            writer.shutdown().await?;
            Result::Ok(())
        });
        let near = opener.connect_with(acceptor.id(), Target::service(name), mode).await?;
        let record = Record::default();
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (seen, ends) = (record.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let (mut reader, mut writer) = near.into_split();
            let (send_times, mut times) = tokio::sync::mpsc::channel::<Instant>(UNANSWERED);
            let sender = tokio::spawn(async move {
                let mut tick = tokio::time::interval(Duration::from_millis(20));
                let mut seq = 0u64;
                while !ends.load(std::sync::atomic::Ordering::Relaxed) {
                    tick.tick().await;
                    let mut message = [0; 64];
                    message[..8].copy_from_slice(&seq.to_be_bytes());
                    let _ = send_times.send(Instant::now()).await;
                    writer.write_all(&message).await?;
                    seq += 1;
                }
                writer.finish()?;
                Result::Ok(writer)
            });
            let mut seq = 0u64;
            let mut message = [0; 64];
            while let Some(sent) = times.recv().await {
                reader.read_exact(&mut message).await?;
                if message[..8] != seq.to_be_bytes() || message[8..] != [0; 56] {
                    return Err(format!("wrong echo of message {seq}").into());
                }
                seen.push(sent.elapsed().as_micros() as u64).await;
                seq += 1;
            }
            sender.await??;
            if reader.read(&mut message).await? != 0 {
                return Err("bytes after the last echo".into());
            }
            Ok(seq)
        });
        Ok(Self { record, stop, task })
    }

    /// Ends it in order; returns how many messages came back.
    ///
    /// # Errors
    /// When a message was wrong or the flow broke.
    pub async fn finish(self) -> Result<u64> {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.task.await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_rate_counts_the_time_in_which_nothing_came() {
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        let samples = [(0, 1_000), (500, 2_000), (1_000, 3_000)];
        let samples = samples.map(|(at, value)| Sample { at: after(at), value });
        let record = Record(Arc::new(Mutex::new(samples.into())));
        // 2,000 bytes after the first sample, and then nothing.
        assert_eq!(record.rate(begun, after(1_000)).await, 16_000.0);
        assert_eq!(record.rate(begun, after(4_000)).await, 4_000.0);
        assert_eq!(record.rate(after(2_000), after(3_000)).await, 0.0);
        let steps = record.rates(begun, after(2_400), Duration::from_secs(1)).await;
        assert_eq!(steps, [16_000.0, 0.0], "what is no whole step is left out");
    }

    #[tokio::test]
    async fn a_quantile_is_of_the_messages_that_were_sent_meanwhile() {
        let begun = Instant::now() + Duration::from_secs(1);
        let after = |ms| begun + Duration::from_millis(ms);
        // Sent every 10 ms; the tenth takes 500 ms, the others 20.
        let trip = |i: u64| if i == 9 { 500 } else { 20 };
        let sample = |i| Sample { at: after(10 * i + trip(i)), value: trip(i) * 1000 };
        let record = Record(Arc::new(Mutex::new((0..100).map(sample).collect())));
        let quantile = async |part, to| record.quantile(part, begun, after(to)).await;
        assert_eq!(quantile(0.5, 1_000).await, Some(Duration::from_millis(20)));
        assert_eq!(quantile(0.99, 1_000).await, Some(Duration::from_millis(500)));
        assert_eq!(quantile(0.99, 80).await, Some(Duration::from_millis(20)));
        let later = record.quantile(0.5, after(5_000), after(6_000)).await;
        assert_eq!(later, None);
    }
}
