//! The congestion control of a lane, and the sensor through which the lane sees its path.
//!
//! ```text
//! quinn ──▶ controller   one per path: quinn calls it for every packet sent, acknowledged, lost
//!              ├──▶ window          slow start, delay control, CUBIC: which of them sets the window
//!              │      ├── delay_control ── window_probe    keeps our own queue short
//!              │      ├── cubic       RFC 9438, where others keep the queue full
//!              │      └── rounds, one_way_delay            what round trips and pings show
//!              └──▶ sensor ── pings   what the lane's monitor reads, at any time, without quinn's lock
//! ```
//!
//! The state machines are pure: they take `now`. Only the sensor is shared between threads.

mod bulk_window;
mod competition;
mod controller;
mod cubic;
mod delay_control;
mod delivery;
mod loss;
mod one_way_delay;
mod pings;
mod rounds;
mod sensor;
mod transport;
mod window;
mod window_probe;

pub use controller::{LaneController, LaneControllerFactory};
pub use sensor::{INITIAL_RTT, LaneSensor};
pub use transport::{
    DATAGRAM_BUFFER, DELAY_PROBE_INTERVAL, lane_transport, mtu_discovery, peer_streams,
};
