//! Unit conversion: convert, list_units. The default system comes from the component variable `units`.

use ftl_sdk::{tools, ToolResponse};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// Name, dimension, and how a value becomes the dimension's base unit: `value * factor + offset`.
const UNITS: [(&str, &str, f64, f64); 13] = [
    ("m", "length", 1.0, 0.0),
    ("km", "length", 1000.0, 0.0),
    ("ft", "length", 0.3048, 0.0),
    ("mi", "length", 1609.344, 0.0),
    ("g", "mass", 0.001, 0.0),
    ("kg", "mass", 1.0, 0.0),
    ("lb", "mass", 0.453_592_37, 0.0),
    ("s", "time", 1.0, 0.0),
    ("min", "time", 60.0, 0.0),
    ("h", "time", 3600.0, 0.0),
    ("K", "temperature", 1.0, 0.0),
    ("C", "temperature", 1.0, 273.15),
    ("F", "temperature", 5.0 / 9.0, 459.67 * 5.0 / 9.0),
];

#[derive(Deserialize, JsonSchema)]
struct ConvertInput {
    /// The number to convert.
    value: f64,
    /// The unit it is in, such as "km" or "F"; see list_units.
    from: String,
    /// The unit to convert it to; if absent, the preferred unit of the same dimension.
    to: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct ListUnitsInput {
    /// Only units of this dimension: "length", "mass", "time" or "temperature".
    dimension: Option<String>,
}

fn unit(name: &str) -> Result<(&'static str, &'static str, f64, f64), String> {
    UNITS
        .into_iter()
        .find(|unit| unit.0 == name)
        .ok_or_else(|| format!("unknown unit {name:?}; list_units has the known ones"))
}

/// The unit that the operator of this app prefers: variable `units`, "metric" (default) or "imperial".
fn preferred(dimension: &str) -> &'static str {
    let imperial = spin_sdk::variables::get("units").is_ok_and(|system| system == "imperial");
    match (dimension, imperial) {
        ("length", true) => "ft",
        ("length", false) => "m",
        ("mass", true) => "lb",
        ("mass", false) => "kg",
        ("temperature", true) => "F",
        ("temperature", false) => "C",
        _ => "s",
    }
}

fn converted(input: &ConvertInput) -> Result<(f64, &'static str), String> {
    let (_, dimension, factor, offset) = unit(&input.from)?;
    let target = input.to.as_deref().unwrap_or_else(|| preferred(dimension));
    let (name, other, target_factor, target_offset) = unit(target)?;
    if dimension != other {
        return Err(format!("{} is a {dimension} and {name} is a {other}", input.from));
    }
    Ok(((input.value * factor + offset - target_offset) / target_factor, name))
}

tools! {
    /// Convert a value from one unit to another of the same dimension.
    fn convert(input: ConvertInput) -> ToolResponse {
        match converted(&input) {
            Ok((value, unit)) => {
                let rounded = (value * 1e9).round() / 1e9;
                ToolResponse::with_structured(format!("{rounded} {unit}"), json!({"value": rounded, "unit": unit}))
            }
            Err(message) => ToolResponse::error(message),
        }
    }

    /// List the units that convert knows.
    fn list_units(input: ListUnitsInput) -> ToolResponse {
        let wanted = |dimension: &str| input.dimension.as_deref().is_none_or(|only| only == dimension);
        let names: Vec<&str> = UNITS.iter().filter(|unit| wanted(unit.1)).map(|unit| unit.0).collect();
        ToolResponse::text(names.join(", "))
    }
}
