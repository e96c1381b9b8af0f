//! Which members and items some subschema has looked at, for `unevaluatedProperties` and `unevaluatedItems`.

/// The annotations of one value (2020-12 core §11).
#[derive(Debug, Default)]
pub(crate) struct Evaluated<'i> {
    pub(crate) all_members: bool,
    /// Names, in any order and several times if several subschemas know one.
    pub(crate) members: Vec<&'i str>,
    /// Items before this index.
    pub(crate) items_before: usize,
    /// Single items, which `contains` found, likewise.
    pub(crate) items: Vec<usize>,
}

impl Evaluated<'_> {
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.all_members |= other.all_members;
        self.members.append(&mut other.members);
        self.items_before = self.items_before.max(other.items_before);
        self.items.append(&mut other.items);
    }

    /// Prepares for `has_member` and `has_item`.
    pub(crate) fn sort(&mut self) {
        self.members.sort_unstable();
        self.members.dedup();
        self.items.sort_unstable();
        self.items.dedup();
    }

    pub(crate) fn has_member(&self, name: &str) -> bool {
        self.all_members || self.members.binary_search(&name).is_ok()
    }

    pub(crate) fn has_item(&self, index: usize) -> bool {
        index < self.items_before || self.items.binary_search(&index).is_ok()
    }
}
