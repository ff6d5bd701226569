//! Which congestion controller an end uses, and its transport settings.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::congestion::{BbrConfig, CubicConfig, NewRenoConfig};
use quinn_proto::{TransportConfig, VarInt};
use throughline_congestion::{LaneSensor, lane_transport};

/// The congestion controller of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Congestion {
    /// That of a lane, with a lane's transport settings and its sensor.
    Lane,
    /// Quinn's CUBIC (RFC 9438), with quinn's settings.
    Cubic,
    /// Quinn's NewReno (RFC 9002 §7).
    NewReno,
    /// Quinn's BBR, version 1.
    Bbr,
}

/// How long a simulated connection lives without a packet.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// The congestion window that a lane begins with, as in the product.
const INITIAL_WINDOW: u64 = 64 << 10;
/// Flow control that binds nobody: 600 ms of 500 Mbit/s are 37 MB.
const FLOW_CONTROL: u32 = 64 << 20;

impl Congestion {
    /// Returns the transport settings of a connection, and its sensor if it has one.
    pub(super) fn transport(self) -> (TransportConfig, Option<Arc<LaneSensor>>) {
        if self == Self::Lane {
            let (config, sensor) = lane_transport(IDLE_TIMEOUT, INITIAL_WINDOW);
            return (config, Some(sensor));
        }
        let mut config = TransportConfig::default();
        config
            .stream_receive_window(VarInt::from_u32(FLOW_CONTROL))
            .receive_window(VarInt::from_u32(FLOW_CONTROL))
            .send_window(FLOW_CONTROL.into());
        match self {
            Self::Lane => unreachable!("returned above"),
            Self::Cubic => {
                config.congestion_controller_factory(Arc::new(CubicConfig::default()));
            }
            Self::NewReno => {
                config.congestion_controller_factory(Arc::new(NewRenoConfig::default()));
            }
            Self::Bbr => {
                config.congestion_controller_factory(Arc::new(BbrConfig::default()));
            }
        }
        (config, None)
    }
}
