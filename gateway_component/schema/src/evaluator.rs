//! The walk over schema and value: one method applies a schema, one finds the meaning of a keyword.
//!
//! What is not needed on every level of depth is kept out of line (`inline(never)`): the frames of the callers are
//! repeated on every level, and all of them must fit the 512 KiB of stack that a component has.

use crate::equal::Budget;
use crate::evaluated::Evaluated;
use crate::json::{Json, Members};
use crate::pattern::Program;
use crate::report::{Path, Violation, given};
use crate::resource::{Dialect, Node, Resources};
use crate::{Limits, Validator};

/// Distances of [`Violation::distance`]: another kind of value was meant, another constant was meant, or a detail.
pub(crate) const WRONG_TYPE: u32 = 3;
pub(crate) const WRONG_CONSTANT: u32 = 6;
pub(crate) const DETAIL: u32 = 1;

/// So many schemas for each step into the value are a schema that leads in a circle.
const CIRCLE: usize = 16;

/// A value to check and where it lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'p, 'i> {
    pub(crate) instance: &'i Json<'i>,
    pub(crate) path: &'p Path<'p>,
}

/// A keyword of a schema with what it may need to know of that schema.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyword<'s> {
    pub(crate) name: &'s str,
    pub(crate) value: &'s Json<'s>,
    pub(crate) siblings: &'s Members<'s>,
    pub(crate) resource: usize,
    pub(crate) dialect: Dialect,
}

impl<'s> Keyword<'s> {
    pub(crate) fn node(&self, schema: &'s Json<'s>) -> Node<'s> {
        Node { schema, resource: self.resource }
    }
}

/// The end of a validation before its time.
#[derive(Debug)]
enum Halt {
    /// The value is too much.
    Violation(Violation),
    /// The schema leads in a circle, which is no fault of the value.
    Schema,
}

pub(crate) struct Evaluator<'s> {
    pub(crate) resources: Resources<'s>,
    /// The resources entered on the way here, for `$dynamicRef`.
    pub(crate) scope: Vec<usize>,
    pub(crate) budget: Budget,
    pub(crate) found: Vec<Violation>,
    /// Above zero while only the answer counts: nothing is reported, and the first violation ends the work.
    pub(crate) quiet: usize,
    /// Why the validation cannot go on, which is then its whole result.
    halted: Option<Halt>,
    /// How often a keyword could not be enforced. Whoever turns a verdict round looks whether this has grown meanwhile.
    pub(crate) unusable: usize,
    limits: Limits,
    depth: usize,
    /// None for one that cannot be used.
    patterns: Vec<(&'s str, Option<Program>)>,
}

impl<'s> Evaluator<'s> {
    pub(crate) fn new(validator: &Validator<'s>, schema: &'s Json<'s>) -> Self {
        Evaluator {
            resources: Resources::new(schema, validator.documents, validator.dialect),
            scope: Vec::new(),
            budget: Budget::new(validator.limits.steps.max(1)),
            found: Vec::new(),
            quiet: 0,
            halted: None,
            unusable: 0,
            limits: validator.limits,
            depth: 0,
            patterns: Vec::new(),
        }
    }

    pub(crate) fn run(mut self, schema: &'s Json<'s>, instance: &Json) -> Result<(), Vec<Violation>> {
        let valid = self.apply(Node { schema, resource: 0 }, Spot { instance, path: &Path::ROOT }, None);
        match self.halted {
            Some(Halt::Violation(violation)) => Err(vec![violation]),
            Some(Halt::Schema) => Ok(()),
            None if valid => Ok(()),
            None => Err(self.found),
        }
    }

    /// Whether the value fits the schema. Its annotations go to `seen`, which is meaningless if it does not fit.
    pub(crate) fn apply<'i>(
        &mut self,
        node: Node<'s>,
        spot: Spot<'_, 'i>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        if self.halted.is_some() || !self.pay(1, spot.path) {
            return false;
        }
        match node.schema {
            Json::Bool(true) => true,
            Json::Bool(false) => self.fail(spot.path, WRONG_TYPE, || {
                format!("nothing is allowed here, got {}", given(spot.instance))
            }),
            Json::Object(map) => {
                if self.depth >= self.limits.depth {
                    return self.too_deep(spot.path);
                }
                self.depth += 1;
                let resource = self.resources.enter(map, node);
                let entered = self.scope.last() != Some(&resource);
                if entered {
                    self.scope.push(resource);
                }
                let fits = self.apply_object(map, resource, spot, seen);
                if entered {
                    self.scope.pop();
                }
                self.depth -= 1;
                fits
            }
            _ => self.unusable(),
        }
    }

    fn apply_object<'i>(
        &mut self,
        map: &'s Members<'s>,
        resource: usize,
        spot: Spot<'_, 'i>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let dialect = self.resources.dialect(resource);
        if dialect == Dialect::Draft7 {
            // draft-07 core §8.3: all other properties beside `$ref` are ignored.
            if let Some(Json::String(reference)) = map.get("$ref") {
                return self.reference(reference, resource, spot, seen);
            }
            return self.keywords(map, resource, spot, None);
        }
        let unevaluated = match spot.instance {
            Json::Object(_) => map.get_key_value("unevaluatedProperties"),
            Json::Array(_) => map.get_key_value("unevaluatedItems"),
            _ => None,
        };
        let Some((name, value)) = unevaluated else {
            return self.keywords(map, resource, spot, seen);
        };
        let mut own = Evaluated::default();
        let before = self.unusable;
        if !self.keywords(map, resource, spot, Some(&mut own)) {
            return false;
        }
        if self.unusable > before {
            // What could not be enforced might have known the rest.
            own.all_members = true;
            own.items_before = usize::MAX;
        }
        let keyword = Keyword { name, value, siblings: map, resource, dialect };
        let fits = match spot.instance {
            Json::Object(members) => self.unevaluated_properties(keyword, members, spot.path, &mut own),
            Json::Array(items) => self.unevaluated_items(keyword, items, spot.path, &mut own),
            _ => true,
        };
        if let Some(seen) = seen {
            seen.merge(own);
        }
        fits
    }

    fn keywords<'i>(
        &mut self,
        map: &'s Members<'s>,
        resource: usize,
        spot: Spot<'_, 'i>,
        mut seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        let dialect = self.resources.dialect(resource);
        let mut fits = true;
        for (name, value) in map.iter() {
            let keyword = Keyword { name, value, siblings: map, resource, dialect };
            if !self.keyword(keyword, spot, seen.as_deref_mut()) {
                fits = false;
                if self.is_done() {
                    break;
                }
            }
        }
        fits
    }

    fn keyword<'i>(
        &mut self,
        keyword: Keyword<'s>,
        spot: Spot<'_, 'i>,
        seen: Option<&mut Evaluated<'i>>,
    ) -> bool {
        match keyword.name {
            "type" => self.has_type(keyword, spot),
            "const" => self.is_constant(keyword, spot),
            "enum" => self.is_one_of(keyword, spot),
            "$ref" | "$dynamicRef" | "allOf" | "anyOf" | "oneOf" | "not" | "if" => {
                self.applicator(keyword, spot, seen)
            }
            _ => match spot.instance {
                Json::Number(number) => self.number_keyword(keyword, number, spot.path),
                Json::String(text) => self.string_keyword(keyword, text, spot),
                Json::Array(items) => self.array_keyword(keyword, items, spot.path, seen),
                Json::Object(members) => self.object_keyword(keyword, members, spot, seen),
                Json::Null | Json::Bool(_) => true,
            },
        }
    }

    /// Whether a pattern matches; `None` if that cannot be told. Then either the pattern is not usable, or the budget is
    /// used up, which ends the validation.
    #[inline(never)]
    pub(crate) fn matches(&mut self, pattern: &'s str, text: &str, path: &Path<'_>) -> Option<bool> {
        let known = self.patterns.iter().position(|(known, _)| *known == pattern);
        let index = match known {
            Some(index) => index,
            None => {
                self.patterns.push((pattern, Program::compile(pattern).ok()));
                self.patterns.len() - 1
            }
        };
        let Some(program) = &self.patterns[index].1 else {
            self.unusable();
            return None;
        };
        let answer = program.matches(text, &mut self.budget).ok();
        if answer.is_none() {
            self.too_much(path);
        }
        answer
    }

    /// Notes a violation; always false, so that a check can end with it.
    #[cold]
    #[inline(never)]
    pub(crate) fn fail(&mut self, path: &Path<'_>, distance: u32, message: impl FnOnce() -> String) -> bool {
        if self.quiet == 0 && self.found.len() < self.limits.violations.max(1) {
            self.found.push(Violation { path: path.to_pointer(), message: message(), distance });
        }
        false
    }

    /// Whether a further violation would be of no use.
    pub(crate) fn is_done(&self) -> bool {
        self.quiet > 0 || self.halted.is_some() || self.found.len() >= self.limits.violations
    }

    /// Leaves a keyword unenforced whose own value cannot be used: that is the schema's fault, not the value's. Always true.
    #[cold]
    #[inline(never)]
    pub(crate) fn unusable(&mut self) -> bool {
        self.unusable += 1;
        true
    }

    /// Ends the validation with this as its whole result; always false.
    #[cold]
    #[inline(never)]
    fn halt(&mut self, path: &Path<'_>, message: String) -> bool {
        self.halted.get_or_insert_with(|| {
            Halt::Violation(Violation { path: path.to_pointer(), message, distance: WRONG_TYPE })
        });
        false
    }

    /// Ends the validation at the limit of depth; always false.
    #[cold]
    #[inline(never)]
    fn too_deep(&mut self, path: &Path<'_>) -> bool {
        if path.depth() * CIRCLE < self.depth {
            self.halted.get_or_insert(Halt::Schema);
            return false;
        }
        self.halt(path, "schema and value are nested too deeply to be checked".to_owned())
    }

    /// Pays for work; once the budget is used up, the validation ends.
    pub(crate) fn pay(&mut self, steps: u64, path: &Path<'_>) -> bool {
        self.budget.pay(steps) || self.too_much(path)
    }

    #[cold]
    #[inline(never)]
    fn too_much(&mut self, path: &Path<'_>) -> bool {
        self.halt(path, "checking this against its schema takes too much work".to_owned())
    }
}
