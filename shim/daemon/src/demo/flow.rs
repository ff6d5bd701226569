//! The flows of the demo: clients write to them, views read them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::meter::{BulkMeter, EchoMeter};

/// What a flow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Download,
    Upload,
    Echo,
}

/// How a flow is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    Throughline,
    Tcp,
}

/// The measurements of a flow.
#[derive(Debug)]
pub(super) enum Meter {
    Bulk(BulkMeter),
    Echo(EchoMeter),
}

/// How a flow ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Every byte arrived and was right.
    Right,
    /// It ended, but bytes were wrong.
    Wrong(String),
    /// It did not end by itself.
    Died(String),
}

/// A flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) via: Via,
    pub(super) meter: Mutex<Meter>,
    pub(super) ending: Mutex<Option<Ending>>,
}

/// All flows, in the order they are shown.
pub(super) type Flows = [Arc<Flow>; 4];

/// The time since the start of the run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// Waits until the time `at` of the run.
    pub(super) async fn until(self, at: Duration) {
        tokio::time::sleep_until((self.0 + at).into()).await;
    }
}

/// Creates the flows of a run.
pub(super) fn flows() -> Flows {
    let flow = |name, kind, via| {
        let meter = match kind {
            Kind::Echo => Meter::Echo(EchoMeter::default()),
            Kind::Download | Kind::Upload => Meter::Bulk(BulkMeter::default()),
        };
        Arc::new(Flow { name, kind, via, meter: Mutex::new(meter), ending: Mutex::new(None) })
    };
    [
        flow("download", Kind::Download, Via::Throughline),
        flow("upload", Kind::Upload, Via::Throughline),
        flow("echo", Kind::Echo, Via::Throughline),
        flow("tcp echo", Kind::Echo, Via::Tcp),
    ]
}

impl Flow {
    /// Records bytes that the receiver of a bulk flow read.
    pub(super) fn read(&self, at: Duration, bytes: usize) {
        if let Meter::Bulk(meter) = &mut *self.meter.lock() {
            meter.read(at, bytes);
        }
    }

    /// Applies `change` to the meter of an echo flow.
    pub(super) fn echo<T: Default>(&self, change: impl FnOnce(&mut EchoMeter) -> T) -> T {
        match &mut *self.meter.lock() {
            Meter::Echo(meter) => change(meter),
            Meter::Bulk(_) => T::default(),
        }
    }

    /// Records how the flow ended; the first ending is kept.
    pub(super) fn end(&self, ending: Ending) {
        self.ending.lock().get_or_insert(ending);
    }
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Upload => "upload",
            Self::Echo => "echo",
        }
    }
}

impl Via {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Throughline => "throughline",
            Self::Tcp => "tcp",
        }
    }
}
