//! What headers may hold: names, values, hosts, scopes.

/// Whether a client's header must never reach a tool, because tools trust it: `x-auth-*`, however it is spelt.
pub fn is_reserved_header(name: &str) -> bool {
    // Some servers fold `_` to `-` when they map headers to variables, so both spellings are ours.
    let folded: String =
        name.chars().map(|letter| if letter == '_' { '-' } else { letter.to_ascii_lowercase() }).collect();
    folded.starts_with("x-auth-")
}

/// A header value that decodes to `text` and to nothing else: visible ASCII stays, every other byte and `%` become
/// `%XX`, so no CR, LF, NUL or space can enter.
pub(crate) fn header_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            value.push(byte as char);
        } else {
            value.push_str(&format!("%{byte:02X}"));
        }
    }
    value
}

/// Whether an authority (`host[:port]`) names this machine. Only then may a client's Host be repeated to it.
pub(crate) fn is_loopback(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, ""),
            Some((host, port)) if port.starts_with(':') => (host, &port[1..]),
            _ => return false,
        },
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let host_is_ours = match host.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    host_is_ours && port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 6749 §3.3: what a scope may consist of. Others are never put into a challenge.
pub(crate) fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
