//! Sets of characters: `\d`, `[a-z]`, `\p{…}`.

use super::PatternError;

/// One member of a set.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Range(char, char),
    Named { property: Property, negated: bool },
}

/// A set of characters, such as `[^a-z\s]`.
#[derive(Clone, Debug)]
pub(crate) struct Class {
    pub(crate) items: Vec<Item>,
    pub(crate) negated: bool,
}

impl Class {
    pub(crate) fn named(property: Property, negated: bool) -> Self {
        Class { items: vec![Item::Named { property, negated }], negated: false }
    }

    pub(crate) fn contains(&self, character: char) -> bool {
        let inside = self.items.iter().any(|item| match item {
            Item::Range(first, last) => (*first..=*last).contains(&character),
            Item::Named { property, negated } => property.contains(character) != *negated,
        });
        inside != self.negated
    }
}

/// A set of characters that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Property {
    Digit,
    Word,
    Space,
    /// `.`: everything but line terminators.
    Dot,
    Any,
    Ascii,
    /// The general category L; std's alphabetic characters that are no numbers, which adds some combining vowels.
    Letter,
    Alphabetic,
    Uppercase,
    Lowercase,
    Number,
    Control,
    WhiteSpace,
}

impl Property {
    /// The property that `\p{name}` names.
    pub(crate) fn by_name(name: &str) -> Result<Self, PatternError> {
        let name = name.strip_prefix("General_Category=").or(name.strip_prefix("gc=")).unwrap_or(name);
        Ok(match name {
            "L" | "Letter" => Property::Letter,
            "Lu" | "Uppercase_Letter" | "Uppercase" | "Upper" => Property::Uppercase,
            "Ll" | "Lowercase_Letter" | "Lowercase" | "Lower" => Property::Lowercase,
            "N" | "Number" => Property::Number,
            "Alphabetic" | "Alpha" => Property::Alphabetic,
            "Cc" | "Control" | "cntrl" => Property::Control,
            "White_Space" | "space" => Property::WhiteSpace,
            "Any" => Property::Any,
            "ASCII" => Property::Ascii,
            _ => return Err(PatternError::Unsupported("uses a Unicode property that is not known here")),
        })
    }

    fn contains(self, character: char) -> bool {
        match self {
            Property::Digit => character.is_ascii_digit(),
            Property::Word => is_word(character),
            // ECMA-262 WhiteSpace and LineTerminator: Unicode's space separators, U+FEFF and the ASCII ones.
            Property::Space => {
                matches!(character, '\t'..='\r' | ' ' | '\u{feff}')
                    || (character > '\u{85}' && character.is_whitespace())
            }
            Property::Dot => !matches!(character, '\n' | '\r' | '\u{2028}' | '\u{2029}'),
            Property::Any => true,
            Property::Ascii => character.is_ascii(),
            Property::Letter => character.is_alphabetic() && !character.is_numeric(),
            Property::Alphabetic => character.is_alphabetic(),
            Property::Uppercase => character.is_uppercase(),
            Property::Lowercase => character.is_lowercase(),
            Property::Number => character.is_numeric(),
            Property::Control => character.is_control(),
            Property::WhiteSpace => character.is_whitespace(),
        }
    }
}

/// What `\w` and `\b` take for a word.
pub(crate) fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
