//! The other cases of a character, for patterns that ignore case.

/// Cases that Unicode's simple case folding (CaseFolding.txt, status C and S) joins beyond what the upper and lower
/// case of one character tell.
const MORE: [&[char]; 6] = [
    &['k', 'K', '\u{212a}'],
    &['s', 'S', '\u{17f}'],
    &['å', 'Å', '\u{212b}'],
    &['µ', 'μ', 'Μ'],
    &['σ', 'ς', 'Σ'],
    &['ß', 'ẞ'],
];

/// A character's other cases; it may be among them itself.
pub(crate) fn variants(letter: char) -> impl Iterator<Item = char> {
    let more = MORE.iter().find(|set| set.contains(&letter)).copied().unwrap_or_default();
    let single = |letters: &mut dyn Iterator<Item = char>| {
        let first = letters.next();
        first.filter(|_| letters.next().is_none())
    };
    let upper = single(&mut letter.to_uppercase());
    let lower = single(&mut letter.to_lowercase());
    more.iter().copied().chain(upper).chain(lower)
}
