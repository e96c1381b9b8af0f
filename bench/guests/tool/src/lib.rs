//! An ordinary tool, a hundred times under different names: it reads its arguments and answers with text and data.

use serde_json::{json, Value};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

struct Component;
wasip2::http::proxy::export!(Component);

const TOOLS: usize = 100;

impl Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let answer = match request.method() {
            Method::Get => Value::Array((0..TOOLS).map(metadata).collect()),
            _ => {
                let arguments = request.consume().map(http::read).unwrap_or_default();
                forecast(&serde_json::from_slice(&arguments).unwrap_or_default())
            }
        };
        http::respond(out, 200, answer.to_string().as_bytes());
    }
}

fn forecast(arguments: &Value) -> Value {
    let city = arguments["city"].as_str().unwrap_or("nowhere");
    let days = arguments["days"].as_u64().unwrap_or(1);
    let forecast: Vec<Value> =
        (1..=days).map(|day| json!({"day": day, "high": 20 + day, "low": 10})).collect();
    json!({
        "content": [{"type": "text", "text": format!("{days} days of sun in {city}")}],
        "structuredContent": {"city": city, "forecast": forecast},
    })
}

fn metadata(number: usize) -> Value {
    json!({
        "name": format!("forecast_{number:02}"),
        "title": format!("Forecast {number}"),
        "description": "The weather of the next days in a city, with the highest and the lowest temperature of each day",
        "inputSchema": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "minLength": 1, "maxLength": 100, "description": "The city's name"},
                "days": {"type": "integer", "minimum": 1, "maximum": 14, "description": "How many days"},
                "units": {"enum": ["metric", "imperial"], "description": "Which units of measurement"},
                "include": {"type": "array", "items": {"enum": ["wind", "rain", "snow", "uv"]}, "uniqueItems": true},
                "near": {"anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}]},
            },
            "required": ["city"],
            "additionalProperties": false,
            "$defs": {"point": {
                "type": "object",
                "properties": {
                    "lat": {"type": "number", "minimum": -90, "maximum": 90},
                    "lon": {"type": "number", "minimum": -180, "maximum": 180},
                },
                "required": ["lat", "lon"],
            }},
        },
        "outputSchema": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "forecast": {"type": "array", "items": {
                    "type": "object",
                    "properties": {"day": {"type": "integer"}, "high": {"type": "number"}, "low": {"type": "number"}},
                    "required": ["day", "high", "low"],
                }},
            },
            "required": ["city", "forecast"],
        },
        "annotations": {"readOnlyHint": true},
    })
}
