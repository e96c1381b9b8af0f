//! The app's Rego policy: `data.mcp.authorization.allow`, with `policyData` as `data` (FTL's contract).
//!
//! Only the value `true` allows. Undefined, another value, a failing built-in function, a policy that does not
//! compile: all deny.

use json::strict;
use regorus::{Engine, Value as Rego};
use serde_json::{Value, json};

const RULE: &str = "data.mcp.authorization.allow";
const PACKAGE: &str = "data.mcp.authorization";
const FILE: &str = "policy.rego";
const MAX_POLICY_BYTES: usize = 256 * 1024;
const MAX_DATA_BYTES: usize = 1024 * 1024;
const MAX_DEPTH: usize = 64;

/// A compiled policy with its data.
pub(crate) struct Policy {
    engine: Engine,
}

impl Policy {
    /// Compile `rego` at `now_ns` (what `time.now_ns()` answers). An empty `data` is `{}`. The error is for the
    /// policy's author.
    pub(crate) fn compile(rego: &str, data: &str, now_ns: u64) -> Result<Policy, String> {
        if rego.len() > MAX_POLICY_BYTES || data.len() > MAX_DATA_BYTES {
            return Err("the policy or its data is too large".into());
        }
        let mut engine = parse(rego, now_ns)?;
        if !data.trim().is_empty() {
            let data = strict::parse_bounded(data.as_bytes(), MAX_DEPTH)
                .filter(Value::is_object)
                .ok_or("policyData is not a JSON object without duplicate members")?;
            // The engine would let data stand in for rules of the same path.
            if data.get("mcp").is_some_and(|mcp| !mcp.is_object() || mcp.get("authorization").is_some()) {
                return Err("policyData has a member mcp.authorization, which is the policy's own".into());
            }
            engine.add_data(Rego::from(data)).map_err(|error| error.to_string())?;
        }
        Ok(Policy { engine })
    }

    /// The decision about `input`; an error is a denial with a reason.
    pub(crate) fn decide(&mut self, input: &Value) -> Result<bool, String> {
        self.engine.set_input(Rego::from(input.clone()));
        match self.engine.eval_rule(RULE.into()) {
            Ok(Rego::Bool(allow)) => Ok(allow),
            Ok(Rego::Undefined) => Ok(false),
            Ok(_) => Err("data.mcp.authorization.allow is not a boolean".into()),
            Err(error) => Err(match error.to_string() {
                // The engine's words for a rule that no policy declares.
                text if text.contains("not a valid rule path") => format!("the policy has no rule {RULE}"),
                text => text,
            }),
        }
    }
}

/// FTL's documents write rules in both of Rego's versions, sometimes without saying which: version 1 first.
fn parse(rego: &str, now_ns: u64) -> Result<Engine, String> {
    let mut first_error = String::new();
    for version_0 in [false, true] {
        let mut engine = Engine::new();
        engine.set_rego_v0(version_0);
        engine.set_strict_builtin_errors(true);
        add_time(&mut engine, now_ns).map_err(|error| error.to_string())?;
        match engine.add_policy(FILE.into(), rego.into()) {
            Ok(package) if package == PACKAGE => {
                return Ok(engine);
            }
            Ok(package) => return Err(format!("the package is {package}, not {PACKAGE}")),
            Err(error) if first_error.is_empty() => first_error = error.to_string(),
            Err(_) => {}
        }
    }
    Err(first_error)
}

/// `time.now_ns` and `time.clock`, `time.weekday`, `time.date` in UTC: the engine's own come with all the world's time
/// zones, a megabyte that every request would instantiate.
fn add_time(engine: &mut Engine, now_ns: u64) -> anyhow::Result<()> {
    engine.add_extension("time.now_ns".into(), 0, Box::new(move |_| Ok(Rego::from(now_ns))))?;
    engine.add_extension(
        "time.clock".into(),
        1,
        Box::new(|arguments| {
            let second = seconds(&arguments)?.rem_euclid(86_400);
            Ok(list([second / 3600, second / 60 % 60, second % 60]))
        }),
    )?;
    engine.add_extension(
        "time.date".into(),
        1,
        Box::new(|arguments| Ok(list(date(seconds(&arguments)?.div_euclid(86_400))))),
    )?;
    engine.add_extension(
        "time.weekday".into(),
        1,
        Box::new(|arguments| {
            let names = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
            // 1970-01-01 was a Thursday.
            let day = seconds(&arguments)?.div_euclid(86_400).rem_euclid(7);
            Ok(Rego::from(names[usize::try_from(day)?]))
        }),
    )
}

fn seconds(arguments: &[Rego]) -> anyhow::Result<i64> {
    match arguments {
        [Rego::Number(ns)] => ns
            .as_i64()
            .map(|ns| ns.div_euclid(1_000_000_000))
            .ok_or_else(|| anyhow::anyhow!("not a whole number of nanoseconds")),
        _ => Err(anyhow::anyhow!("one number of nanoseconds is needed; only UTC is known")),
    }
}

fn list(numbers: [i64; 3]) -> Rego {
    Rego::from(numbers.map(Rego::from).to_vec())
}

/// Year, month and day of a day since 1970-01-01 in the proleptic Gregorian calendar, by eras of 400 years.
fn date(day: i64) -> [i64; 3] {
    let from_march_0000 = day + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let of_era = from_march_0000.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let month = (month_from_march + 2) % 12 + 1;
    let first = i64::from(month <= 2);
    [year + era * 400 + first, month, of_year - (153 * month_from_march + 2) / 5 + 1]
}

/// The operator's question before it deploys a policy: does it compile, and what does it decide?
///
/// `body` is `{"policy": text, "data": text or object, "inputs": […]}`; the answer is `{"decisions": [bool, …], "error":
/// null or text}`. With an error there are no decisions.
pub fn policy_check(body: &[u8], now_ns: u64) -> Vec<u8> {
    let answer = match decisions(body, now_ns) {
        Ok(decisions) => json!({"decisions": decisions, "error": null}),
        Err(error) => json!({"decisions": [], "error": error}),
    };
    answer.to_string().into_bytes()
}

fn decisions(body: &[u8], now_ns: u64) -> Result<Vec<bool>, String> {
    let request: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let rego = request.get("policy").and_then(Value::as_str).ok_or("policy is not a text")?;
    let data = match request.get("data") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let inputs = match request.get("inputs") {
        None | Some(Value::Null) => &Vec::new(),
        Some(Value::Array(inputs)) => inputs,
        Some(_) => return Err("inputs is not a list".into()),
    };
    let mut policy = Policy::compile(rego, &data, now_ns)?;
    // Some errors show only in evaluation (an unknown function, a conflict with the data), so one always takes place.
    policy.decide(&json!({"token": {"claims": {}, "scopes": []}, "request": {}}))?;
    inputs.iter().map(|input| policy.decide(input)).collect()
}
