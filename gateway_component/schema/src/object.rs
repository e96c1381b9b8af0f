//! Keywords of objects.

use crate::evaluated::Evaluated;
use crate::evaluator::{DETAIL, Evaluator, Keyword, Spot};
use crate::json::{Json, Members};
use crate::report::{Path, expectation, list, shorten, show_schema};
use crate::resource::Dialect;
use crate::scalar::count;
use std::borrow::Cow;

impl<'s> Evaluator<'s> {
    #[inline(never)]
    pub(crate) fn object_keyword<'i>(
        &mut self,
        keyword: Keyword<'s>,
        members: &'i Members<'i>,
        spot: Spot<'_, 'i>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let newer = keyword.dialect == Dialect::Draft202012;
        match (keyword.name, keyword.value) {
            ("properties", Json::Object(schemas)) => {
                self.properties(keyword, schemas, members, spot.path, seen)
            }
            ("patternProperties", Json::Object(schemas)) => {
                self.pattern_properties(keyword, schemas, members, spot.path, seen)
            }
            ("additionalProperties", _) => self.additional_properties(keyword, members, spot.path, seen),
            ("required", Json::Array(names)) => self.required(keyword, names, members, spot.path),
            ("propertyNames", schema) => self.property_names(keyword, schema, members, spot.path),
            ("minProperties" | "maxProperties", bound) => match count(bound) {
                None => self.unusable(),
                Some(bound) => {
                    let least = keyword.name == "minProperties";
                    self.amount(spot.path, (least, bound), members.iter().len() as u64, "properties")
                }
            },
            ("dependencies", Json::Object(rules)) => self.dependencies(keyword, rules, members, spot, seen),
            ("dependentRequired" | "dependentSchemas", Json::Object(rules)) if newer => {
                self.dependencies(keyword, rules, members, spot, seen)
            }
            ("properties" | "patternProperties" | "dependencies", _) => self.unusable(),
            ("dependentRequired" | "dependentSchemas", _) if newer => self.unusable(),
            ("required", _) => self.unusable(),
            _ => true,
        }
    }

    #[inline(never)]
    fn properties<'i>(
        &mut self,
        keyword: Keyword<'s>,
        schemas: &'s Members<'s>,
        members: &'i Members<'i>,
        path: &Path<'_>,
        mut seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let mut fits = true;
        for (name, member) in members.iter() {
            let Some(schema) = schemas.get(name) else {
                continue;
            };
            if let Some(seen) = seen.as_deref_mut() {
                seen.members.push(name);
            }
            fits &= self.apply(keyword.node(schema), Spot { instance: member, path: &path.key(name) }, None);
            if !fits && self.is_done() {
                break;
            }
        }
        fits
    }

    #[inline(never)]
    fn pattern_properties<'i>(
        &mut self,
        keyword: Keyword<'s>,
        schemas: &'s Members<'s>,
        members: &'i Members<'i>,
        path: &Path<'_>,
        mut seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let mut fits = true;
        for (pattern, schema) in schemas.iter() {
            for (name, member) in members.iter() {
                let before = self.unusable;
                match self.matches(pattern, name, path) {
                    None if self.unusable > before => break,
                    None => return false,
                    Some(false) => continue,
                    Some(true) => {}
                }
                if let Some(seen) = seen.as_deref_mut() {
                    seen.members.push(name);
                }
                fits &=
                    self.apply(keyword.node(schema), Spot { instance: member, path: &path.key(name) }, None);
                if !fits && self.is_done() {
                    return false;
                }
            }
        }
        fits
    }

    #[inline(never)]
    fn additional_properties<'i>(
        &mut self,
        keyword: Keyword<'s>,
        members: &'i Members<'i>,
        path: &Path<'_>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        if let Some(seen) = seen {
            seen.all_members = true;
        }
        let (named, patterns) =
            (keyword.siblings.get("properties"), keyword.siblings.get("patternProperties"));
        if [named, patterns].into_iter().flatten().any(|schemas| schemas.as_object().is_none()) {
            return self.unusable();
        }
        let (named, patterns) = (named.and_then(Json::as_object), patterns.and_then(Json::as_object));
        let mut fits = matches!(keyword.value, Json::Bool(true));
        if fits {
            return true;
        }
        fits = true;
        'members: for (name, member) in members.iter() {
            if named.is_some_and(|named| named.contains_key(name)) {
                continue;
            }
            for pattern in patterns.into_iter().flat_map(Members::keys) {
                let before = self.unusable;
                match self.matches(pattern, name, path) {
                    // It might have matched.
                    None if self.unusable > before => continue 'members,
                    None => return false,
                    Some(true) => continue 'members,
                    Some(false) => {}
                }
            }
            fits &= self.extra_member(keyword, Spot { instance: member, path: &path.key(name) });
            if !fits && self.is_done() {
                break;
            }
        }
        fits
    }

    /// A member that no other keyword knows, against `additionalProperties` or `unevaluatedProperties`.
    fn extra_member(&mut self, keyword: Keyword<'s>, spot: Spot<'_, '_>) -> bool {
        if !matches!(keyword.value, Json::Bool(false)) {
            return self.apply(keyword.node(keyword.value), spot, None);
        }
        self.fail(spot.path, DETAIL, || match keyword.siblings.get("properties").and_then(Json::as_object) {
            Some(named) if !named.is_empty() => {
                format!("unexpected property; the known ones are {}", list(named.keys()))
            }
            _ => "unexpected property".to_owned(),
        })
    }

    #[inline(never)]
    fn required(
        &mut self,
        keyword: Keyword<'s>,
        names: &'s [Json<'s>],
        members: &Members,
        path: &Path<'_>,
    ) -> bool {
        let mut fits = true;
        for name in names {
            let Json::String(name) = name else {
                self.unusable();
                continue;
            };
            if members.contains_key(name.as_ref()) {
                continue;
            }
            fits = false;
            if self.is_done() {
                break;
            }
            let schema = keyword.siblings.get("properties").and_then(|named| named.get(name));
            self.fail(path, DETAIL, || match schema.and_then(expectation) {
                Some(expected) => format!("missing required property \"{}\" ({expected})", shorten(name)),
                None => format!("missing required property \"{}\"", shorten(name)),
            });
        }
        self.pay(names.len() as u64 / 8, path) && fits
    }

    #[inline(never)]
    fn property_names(
        &mut self,
        keyword: Keyword<'s>,
        schema: &'s Json<'s>,
        members: &Members,
        path: &Path<'_>,
    ) -> bool {
        for name in members.keys() {
            let instance = Json::String(Cow::Borrowed(name));
            if self.fits(keyword, schema, Spot { instance: &instance, path }, None) {
                continue;
            }
            return self.fail(path, DETAIL, || match (expectation(schema), schema.get("pattern")) {
                (Some(expected), _) if expected != "string" => {
                    format!("property name \"{}\" is not allowed; expected {expected}", shorten(name))
                }
                (_, Some(pattern)) => {
                    format!("property name \"{}\" does not match {}", shorten(name), show_schema(pattern))
                }
                _ => format!("property name \"{}\" is not allowed", shorten(name)),
            });
        }
        true
    }

    /// `dependentRequired`, `dependentSchemas` and their ancestor `dependencies`, which has both kinds of rules.
    #[inline(never)]
    fn dependencies<'i>(
        &mut self,
        keyword: Keyword<'s>,
        rules: &'s Members<'s>,
        members: &Members,
        spot: Spot<'_, 'i>,
        mut seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let mut fits = true;
        for (name, rule) in rules.iter().filter(|(name, _)| members.contains_key(name)) {
            fits &= match rule {
                Json::Array(needed) if keyword.name != "dependentSchemas" => {
                    self.needed(name, needed, members, spot.path)
                }
                schema => self.apply(keyword.node(schema), spot, seen.as_deref_mut()),
            };
            if !fits && self.is_done() {
                break;
            }
        }
        fits
    }

    fn needed(&mut self, name: &str, needed: &'s [Json<'s>], members: &Members, path: &Path<'_>) -> bool {
        let mut fits = true;
        for other in needed {
            let Json::String(other) = other else {
                self.unusable();
                continue;
            };
            if !members.contains_key(other.as_ref()) {
                fits = self.fail(path, DETAIL, || {
                    format!(
                        "missing property \"{}\", which is required beside \"{}\"",
                        shorten(other),
                        shorten(name)
                    )
                });
            }
        }
        fits
    }

    pub(crate) fn unevaluated_properties<'i>(
        &mut self,
        keyword: Keyword<'s>,
        members: &'i Members<'i>,
        path: &Path<'_>,
        seen: &mut Evaluated<'i>,
    ) -> bool {
        seen.sort();
        let mut fits = true;
        for (name, member) in members.iter() {
            if !seen.has_member(name) {
                fits &= self.extra_member(keyword, Spot { instance: member, path: &path.key(name) });
                if !fits && self.is_done() {
                    break;
                }
            }
        }
        seen.all_members = true;
        fits
    }
}
