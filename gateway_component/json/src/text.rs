//! JSON text: strings to and from it, and what every call does with text a dozen times, without the general machinery
//! for that.

use serde_json::value::RawValue;
use std::borrow::Cow;

/// Whether a JSON text is an object.
pub fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// The string that a JSON text is; None if it is another value.
pub fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The string that a text is as JSON; None if it is another value, or not JSON.
pub fn string_of(text: &str) -> Option<String> {
    serde_json::from_str(text).ok()
}

/// A string as JSON text.
pub fn quote(text: &str) -> String {
    let mut quoted = Vec::with_capacity(text.len() + 2);
    // Writing into memory does not fail, and what serde_json writes is UTF-8.
    let written = serde_json::to_writer(&mut quoted, text).map(|()| String::from_utf8(quoted));
    written.ok().and_then(Result::ok).unwrap_or_default()
}

/// Append an unsigned number in decimal.
pub fn push_number(text: &mut String, number: u64) {
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

/// Whether a text holds `first` with one of `rests` right behind it. A search for a text would make a table of it first.
pub fn holds(text: &str, first: char, rests: &[&str]) -> bool {
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
            let mut decimal = String::new();
            push_number(&mut decimal, number);
            assert_eq!(decimal, number.to_string());
        }
    }

    #[test]
    fn strings_are_read_as_they_are_quoted() {
        for text in ["", "plain", "\"quoted\"", "back\\slash\n", "世界"] {
            let quoted = quote(text);
            assert_eq!(string_of(&quoted).as_deref(), Some(text));
            let raw: Box<RawValue> = serde_json::from_str(&quoted).unwrap();
            assert_eq!(string(&raw).as_deref(), Some(text));
        }
        assert_eq!(string_of("1"), None);
    }
}
