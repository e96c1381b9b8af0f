//! Keywords of any value: `type`, `const`, `enum`.

use crate::equal::is_constant;
use crate::evaluator::{Evaluator, Keyword, Spot, WRONG_CONSTANT, WRONG_TYPE};
use crate::json::Json;
use crate::number;
use crate::report::{given, one_of, show};
use serde_json::Value;

impl<'s> Evaluator<'s> {
    #[inline(never)]
    pub(crate) fn has_type(&mut self, keyword: Keyword<'s>, spot: Spot<'_, '_>) -> bool {
        let instance = spot.instance;
        let (fits, expected) = match keyword.value {
            Json::String(name) => (is_type(name, instance), name.to_string()),
            Json::Array(names) if names.iter().all(|name| name.as_str().is_some()) => {
                let mut names = names.iter().filter_map(Json::as_str);
                (names.clone().try_fold(false, |fits, name| Some(fits || is_type(name, instance)?)), {
                    let first = names.next().unwrap_or_default().to_owned();
                    names.fold(first, |text, name| text + " or " + name)
                })
            }
            _ => (None, String::new()),
        };
        match fits {
            Some(true) => true,
            Some(false) => {
                self.fail(spot.path, WRONG_TYPE, || format!("expected {expected}, got {}", given(instance)))
            }
            None => self.unusable(keyword, spot.path, "a name of a JSON type or a list of such names"),
        }
    }

    #[inline(never)]
    pub(crate) fn is_constant(&mut self, keyword: Keyword<'s>, spot: Spot<'_, '_>) -> bool {
        let fits = is_constant(keyword.value, spot.instance, &mut self.budget);
        self.pay(0, spot.path)
            && (fits
                || self.fail(spot.path, WRONG_CONSTANT, || {
                    format!("expected {}, got {}", show(&keyword.value.to_value()), show(spot.instance))
                }))
    }

    #[inline(never)]
    pub(crate) fn is_one_of(&mut self, keyword: Keyword<'s>, spot: Spot<'_, '_>) -> bool {
        let Json::Array(constants) = keyword.value else {
            return self.unusable(keyword, spot.path, "a list");
        };
        let fits = constants.iter().any(|constant| is_constant(constant, spot.instance, &mut self.budget));
        self.pay(0, spot.path)
            && (fits
                || self.fail(spot.path, WRONG_CONSTANT, || {
                    format!("expected {}, got {}", one_of(constants), show(spot.instance))
                }))
    }
}

/// Whether the value has the type; `None` if there is no such type.
fn is_type(name: &str, instance: &Value) -> Option<bool> {
    Some(match name {
        "string" => instance.is_string(),
        "object" => instance.is_object(),
        "array" => instance.is_array(),
        "boolean" => instance.is_boolean(),
        "null" => instance.is_null(),
        "number" => instance.is_number(),
        "integer" => matches!(instance, Value::Number(number) if number::is_integer(number)),
        _ => return None,
    })
}
