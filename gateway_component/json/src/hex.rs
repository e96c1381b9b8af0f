//! Bytes in hexadecimal, in small letters.

/// Bytes in hexadecimal.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push(&mut text, bytes);
    text
}

/// Append bytes in hexadecimal.
pub fn push(text: &mut String, bytes: &[u8]) {
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
        for number in [0, 7, 999, 1234567890, u64::MAX] {
            assert_eq!(encode(&number.to_be_bytes()), format!("{number:016x}"));
        }
    }
}
