//! Pattern text → tree. The grammar is ECMA-262's with the `u` flag; a `{` or `}` that is no quantifier is itself.

use super::class::{Class, Item, Property};
use super::Refusal;
use std::iter::Peekable;
use std::str::Chars;

/// Groups within groups; deeper ones would need a deep stack.
const MAX_NESTING: usize = 50;
/// The largest number in a quantifier.
const MAX_COUNT: u32 = 10_000;

#[derive(Clone, Debug)]
pub(crate) enum Node {
    Character(char),
    Class(Class),
    Start,
    End,
    WordBoundary { negated: bool },
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Repeat { node: Box<Node>, least: u32, most: Option<u32> },
    Look { node: Box<Node>, behind: bool, negated: bool },
}

pub(crate) fn parse(pattern: &str) -> Result<Node, Refusal> {
    let mut parser = Parser { rest: pattern.chars().peekable(), nesting: 0 };
    let node = parser.choice()?;
    match parser.rest.next() {
        None => Ok(node),
        Some(_) => Err("has a closing parenthesis too many"),
    }
}

struct Parser<'p> {
    rest: Peekable<Chars<'p>>,
    nesting: usize,
}

impl Parser<'_> {
    fn take(&mut self, expected: char) -> bool {
        self.rest.next_if_eq(&expected).is_some()
    }

    fn choice(&mut self) -> Result<Node, Refusal> {
        let mut branches = vec![self.sequence()?];
        while self.take('|') {
            branches.push(self.sequence()?);
        }
        Ok(if branches.len() == 1 { branches.remove(0) } else { Node::Choice(branches) })
    }

    fn sequence(&mut self) -> Result<Node, Refusal> {
        let mut nodes = Vec::new();
        while let Some(&next) = self.rest.peek() {
            if next == '|' || next == ')' {
                break;
            }
            let node = self.atom()?;
            let repeatable =
                !matches!(node, Node::Start | Node::End | Node::WordBoundary { .. } | Node::Look { .. });
            nodes.push(match self.quantifier()? {
                None => node,
                Some(_) if !repeatable => return Err("repeats something that has no width"),
                Some((least, most)) => Node::Repeat { node: Box::new(node), least, most },
            });
        }
        Ok(if nodes.len() == 1 { nodes.remove(0) } else { Node::Sequence(nodes) })
    }

    fn quantifier(&mut self) -> Result<Option<(u32, Option<u32>)>, Refusal> {
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
        self.take('?');
        Ok(Some(range))
    }

    /// `{n}`, `{n,}` or `{n,m}`, read up to and without the closing brace; `None` if the text is no quantifier.
    fn braces(&mut self) -> Result<Option<(u32, Option<u32>)>, Refusal> {
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
            return Err("has a quantifier whose numbers are out of order");
        }
        self.rest = ahead;
        Ok(Some((least, most)))
    }

    fn atom(&mut self) -> Result<Node, Refusal> {
        if self.rest.peek() == Some(&'{') && self.braces()?.is_some() {
            return Err("repeats nothing");
        }
        let Some(next) = self.rest.next() else {
            return Err("ends too early");
        };
        Ok(match next {
            '^' => Node::Start,
            '$' => Node::End,
            '.' => Node::Class(Class::named(Property::Dot, false)),
            '[' => Node::Class(self.class()?),
            '(' => self.group()?,
            '\\' => self.escape()?,
            '*' | '+' | '?' => return Err("repeats nothing"),
            other => Node::Character(other),
        })
    }

    fn group(&mut self) -> Result<Node, Refusal> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err("nests its groups too deeply");
        }
        let look = if self.take('?') { self.group_kind()? } else { None };
        let node = self.choice()?;
        if !self.take(')') {
            return Err("lacks a closing parenthesis");
        }
        self.nesting -= 1;
        Ok(match look {
            Some((behind, negated)) => Node::Look { node: Box::new(node), behind, negated },
            None => Node::Sequence(vec![node]),
        })
    }

    /// What follows `(?`: for lookaround whether it looks behind and whether it is negated.
    fn group_kind(&mut self) -> Result<Option<(bool, bool)>, Refusal> {
        match self.rest.next() {
            Some(':') => Ok(None),
            Some('=') => Ok(Some((false, false))),
            Some('!') => Ok(Some((false, true))),
            Some('<') if self.take('=') => Ok(Some((true, false))),
            Some('<') if self.take('!') => Ok(Some((true, true))),
            Some('<') => loop {
                match self.rest.next() {
                    Some('>') => return Ok(None),
                    Some(letter) if letter.is_alphanumeric() || letter == '_' || letter == '$' => {}
                    _ => return Err("has a group whose name is not usable"),
                }
            },
            _ => Err("has a kind of group that ECMA-262 does not have"),
        }
    }

    fn escape(&mut self) -> Result<Node, Refusal> {
        match self.rest.peek() {
            Some('b') => {
                self.rest.next();
                Ok(Node::WordBoundary { negated: false })
            }
            Some('B') => {
                self.rest.next();
                Ok(Node::WordBoundary { negated: true })
            }
            Some('1'..='9' | 'k') => Err("uses a backreference, which cannot be matched in bounded time"),
            _ => Ok(match self.class_escape()? {
                Item::Range(character, _) => Node::Character(character),
                Item::Named { property, negated } => Node::Class(Class::named(property, negated)),
            }),
        }
    }

    /// An escape that means a character (a range of one) or a set, after its backslash.
    fn class_escape(&mut self) -> Result<Item, Refusal> {
        let Some(letter) = self.rest.next() else {
            return Err("ends with a backslash");
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
            '0' => '\0',
            'c' => match self.rest.next() {
                Some(letter) if letter.is_ascii_alphabetic() => char::from(letter as u8 % 32),
                _ => return Err("has a control escape without a letter"),
            },
            'x' => char::from(self.hexadecimal(2)? as u8),
            'u' => self.unicode()?,
            other if other.is_ascii_alphanumeric() => {
                return Err("has an escape that ECMA-262 does not have")
            }
            other => other,
        };
        Ok(Item::Range(character, character))
    }

    fn property(&mut self) -> Result<Property, Refusal> {
        if !self.take('{') {
            return Err("has a property escape without braces");
        }
        let mut name = String::new();
        loop {
            match self.rest.next() {
                Some('}') => return Property::by_name(&name),
                Some(letter) if name.len() < 64 => name.push(letter),
                _ => return Err("has a property escape without an end"),
            }
        }
    }

    fn hexadecimal(&mut self, digits: usize) -> Result<u32, Refusal> {
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.rest.next().and_then(|digit| digit.to_digit(16));
            code = code * 16 + digit.ok_or("has an escape with too few hexadecimal digits")?;
        }
        Ok(code)
    }

    fn unicode(&mut self) -> Result<char, Refusal> {
        const NO_CHARACTER: Refusal = "has an escape that is no character";
        if self.take('{') {
            let mut code = 0u32;
            while !self.take('}') {
                code = code.saturating_mul(16).saturating_add(self.hexadecimal(1)?);
            }
            return char::from_u32(code).ok_or(NO_CHARACTER);
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

    fn class(&mut self) -> Result<Class, Refusal> {
        let mut class = Class { items: Vec::new(), negated: self.take('^') };
        while !self.take(']') {
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
                (Item::Range(..), Item::Range(..)) => return Err("has a range that is out of order"),
                // `[\w-z]`: no range, so the hyphen is itself, as browsers read it without the `u` flag.
                (first, second) => class.items.extend([first, Item::Range('-', '-'), second]),
            }
        }
        Ok(class)
    }

    fn class_item(&mut self) -> Result<Item, Refusal> {
        match self.rest.next() {
            None => Err("lacks a closing bracket"),
            Some('\\') if self.take('b') => Ok(Item::Range('\u{8}', '\u{8}')),
            Some('\\') => self.class_escape(),
            Some(character) => Ok(Item::Range(character, character)),
        }
    }
}

fn number(text: &mut Peekable<Chars<'_>>) -> Result<Option<u32>, Refusal> {
    let mut number = None;
    while let Some(digit) = text.peek().and_then(|digit| digit.to_digit(10)) {
        let next = number.unwrap_or(0) * 10 + digit;
        if next > MAX_COUNT {
            return Err("repeats something too often");
        }
        number = Some(next);
        text.next();
    }
    Ok(number)
}
