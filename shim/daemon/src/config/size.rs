//! Amounts of memory and of data: `256MiB`, `1GB`, `65536`.

/// Returns the number of bytes that `text` says, or `None` if it is not an amount.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Returns an amount as it would be written, in a decimal unit.
pub(super) fn decimal(bytes: u64) -> String {
    for (factor, unit) in [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB")] {
        if bytes >= factor && bytes.is_multiple_of(factor) {
            return format!("{}{unit}", bytes / factor);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_a_number_and_a_unit() {
        assert_eq!(bytes("256MiB"), Some(256 << 20));
        assert_eq!(bytes("1 GB"), Some(1_000_000_000));
        assert_eq!(bytes("65536"), Some(65536));
        assert_eq!(bytes("2TB"), Some(2_000_000_000_000));
        for same in ["2TB", "20GB", "1500MB", "1500001"] {
            assert_eq!(decimal(bytes(same).unwrap()), same);
        }
        for wrong in ["", "MiB", "-1", "1.5GiB", "256 Mib", "99999999999GiB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
