//! Numbers as text, several times faster than the standard formatter: a log line has a dozen of them.

use std::sync::LazyLock;

/// Every two digits, so that a number is copied from here two digits at a time.
static PAIRS: LazyLock<String> = LazyLock::new(|| (0..100).map(|pair| format!("{pair:02}")).collect());

/// Appends `number`.
pub(crate) fn push(out: &mut String, number: u64) {
    if number < 10 {
        out.push(char::from(b'0' + number as u8));
        return;
    }
    if number >= 100 {
        push(out, number / 100);
    }
    push_pair(out, number % 100);
}

/// Appends `number`, with zeros in front up to `width` digits.
pub(crate) fn push_padded(out: &mut String, number: u64, width: u32) {
    let digits = number.checked_ilog10().unwrap_or(0) + 1;
    for _ in digits..width {
        out.push('0');
    }
    push(out, number);
}

fn push_pair(out: &mut String, pair: u64) {
    let at = pair as usize * 2;
    out.push_str(&PAIRS[at..at + 2]);
}

/// Appends `number` with `decimals` places, at most 9. What is not a number, infinite or negative is 0.
pub(crate) fn push_decimal(out: &mut String, number: f64, decimals: u32) {
    let unit = 10_u64.pow(decimals.min(9));
    // The cast takes what is no number, and what is negative, to 0.
    let scaled = if number.is_finite() { (number * unit as f64).round_ties_even() as u64 } else { 0 };
    push(out, scaled / unit);
    if decimals > 0 {
        out.push('.');
        push_padded(out, scaled % unit, decimals);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn whole_numbers_read_as_the_standard_formatter_writes_them() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(written(|out| push(out, number)), number.to_string());
            assert_eq!(written(|out| push_padded(out, number, 4)), format!("{number:04}"));
        }
    }

    #[test]
    fn decimals_are_rounded_and_kept() {
        for (number, decimals, text) in [
            (0.0, 3, "0.000"),
            (0.0004, 3, "0.000"),
            (0.0006, 3, "0.001"),
            (12.3456, 3, "12.346"),
            (999.9996, 3, "1000.000"),
            (1.05, 0, "1"),
            (7.25, 1, "7.2"),
        ] {
            assert_eq!(written(|out| push_decimal(out, number, decimals)), text);
        }
    }

    #[test]
    fn what_is_no_number_is_zero() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            assert_eq!(written(|out| push_decimal(out, number, 1)), "0.0");
        }
    }
}
