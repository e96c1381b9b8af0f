//! Numbers and bytes as text, without the formatting machinery: a call writes a dozen of them.

/// Append an unsigned number in decimal.
pub(crate) fn push_number(text: &mut String, number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    while start == digits.len() || rest > 0 {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    text.extend(digits[start..].iter().map(|digit| char::from(*digit)));
}

/// Append bytes in hexadecimal.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_writes_what_formatting_writes() {
        for number in [0, 7, 10, 999, 1000, 1234567890, u64::MAX] {
            let (mut decimal, mut hexadecimal) = (String::new(), String::new());
            push_number(&mut decimal, number);
            push_hex(&mut hexadecimal, &number.to_be_bytes());
            assert_eq!((decimal, hexadecimal), (number.to_string(), format!("{number:016x}")));
        }
    }
}
