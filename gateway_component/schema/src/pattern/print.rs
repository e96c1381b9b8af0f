//! Tree → the text of the pattern as ECMA-262 has it.

use super::class::{Class, Item, Property};
use super::parse::Node;
use std::fmt::Write;

/// A pattern that means the same wherever ECMA-262's `u` grammar is read.
pub(crate) fn print(node: &Node) -> String {
    let mut text = String::new();
    push(&mut text, node);
    text
}

fn push(text: &mut String, node: &Node) {
    match node {
        Node::Character(letter) => push_letter(text, *letter, "^$\\.*+?()[]{}|/"),
        Node::Class(class) => push_class(text, class),
        Node::Start => text.push('^'),
        Node::End => text.push('$'),
        Node::WordBoundary { negated } => text.push_str(if *negated { "\\B" } else { "\\b" }),
        Node::Sequence(nodes) => nodes.iter().for_each(|node| push(text, node)),
        Node::Choice(branches) => {
            for (at, branch) in branches.iter().enumerate() {
                if at > 0 {
                    text.push('|');
                }
                push(text, branch);
            }
        }
        Node::Group { open, node } => push_group(text, open, node),
        Node::Repeat { node, least, most } => {
            push(text, node);
            let written = match (least, most) {
                (0, None) => write!(text, "*"),
                (1, None) => write!(text, "+"),
                (0, Some(1)) => write!(text, "?"),
                (least, None) => write!(text, "{{{least},}}"),
                (least, Some(most)) if least == most => write!(text, "{{{least}}}"),
                (least, Some(most)) => write!(text, "{{{least},{most}}}"),
            };
            // Writing into memory does not fail.
            let _ = written;
        }
        Node::Look { node, behind, negated } => {
            let open = match (behind, negated) {
                (false, false) => "(?=",
                (false, true) => "(?!",
                (true, false) => "(?<=",
                (true, true) => "(?<!",
            };
            push_group(text, open, node);
        }
    }
}

fn push_group(text: &mut String, open: &str, node: &Node) {
    text.push_str(open);
    push(text, node);
    text.push(')');
}

/// A character, escaped if it is one of `special` or cannot be seen.
fn push_letter(text: &mut String, letter: char, special: &str) {
    if special.contains(letter) {
        text.push('\\');
        text.push(letter);
    } else if letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}') {
        // Writing into memory does not fail.
        let _ = write!(text, "\\u{:04x}", letter as u32);
    } else {
        text.push(letter);
    }
}

fn push_class(text: &mut String, class: &Class) {
    if let ([Item::Named { property, negated }], false) = (&*class.items, class.negated) {
        match property {
            Property::Dot if !negated => return text.push('.'),
            Property::Any if !negated => return text.push_str("[^]"),
            Property::Dot | Property::Any | Property::Ascii => {}
            property => return push_property(text, *property, *negated),
        }
    }
    text.push_str(if class.negated { "[^" } else { "[" });
    for item in &class.items {
        match item {
            Item::Range(first, last) => {
                push_letter(text, *first, "\\]^-[");
                if first != last {
                    text.push('-');
                    push_letter(text, *last, "\\]^-[");
                }
            }
            Item::Named { property, negated } => push_property(text, *property, *negated),
        }
    }
    text.push(']');
}

fn push_property(text: &mut String, property: Property, negated: bool) {
    let (yes, no) = match property {
        Property::Digit => ("\\d", "\\D"),
        Property::Word => ("\\w", "\\W"),
        Property::Space => ("\\s", "\\S"),
        Property::Dot => ("\\0-\\t\\v\\f\\u000e-\\u2027\\u202a-\\u{10ffff}", "\\n\\r\\u2028\\u2029"),
        Property::Any => ("\\p{Any}", "\\P{Any}"),
        Property::Ascii => ("\\p{ASCII}", "\\P{ASCII}"),
        Property::Letter => ("\\p{L}", "\\P{L}"),
        Property::Alphabetic => ("\\p{Alphabetic}", "\\P{Alphabetic}"),
        Property::Uppercase => ("\\p{Lu}", "\\P{Lu}"),
        Property::Lowercase => ("\\p{Ll}", "\\P{Ll}"),
        Property::Number => ("\\p{N}", "\\P{N}"),
        Property::Control => ("\\p{Cc}", "\\P{Cc}"),
        Property::WhiteSpace => ("\\p{White_Space}", "\\P{White_Space}"),
    };
    text.push_str(if negated { no } else { yes });
}
