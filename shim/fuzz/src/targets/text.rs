//! What is parsed from text: where flows lead, where peers are, and who they are.

use data_encoding::HEXLOWER;
use throughline_proto::types::{Locator, PeerId, Target};

/// Targets and locators: what parses is written and parses again to the same.
pub(super) fn target(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(target) = text.parse::<Target>() {
        assert_eq!(target.to_string().parse(), Ok(target));
    }
    if let Ok(locator) = text.parse::<Locator>() {
        assert_eq!(locator.to_string().parse().ok(), Some(locator));
    }
}

pub(super) fn target_seeds() -> Vec<Vec<u8>> {
    ["192.0.2.1:22", "[2001:db8::1]:22", "a.example:443", "localhost:1", "[::ffff:192.0.2.1]:2"]
        .map(|text| text.as_bytes().to_vec())
        .into()
}

pub(super) fn peer_id(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(id) = text.parse::<PeerId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

pub(super) fn peer_id_seeds() -> Vec<Vec<u8>> {
    // RFC 8032 §7.1, the public keys of the first tests.
    [
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ]
    .iter()
    .filter_map(|key| HEXLOWER.decode(key.as_bytes()).ok()?.try_into().ok())
    .map(|key| PeerId::from_bytes(key).to_string().into_bytes())
    .collect()
}
