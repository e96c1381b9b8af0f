//! What `json` reads, against `serde_json`.

use crate::json::Json;
use serde_json::Value;

/// One text a line, besides those with control characters.
const TEXTS: &str = r#"null
 true
false
0
-0
12
-7
1.5
1e3
1E-2
123456789012345678
18446744073709551615
18446744073709551616
-9223372036854775809
1e999
01
-
+1
.5
1.
1e
0x1
--1
1-2
""
"a\n\u00e9\ud83d\udc32é"
"\ud800"
"\x"
"a
"\
"\"
[]
[1, 2]
[1,]
[,]
[1 2]
[
{}
{"b":1,"a":[{"c":null}],"b":2}
{"a":1,}
{a:1}
{"a" 1}
{"a":}
{
 
nul
truee
1 1
{"\u0061":1,"a":2}"#;

#[test]
fn it_reads_what_serde_json_reads() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let many =
        format!("{{{}\"k7\":0}}", (0..100).map(|n| format!("\"k{}\":{n},", 99 - n)).collect::<String>());
    let others = ["\"\u{1}\"", "\u{a0}1", "[1,\t2]\r\n", &deep(127), &deep(128), &deep(5000), &many];
    for text in TEXTS.lines().chain(others) {
        let expected = serde_json::from_str::<Value>(text).ok();
        assert_eq!(
            Json::parse(text).map(|json| json.to_value()),
            expected,
            "{}",
            &text[..text.len().min(80)]
        );
        assert_eq!(Json::parse_value(text).map(|json| json.to_value()), expected);
        if let Some(value) = &expected {
            assert_eq!(Json::from(value).to_value(), *value);
        }
    }
}

#[test]
fn members_of_a_value_are_sorted_and_of_one_name_the_last_counts_or_none() {
    let text = r#"{"b":1,"a":{"\u0063":2,"c":3},"b":4}"#;
    let read = Json::parse_value(text).expect("JSON");
    let members = read.as_object().expect("an object");
    assert_eq!(members.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(read.to_value(), serde_json::from_str::<Value>(text).expect("JSON"));
    assert!(Json::parse_unique(text).is_none());
    for (text, unique) in
        [(r#"[{"b":1,"a":{"b":2}}]"#, true), (r#"[{"a":1,"a":1}]"#, false), (r#"{"a":1,"\u0061":2}"#, false)]
    {
        assert_eq!(Json::parse_unique(text).is_some(), unique, "{text}");
    }
}

#[test]
fn a_string_ends_at_the_first_byte_that_may_end_it() {
    let plain = ["", "a", "é\u{80}", "\u{7f}#![]", "abcdefgh", "abcdefghijklmnopqrstuvwxyz🐲"];
    for text in plain.iter().flat_map(|head| plain.map(|tail| format!("{head}{tail}"))) {
        for end in ["\"", "\\n\"", "\u{1f}\"", "\u{0}\"", "\\\"\"", " \"", "!\"", ""] {
            let text = format!("[\"{text}{end},1]");
            let expected = serde_json::from_str::<Value>(&text).ok();
            assert_eq!(Json::parse(&text).map(|json| json.to_value()), expected, "{text:?}");
        }
    }
}
