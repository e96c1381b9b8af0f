//! ECMA-262 regular expressions (Unicode mode) that cannot be slow: `pattern` and `patternProperties`.
//!
//! A pattern is parsed to a tree (`parse`), the tree becomes a program of a Thompson machine (`program`), and the
//! machine walks the text once with a set of states (`run`), so the time is bounded by text × program whatever the
//! pattern is. Only "does it match somewhere" is asked, so there are no captures and no difference between greedy
//! and lazy. Lookahead and lookbehind work (zod writes them for e-mail addresses); backreferences cannot be
//! matched in bounded time and are refused. General categories are those that std's character tables know.

mod class;
mod parse;
mod program;
mod run;

pub(crate) use program::Program;

/// Why a pattern cannot be used; completes the sentence "the pattern …".
pub(crate) type Refusal = &'static str;

#[cfg(test)]
mod tests {
    use super::Program;
    use crate::equal::Budget;

    fn matches(pattern: &str, text: &str) -> bool {
        let program = Program::compile(pattern).unwrap_or_else(|refusal| panic!("{pattern}: {refusal}"));
        let mut budget = Budget::new(10_000_000);
        program.matches(text, &mut budget).expect("enough budget")
    }

    #[test]
    fn what_matches_and_what_does_not() {
        for (pattern, yes, no) in [
            ("^a*$", &["", "aaa"][..], &["ab", "a\n"][..]),
            ("a+", &["xxaay"], &["xyz"]),
            ("^[a-z][a-z0-9_-]{0,3}$", &["a", "ab-9"], &["9a", "abcde", "A"]),
            ("^(foo|ba[rz])?$", &["", "foo", "baz"], &["fo", "bax"]),
            ("^\\d{3}-\\d{2,}$", &["123-45", "123-4567"], &["١٢٣-45", "123-4"]),
            ("^\\w+\\s\\S$", &["ab c", "ab\u{a0}c", "ab\u{feff}c"], &["é c", "abc"]),
            ("^.$", &["x", "é", "🐲"], &["", "\n", "\u{2028}", "ab"]),
            ("^[^]$", &["\n", "x"], &["", "ab"]),
            ("[]", &[], &["", "a"]),
            ("^[^\\d\\s]+$", &["ab"], &["a1", "a b"]),
            ("^[\\w.+-]+@[\\w-]+\\.[a-z]{2,}$", &["a.b+c@d.org"], &["a@b", "@b.cd"]),
            ("\\bcat\\b", &["a cat.", "cat"], &["concat", "cats"]),
            ("^\\u00e9\\x41\\u{1F432}\\ud83d\\udc32$", &["éA🐲🐲"], &["éA🐲"]),
            ("^\\/\\.\\-\\$\\^$", &["/.-$^"], &["/.-$"]),
            ("^(?:a|ab)(?:c|bcd)(?:d*)$", &["abcd", "acd", "abcdd"], &["abd"]),
            ("^(?=.*\\d)(?!.*\\s).{4,}$", &["abc1"], &["abcd", "ab 1", "a1"]),
            ("(?<=\\$)\\d+(?<!0)$", &["$15"], &["15", "$10"]),
            ("(?<=a.c)d", &["abcd"], &["bcd", "acd"]),
            ("^(?<year>\\d{4})$", &["2026"], &["26"]),
            ("^x{2}$", &["xx"], &["x", "xxx"]),
            ("^a{,2}$", &["a{,2}"], &["aa"]),
            ("^a{b}$", &["a{b}"], &["ab"]),
            ("^(a*)*b$", &["aaab", "b"], &["aaaa"]),
            ("^(|a)+$", &["", "aaa"], &["b"]),
            ("^\\p{L}+$", &["héllo", "日本"], &["a1", "a b"]),
            ("^\\p{Lu}\\P{Lu}$", &["Éa"], &["aa", "ÉA"]),
            ("^[\\p{N}_]+$", &["1_२"], &["a"]),
            ("^\\cJ\\0\\t$", &["\n\0\t"], &["J0t"]),
            ("^[a\\-z]+$", &["a-z"], &["b"]),
            ("^[a-]$", &["-", "a"], &["b"]),
            ("^[\\w-z]+$", &["a-z"], &["!"]),
            ("^[\\b]$", &["\u{8}"], &["b"]),
            ("^\\S(|(.|\\n)*\\S)\\Z?$", &[], &[]),
        ] {
            if pattern.contains("\\Z") {
                assert!(Program::compile(pattern).is_err());
                continue;
            }
            for text in yes {
                assert!(matches(pattern, text), "{pattern} should match {text:?}");
            }
            for text in no {
                assert!(!matches(pattern, text), "{pattern} should not match {text:?}");
            }
        }
    }

    #[test]
    fn the_patterns_that_zod_writes() {
        let email = "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$";
        assert!(matches(email, "jane.doe+x@mail.example.org"));
        assert!(!matches(email, ".jane@example.org"));
        assert!(!matches(email, "ja..ne@example.org"));
        let uuid =
            "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}\
                    |00000000-0000-0000-0000-000000000000)$";
        assert!(matches(uuid, "123e4567-e89b-12d3-a456-426614174000"));
        assert!(!matches(uuid, "123e4567-e89b-92d3-a456-426614174000"));
    }

    #[test]
    fn what_is_refused() {
        for pattern in [
            "(",
            ")",
            "a)",
            "[a",
            "a**",
            "*",
            "+a",
            "a{2}{3}",
            "(?<n>a)\\1",
            "\\k<n>",
            "\\",
            "[z-a]",
            "a{3,1}",
            "\\u12",
            "\\ud800",
            "\\p{Script=Latin}",
            "\\p{Zzzz}",
            "\\a",
            "(?i)a",
            "(?>a)",
            "((a{1000}){1000})",
            "((){9999}){9999}",
            "(?=a)*",
        ] {
            assert!(Program::compile(pattern).is_err(), "{pattern} should be refused");
        }
        let deep = "(".repeat(5000) + &")".repeat(5000);
        assert!(Program::compile(&deep).is_err());
    }

    #[test]
    fn hostile_patterns_cost_a_bounded_amount() {
        let text = "a".repeat(50_000) + "!";
        for pattern in ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^([a-z]+)*\\d$", "(x+x+)+y", "^(.*)*$"] {
            let program = Program::compile(pattern).expect("a pattern");
            let mut budget = Budget::new(500_000);
            assert!(program.matches(&text, &mut budget).is_ok(), "{pattern} was too much work");
        }
        let square = Program::compile("(?=.*b)c").expect("a pattern");
        assert!(square.matches(&text, &mut Budget::new(100_000)).is_err());
    }
}
