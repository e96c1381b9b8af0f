//! Equality of JSON values as JSON Schema has it (core §4.2.2), with its work paid from a budget.

use crate::json::Json;
use crate::number;
use std::cmp::Ordering;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Steps of work that are left. Every node of a schema, value or pattern that is touched costs one.
#[derive(Debug)]
pub(crate) struct Budget(u64);

impl Budget {
    pub(crate) fn new(steps: u64) -> Self {
        Budget(steps)
    }

    /// Pays for `steps`; false once the budget is used up.
    pub(crate) fn pay(&mut self, steps: u64) -> bool {
        self.0 = self.0.saturating_sub(steps);
        self.0 > 0
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// Whether both values are the same JSON: `1` is `1.0`, the order of keys is of no account.
///
/// An exhausted budget answers false; the caller asks the budget.
pub(crate) fn equal(left: &Json, right: &Json, budget: &mut Budget) -> bool {
    if !budget.pay(1) {
        return false;
    }
    match (left, right) {
        (Json::Null, Json::Null) => true,
        (Json::Bool(a), Json::Bool(b)) => a == b,
        (Json::Number(a), Json::Number(b)) => number::compare(a, b) == Ordering::Equal,
        (Json::String(a), Json::String(b)) => budget.pay(a.len() as u64 / 64) && a == b,
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, budget))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.iter().len() == b.iter().len()
                && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b, budget)))
        }
        _ => false,
    }
}

/// The indices of two equal items, if there are any. Hashes first, so that many items cost no square of their number.
pub(crate) fn first_duplicate(items: &[Json], budget: &mut Budget) -> Option<(usize, usize)> {
    if let [a, b] = items {
        return equal(a, b, budget).then_some((0, 1));
    }
    let mut hashes: Vec<(u64, usize)> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        hashes.push((hash(item, budget), index));
        if budget.is_spent() {
            return None;
        }
    }
    hashes.sort_unstable();
    for (position, &(code, index)) in hashes.iter().enumerate() {
        for &(_, other) in hashes[position + 1..].iter().take_while(|(other, _)| *other == code) {
            if equal(&items[index], &items[other], budget) {
                return Some((index, other));
            }
            if budget.is_spent() {
                return None;
            }
        }
    }
    None
}

/// A hash that equal values share.
fn hash(value: &Json, budget: &mut Budget) -> u64 {
    let mut hasher = DefaultHasher::new();
    budget.pay(1);
    match value {
        Json::Null => 0u8.hash(&mut hasher),
        Json::Bool(flag) => (1u8, flag).hash(&mut hasher),
        Json::Number(n) => match number::value(n) {
            number::Value::Integer(n) => (2u8, n).hash(&mut hasher),
            number::Value::Float(n) => (3u8, n.to_bits()).hash(&mut hasher),
        },
        Json::String(text) => {
            budget.pay(text.len() as u64 / 64);
            (4u8, text).hash(&mut hasher);
        }
        Json::Array(items) => {
            (5u8, items.len()).hash(&mut hasher);
            for item in items {
                hash(item, budget).hash(&mut hasher);
            }
        }
        Json::Object(members) => {
            // A sum, because the order of keys depends on how serde_json was built.
            let sum = members.iter().fold(0u64, |sum, (key, member)| {
                let mut entry = DefaultHasher::new();
                (key, hash(member, budget)).hash(&mut entry);
                sum.wrapping_add(entry.finish())
            });
            (6u8, members.iter().len(), sum).hash(&mut hasher);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_equal_by_value_and_objects_without_order() {
        let mut budget = Budget::new(1000);
        let (left, right) =
            (json!({"a": [1, {"b": 2.0}], "c": null}), json!({"c": null, "a": [1.0, {"b": 2}]}));
        let (left, right) = (Json::from(&left), Json::from(&right));
        assert!(equal(&left, &right, &mut budget));
        assert_eq!(hash(&left, &mut budget), hash(&right, &mut budget));
        assert!(!equal(&Json::from(&json!(1)), &Json::Bool(true), &mut budget));
        assert!(!equal(&Json::from(&json!(0)), &Json::Bool(false), &mut budget));
    }

    #[test]
    fn a_duplicate_is_found_among_many() {
        let mut values: Vec<serde_json::Value> = (0..10_000).map(|n| json!({"n": n})).collect();
        values.push(json!({"n": 77.0}));
        let mut items: Vec<Json> = values.iter().map(Json::from).collect();
        let last = items.pop().expect("an item");
        let mut budget = Budget::new(1_000_000);
        assert_eq!(first_duplicate(&items, &mut budget), None);
        assert!(!budget.is_spent());
        items.push(last);
        let found = first_duplicate(&items, &mut budget).expect("a duplicate");
        assert_eq!(found, (77, 10_000));
    }
}
