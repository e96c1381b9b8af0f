//! Resolution of a URI reference against a base (RFC 3986 §5.2), as much as `$id` and `$ref` need.

/// The parts of a URI reference without its fragment.
#[derive(Default)]
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let mut parts = Parts::default();
        let mut rest = text;
        if let Some(at) = rest.find([':', '/', '?'])
            && rest.as_bytes()[at] == b':'
            && at > 0
            && rest.as_bytes()[0].is_ascii_alphabetic()
        {
            parts.scheme = Some(&rest[..at]);
            rest = &rest[at + 1..];
        }
        if let Some((before, query)) = rest.split_once('?') {
            parts.query = Some(query);
            rest = before;
        }
        if let Some(after) = rest.strip_prefix("//") {
            let end = after.find('/').unwrap_or(after.len());
            parts.authority = Some(&after[..end]);
            rest = &after[end..];
        }
        parts.path = rest;
        parts
    }
}

/// Splits off the fragment, which is empty where there is none.
pub(crate) fn split_fragment(reference: &str) -> (&str, &str) {
    reference.split_once('#').unwrap_or((reference, ""))
}

/// The reference (without fragment) made absolute against a base that may itself be empty or relative.
pub(crate) fn resolve(base: &str, reference: &str) -> String {
    let relative = Parts::of(reference);
    let base_parts = Parts::of(base);
    if relative.scheme.is_some() {
        return join(&relative, &without_dots(relative.path));
    }
    let mut target = Parts { scheme: base_parts.scheme, ..Parts::default() };
    if relative.authority.is_some() {
        target.authority = relative.authority;
        target.query = relative.query;
        return join(&target, &without_dots(relative.path));
    }
    target.authority = base_parts.authority;
    target.query = relative.query;
    if relative.path.is_empty() {
        target.query = relative.query.or(base_parts.query);
        return join(&target, base_parts.path);
    }
    if relative.path.starts_with('/') {
        return join(&target, &without_dots(relative.path));
    }
    let folder = match base_parts.path.rfind('/') {
        Some(at) => &base_parts.path[..=at],
        None if base_parts.authority.is_some() => "/",
        None => "",
    };
    join(&target, &without_dots(&format!("{folder}{}", relative.path)))
}

fn join(parts: &Parts<'_>, path: &str) -> String {
    let mut text = String::with_capacity(path.len() + 32);
    if let Some(scheme) = parts.scheme {
        text.push_str(scheme);
        text.push(':');
    }
    if let Some(authority) = parts.authority {
        text.push_str("//");
        text.push_str(authority);
    }
    text.push_str(path);
    if let Some(query) = parts.query {
        text.push('?');
        text.push_str(query);
    }
    text
}

/// RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    if !path.contains("./") && !path.ends_with("/.") && !path.ends_with("/..") && path != "." && path != ".."
    {
        return path.to_owned();
    }
    let absolute = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.split('/').skip(usize::from(absolute)).collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        match *segment {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            other => kept.push(other),
        }
    }
    format!("{}{}", if absolute { "/" } else { "" }, kept.join("/"))
}

/// Decodes `%XX`; text that is not valid stays as it is.
pub(crate) fn percent_decode(text: &str) -> std::borrow::Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[at], pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    match String::from_utf8(decoded) {
        Ok(text) => text.into(),
        Err(_) => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn the_examples_of_rfc_3986_5_4() {
        for (reference, expected) in [
            ("g:h", "g:h"),
            ("g", "http://a/b/c/g"),
            ("./g", "http://a/b/c/g"),
            ("g/", "http://a/b/c/g/"),
            ("/g", "http://a/g"),
            ("//g", "http://g"),
            ("?y", "http://a/b/c/d;p?y"),
            ("g?y", "http://a/b/c/g?y"),
            ("", "http://a/b/c/d;p?q"),
            (".", "http://a/b/c/"),
            ("..", "http://a/b/"),
            ("../g", "http://a/b/g"),
            ("../../g", "http://a/g"),
            ("../../../g", "http://a/g"),
            ("/./g", "http://a/g"),
            ("g.", "http://a/b/c/g."),
            ("./g/.", "http://a/b/c/g/"),
            ("g/../h", "http://a/b/c/h"),
        ] {
            assert_eq!(resolve("http://a/b/c/d;p?q", reference), expected, "{reference}");
        }
    }

    #[test]
    fn bases_without_a_folder() {
        assert_eq!(resolve("", "node"), "node");
        assert_eq!(resolve("http://a", "b"), "http://a/b");
        assert_eq!(resolve("urn:uuid:1", ""), "urn:uuid:1");
        assert_eq!(resolve("urn:x:1", "urn:x:2"), "urn:x:2");
        assert_eq!(resolve("a/b", "c:d"), "c:d");
    }
}
