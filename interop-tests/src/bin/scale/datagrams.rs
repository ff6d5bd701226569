//! Datagram flows on loopback, beside plain UDP in the same round: how much one flow carries, what a flood on one does
//! to another, and what thousands of short ones leave behind.

pub(crate) mod flood;
mod goodput;
pub(crate) mod setup;
mod short;
pub(crate) mod traffic;

use interop_tests::support::Outcome;

pub(crate) use self::setup::Options;

pub(crate) fn measure(options: &Options) -> Outcome {
    for part in &options.parts {
        match part.as_str() {
            "goodput" => goodput::measure(options)?,
            "flood" => flood::measure(options)?,
            "flows" => short::measure(options)?,
            other => return Err(format!("there is no part {other}").into()),
        }
    }
    Ok(())
}
