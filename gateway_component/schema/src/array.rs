//! Keywords of arrays.

use crate::equal::first_duplicate;
use crate::evaluated::Evaluated;
use crate::evaluator::{DETAIL, Evaluator, Keyword, Spot};
use crate::json::Json;
use crate::report::{Path, expectation, show};
use crate::resource::Dialect;
use crate::scalar::count;

impl<'s> Evaluator<'s> {
    #[inline(never)]
    pub(crate) fn array_keyword<'i>(
        &mut self,
        keyword: Keyword<'s>,
        items: &'i [Json<'i>],
        path: &Path<'_>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let newer = keyword.dialect == Dialect::Draft202012;
        match (keyword.name, keyword.value) {
            ("items", Json::Array(schemas)) => self.by_position(keyword, schemas, items, path, seen),
            ("prefixItems", Json::Array(schemas)) if newer => {
                self.by_position(keyword, schemas, items, path, seen)
            }
            ("prefixItems", _) if newer => self.unusable(),
            ("items", schema) => {
                let prefix = match keyword.siblings.get("prefixItems").filter(|_| newer) {
                    None => None,
                    Some(Json::Array(prefix)) => Some(&**prefix),
                    Some(_) => return self.unusable(),
                };
                self.items_from(keyword, schema, (prefix.map_or(0, <[Json]>::len), items), path, seen)
            }
            ("additionalItems", schema) => match keyword.siblings.get("items") {
                Some(Json::Array(prefix)) => {
                    self.items_from(keyword, schema, (prefix.len(), items), path, seen)
                }
                _ => true,
            },
            ("contains", schema) => self.contains(keyword, schema, items, path, seen),
            ("minItems" | "maxItems", bound) => match count(bound) {
                None => self.unusable(),
                Some(bound) => {
                    self.amount(path, (keyword.name == "minItems", bound), items.len() as u64, "items")
                }
            },
            ("uniqueItems", Json::Bool(true)) => self.unique(items, path),
            ("uniqueItems", Json::Bool(false)) => true,
            ("uniqueItems", _) => self.unusable(),
            _ => true,
        }
    }

    /// A number of items or properties against a bound: (whether it is the least number, the bound).
    pub(crate) fn amount(&mut self, path: &Path<'_>, bound: (bool, u64), given: u64, what: &str) -> bool {
        let (least, bound) = bound;
        let fits = if least { given >= bound } else { given <= bound };
        fits || self.fail(path, DETAIL, || {
            format!("expected at {} {bound} {what}, got {given}", if least { "least" } else { "most" })
        })
    }

    #[inline(never)]
    fn by_position<'i>(
        &mut self,
        keyword: Keyword<'s>,
        schemas: &'s [Json<'s>],
        items: &'i [Json<'i>],
        path: &Path<'_>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        if let Some(seen) = seen {
            seen.items_before = seen.items_before.max(schemas.len());
        }
        let mut fits = true;
        for (index, (schema, item)) in schemas.iter().zip(items).enumerate() {
            fits &= self.apply(keyword.node(schema), Spot { instance: item, path: &path.index(index) }, None);
            if !fits && self.is_done() {
                break;
            }
        }
        fits
    }

    #[inline(never)]
    fn items_from<'i>(
        &mut self,
        keyword: Keyword<'s>,
        schema: &'s Json<'s>,
        (start, items): (usize, &'i [Json<'i>]),
        path: &Path<'_>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        if let Some(seen) = seen {
            seen.items_before = usize::MAX;
        }
        let mut fits = true;
        for (index, item) in items.iter().enumerate().skip(start) {
            fits &= self.item(keyword, schema, start, Spot { instance: item, path: &path.index(index) });
            if !fits && self.is_done() {
                break;
            }
        }
        fits
    }

    fn item(
        &mut self,
        keyword: Keyword<'s>,
        schema: &'s Json<'s>,
        allowed: usize,
        spot: Spot<'_, '_>,
    ) -> bool {
        if matches!(schema, Json::Bool(false)) {
            let got = spot.instance;
            return self.fail(spot.path, DETAIL, || {
                format!("unexpected item, at most {allowed} are allowed; got {}", show(got))
            });
        }
        self.apply(keyword.node(schema), spot, None)
    }

    #[inline(never)]
    fn contains<'i>(
        &mut self,
        keyword: Keyword<'s>,
        schema: &'s Json<'s>,
        items: &'i [Json<'i>],
        path: &Path<'_>,
        mut seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let newer = keyword.dialect == Dialect::Draft202012;
        let bound = |name| keyword.siblings.get(name).filter(|_| newer).map(count);
        let (least, most) = match (bound("minContains"), bound("maxContains")) {
            (Some(None), _) | (_, Some(None)) => {
                return self.unusable();
            }
            (least, most) => (least.flatten().unwrap_or(1), most.flatten()),
        };
        let before = self.unusable;
        let mut found = 0;
        for (index, item) in items.iter().enumerate() {
            if found >= least && most.is_none() && seen.is_none() {
                return true;
            }
            if self.fits(keyword, schema, Spot { instance: item, path: &path.index(index) }, None) {
                found += 1;
                if let Some(seen) = seen.as_deref_mut() {
                    seen.items.push(index);
                }
            }
        }
        let wanted = || {
            expectation(schema)
                .map_or_else(|| "that fit \"contains\"".to_owned(), |text| format!("that are {text}"))
        };
        if found < least {
            return self
                .fail(path, DETAIL, || format!("expected at least {least} items {}, got {found}", wanted()));
        }
        match most {
            // Of those that fit some may only seem to.
            Some(most) if found > most && self.unusable == before => {
                self.fail(path, DETAIL, || format!("expected at most {most} items {}, got {found}", wanted()))
            }
            _ => true,
        }
    }

    #[inline(never)]
    fn unique(&mut self, items: &[Json], path: &Path<'_>) -> bool {
        let duplicate = first_duplicate(items, &mut self.budget);
        self.pay(0, path)
            && match duplicate {
                None => true,
                Some((first, second)) => self.fail(path, DETAIL, || {
                    format!(
                        "expected no two equal items, but items {first} and {second} are both {}",
                        show(&items[first])
                    )
                }),
            }
    }

    pub(crate) fn unevaluated_items<'i>(
        &mut self,
        keyword: Keyword<'s>,
        items: &'i [Json<'i>],
        path: &Path<'_>,
        seen: &mut Evaluated<'i>,
    ) -> bool {
        seen.sort();
        let mut fits = true;
        for (index, item) in items.iter().enumerate() {
            if !seen.has_item(index) {
                fits &= self.item(
                    keyword,
                    keyword.value,
                    seen.items_before,
                    Spot { instance: item, path: &path.index(index) },
                );
                if !fits && self.is_done() {
                    break;
                }
            }
        }
        seen.items_before = usize::MAX;
        fits
    }
}
