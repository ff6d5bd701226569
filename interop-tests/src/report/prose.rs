//! What failures and flows are, in a sentence.

use crate::lab::failure::Failure;

/// Returns what is done; empty for a failure that this version does not know.
pub(super) fn failure(name: &str) -> String {
    let Ok(failure) = name.parse::<Failure>() else { return String::new() };
    match failure {
        Failure::Blackhole => "The ISP drops everything, and says nothing.".into(),
        Failure::OneWayUp => "The ISP drops what the site sends, and says nothing.".into(),
        Failure::OneWayDown => "The ISP drops what the site is sent, and says nothing.".into(),
        Failure::Carrier => "The cable is pulled: both ends lose the carrier.".into(),
        Failure::Address => "The host loses its address of this ISP; the ISP is well.".into(),
        Failure::Standby => "The ISP drops everything; the second uplink is metered.".into(),
        Failure::Crosswise => {
            "An ISP of the client and the complementary one of the server go silent at once.".into()
        }
        Failure::AllDown(length) => format!(
            "All ISPs of the site are silent for {} s; stalls count from when they are back.",
            length.as_secs()
        ),
        Failure::Loss => "The ISP loses 10 % each way.".into(),
        Failure::BrownOut => "The ISP loses 10 % and takes 50 ms more each way.".into(),
        Failure::MtuHole => "Packets over 1,300 bytes vanish at the ISP.".into(),
        Failure::MtuHoleOnly => "Packets over 1,300 bytes vanish at the site's only ISP.".into(),
        Failure::Rebinding => "The ISP's NAT forgets all its translations.".into(),
        Failure::Flap(length) => {
            format!("Five times {0} s silent and {0} s well.", length.as_secs())
        }
        Failure::Renumbering => {
            "A new prefix comes; a second later the old one is deprecated, 2 s later gone.".into()
        }
        Failure::Drain => "No failure: the uplink is drained before planned work.".into(),
    }
}

/// Returns what a flow's stall is.
pub(super) fn flow(name: &str) -> &'static str {
    match name {
        "echo" => "echo (64 bytes every 20 ms): worst round trip",
        "download" => "download: longest time without a byte",
        _ => "upload: longest time without a byte",
    }
}
