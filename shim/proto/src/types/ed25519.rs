//! Whether 32 bytes are an Ed25519 public key (RFC 8032 §5.1.3).
//!
//! A key is a point of the curve, encoded as its y and the sign of its x. About half of all numbers
//! are not the y of any point, so every second slip in a written key is found before anything is
//! dialed. Keys are public, so the check need not run in constant time.

use num_bigint::BigUint;

/// The curve's d (RFC 8032 §5.1), big-endian.
const D: &[u8; 64] = b"52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3";

/// Returns whether `key` is a point of the curve.
pub(super) fn is_point(key: &[u8; 32]) -> bool {
    let one = BigUint::from(1u8);
    let p = (&one << 255u8) - 19u8;
    let y = BigUint::from_bytes_le(key);
    let (y, negative) = (&y % (&one << 255u8), y.bit(255));
    if y >= p {
        return false;
    }
    // x² = (y² - 1) / (d y² + 1). A quotient is a square if and only if the product is; a number is
    // one if its power by (p - 1) / 2 is 1 (Euler), or if it is 0.
    let Some(d) = BigUint::parse_bytes(D, 16) else { return false };
    let square = &y * &y;
    let (over, under) = ((&square + &p - &one) % &p, (d * square + &one) % &p);
    if over == BigUint::ZERO {
        // x is 0, which has no sign.
        return !negative;
    }
    (over * under).modpow(&((&p - &one) >> 1u8), &p) == one
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of the tests in RFC 8032 §7.1.
    const KEYS: [&str; 3] = [
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ];

    fn key(text: &str) -> [u8; 32] {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
        bytes.try_into().unwrap()
    }

    #[test]
    fn the_keys_of_the_rfc_are_points_and_about_half_of_what_a_slip_makes_of_them_is_none() {
        let (mut wrong, mut all) = (0, 0);
        for text in KEYS {
            let right = key(text);
            assert!(is_point(&right), "{text}");
            for bit in 0..255 {
                let mut slip = right;
                slip[bit / 8] ^= 1 << (bit % 8);
                wrong += u32::from(!is_point(&slip));
                all += 1;
            }
        }
        assert!((all * 2 / 5..all * 3 / 5).contains(&wrong), "{wrong} of {all}");
    }

    #[test]
    fn only_the_canonical_encoding_of_a_point_is_accepted() {
        let mut y_is_1 = [0; 32];
        y_is_1[0] = 1;
        assert!(is_point(&y_is_1));
        // The same with a sign that 0 does not have; and y = 1 written as p + 1.
        y_is_1[31] = 0x80;
        assert!(!is_point(&y_is_1));
        let mut more_than_p = [0xff; 32];
        (more_than_p[0], more_than_p[31]) = (0xee, 0x7f);
        assert!(!is_point(&more_than_p));
    }
}
