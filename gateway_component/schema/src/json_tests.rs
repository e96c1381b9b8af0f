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
        if let Some(value) = &expected {
            assert_eq!(Json::from(value).to_value(), *value);
        }
    }
}
