//! Pattern text → tree. The grammar is ECMA-262's with the `u` flag; a `{` or `}` that is no quantifier is itself.
//!
//! Python, Go, Rust, Java and PCRE have forms that ECMA-262 lacks. Those whose meaning is the same in all of them are
//! read too (`\A`, `\z`, `(?i)`, `(?P<name>…)`, …), and [`Parsed::is_foreign`] says that there was one. Forms that
//! mean different things, or cannot be matched in bounded time, are refused as [`PatternError::Unsupported`].

use super::PatternError;
use super::class::{Class, Item, Property};
use super::fold::variants;
use std::iter::Peekable;
use std::str::Chars;

/// Groups within groups; deeper ones would need a deep stack.
const MAX_NESTING: usize = 50;
/// The largest number in a quantifier.
const MAX_COUNT: u32 = 10_000;
/// Characters whose other cases are looked up for one pattern.
const MAX_FOLDED: usize = 20_000;

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Character(char),
    Class(Class),
    Start,
    End,
    WordBoundary {
        negated: bool,
    },
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    /// `open` is how ECMA-262 writes its beginning: `(`, `(?:` or `(?<name>`.
    Group {
        open: String,
        node: Box<Node>,
    },
    Repeat {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
    },
    Look {
        node: Box<Node>,
        behind: bool,
        negated: bool,
    },
}

/// A pattern's tree and what was noticed on the way.
pub(crate) struct Parsed {
    pub(crate) node: Node,
    /// Whether it has a form that ECMA-262 lacks, so that clients need it written otherwise.
    pub(crate) is_foreign: bool,
    /// What means something else here than its author may have thought; completes "the pattern …".
    pub(crate) warnings: Vec<&'static str>,
}

pub(crate) fn parse(pattern: &str) -> Result<Parsed, PatternError> {
    let mut parser = Parser {
        rest: pattern.chars().peekable(),
        nesting: 0,
        folded: 0,
        flags: Flags::default(),
        is_foreign: false,
        warnings: Vec::new(),
    };
    let node = parser.choice()?;
    match parser.rest.next() {
        None => Ok(Parsed { node, is_foreign: parser.is_foreign, warnings: parser.warnings }),
        Some(_) => Err(PatternError::Malformed("has a closing parenthesis too many")),
    }
}

/// What `(?ims)` switches on for the rest of a group.
#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    ignores_case: bool,
    dot_is_any: bool,
    /// The line terminators around which `^` and `$` match; empty: at the ends of the text only.
    lines: &'static [char],
}

struct Parser<'p> {
    rest: Peekable<Chars<'p>>,
    nesting: usize,
    folded: usize,
    flags: Flags,
    is_foreign: bool,
    warnings: Vec<&'static str>,
}

impl Parser<'_> {
    fn take(&mut self, expected: char) -> bool {
        self.rest.next_if_eq(&expected).is_some()
    }

    fn warn(&mut self, warning: &'static str) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn choice(&mut self) -> Result<Node, PatternError> {
        let mut branches = vec![self.sequence()?];
        while self.take('|') {
            branches.push(self.sequence()?);
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Choice(branches) })
    }

    fn sequence(&mut self) -> Result<Node, PatternError> {
        let mut nodes = Vec::new();
        while let Some(&next) = self.rest.peek() {
            if next == '|' || next == ')' {
                break;
            }
            let Some(node) = self.atom()? else { continue };
            let repeatable =
                !matches!(node, Node::Start | Node::End | Node::WordBoundary { .. } | Node::Look { .. });
            nodes.push(match self.quantifier()? {
                None => node,
                Some(_) if !repeatable => {
                    return Err(PatternError::Unsupported("repeats something that has no width"));
                }
                Some((least, most)) => Node::Repeat { node: Box::new(node), least, most },
            });
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Sequence(nodes) })
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let range = match self.rest.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.braces()? {
                Some(range) => range,
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.rest.next();
        if !self.take('?') && self.rest.peek() == Some(&'+') {
            return Err(PatternError::Unsupported(
                "has a possessive quantifier, which ECMA-262 does not have",
            ));
        }
        Ok(Some(range))
    }

    /// `{n}`, `{n,}` or `{n,m}`, read up to and without the closing brace; `None` if the text is no quantifier.
    fn braces(&mut self) -> Result<Option<(u32, Option<u32>)>, PatternError> {
        let mut ahead = self.rest.clone();
        ahead.next();
        let Some(least) = number(&mut ahead)? else {
            return Ok(None);
        };
        let most = if ahead.next_if_eq(&',').is_some() { number(&mut ahead)? } else { Some(least) };
        if ahead.peek() != Some(&'}') {
            return Ok(None);
        }
        if most.is_some_and(|most| most < least) {
            return Err(PatternError::Malformed("has a quantifier whose numbers are out of order"));
        }
        self.rest = ahead;
        Ok(Some((least, most)))
    }

    /// One thing that may be repeated; None for a comment or for flags.
    fn atom(&mut self) -> Result<Option<Node>, PatternError> {
        const REPEATS_NOTHING: PatternError = PatternError::Malformed("repeats nothing");
        if self.rest.peek() == Some(&'{') && self.braces()?.is_some() {
            return Err(REPEATS_NOTHING);
        }
        let Some(next) = self.rest.next() else {
            return Err(PatternError::Malformed("ends too early"));
        };
        Ok(Some(match next {
            '^' => self.line_end(Node::Start, true),
            '$' => self.line_end(Node::End, false),
            '.' => {
                let property = if self.flags.dot_is_any { Property::Any } else { Property::Dot };
                Node::Class(Class::named(property, false))
            }
            '[' => Node::Class(self.class()?),
            '(' => return self.group(),
            '\\' => self.escape()?,
            '*' | '+' | '?' => return Err(REPEATS_NOTHING),
            other => self.character(other)?,
        }))
    }

    /// `^` or `$` under the flags.
    fn line_end(&self, end_of_text: Node, behind: bool) -> Node {
        if self.flags.lines.is_empty() {
            return end_of_text;
        }
        let items = self.flags.lines.iter().map(|letter| Item::Range(*letter, *letter)).collect();
        let terminator = Box::new(Node::Class(Class { items, negated: false }));
        let end_of_line = Node::Look { node: terminator, behind, negated: false };
        Node::Group { open: "(?:".into(), node: Box::new(Node::Choice(vec![end_of_text, end_of_line])) }
    }

    /// One character under the flags.
    fn character(&mut self, letter: char) -> Result<Node, PatternError> {
        if !self.flags.ignores_case {
            return Ok(Node::Character(letter));
        }
        let mut class = Class { items: vec![Item::Range(letter, letter)], negated: false };
        self.add_other_cases(&mut class)?;
        Ok(if class.items.len() == 1 { Node::Character(letter) } else { Node::Class(class) })
    }

    fn add_other_cases(&mut self, class: &mut Class) -> Result<(), PatternError> {
        let mut others: Vec<char> = Vec::new();
        for item in &class.items {
            match *item {
                Item::Range(first, last) => {
                    self.folded += (last as usize).saturating_sub(first as usize) + 1;
                    if self.folded > MAX_FOLDED {
                        return Err(PatternError::Unsupported("ignores the case of too many characters"));
                    }
                    others.extend((first..=last).flat_map(variants));
                }
                Item::Named { property: Property::Uppercase | Property::Lowercase, .. } => {
                    return Err(PatternError::Unsupported(
                        "asks for upper or lower case and ignores case, which engines do differently",
                    ));
                }
                Item::Named { .. } => {}
            }
        }
        others.sort_unstable();
        others.dedup();
        for letter in others {
            if class.contains(letter) != class.negated {
                continue;
            }
            match class.items.last_mut() {
                Some(Item::Range(_, last)) if *last as u32 + 1 == letter as u32 => *last = letter,
                _ => class.items.push(Item::Range(letter, letter)),
            }
        }
        Ok(())
    }

    fn group(&mut self) -> Result<Option<Node>, PatternError> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(PatternError::Unsupported("nests its groups too deeply"));
        }
        let outer = self.flags;
        let kind = if self.take('?') { self.group_kind()? } else { Kind::Group("(".into()) };
        if let Kind::Nothing = kind {
            self.nesting -= 1;
            return Ok(None);
        }
        let node = Box::new(self.choice()?);
        if !self.take(')') {
            return Err(PatternError::Malformed("lacks a closing parenthesis"));
        }
        self.nesting -= 1;
        self.flags = outer;
        Ok(Some(match kind {
            Kind::Look { behind, negated } => Node::Look { node, behind, negated },
            Kind::Group(open) => Node::Group { open, node },
            Kind::Nothing => Node::Sequence(Vec::new()),
        }))
    }

    /// What follows `(?`.
    fn group_kind(&mut self) -> Result<Kind, PatternError> {
        let look = |behind, negated| Ok(Kind::Look { behind, negated });
        let plain = || Kind::Group("(?:".into());
        match self.rest.next() {
            Some(':') => Ok(plain()),
            Some('=') => look(false, false),
            Some('!') => look(false, true),
            Some('<') if self.take('=') => look(true, false),
            Some('<') if self.take('!') => look(true, true),
            Some('<') => self.name(),
            Some('P') if self.take('<') => {
                self.is_foreign = true;
                self.name()
            }
            Some('P') if self.rest.peek() == Some(&'=') => Err(BACKREFERENCE),
            Some('#') => {
                self.is_foreign = true;
                match self.rest.find(|letter| *letter == ')') {
                    Some(_) => Ok(Kind::Nothing),
                    None => Err(PatternError::Malformed("lacks a closing parenthesis")),
                }
            }
            Some(letter) if letter == '-' || letter.is_ascii_alphabetic() => {
                self.is_foreign = true;
                if self.switch(letter)? { Ok(plain()) } else { Ok(Kind::Nothing) }
            }
            None => Err(PatternError::Malformed("lacks a closing parenthesis")),
            Some(_) => Err(UNKNOWN_GROUP),
        }
    }

    /// A group's name after its `<`.
    fn name(&mut self) -> Result<Kind, PatternError> {
        let mut open = String::from("(?<");
        loop {
            match self.rest.next() {
                Some('>') if open.len() > 3 => {
                    open.push('>');
                    return Ok(Kind::Group(open));
                }
                Some(letter) if letter.is_alphanumeric() || letter == '_' || letter == '$' => {
                    open.push(letter)
                }
                _ => return Err(PatternError::Malformed("has a group whose name is not usable")),
            }
        }
    }

    /// Flags up to `)`, for the rest of the group around them, or up to `:`, for a group of their own (then true).
    fn switch(&mut self, first: char) -> Result<bool, PatternError> {
        // Elsewhere a line ends with a line feed; in ECMA-262, which has groups with flags since 2025, with all of these.
        const LINE_FEED: &[char] = &['\n'];
        const ECMA: &[char] = &['\n', '\r', '\u{2028}', '\u{2029}'];
        let (mut letter, mut on, mut flags) = (first, true, self.flags);
        loop {
            match letter {
                '-' if on => on = false,
                'i' => flags.ignores_case = on,
                's' => flags.dot_is_any = on,
                'm' => flags.lines = if on { LINE_FEED } else { &[] },
                // Python's and Java's names for what is always so here.
                'u' if on => {}
                ')' | ':' => {
                    if letter == ':' && !flags.lines.is_empty() {
                        flags.lines = ECMA;
                    }
                    self.flags = flags;
                    return Ok(letter == ':');
                }
                'P' | 'R' => return Err(UNKNOWN_GROUP),
                _ => return Err(PatternError::Unsupported("switches on a flag that is not known here")),
            }
            letter = self.rest.next().ok_or(PatternError::Malformed("lacks a closing parenthesis"))?;
        }
    }

    fn escape(&mut self) -> Result<Node, PatternError> {
        let foreign = match self.rest.peek() {
            Some('b') => Node::WordBoundary { negated: false },
            Some('B') => Node::WordBoundary { negated: true },
            Some('A') => Node::Start,
            // PCRE's and Java's `\Z` takes a line feed before the end, too; Python's does not, and people mean the end.
            Some('Z' | 'z') => Node::End,
            Some('1'..='9' | 'k') => return Err(BACKREFERENCE),
            _ => {
                return match self.class_escape()? {
                    Item::Range(character, _) => self.character(character),
                    Item::Named { property, negated } => {
                        let mut class = Class::named(property, negated);
                        if self.flags.ignores_case {
                            self.add_other_cases(&mut class)?;
                        }
                        Ok(Node::Class(class))
                    }
                };
            }
        };
        self.rest.next();
        self.is_foreign |= matches!(foreign, Node::Start | Node::End);
        Ok(foreign)
    }

    /// An escape that means a character (a range of one) or a set, after its backslash.
    fn class_escape(&mut self) -> Result<Item, PatternError> {
        let Some(letter) = self.rest.next() else {
            return Err(PatternError::Malformed("ends with a backslash"));
        };
        let named = |property, negated| Ok(Item::Named { property, negated });
        let character = match letter {
            'd' | 'D' => return named(Property::Digit, letter == 'D'),
            'w' | 'W' => return named(Property::Word, letter == 'W'),
            's' | 'S' => return named(Property::Space, letter == 'S'),
            'p' | 'P' => return named(self.property()?, letter == 'P'),
            't' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            '0' if self.rest.peek().is_some_and(char::is_ascii_digit) => {
                return Err(PatternError::Unsupported("has an octal escape, which ECMA-262 does not have"));
            }
            '0' => '\0',
            'c' => match self.rest.next() {
                Some(letter) if letter.is_ascii_alphabetic() => char::from(letter as u8 % 32),
                _ => return Err(PatternError::Unsupported("has a control escape without a letter")),
            },
            'x' if self.take('{') => {
                self.is_foreign = true;
                self.code_in_braces()?
            }
            'x' => char::from(self.hexadecimal(2)? as u8),
            'u' => self.unicode()?,
            'U' => {
                self.is_foreign = true;
                char::from_u32(self.hexadecimal(8)?).ok_or(NO_CHARACTER)?
            }
            other if other.is_ascii_alphanumeric() => {
                return Err(PatternError::Unsupported("has an escape that ECMA-262 does not have"));
            }
            other => other,
        };
        Ok(Item::Range(character, character))
    }

    fn property(&mut self) -> Result<Property, PatternError> {
        if !self.take('{') {
            // `\pL`, as Go, Java and PCRE have it.
            self.is_foreign = true;
            return match self.rest.next() {
                Some(letter) if letter.is_ascii_uppercase() => {
                    Property::by_name(letter.encode_utf8(&mut [0; 4]))
                }
                _ => Err(PatternError::Malformed("has a property escape without a name")),
            };
        }
        let mut name = String::new();
        loop {
            match self.rest.next() {
                Some('}') => return Property::by_name(&name),
                Some(letter) if name.len() < 64 => name.push(letter),
                _ => return Err(PatternError::Malformed("has a property escape without an end")),
            }
        }
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<u32, PatternError> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.rest.next().and_then(|digit| digit.to_digit(16));
            code = code * 16
                + digit.ok_or(PatternError::Unsupported("has an escape with too few hexadecimal digits"))?;
        }
        Ok(code)
    }

    /// Hexadecimal digits up to `}`.
    fn code_in_braces(&mut self) -> Result<char, PatternError> {
        let mut code = 0u32;
        while !self.take('}') {
            code = code.saturating_mul(16).saturating_add(self.hexadecimal(1)?);
        }
        char::from_u32(code).ok_or(NO_CHARACTER)
    }

    fn unicode(&mut self) -> Result<char, PatternError> {
        if self.take('{') {
            return self.code_in_braces();
        }
        let code = self.hexadecimal(4)?;
        if !(0xd800..0xdc00).contains(&code) {
            return char::from_u32(code).ok_or(NO_CHARACTER);
        }
        if !(self.take('\\') && self.take('u')) {
            return Err(NO_CHARACTER);
        }
        let low = self.hexadecimal(4)?;
        if !(0xdc00..0xe000).contains(&low) {
            return Err(NO_CHARACTER);
        }
        char::from_u32(0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00)).ok_or(NO_CHARACTER)
    }

    fn class(&mut self) -> Result<Class, PatternError> {
        let mut class = Class { items: Vec::new(), negated: self.take('^') };
        while !self.take(']') {
            self.look_for_other_grammars();
            let first = self.class_item()?;
            let mut ahead = self.rest.clone();
            if ahead.next() != Some('-') || matches!(ahead.peek(), None | Some(']')) {
                class.items.push(first);
                continue;
            }
            self.rest.next();
            match (first, self.class_item()?) {
                (Item::Range(first, _), Item::Range(last, _)) if first <= last => {
                    class.items.push(Item::Range(first, last))
                }
                (Item::Range(..), Item::Range(..)) => {
                    return Err(PatternError::Malformed("has a range that is out of order"));
                }
                // `[\w-z]`: no range, so the hyphen is itself, as browsers read it without the `u` flag.
                (first, second) => class.items.extend([first, Item::Range('-', '-'), second]),
            }
        }
        if self.flags.ignores_case {
            self.add_other_cases(&mut class)?;
        }
        Ok(class)
    }

    /// Inside a class some engines have more than characters; ECMA-262's `u` grammar has not.
    fn look_for_other_grammars(&mut self) {
        let mut ahead = self.rest.clone();
        match (ahead.next(), ahead.next()) {
            (Some('['), Some(':' | '.' | '=')) => self.warn(
                "has a POSIX class such as [:alpha:], which ECMA-262 takes for its single characters; \
                 write \\p{L}, \\d or a range",
            ),
            (Some('&'), Some('&')) => {
                self.warn("has && in a class, which ECMA-262 takes for the character & and no intersection")
            }
            _ => {}
        }
    }

    fn class_item(&mut self) -> Result<Item, PatternError> {
        match self.rest.next() {
            None => Err(PatternError::Malformed("lacks a closing bracket")),
            Some('\\') if self.take('b') => Ok(Item::Range('\u{8}', '\u{8}')),
            Some('\\') => self.class_escape(),
            Some(character) => Ok(Item::Range(character, character)),
        }
    }
}

/// What an opening parenthesis begins.
enum Kind {
    Look {
        behind: bool,
        negated: bool,
    },
    Group(String),
    /// A comment, or flags for what follows.
    Nothing,
}

const BACKREFERENCE: PatternError =
    PatternError::Unsupported("uses a backreference, which cannot be matched in bounded time");
const NO_CHARACTER: PatternError = PatternError::Unsupported("has an escape that is no character");
const UNKNOWN_GROUP: PatternError =
    PatternError::Unsupported("has a kind of group that ECMA-262 does not have");

fn number(text: &mut Peekable<Chars<'_>>) -> Result<Option<u32>, PatternError> {
    let mut number = None;
    while let Some(digit) = text.peek().and_then(|digit| digit.to_digit(10)) {
        let next = number.unwrap_or(0) * 10 + digit;
        if next > MAX_COUNT {
            return Err(PatternError::Unsupported("repeats something too often"));
        }
        number = Some(next);
        text.next();
    }
    Ok(number)
}
