//! Text tools that need nothing from outside: count, slugify, sort_lines.

use ftl_sdk::{tools, ToolResponse};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize, JsonSchema)]
struct CountInput {
    /// The text to count in.
    text: String,
}

#[derive(Deserialize, JsonSchema)]
struct SlugifyInput {
    /// The title to turn into a slug.
    title: String,
    /// What stands between two words; "-" if absent.
    separator: Option<char>,
}

#[derive(Deserialize, JsonSchema)]
struct SortLinesInput {
    /// The lines to sort.
    text: String,
    /// Whether a line that occurs several times is kept only once.
    #[serde(default)]
    unique: bool,
}

tools! {
    /// Count the characters, words and lines of a text.
    fn count(input: CountInput) -> ToolResponse {
        let (characters, words, lines) =
            (input.text.chars().count(), input.text.split_whitespace().count(), input.text.lines().count());
        ToolResponse::with_structured(
            format!("{characters} characters, {words} words, {lines} lines"),
            json!({"characters": characters, "words": words, "lines": lines}),
        )
    }

    /// Turn a title into a slug for a URL or a file name.
    fn slugify(input: SlugifyInput) -> ToolResponse {
        let separator = input.separator.unwrap_or('-').to_string();
        let words: Vec<String> = input
            .title
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        ToolResponse::text(words.join(&separator))
    }

    /// Sort the lines of a text.
    fn sort_lines(input: SortLinesInput) -> ToolResponse {
        let mut lines: Vec<&str> = input.text.lines().collect();
        lines.sort_unstable();
        if input.unique {
            lines.dedup();
        }
        ToolResponse::text(lines.join("\n"))
    }
}
