//! Keywords that apply subschemas to the same value: references, `allOf`, `anyOf`, `oneOf`, `not`, `if`.

use crate::evaluated::Evaluated;
use crate::evaluator::{DETAIL, Evaluator, Keyword, Spot, WRONG_TYPE};
use crate::json::Json;
use crate::report::{Violation, expectation, given};

/// Alternatives that are tried again to find the one that was meant.
const EXPLAINED: usize = 16;
/// Added to a violation's distance when the value as a whole is of another kind than the alternative's.
const OTHER_KIND: u32 = 1000;

impl<'s> Evaluator<'s> {
    #[inline(never)]
    pub(crate) fn applicator<'i>(
        &mut self,
        keyword: Keyword<'s>,
        spot: Spot<'_, 'i>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        match (keyword.name, keyword.value) {
            ("$ref", Json::String(reference)) => self.reference(reference, keyword.resource, spot, seen),
            ("$dynamicRef", Json::String(reference)) => {
                match self.resources.resolve_dynamic(reference, keyword.resource, &self.scope) {
                    Ok(node) => self.apply(node, spot, seen),
                    Err(_) => self.unusable(),
                }
            }
            ("$ref" | "$dynamicRef", _) => self.unusable(),
            ("not", schema) => self.not(keyword, schema, spot),
            ("if", schema) => self.condition(keyword, schema, spot, seen),
            ("allOf", Json::Array(branches)) => self.all_of(keyword, branches, spot, seen),
            ("anyOf", Json::Array(branches)) => self.any_of(keyword, branches, spot, seen),
            ("oneOf", Json::Array(branches)) => self.one_of(keyword, branches, spot, seen),
            _ => self.unusable(),
        }
    }

    pub(crate) fn reference<'i>(
        &mut self,
        reference: &str,
        from: usize,
        spot: Spot<'_, 'i>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        match self.resources.resolve(reference, from) {
            Ok(node) => self.apply(node, spot, seen),
            Err(_) => self.unusable(),
        }
    }

    #[inline(never)]
    fn not(&mut self, keyword: Keyword<'s>, schema: &'s Json<'s>, spot: Spot<'_, '_>) -> bool {
        let before = self.unusable;
        !self.fits(keyword, schema, spot, None)
            || self.unusable > before
            || self.fail(spot.path, DETAIL, || match expectation(schema) {
                Some(unwanted) => format!("must not be {unwanted}, got {}", given(spot.instance)),
                None => format!("must not fit the schema's \"not\", got {}", given(spot.instance)),
            })
    }

    #[inline(never)]
    fn condition<'i>(
        &mut self,
        keyword: Keyword<'s>,
        schema: &'s Json<'s>,
        spot: Spot<'_, 'i>,
        mut seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let before = self.unusable;
        let branch = if self.fits(keyword, schema, spot, seen.as_deref_mut()) { "then" } else { "else" };
        if self.unusable > before && branch == "then" {
            // It may only seem to fit.
            return true;
        }
        match keyword.siblings.get(branch) {
            Some(schema) => self.apply(keyword.node(schema), spot, seen),
            None => true,
        }
    }

    #[inline(never)]
    fn all_of<'i>(
        &mut self,
        keyword: Keyword<'s>,
        branches: &'s [Json<'s>],
        spot: Spot<'_, 'i>,
        mut seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let mut fits = true;
        for branch in branches {
            fits &= self.apply(keyword.node(branch), spot, seen.as_deref_mut());
            if !fits && self.is_done() {
                break;
            }
        }
        fits
    }

    #[inline(never)]
    fn any_of<'i>(
        &mut self,
        keyword: Keyword<'s>,
        branches: &'s [Json<'s>],
        spot: Spot<'_, 'i>,
        mut seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        if branches.is_empty() {
            return self.unusable();
        }
        let mut fits = false;
        for branch in branches {
            fits |= self.fits(keyword, branch, spot, seen.as_deref_mut());
            // Every fitting branch adds annotations, so without a taker for them one is enough.
            if fits && seen.is_none() {
                break;
            }
        }
        fits || self.explain(keyword, branches, spot)
    }

    #[inline(never)]
    fn one_of<'i>(
        &mut self,
        keyword: Keyword<'s>,
        branches: &'s [Json<'s>],
        spot: Spot<'_, 'i>,
        mut seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        if branches.is_empty() {
            return self.unusable();
        }
        let before = self.unusable;
        let mut first = None;
        for (index, branch) in branches.iter().enumerate() {
            if !self.fits(keyword, branch, spot, seen.as_deref_mut()) {
                continue;
            }
            if self.unusable > before {
                // Of those that fit some may only seem to.
                return true;
            }
            if let Some(first) = first {
                return self.fail(spot.path, DETAIL, || {
                    let count = branches.len();
                    format!(
                        "fits forms {first} and {} of {count}, but must fit exactly one of them",
                        index + 1
                    )
                });
            }
            first = Some(index + 1);
        }
        first.is_some() || self.explain(keyword, branches, spot)
    }

    /// Whether a branch fits, without reports; only then its annotations count.
    pub(crate) fn fits<'i>(
        &mut self,
        keyword: Keyword<'s>,
        branch: &'s Json<'s>,
        spot: Spot<'_, 'i>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        self.quiet += 1;
        let mut own = seen.is_some().then(Evaluated::default);
        let fits = self.apply(keyword.node(branch), spot, own.as_mut());
        self.quiet -= 1;
        if let (true, Some(seen), Some(own)) = (fits, seen, own) {
            seen.merge(own);
        }
        fits
    }

    /// Reports why no branch fits: the alternatives, or what is wrong by the branch that was probably meant.
    #[cold]
    fn explain(&mut self, keyword: Keyword<'s>, branches: &'s [Json<'s>], spot: Spot<'_, '_>) -> bool {
        if self.is_done() {
            return false;
        }
        let here = spot.path.to_pointer();
        let outer = std::mem::take(&mut self.found);
        let mut attempts: Vec<(u32, Vec<Violation>)> = Vec::new();
        for branch in branches.iter().take(EXPLAINED) {
            self.apply(keyword.node(branch), spot, None);
            let found = std::mem::take(&mut self.found);
            attempts.push((found.iter().map(|violation| distance(violation, &here)).sum(), found));
        }
        self.found = outer;
        let of_kind = attempts.iter().filter(|(distance, _)| *distance < OTHER_KIND).count();
        let nearest =
            attempts.iter().enumerate().min_by_key(|(_, (distance, _))| *distance).map(|(index, _)| index);
        let Some(nearest) = nearest else { return false };
        if of_kind == 0 {
            let alternatives = self.alternatives(keyword, branches);
            return self.fail(spot.path, WRONG_TYPE, || match alternatives {
                Some(alternatives) => {
                    format!("expected {}, got {}", alternatives.join(" or "), given(spot.instance))
                }
                None => {
                    format!("fits none of the {} allowed forms, got {}", branches.len(), given(spot.instance))
                }
            });
        }
        if of_kind > 1 {
            let count = branches.len();
            self.fail(spot.path, DETAIL, || {
                format!("fits none of the {count} allowed forms; by form {}:", nearest + 1)
            });
        }
        for violation in attempts.swap_remove(nearest).1 {
            if !self.is_done() {
                self.found.push(violation);
            }
        }
        false
    }

    /// What each branch asks for in a few words, if each says so plainly, itself or by one reference.
    fn alternatives(&mut self, keyword: Keyword<'s>, branches: &'s [Json<'s>]) -> Option<Vec<String>> {
        let mut alternatives: Vec<String> = Vec::new();
        for branch in branches {
            let text = match branch.get("$ref").and_then(Json::as_str) {
                Some(reference) => {
                    expectation(self.resources.resolve(reference, keyword.resource).ok()?.schema)?
                }
                None => expectation(branch)?,
            };
            if !alternatives.contains(&text) {
                alternatives.push(text);
            }
        }
        Some(alternatives)
    }
}

fn distance(violation: &Violation, here: &str) -> u32 {
    if violation.path == here && violation.distance >= WRONG_TYPE {
        violation.distance + OTHER_KIND
    } else {
        violation.distance
    }
}
