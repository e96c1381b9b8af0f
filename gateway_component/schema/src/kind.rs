//! Keywords of any value: `type`, `const`, `enum`.

use crate::equal::equal;
use crate::evaluator::{Evaluator, Keyword, Spot, WRONG_CONSTANT, WRONG_TYPE};
use crate::json::Json;
use crate::number;
use crate::report::{given, one_of, show, show_schema, types};

impl<'s> Evaluator<'s> {
    #[inline(never)]
    pub(crate) fn has_type(&mut self, keyword: Keyword<'s>, spot: Spot<'_, '_>) -> bool {
        let instance = spot.instance;
        let fits = match keyword.value {
            Json::String(name) => is_type(name, instance),
            Json::Array(names) => names.iter().try_fold(false, |fits, name| {
                let name = name.as_str()?;
                Some(fits || is_type(name, instance)?)
            }),
            _ => None,
        };
        match fits {
            Some(true) => true,
            Some(false) => self.fail(spot.path, WRONG_TYPE, || {
                format!("expected {}, got {}", types(keyword.value), given(instance))
            }),
            None => self.unusable(),
        }
    }

    #[inline(never)]
    pub(crate) fn is_constant(&mut self, keyword: Keyword<'s>, spot: Spot<'_, '_>) -> bool {
        let fits = equal(keyword.value, spot.instance, &mut self.budget);
        self.pay(0, spot.path)
            && (fits
                || self.fail(spot.path, WRONG_CONSTANT, || {
                    format!("expected {}, got {}", show_schema(keyword.value), show(spot.instance))
                }))
    }

    #[inline(never)]
    pub(crate) fn is_one_of(&mut self, keyword: Keyword<'s>, spot: Spot<'_, '_>) -> bool {
        let Json::Array(constants) = keyword.value else {
            return self.unusable();
        };
        let fits = constants.iter().any(|constant| equal(constant, spot.instance, &mut self.budget));
        self.pay(0, spot.path)
            && (fits
                || self.fail(spot.path, WRONG_CONSTANT, || {
                    format!("expected {}, got {}", one_of(constants), show(spot.instance))
                }))
    }
}

/// Whether the value has the type; `None` if there is no such type.
fn is_type(name: &str, instance: &Json) -> Option<bool> {
    Some(match name {
        "string" => matches!(instance, Json::String(_)),
        "object" => matches!(instance, Json::Object(_)),
        "array" => matches!(instance, Json::Array(_)),
        "boolean" => matches!(instance, Json::Bool(_)),
        "null" => matches!(instance, Json::Null),
        "number" => matches!(instance, Json::Number(_)),
        "integer" => matches!(instance, Json::Number(number) if number::is_integer(number)),
        _ => return None,
    })
}
