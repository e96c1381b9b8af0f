//! Form fields and URLs, read strictly.

/// How many fields a form or query may have.
const MAX_FIELDS: usize = 64;

/// The fields of a form or a query (WHATWG URL, application/x-www-form-urlencoded).
pub(crate) struct Form(Vec<(String, String)>);

/// A field occurs twice, where OAuth allows one (RFC 6749 §3.1).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Duplicate;

impl Form {
    /// Read a form; `None` if it has too many fields, or one that is not UTF-8.
    pub(crate) fn parse(text: &[u8]) -> Option<Form> {
        let mut fields = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if fields.len() == MAX_FIELDS {
                return None;
            }
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            fields.push((decode(&pair[..at])?, decode(value)?));
        }
        Some(Form(fields))
    }

    /// A field's value; an empty one counts as absent (RFC 6749 §3.1).
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Duplicate> {
        let mut values = self.0.iter().filter(|(field, _)| field == name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Duplicate);
        }
        Ok(first.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty()))
    }

    /// A field's value; `None` also if it occurs twice.
    pub(crate) fn only(&self, name: &str) -> Option<&str> {
        self.one(name).ok().flatten()
    }
}

fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let high = char::from(digits[0]).to_digit(16)?;
                let low = char::from(digits[1]).to_digit(16)?;
                bytes.push((high * 16 + low) as u8);
                rest = after;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// A text within a query: everything but unreserved characters as `%XX` (RFC 3986 §2.3).
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Fields as a query or a form.
pub(crate) fn encode_fields(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// A URL with fields added to its query (RFC 6749 §3.1.2: its own query stays).
pub(crate) fn add_fields(url: &str, fields: &[(&str, &str)]) -> String {
    let separator = match url.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{url}{separator}{}", encode_fields(fields))
}

/// A URL taken apart, whose every character is one that a URL may have (RFC 3986 §2). No userinfo, no fragment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// In small letters.
    pub(crate) scheme: &'a str,
    /// The host in small letters, an IPv6 address in brackets; empty where there is no authority.
    pub(crate) host: &'a str,
    pub(crate) port: Option<u16>,
    /// Path and query.
    pub(crate) rest: &'a str,
}

impl<'a> Url<'a> {
    /// Read an absolute URL. `None` for whatever readers could see differently: characters that need encoding (also `\`),
    /// capital letters in scheme or host, userinfo, a fragment, an empty host, a port with a sign or without digits.
    pub(crate) fn parse(text: &'a str) -> Option<Url<'a>> {
        const MARKS: &[u8] = b"-._~:/?[]@!$&'()*+,;=%";
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || MARKS.contains(&byte)) {
            return None;
        }
        let (scheme, rest) = text.split_once(':')?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte));
        if !is_scheme {
            return None;
        }
        let Some(after) = rest.strip_prefix("//") else {
            return Some(Url { scheme, host: "", port: None, rest });
        };
        let end = after.find(['/', '?']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(end);
        let (host, port) = match authority.strip_prefix('[') {
            Some(inner) => {
                let close = inner.find(']')?;
                inner[..close].parse::<std::net::Ipv6Addr>().ok()?;
                (&authority[..close + 2], &inner[close + 1..])
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        let is_name = host.starts_with('[')
            || !host.is_empty()
                && host
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte));
        is_name.then_some(Url { scheme, host, port, rest })
    }

    /// Whether the host is this machine by its address (RFC 8252 §7.3), or by the name that MCP clients use for it.
    pub(crate) fn is_loopback(&self) -> bool {
        matches!(self.host, "127.0.0.1" | "[::1]" | "localhost")
    }

    /// The origin as people and Content-Security-Policy read it.
    pub(crate) fn origin(&self) -> String {
        match (self.host, self.port) {
            ("", _) => format!("{}:", self.scheme),
            (host, None) => format!("{}://{host}", self.scheme),
            (host, Some(port)) => format!("{}://{host}:{port}", self.scheme),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_browsers_write_them() {
        let form = Form::parse(b"a=1&b=x+y%26%C3%A9&empty=&flag&a=2").unwrap();
        assert_eq!(form.one("b"), Ok(Some("x y&é")));
        assert_eq!(form.one("a"), Err(Duplicate));
        assert_eq!(form.only("a"), None);
        for absent in ["empty", "flag", "c"] {
            assert_eq!(form.one(absent), Ok(None), "{absent}");
        }
        for broken in [b"a=%".as_slice(), b"a=%4", b"a=%zz", b"a=%ff", b"%+1=1"] {
            assert!(Form::parse(broken).is_none(), "{broken:?}");
        }
        assert!(Form::parse("a&".repeat(MAX_FIELDS).as_bytes()).is_some());
        assert!(Form::parse("a&".repeat(MAX_FIELDS + 1).as_bytes()).is_none());
    }

    #[test]
    fn fields_are_added_to_a_query() {
        let fields = [("code", "a b"), ("iss", "https://x")];
        let added = "code=a%20b&iss=https%3A%2F%2Fx";
        for (url, expected) in [
            ("https://c/cb", format!("https://c/cb?{added}")),
            ("https://c/cb?", format!("https://c/cb?{added}")),
            ("https://c/cb?x=1", format!("https://c/cb?x=1&{added}")),
            ("app.example:/cb", format!("app.example:/cb?{added}")),
        ] {
            assert_eq!(add_fields(url, &fields), expected);
        }
    }

    #[test]
    fn only_plain_urls_are_read() {
        let url = |scheme, host, port, rest| Some(Url { scheme, host, port, rest });
        for (text, expected) in [
            ("https://a.example/cb?x=1", url("https", "a.example", None, "/cb?x=1")),
            ("http://127.0.0.1:33418", url("http", "127.0.0.1", Some(33418), "")),
            ("http://[::1]:8/cb", url("http", "[::1]", Some(8), "/cb")),
            ("com.example.app:/cb", url("com.example.app", "", None, "/cb")),
            (
                "cursor://anysphere.cursor-retrieval/oauth",
                url("cursor", "anysphere.cursor-retrieval", None, "/oauth"),
            ),
            ("https://user@a.example/cb", None),
            ("https://a.example:443@b.example/cb", None),
            ("https://a.example#x", None),
            ("https://a.example\\@b.example/", None),
            ("https://ä.example/", None),
            ("HTTPS://a.example/", None),
            ("https://A.example/", None),
            ("https://", None),
            ("https:///cb", None),
            ("https://a.example:/", None),
            ("https://a.example:+1/", None),
            ("https://a.example:99999/", None),
            ("https://[::1/", None),
            ("https://[::1]x/", None),
            ("https://%61.example/", None),
            ("//a.example/", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(Url::parse(text), expected, "{text}");
        }
    }
}
