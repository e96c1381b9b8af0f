//! Small things with text that every call does a dozen times, without the general machinery for them.

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

/// Whether a text holds `first` with one of `rests` right behind it. To search for a text would take a table of it first.
pub(crate) fn holds(text: &str, first: char, rests: &[&str]) -> bool {
    text.match_indices(first).any(|(at, found)| {
        let behind = &text[at + found.len()..];
        rests.iter().any(|rest| behind.starts_with(rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_finds_what_a_search_finds() {
        for text in
            ["", "n", "nul", "null", "nnull", "nulnull", "é null", "\\\\ud800", "\\u00ed\\uD800", "\\"]
        {
            assert_eq!(holds(text, 'n', &["ull"]), text.contains("null"), "{text}");
            let surrogate = text.contains("\\ud") || text.contains("\\uD");
            assert_eq!(holds(text, '\\', &["ud", "uD"]), surrogate, "{text}");
        }
    }

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
