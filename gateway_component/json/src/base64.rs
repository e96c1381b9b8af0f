//! Base64 in its two alphabets (RFC 4648), read strictly: bits that are left over must be zero.

use base64ct::{Base64, Base64UrlUnpadded, Encoding};

/// Decode base64 with padding (RFC 4648 §4).
pub fn decode(text: &str) -> Option<Vec<u8>> {
    Base64::decode_vec(text).ok()
}

/// Decode base64url without padding (RFC 7515 §2).
pub fn decode_url(text: &str) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(text).ok()
}

/// Decode base64url with or without padding. Some issuers pad the members of a JWK, which RFC 7515 forbids and which
/// changes nothing. The alphabet of plain base64 is refused, as by every reader of the RFC.
pub fn decode_padded_url(text: &str) -> Option<Vec<u8>> {
    let bare = text.trim_end_matches('=');
    if text.len() - bare.len() > 2 {
        return None;
    }
    decode_url(bare)
}

/// Encode base64url without padding (RFC 7515 §2).
pub fn encode_url(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_spelling_of_bytes_is_read() {
        for (text, bytes) in [
            ("", Some("")),
            ("SGVsbG8=", Some("Hello")),
            ("IHBhZGRlZCA=", Some(" padded ")),
            // No padding, bits left over, another alphabet, padding alone, too much of it, a line break.
            ("SGVsbG8", None),
            ("SGVsbG9=", None),
            ("S$Vs", None),
            ("_-_-", None),
            ("====", None),
            ("SGVsbA====", None),
            ("SGVs\n", None),
        ] {
            assert_eq!(decode(text).as_deref(), bytes.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn url_texts_are_read_as_they_are_written() {
        let bytes = [0xfb, 0xef, 0xbe, 0xff, 0x00];
        let text = encode_url(&bytes);
        assert_eq!(decode_url(&text).as_deref(), Some(bytes.as_slice()));
        assert_eq!(decode_padded_url(&format!("{text}=")).as_deref(), Some(bytes.as_slice()));
        assert_eq!(decode_url(&format!("{text}=")), None);
        assert_eq!(decode_padded_url(&format!("{text}===")), None);
        assert_eq!(decode_url("++++"), None);
    }
}
