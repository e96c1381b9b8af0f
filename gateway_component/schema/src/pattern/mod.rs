//! ECMA-262 regular expressions (Unicode mode) that cannot be slow: `pattern` and `patternProperties`.
//!
//! A pattern is parsed to a tree (`parse`), the tree becomes a program of a Thompson machine (`program`), and the
//! machine walks the text once with a set of states (`run`), so the time is bounded by text × program whatever the
//! pattern is. Only "does it match somewhere" is asked, so there are no captures and no difference between greedy
//! and lazy. Lookahead and lookbehind work (zod writes them for e-mail addresses); backreferences cannot be
//! matched in bounded time and are refused. General categories are those that std's character tables know.

mod class;
mod fold;
mod parse;
mod print;
mod program;
mod run;

pub(crate) use program::Program;

/// Why a pattern cannot be used; the text completes the sentence "the pattern …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatternError {
    /// No engine would take it.
    Malformed(&'static str),
    /// Some engine takes it, and this one cannot.
    Unsupported(&'static str),
}

/// What a pattern's author should know before it is used.
pub(crate) struct Inspection {
    /// The same pattern as ECMA-262 writes it, if it was written otherwise.
    pub(crate) translation: Option<String>,
    /// What may mean something else than its author thought; each completes the sentence "the pattern …".
    pub(crate) warnings: Vec<&'static str>,
}

/// Look at a pattern without a text to match.
pub(crate) fn inspect(pattern: &str) -> Result<Inspection, PatternError> {
    let parsed = parse::parse(pattern)?;
    Program::of(&parsed.node)?;
    let translation = parsed.is_foreign.then(|| print::print(&parsed.node));
    Ok(Inspection { translation, warnings: parsed.warnings })
}

#[cfg(test)]
mod tests {
    use super::{Inspection, PatternError, Program, inspect};
    use crate::equal::Budget;

    fn matches(pattern: &str, text: &str) -> bool {
        let program = Program::compile(pattern).unwrap_or_else(|refusal| panic!("{pattern}: {refusal:?}"));
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
        ] {
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
        let uuid = "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}\
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
            "\\012",
            "\\Qa\\E",
            "\\S\\Z?",
            "(?>a)",
            "a*+",
            "a{2}+",
            "(?x) a",
            "(?i)\\p{Lu}",
            "(?P<n>a)(?P=n)",
            "(?<>a)",
            "(?i",
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
    fn other_dialects_are_read_where_all_of_them_agree_and_written_as_ecma_262() {
        for (pattern, written, yes, no) in [
            ("(?i)^abc$", "^[aA][bB][cC]$", &["abc", "AbC"][..], &["ab"][..]),
            ("^(?i:a)b$", "^(?:[aA])b$", &["Ab", "ab"], &["aB"]),
            ("^a(?i)b|c$", "^a[bB]|[cC]$", &["aB", "xC"], &["Ab"]),
            ("^(a(?i)b)c$", "^(a[bB])c$", &["aBc"], &["aBC"]),
            ("(?i)^[a-c_]+$", "^[a-c_A-C]+$", &["aBC_"], &["d", "D"]),
            ("(?i)^[^a]$", "^[^aA]$", &["b"], &["a", "A"]),
            ("(?i)^é\\d\\u{e9}$", "^[éÉ]\\d[éÉ]$", &["É1é"], &["e1e"]),
            ("(?i)^k$", "^[kK\u{212a}]$", &["k", "K", "\u{212a}"], &["x"]),
            ("(?i-i:a)(?-i)b$", "(?:a)b$", &["ab"], &["Ab", "aB"]),
            ("(?s)^a.b$", "^a[^]b$", &["a\nb", "axb"], &["ab"]),
            ("(?s-i:.)(?u)", "(?:[^])", &["\n"], &[""]),
            ("(?m)^a$", "(?:^|(?<=[\\u000a]))a(?:$|(?=[\\u000a]))", &["a", "b\na\nc"], &["ba", "b\ra"]),
            ("(?ms)^.$", "(?:^|(?<=[\\u000a]))[^](?:$|(?=[\\u000a]))", &["\n"], &[""]),
            ("\\A[a-z]+\\Z", "^[a-z]+$", &["abc"], &["abc\n", "1"]),
            ("\\Aa|b\\z", "^a|b$", &["ax", "xb"], &["xa"]),
            ("^(?P<y>\\d{4})$", "^(?<y>\\d{4})$", &["2026"], &["26"]),
            ("^\\pL\\PN$", "^\\p{L}\\P{N}$", &["éx"], &["é1"]),
            ("^\\x{1F600}\\U0001f600$", "^\u{1f600}\u{1f600}$", &["\u{1f600}\u{1f600}"], &["x"]),
            ("a+(?#many)b", "a+b", &["aab"], &["b"]),
            ("(?i)^\\.{2,}[\\]\\-^]?(?!x)$", "^\\.{2,}[\\]\\-\\^]?(?![xX])$", &["..-"], &["."]),
        ] {
            assert_eq!(inspect(pattern).unwrap().translation.as_deref(), Some(written), "{pattern}");
            assert!(inspect(written).unwrap().translation.is_none(), "{written}");
            for same in [pattern, written] {
                for text in yes {
                    assert!(matches(same, text), "{same} should match {text:?}");
                }
                for text in no {
                    assert!(!matches(same, text), "{same} should not match {text:?}");
                }
            }
        }
        for pattern in ["^\\p{L}+$", "^(?<y>a)$", "^[^]$", "(?<=a|bc)d", "\\u{1F600}"] {
            assert!(inspect(pattern).unwrap().translation.is_none(), "{pattern}");
        }
    }

    #[test]
    fn what_other_engines_read_otherwise_is_told() {
        for pattern in ["^[[:alpha:]]+$", "[a[:digit:]]", "[[=a=]]", "[a-z&&[^b]]"] {
            assert_eq!(inspect(pattern).unwrap().warnings.len(), 1, "{pattern}");
        }
        for pattern in ["[[]", "[:alpha:]", "[&]", "a&&b", "\\[\\[:a"] {
            assert!(inspect(pattern).unwrap().warnings.is_empty(), "{pattern}");
        }
    }

    #[test]
    fn a_translation_matches_what_the_pattern_matches() {
        const PIECES: [&str; 40] = [
            "a", "B", "k", "1", "_", "é", "\n", " ", "^", "$", ".", "|", "(", ")", "(?:", "(?i)", "(?s)",
            "(?m)", "(?i:", "(?P<n>", "(?=", "(?!", "(?<=", "[", "]", "[^", "-", "\\A", "\\Z", "\\b", "\\d",
            "\\W", "\\s", "\\pL", "\\.", "*", "+?", "{2}", "{1,3}", "(?-i)",
        ];
        let mut state = 1_u64;
        let mut roll = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        let mut translated = 0;
        for _ in 0..60_000 {
            let pattern: String = (0..=roll(9)).map(|_| PIECES[roll(PIECES.len())]).collect();
            let Ok(Inspection { translation: Some(written), .. }) = inspect(&pattern) else { continue };
            translated += 1;
            let again = inspect(&written);
            assert!(matches!(again, Ok(Inspection { translation: None, .. })), "{pattern:?} as {written:?}");
            for _ in 0..4 {
                let text: String = (0..roll(6))
                    .map(|_| ["a", "b", "A", "K", "1", "É", "\n", "\r", "-", "x"][roll(10)])
                    .collect();
                assert_eq!(
                    matches(&pattern, &text),
                    matches(&written, &text),
                    "{pattern:?} as {written:?}: {text:?}"
                );
            }
        }
        assert!(translated > 1000, "{translated}");
    }

    #[test]
    fn only_what_no_engine_takes_is_malformed() {
        for pattern in ["(", ")", "[a", "a**", "*", "\\", "[z-a]", "a{3,1}", "(?i", "(?<n"] {
            assert!(matches!(inspect(pattern), Err(PatternError::Malformed(_))), "{pattern}");
        }
        for pattern in
            ["(a)\\1", "(?P<n>a)(?P=n)", "\\p{Han}", "(?>a)", "a++", "\\R", "a{99999}", "(?(1)a|b)"]
        {
            assert!(matches!(inspect(pattern), Err(PatternError::Unsupported(_))), "{pattern}");
        }
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
