//! Exact arithmetic on JSON numbers: comparison and `multipleOf` as the decimal text says, not as binary floats round.

use serde_json::Number;
use std::cmp::Ordering;

/// The largest power of two below which an integral `f64` is kept as an integer.
const EXACT: f64 = 1.0e38;

/// A JSON number by its value, so that `1` and `1.0` are the same.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Integer(i128),
    /// Not integral, or beyond `EXACT`.
    Float(f64),
}

pub(crate) fn value(number: &Number) -> Value {
    if let Some(n) = number.as_i64() {
        return Value::Integer(n.into());
    }
    if let Some(n) = number.as_u64() {
        return Value::Integer(n.into());
    }
    let float = number.as_f64().unwrap_or(f64::INFINITY);
    if float.fract() == 0.0 && float.abs() < EXACT {
        Value::Integer(float as i128)
    } else {
        Value::Float(float)
    }
}

pub(crate) fn is_integer(number: &Number) -> bool {
    match value(number) {
        Value::Integer(_) => true,
        Value::Float(float) => float.fract() == 0.0,
    }
}

pub(crate) fn compare(left: &Number, right: &Number) -> Ordering {
    match (value(left), value(right)) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(&b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(&b),
        (Value::Integer(a), Value::Float(b)) => compare_mixed(a, b),
        (Value::Float(a), Value::Integer(b)) => compare_mixed(b, a).reverse(),
    }
}

/// An integer against a float that is not a small integer, so they are never equal.
fn compare_mixed(integer: i128, float: f64) -> Ordering {
    if float.abs() >= EXACT {
        return if float > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    if integer <= float.floor() as i128 { Ordering::Less } else { Ordering::Greater }
}

/// Reads a JSON number. Short integers, which schemas mostly have, take the short way.
pub(crate) fn parse(text: &str) -> Option<Number> {
    if (1..18).contains(&text.len()) && !text.starts_with('0') {
        let number = text.bytes().try_fold(0u64, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| number * 10 + u64::from(digit))
        });
        if let Some(number) = number {
            return Some(Number::from(number));
        }
    }
    serde_json::from_str(text).ok()
}

/// Whether `number` is a whole multiple of `divisor`; `None` if the divisor is not above zero.
pub(crate) fn is_multiple(number: &Number, divisor: &Number) -> Option<bool> {
    if let (Value::Integer(n), Value::Integer(d)) = (value(number), value(divisor)) {
        return if d > 0 { Some(n % d == 0) } else { None };
    }
    let divisor = Decimal::of(divisor);
    if divisor.digits == 0 || divisor.negative {
        return None;
    }
    Some(Decimal::of(number).is_multiple_of(&divisor))
}

/// `digits × 10^exponent`, the shortest decimal text of a number. At most 20 digits, as `u64` and `f64` print.
struct Decimal {
    negative: bool,
    digits: u128,
    exponent: i32,
}

impl Decimal {
    fn of(number: &Number) -> Self {
        let text = number.to_string();
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse().unwrap_or(0)),
            None => (text.as_str(), 0),
        };
        let mut decimal = Decimal { negative: mantissa.starts_with('-'), digits: 0, exponent };
        let mut fraction = false;
        for byte in mantissa.bytes() {
            match byte {
                b'.' => fraction = true,
                b'0'..=b'9' if decimal.digits < u128::MAX / 100 => {
                    decimal.digits = decimal.digits * 10 + u128::from(byte - b'0');
                    decimal.exponent -= i32::from(fraction);
                }
                b'0'..=b'9' if !fraction => decimal.exponent += 1,
                _ => {}
            }
        }
        while decimal.digits != 0 && decimal.digits.is_multiple_of(10) {
            decimal.digits /= 10;
            decimal.exponent += 1;
        }
        decimal
    }

    fn is_multiple_of(&self, divisor: &Decimal) -> bool {
        if self.digits == 0 {
            return true;
        }
        let shift = self.exponent - divisor.exponent;
        if shift >= 0 {
            // digits × 10^shift modulo the divisor, by repeated squaring; a divisor below 2^64 keeps products in range.
            let modulus = divisor.digits;
            if modulus > u128::from(u64::MAX) {
                return false;
            }
            let mut rest = self.digits % modulus;
            let (mut power, mut left) = (10 % modulus, shift);
            while left > 0 {
                if left & 1 == 1 {
                    rest = rest * power % modulus;
                }
                power = power * power % modulus;
                left >>= 1;
            }
            return rest == 0;
        }
        // The dividend has more decimals than the divisor: 10^-shift must divide its digits as well.
        10u128
            .checked_pow(shift.unsigned_abs())
            .and_then(|scale| divisor.digits.checked_mul(scale))
            .is_some_and(|scaled| self.digits.is_multiple_of(scaled))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        serde_json::from_str(text).expect("a JSON number")
    }

    #[test]
    fn multiples_follow_the_decimal_text() {
        for (n, d, expected) in [
            ("0.0075", "0.0001", Some(true)),
            ("0.00751", "0.0001", Some(false)),
            ("0.3", "0.1", Some(true)),
            ("4.35", "0.01", Some(true)),
            ("1.1", "0.1", Some(true)),
            ("19.99", "0.01", Some(true)),
            ("12391239123", "1e-8", Some(true)),
            ("1e308", "0.5", Some(true)),
            ("1e308", "0.123456789", Some(false)),
            ("0", "0.7", Some(true)),
            ("-4.5", "1.5", Some(true)),
            ("7", "2", Some(false)),
            ("18446744073709551615", "5", Some(true)),
            ("9007199254740993", "2", Some(false)),
            ("1.0", "1", Some(true)),
            ("5", "0", None),
            ("5", "-0.5", None),
        ] {
            assert_eq!(is_multiple(&number(n), &number(d)), expected, "{n} by {d}");
        }
    }

    #[test]
    fn order_is_exact_between_integers_and_floats() {
        for (a, b, expected) in [
            ("1", "1.0", Ordering::Equal),
            ("9007199254740993", "9007199254740992.0", Ordering::Greater),
            ("18446744073709551615", "18446744073709551616.0", Ordering::Less),
            ("1", "1.5", Ordering::Less),
            ("-1", "-1.5", Ordering::Greater),
            ("5", "1e300", Ordering::Less),
            ("5", "-1e300", Ordering::Greater),
            ("0", "-0.0", Ordering::Equal),
        ] {
            assert_eq!(compare(&number(a), &number(b)), expected, "{a} and {b}");
            assert_eq!(compare(&number(b), &number(a)), expected.reverse(), "{b} and {a}");
        }
    }
}
