//! JSON Schema 2020-12 and draft-07, interpreted in place.
//!
//! ```
//! use serde_json::json;
//!
//! let schema = json!({
//!     "type": "object",
//!     "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 14}},
//!     "required": ["city"],
//! });
//! assert!(schema::validate(&schema, &json!({"city": "Oslo", "days": 3})).is_ok());
//!
//! let violations = schema::validate(&schema, &json!({"days": 30})).unwrap_err();
//! let told: Vec<String> = violations.iter().map(ToString::to_string).collect();
//! assert_eq!(told, ["/days: expected at most 14, got 30", "missing required property \"city\" (string)"]);
//! ```
//!
//! There is no compile step: a call pays for the parts of the schema that its value touches, so checking the
//! arguments of an ordinary tool costs microseconds and a large schema costs nothing by being there. References are
//! resolved inside the schema; nothing is ever fetched. `format` is an annotation, as 2020-12 says. The depth and the
//! amount of work are bounded: a hostile pattern or value ends in a violation. A keyword whose own value is not usable (a
//! pattern that this engine cannot match, a reference to nothing) is not enforced: a value is never blamed for its schema.
//! [`check`] tells a schema's author beforehand.

mod applicator;
mod array;
mod check;
mod equal;
mod evaluated;
mod evaluator;
mod json;
#[cfg(test)]
mod json_tests;
mod kind;
mod number;
mod object;
mod pattern;
mod reader;
mod report;
mod resource;
mod scalar;
mod uri;

pub use check::{Checked, check, check_request};
pub use json::Json;
pub use report::Violation;
pub use resource::Dialect;

use serde_json::Value;

/// Checks a value against a schema, under the dialect that its `$schema` names, else 2020-12.
///
/// # Errors
/// What is wrong with the value, at most `Limits::violations` entries, never empty.
pub fn validate(schema: &Value, instance: &Value) -> Result<(), Vec<Violation>> {
    Validator::default().validate(&Json::from(schema), &Json::from(instance))
}

/// As [`validate`], for the text of a schema and a value that was read without copying it.
///
/// # Errors
/// As [`validate`]; a text that is no JSON allows everything.
pub fn validate_text(schema: &str, instance: &Json) -> Result<(), Vec<Violation>> {
    let Some(schema) = Json::parse(schema) else {
        return Ok(());
    };
    let answer = Validator::default().validate(&schema, instance);
    // A component's instance ends with its request, and its memory with it: taking this apart would be for nothing.
    if cfg!(target_family = "wasm") {
        std::mem::forget(schema);
    }
    answer
}

/// Bounds of one validation.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Violations to report before stopping.
    pub violations: usize,
    /// Subschemas within subschemas, across references. Every level takes stack, of which a component has 512 KiB.
    pub depth: usize,
    /// Steps of work: schemas applied, values compared, strings and patterns walked.
    pub steps: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { violations: 8, depth: 256, steps: 2_000_000 }
    }
}

/// A validation with more to it than a schema and a value.
#[derive(Clone, Copy, Debug)]
pub struct Validator<'d> {
    /// Other documents that references may lead to, by their absolute URIs.
    pub documents: &'d [(&'d str, &'d Json<'d>)],
    /// The dialect of a schema without `$schema`.
    pub dialect: Dialect,
    pub limits: Limits,
}

impl Default for Validator<'_> {
    fn default() -> Self {
        Validator { documents: &[], dialect: Dialect::Draft202012, limits: Limits::default() }
    }
}

impl<'d> Validator<'d> {
    /// As [`validate`], with this validator's documents, dialect and limits.
    ///
    /// # Errors
    /// What is wrong with the value, at most `Limits::violations` entries, never empty.
    pub fn validate(&self, schema: &'d Json<'d>, instance: &Json) -> Result<(), Vec<Violation>> {
        evaluator::Evaluator::new(self, schema).run(schema, instance)
    }
}
