//! Keywords of numbers and strings.

use crate::evaluator::{DETAIL, Evaluator, Keyword, Spot};
use crate::json::Json;
use crate::number::{Value as Exact, compare, is_multiple, value};
use crate::report::{Path, shorten, show};
use serde_json::Number;
use std::cmp::Ordering;

/// The value of a keyword that counts something: a whole number that is not negative, such as `2` or `2.0`.
pub(crate) fn count(bound: &Json) -> Option<u64> {
    let Json::Number(bound) = bound else { return None };
    match value(bound) {
        Exact::Integer(count) => u64::try_from(count).ok(),
        Exact::Float(large) => (large.fract() == 0.0 && large > 0.0).then_some(u64::MAX),
    }
}

impl<'s> Evaluator<'s> {
    #[inline(never)]
    pub(crate) fn number_keyword(&mut self, keyword: Keyword<'s>, given: &Number, path: &Path<'_>) -> bool {
        let expected = match keyword.name {
            "minimum" if is_true(keyword, "exclusiveMinimum") => "more than",
            "minimum" => "at least",
            "maximum" if is_true(keyword, "exclusiveMaximum") => "less than",
            "maximum" => "at most",
            // draft-04 has a flag beside the bound instead, which is read there.
            "exclusiveMinimum" | "exclusiveMaximum" if matches!(keyword.value, Json::Bool(_)) => return true,
            "exclusiveMinimum" => "more than",
            "exclusiveMaximum" => "less than",
            "multipleOf" => "a multiple of",
            _ => return true,
        };
        let Json::Number(bound) = keyword.value else {
            return self.unusable();
        };
        let order = compare(given, bound);
        let fits = match expected {
            "at least" => order != Ordering::Less,
            "at most" => order != Ordering::Greater,
            "more than" => order == Ordering::Greater,
            "less than" => order == Ordering::Less,
            _ => match is_multiple(given, bound) {
                Some(fits) => fits,
                None => return self.unusable(),
            },
        };
        fits || self.fail(path, DETAIL, || format!("expected {expected} {bound}, got {given}"))
    }

    #[inline(never)]
    pub(crate) fn string_keyword(&mut self, keyword: Keyword<'s>, text: &str, spot: Spot<'_, '_>) -> bool {
        match keyword.name {
            "minLength" | "maxLength" => self.length(keyword, text, spot),
            "pattern" => {
                let Json::String(pattern) = keyword.value else {
                    return self.unusable();
                };
                let before = self.unusable;
                match self.matches(pattern, text, spot.path) {
                    None => self.unusable > before,
                    Some(fits) => {
                        fits || self.fail(spot.path, DETAIL, || {
                            format!(
                                "expected a string matching {}, got {}",
                                shorten(pattern),
                                show(spot.instance)
                            )
                        })
                    }
                }
            }
            _ => true,
        }
    }

    fn length(&mut self, keyword: Keyword<'s>, text: &str, spot: Spot<'_, '_>) -> bool {
        let Some(bound) = count(keyword.value) else {
            return self.unusable();
        };
        let bytes = text.len() as u64;
        let least = keyword.name == "minLength";
        // A character has at most four bytes, so the number of bytes often decides.
        if if least { bytes >= bound.saturating_mul(4) } else { bytes <= bound } {
            return true;
        }
        if !self.pay(bytes / 64, spot.path) {
            return false;
        }
        let length = text.chars().count() as u64;
        let fits = if least { length >= bound } else { length <= bound };
        fits || self.fail(spot.path, DETAIL, || {
            let side = if least { "at least" } else { "at most" };
            format!("expected {side} {bound} characters, got {length}: {}", show(spot.instance))
        })
    }
}

fn is_true(keyword: Keyword<'_>, sibling: &str) -> bool {
    matches!(keyword.siblings.get(sibling), Some(Json::Bool(true)))
}
