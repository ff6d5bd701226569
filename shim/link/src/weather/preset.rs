//! Weather with a name.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::parts::{Bursts, Pauses, Reconfigurations, Wander, Weather};

/// Named weather. Those of one part show what that part alone does; the others are like links that
/// people have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// A rate that wanders: a factor of 2 up or down within some seconds, no pauses.
    Wander,
    /// A steady rate with pauses of 10 to 500 ms, on average one in 2 s.
    Pauses,
    /// A steady rate, delivered every 15 ms.
    Slots,
    /// A moving phone's LTE: the rate wanders by a factor of 2.2 within 3 s, pauses of 20 to 500 ms on
    /// average every 5 s, slots of 10 ms. Of the recorded traces published with mahimahi, the Verizon
    /// ones have this kind of figures.
    Lte,
    /// A low-orbit satellite terminal: every 15 s another rate, within a factor of 1.5, after a pause of
    /// 40 to 80 ms, as measured by Mohan et al., "A Multifaceted Look at Starlink Performance", WWW
    /// 2024; in between it wanders by 1.2 within a second, with pauses of 10 to 60 ms every 4 s.
    Starlink,
    /// Wi-Fi among neighbours: the medium is had for 2 ms and not for 6 ms on average, the rate wanders
    /// by 1.5 within 2 s, and scans and interference pause it for 20 to 150 ms on average every 8 s.
    Wifi,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Wander, Self::Pauses, Self::Slots, Self::Lte, Self::Starlink, Self::Wifi];

    /// Returns the weather of a link of `rate` bit/s between pauses.
    pub fn weather(self, rate: u64) -> Weather {
        let steady = Weather::steady(rate);
        let ms = Duration::from_millis;
        let wander = |factor, memory| Some(Wander { factor, memory: ms(memory) });
        let pauses = |every, least, most| {
            Some(Pauses { every: ms(every), least: ms(least), most: ms(most) })
        };
        match self {
            Self::Wander => Weather { wander: wander(2.0, 3000), ..steady },
            Self::Pauses => Weather { pauses: pauses(2000, 10, 500), ..steady },
            Self::Slots => Weather { slot: Some(ms(15)), ..steady },
            Self::Lte => Weather {
                wander: wander(2.2, 3000),
                pauses: pauses(5000, 20, 500),
                slot: Some(ms(10)),
                ..steady
            },
            Self::Starlink => Weather {
                wander: wander(1.2, 1000),
                pauses: pauses(4000, 10, 60),
                reconfigurations: Some(Reconfigurations {
                    every: ms(15_000),
                    pause: ms(80),
                    factor: 1.5,
                }),
                ..steady
            },
            Self::Wifi => Weather {
                wander: wander(1.5, 2000),
                pauses: pauses(8000, 20, 150),
                bursts: Some(Bursts { with: ms(2), without: ms(6) }),
                ..steady
            },
        }
    }

    /// Returns the rate that such a link usually has between pauses, in bit/s.
    pub fn usual_rate(self) -> u64 {
        match self {
            Self::Wander | Self::Pauses | Self::Slots => 20_000_000,
            Self::Lte => 8_000_000,
            Self::Starlink => 150_000_000,
            Self::Wifi => 60_000_000,
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wander => "wander",
            Self::Pauses => "pauses",
            Self::Slots => "slots",
            Self::Lte => "lte",
            Self::Starlink => "starlink",
            Self::Wifi => "wifi",
        })
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|preset| preset.to_string() == name).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(Self::to_string).collect();
            format!("there is no weather `{name}`; there are {}", known.join(", "))
        })
    }
}
