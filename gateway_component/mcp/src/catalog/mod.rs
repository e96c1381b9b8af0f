//! The baked catalog: one variable per page of a list and one per tool, so that no request reads more than it needs.

pub(crate) mod dynamic;

use crate::Host;
use authorizer::ToolIdentity;
use json::hex;
use json::text::push_number;
use serde::Deserialize;
use serde::de::Error;
use serde_json::Value;
use std::borrow::Cow;

/// Between a component's name and a tool's in lists of the whole application, unless it has a prefix of its own.
pub(crate) const SEPARATOR: &str = "__";
/// The longest name that any revision allows; longer ones name nothing.
const MAX_NAME: usize = 192;

/// One tool as lists are filtered by.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listed {
    pub component: String,
    /// The exposed name without the component's prefix.
    pub tool: String,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub scopes: Vec<String>,
}

impl Listed {
    pub fn identity(&self) -> ToolIdentity<'_> {
        ToolIdentity { component: &self.component, tool: &self.tool, scopes: &self.scopes }
    }
}

/// Everything that a call of one tool needs: a line of JSON and, so that they need not be read to find out where they
/// end, a line of its own for each schema.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record<'a> {
    #[serde(borrow)]
    pub component: Cow<'a, str>,
    /// The component's own name for the tool.
    #[serde(borrow)]
    pub tool: Cow<'a, str>,
    /// The exposed name without prefix.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The name in lists of the whole application, if that is another one than `COMPONENT__NAME`.
    #[serde(borrow, default)]
    pub listed: Option<Cow<'a, str>>,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// Header names of 2026-07-28 parameters, and where their values are in the arguments.
    #[serde(default)]
    pub headers: std::collections::BTreeMap<String, String>,
    #[serde(skip)]
    pub input: &'a str,
    #[serde(skip)]
    pub output: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// Read a record. One without its line for the input schema is none.
    pub fn parse(text: &'a str) -> Result<Record<'a>, serde_json::Error> {
        let mut lines = text.split('\n');
        let mut record: Record = serde_json::from_str(lines.next().unwrap_or_default())?;
        record.input = lines.next().ok_or_else(|| serde_json::Error::custom("it has no input schema"))?;
        record.output = lines.next().filter(|schema| !schema.is_empty());
        Ok(record)
    }

    /// The text of a record whose first line is `call`.
    pub fn write(call: &Value, input: &Value, output: Option<&Value>) -> String {
        let output = output.map(Value::to_string).unwrap_or_default();
        format!("{call}\n{input}\n{output}")
    }

    /// Whether the tool is called so where lists of the whole application hold.
    pub fn is_listed_as(&self, name: &str) -> bool {
        self.listed.as_ref().is_none_or(|listed| listed == name)
    }
}

/// One component as probes and discovery see it.
#[derive(Deserialize)]
pub(crate) struct Component {
    pub id: String,
    #[serde(default)]
    pub tools: Vec<String>,
    #[serde(default)]
    pub dynamic: bool,
}

/// The variable of one tool's record, under its full name.
pub(crate) fn record(full: &str, host: &mut dyn Host) -> Option<String> {
    if full.len() > MAX_NAME {
        return None;
    }
    let mut name = String::with_capacity(5 + 2 * full.len());
    name.push_str("tool_");
    hex::push(&mut name, full.as_bytes());
    host.variable(&name)
}

/// A page of a finished list.
pub(crate) struct Page {
    /// JSON text of the list of its tools.
    pub tools: String,
    /// The number of the tool that the next page begins with; None on the last page.
    pub next: Option<usize>,
}

/// The page that begins with tool number `start`, of the list of all tools or of one component's.
pub(crate) fn page(component: Option<&str>, start: usize, host: &mut dyn Host) -> Option<Page> {
    let mut name = String::from("tools_list");
    if let Some(component) = component {
        name.push('_');
        name.extend(component.chars().map(|letter| if letter == '-' { '_' } else { letter }));
    }
    if start > 0 {
        // No component's name has a word of digits, so this is no other list.
        name.push_str("_at_");
        push_number(&mut name, start as u64);
    }
    let mut tools = host.variable(&name)?;
    // A second line says where the next page begins.
    let mut next = None;
    if tools.ends_with(|last: char| last.is_ascii_digit()) {
        let end = tools.rfind('\n')?;
        next = Some(tools[end + 1..].parse().ok().filter(|next| *next > start)?);
        tools.truncate(end);
    }
    Some(Page { tools, next })
}

/// All pages of a list.
pub(crate) fn pages(component: Option<&str>, host: &mut dyn Host) -> Option<Vec<String>> {
    let mut pages = Vec::new();
    let mut start = Some(0);
    while let Some(at) = start {
        let page = page(component, at, host)?;
        pages.push(page.tools);
        start = page.next;
    }
    Some(pages)
}

/// What lists are filtered by, parallel to the list of all tools.
pub(crate) fn index(component: Option<&str>, host: &mut dyn Host) -> Option<Vec<Listed>> {
    let mut index: Vec<Listed> = serde_json::from_str(&host.variable("tools_index")?).ok()?;
    if let Some(component) = component {
        index.retain(|tool| tool.component == component);
    }
    Some(index)
}

pub(crate) fn components(host: &mut dyn Host) -> Option<Vec<Component>> {
    serde_json::from_str(&host.variable("components")?).ok()
}
