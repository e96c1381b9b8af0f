//! The tools of the official suite, as its scenarios describe them.

use crate::{Call, Reply, text};
use serde_json::{Value, json};

/// One red pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A WAV file without samples.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=";
const STATE: &str = "state-round-";

pub fn tools() -> Vec<Value> {
    let mut tools: Vec<Value> = [
        ("test_simple_text", "Answers with a text."),
        ("test_image_content", "Answers with an image."),
        ("test_audio_content", "Answers with a sound."),
        ("test_embedded_resource", "Answers with a resource."),
        ("test_multiple_content_types", "Answers with text, image and resource."),
        ("test_error_handling", "Always fails."),
        ("test_tool_with_progress", "Tells how far it is."),
        ("test_missing_capability", "Needs sampling."),
        ("test_streaming_elicitation", "Asks the user while it streams."),
        ("test_logging_tool", "Logs while it runs."),
        ("test_input_required_result_elicitation", "Asks for a name."),
        ("test_input_required_result_sampling", "Asks a model."),
        ("test_input_required_result_list_roots", "Asks for roots."),
        ("test_input_required_result_request_state", "Keeps its state with the client."),
        ("test_input_required_result_tampered_state", "Refuses a state that was changed."),
        ("test_input_required_result_multiple_inputs", "Asks for three things at once."),
        ("test_input_required_result_multi_round", "Asks twice."),
        ("test_input_required_result_capabilities", "Asks for what the client offers."),
    ]
    .into_iter()
    .map(|(name, description)| {
        json!({"name": name, "description": description, "inputSchema": {"type": "object"}})
    })
    .collect();
    tools.push(json!({
        "name": "json_schema_2020_12_tool",
        "description": "Has a schema with much of JSON Schema 2020-12.",
        "inputSchema": {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "$defs": {"address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }},
            "properties": {
                "name": {"type": "string"},
                "address": {"$ref": "#/$defs/address"},
                "contactMethod": {"type": "string", "enum": ["phone", "email"]},
                "phone": {"type": "string"},
                "email": {"type": "string"},
            },
            "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
            "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
            "then": {"required": ["phone"]},
            "else": {"required": ["email"]},
            "additionalProperties": false,
        },
    }));
    tools.push(json!({
        "name": "test_header_parameter",
        "description": "Has parameters that clients mirror in headers.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "limit": {"type": "integer", "x-mcp-header": "Limit"},
                "place": {"type": "object", "properties": {"dry": {"type": "boolean", "x-mcp-header": "Dry"}}},
            },
            "required": ["region"],
        },
    }));
    tools
}

pub fn call(name: &str, call: &Call) -> Option<Reply> {
    let image = json!({"type": "image", "data": PNG, "mimeType": "image/png"});
    let answer = match name {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_image_content" => json!({"content": [image]}),
        "test_audio_content" => json!({"content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]}),
        "test_embedded_resource" => json!({"content": [{"type": "resource", "resource": {
            "uri": "test://embedded-resource",
            "mimeType": "text/plain",
            "text": "This is an embedded resource content.",
        }}]}),
        "test_multiple_content_types" => json!({"content": [
            {"type": "text", "text": "Multiple content types test:"},
            image,
            {"type": "resource", "resource": {
                "uri": "test://mixed-content-resource",
                "mimeType": "application/json",
                "text": "{\"test\":\"data\",\"value\":123}",
            }},
        ]}),
        "test_error_handling" => {
            let mut answer = text("This tool intentionally returns an error for testing");
            answer["isError"] = true.into();
            answer
        }
        "test_tool_with_progress" => return Some(progress()),
        "test_logging_tool" => return Some(logging()),
        "json_schema_2020_12_tool" | "test_header_parameter" => text(&call.arguments.to_string()),
        "test_missing_capability" => ask(json!({"question": sampling("Are you there?")}), None),
        "test_streaming_elicitation" => return Some(streamed_question(call)),
        _ => return rounds(name, call).map(Reply::from),
    };
    Some(answer.into())
}

/// The tools that ask the client for input and are called again with it.
fn rounds(name: &str, call: &Call) -> Option<Value> {
    let state = call.header("x-mcp-request-state");
    let state = state.as_str();
    Some(match name.strip_prefix("test_input_required_result_")? {
        "elicitation" => match call.input_response("user_name") {
            Some(answer) => text(&format!("Hello, {}!", answer["content"]["name"].as_str().unwrap_or("you"))),
            None => ask(json!({"user_name": elicitation("What is your name?", "name")}), None),
        },
        "sampling" => match call.input_response("capital_question") {
            Some(answer) => text(answer["content"]["text"].as_str().unwrap_or_default()),
            None => ask(json!({"capital_question": sampling("What is the capital of France?")}), None),
        },
        "list_roots" => match call.input_response("client_roots") {
            Some(answer) => text(&answer["roots"].to_string()),
            None => ask(json!({"client_roots": {"method": "roots/list", "params": {}}}), None),
        },
        "request_state" => match (call.input_response("confirm"), state) {
            (Some(_), Some("confirming")) => text("state-ok"),
            (Some(_), _) => refuse("this state is not one of ours"),
            _ => ask(json!({"confirm": confirmation()}), Some("confirming")),
        },
        "tampered_state" => match state {
            None => ask(json!({"confirm": confirmation()}), Some("sealed")),
            Some("sealed") => text("state-ok"),
            Some(_) => refuse("this state was changed"),
        },
        "multiple_inputs" => {
            let keys = ["user_name", "greeting", "client_roots"];
            if keys.iter().all(|key| call.input_response(key).is_some()) && state == Some("three") {
                text("all there")
            } else {
                let requests = json!({
                    "user_name": elicitation("What is your name?", "name"),
                    "greeting": sampling("Generate a greeting"),
                    "client_roots": {"method": "roots/list", "params": {}},
                });
                ask(requests, Some("three"))
            }
        }
        "multi_round" => match state.and_then(|state| state.strip_prefix(STATE)) {
            Some("1") if call.input_response("step1").is_some() => {
                ask(json!({"step2": elicitation("Step 2: What is your favorite color?", "color")}), Some("state-round-2"))
            }
            Some("2") if call.input_response("step2").is_some() => text("both answered"),
            _ => ask(json!({"step1": elicitation("Step 1: What is your name?", "name")}), Some("state-round-1")),
        },
        "capabilities" => {
            let offered = call.header("x-mcp-meta");
            let offered = &offered["io.modelcontextprotocol/clientCapabilities"];
            let mut requests = json!({});
            if offered["elicitation"].is_object() {
                requests["name"] = elicitation("What is your name?", "name");
            }
            if offered["sampling"].is_object() {
                requests["greeting"] = sampling("Generate a greeting");
            }
            ask(requests, Some("asked"))
        }
        _ => return None,
    })
}

fn ask(requests: Value, state: Option<&str>) -> Value {
    let mut answer = json!({"resultType": "input_required", "inputRequests": requests});
    if let Some(state) = state {
        answer["requestState"] = state.into();
    }
    answer
}

fn refuse(message: &str) -> Value {
    json!({"error": {"code": -32602, "message": message}})
}

fn elicitation(message: &str, key: &str) -> Value {
    let schema = json!({"type": "object", "properties": {key: {"type": "string"}}, "required": [key]});
    json!({"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}})
}

fn confirmation() -> Value {
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]});
    json!({"method": "elicitation/create", "params": {"message": "Please confirm", "requestedSchema": schema}})
}

fn sampling(question: &str) -> Value {
    let content = json!({"type": "text", "text": question});
    let messages = json!([{"role": "user", "content": content}]);
    json!({"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100}})
}

fn stream(events: &[Value]) -> Reply {
    let body = events.iter().map(|event| format!("data: {event}\n\n")).collect::<String>();
    Reply { status: 200, kind: "text/event-stream", body: body.into_bytes() }
}

fn progress() -> Reply {
    let step = |done: u8| json!({"method": "notifications/progress", "params": {
        "progress": done, "total": 100, "message": format!("{done} of 100"),
    }});
    stream(&[step(0), step(50), step(100), text("done")])
}

fn logging() -> Reply {
    let line = json!({"method": "notifications/message", "params": {"level": "info", "data": "at work"}});
    stream(&[line, text("logged")])
}

fn streamed_question(call: &Call) -> Reply {
    let line = json!({"method": "notifications/message", "params": {"level": "info", "data": "asking"}});
    let last = match call.input_response("answer") {
        Some(_) => text("answered"),
        None => ask(json!({"answer": elicitation("What is your name?", "name")}), None),
    };
    stream(&[line, last])
}
