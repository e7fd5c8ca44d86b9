//! Numbers as Python's Prometheus client prints them: `repr` of a float, with an exponent from a million on.
//!
//! Source: `prometheus_client.utils.floatToGoString`.

use std::io::Write;

/// From here on the client switches to an exponent.
const EXPONENT_FROM: f64 = 1e6;
/// From here on Python's `repr` itself switches.
const REPR_EXPONENT_FROM: f64 = 1e16;
/// Below this Python's `repr` switches to an exponent.
const REPR_EXPONENT_BELOW: f64 = 1e-4;

/// Appends `value`.
pub(crate) fn write(out: &mut Vec<u8>, value: f64) {
    if value == 0.0 {
        out.extend_from_slice(b"0.0");
    } else if value.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    } else if value > 0.0 && value < EXPONENT_FROM && value.fract() == 0.0 {
        write_whole(out, value as u32);
    } else {
        write_other(out, value);
    }
}

/// Whole numbers below a million are nearly all of a page.
fn write_whole(out: &mut Vec<u8>, mut value: u32) {
    let mut digits = [0u8; 7];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b".0");
}

fn write_other(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    let start = out.len();
    // Writing into a Vec cannot fail.
    if !(REPR_EXPONENT_BELOW..REPR_EXPONENT_FROM).contains(&magnitude) {
        let shortest = format!("{value:e}");
        let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        let _ = write!(out, "{mantissa}e{sign}{digits:0>2}");
        return;
    }
    let _ = write!(out, "{value:?}");
    if value < EXPONENT_FROM {
        return;
    }
    let plain = out.split_off(start);
    let Some(dot) = plain.iter().position(|byte| *byte == b'.') else {
        out.extend_from_slice(&plain);
        return;
    };
    out.push(plain[0]);
    out.push(b'.');
    out.extend_from_slice(&plain[1..dot]);
    out.extend_from_slice(&plain[dot + 1..]);
    while out.len() > start && matches!(out.last(), Some(b'0' | b'.')) {
        out.pop();
    }
    let _ = write!(out, "e+0{}", dot - 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_python_prints_them() {
        // Left: what `floatToGoString` gives in CPython 3.11.
        let table: &[(&str, f64)] = &[
            ("0.0", 0.0),
            ("1.0", 1.0),
            ("20000.0", 20_000.0),
            ("999999.0", 999_999.0),
            ("1e+06", 1e6),
            ("1.2420096e+09", 1_242_009_600.0),
            ("1.7953732042990646e+09", 1_795_373_204.299_064_6),
            ("0.11741682974559686", 0.117_416_829_745_596_86),
            ("0.00015039899972180137", 0.000_150_398_999_721_801_37),
            ("1.5e-05", 1.5e-5),
            ("2334.5", 2334.5),
            ("1e+16", 1e16),
            ("-3.5", -3.5),
            ("+Inf", f64::INFINITY),
        ];
        for (expected, value) in table {
            let mut out = Vec::new();
            write(&mut out, *value);
            assert_eq!(String::from_utf8(out).unwrap(), *expected);
        }
    }
}
