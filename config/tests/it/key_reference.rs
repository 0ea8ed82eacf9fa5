//! `docs/reference/configuration-keys.md` is generated from the schema and the built-in defaults.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, Value};

const HEAD: &str = "\
# Every key

<!-- Generated from the schema: `UPDATE_SCHEMA=1 cargo nextest run -p curfew-config -E 'test(in_the_repository)'` -->

The keys of the configuration file, as the schema has them. `curfew schema` prints the schema, with which editors
complete and check the file. [Configuration](configuration.md) explains what the keys mean together.
";

/// The tables of the file, in the order of the page, with their definitions in the schema.
const TABLES: &[(&str, &str)] = &[
    ("[schedules.NAME]", "RawSchedule"),
    ("[[schedules.NAME.window]]", "RawWindow"),
    ("[schedules.NAME.match]", "RawMatcher"),
    ("[managing]", "RawManaging"),
    ("[[account]]", "RawAccount"),
    ("[stack]", "RawStack"),
    ("[api]", "RawApi"),
    ("[daemon]", "RawDaemon"),
    ("[[notify]]", "RawNotify"),
    ("[aws]", "AwsConfiguration"),
];

#[test]
fn the_key_reference_in_the_repository_is_up_to_date() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/configuration-keys.md");
    let expected = reference();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == expected,
        "docs/reference/configuration-keys.md is out of date: run this test with UPDATE_SCHEMA=1"
    );
}

/// Every table and key of the schema is on the page, also one that is added later.
#[test]
fn the_key_reference_has_every_key_of_the_schema() {
    let schema = schema();
    let definitions = schema["definitions"].as_object().unwrap();
    let objects = definitions.iter().filter(|(_, it)| it["type"] == "object");
    for (name, _) in objects {
        let listed = TABLES.iter().any(|(_, definition)| definition == name);
        assert!(listed, "`{name}` is missing from `TABLES`");
    }
    let page = reference();
    for key in schema["properties"].as_object().unwrap().keys() {
        assert!(
            page.contains(&format!("`{key}`")) || page.contains(&format!("[{key}")),
            "{key}"
        );
    }
}

fn schema() -> Value {
    serde_json::from_str(&curfew_config::schema()).unwrap()
}

fn reference() -> String {
    let schema = schema();
    let defaults = Path::new(env!("CARGO_MANIFEST_DIR")).join("default.toml");
    let defaults: toml::Table = std::fs::read_to_string(defaults).unwrap().parse().unwrap();
    let mut page = HEAD.to_owned();
    for &(title, definition) in TABLES {
        let table = &schema["definitions"][definition];
        let section = title.trim_matches(['[', ']']);
        let defaults = defaults.get(section).and_then(toml::Value::as_table);
        write!(page, "\n## `{title}`\n\n").unwrap();
        page += "| key | type | description | default |\n|---|---|---|---|\n";
        let keys = table["properties"].as_object();
        for (key, property) in keys.into_iter().flatten() {
            let default = defaults
                .and_then(|it| it.get(key))
                .map(toml::Value::to_string);
            page += &row(&schema, key, property, default);
        }
    }
    let prices = &schema["properties"]["prices"];
    write!(page, "\n## `[prices]`\n\n{}\n", sentence(prices)).unwrap();
    page
}

fn row(schema: &Value, key: &str, property: &Value, default: Option<String>) -> String {
    let default = default.or_else(|| match &property["default"] {
        Value::Null => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Object(items) if items.is_empty() => None,
        default => Some(default.to_string()),
    });
    let default = default.map_or_else(String::new, |it| format!("`{it}`"));
    let mut description = sentence(property);
    for (value, meaning) in choices(schema, property) {
        write!(description, "<br>`\"{value}\"`: {meaning}").unwrap();
    }
    let kind = kind(schema, property);
    format!("| `{key}` | {kind} | {description} | {default} |\n").replace(" |  |", " | |")
}

/// The description, as the text of a table's cell.
fn sentence(value: &Value) -> String {
    let text = value["description"].as_str().unwrap_or_default();
    text.replace('\n', " ").replace('|', "\\|")
}

/// The definition that a property refers to.
fn referenced<'a>(schema: &'a Value, property: &'a Value) -> Option<(&'a str, &'a Value)> {
    let reference = property["$ref"]
        .as_str()
        .or_else(|| property["allOf"][0]["$ref"].as_str())?;
    let name = reference.strip_prefix("#/definitions/")?;
    Some((name, &schema["definitions"][name]))
}

/// The allowed values of a property with an enumeration, and what each means.
fn choices(schema: &Value, property: &Value) -> Vec<(String, String)> {
    let definition = match property["items"] {
        Value::Null => referenced(schema, property),
        ref items => referenced(schema, items),
    };
    let values = definition.and_then(|(_, it)| it["oneOf"].as_array());
    let values = values.into_iter().flatten();
    values
        .filter_map(|value| Some((value["const"].as_str()?.to_owned(), sentence(value))))
        .collect()
}

fn kind(schema: &Value, property: &Value) -> String {
    match referenced(schema, property) {
        Some(("OneOrMany", _)) => return "string, or list of strings".to_owned(),
        Some((_, definition)) if definition["oneOf"].is_array() => return "string".to_owned(),
        Some(_) => return "table".to_owned(),
        None => {}
    }
    let empty = Map::new();
    let property = property.as_object().unwrap_or(&empty);
    match property.get("type").and_then(Value::as_str) {
        Some("array") => {
            let one = kind(schema, &property["items"]);
            format!("list of {one}s")
        }
        Some("object") => match property.get("additionalProperties") {
            Some(values) => format!("table of {}s", kind(schema, values)),
            None => "table".to_owned(),
        },
        Some(other) => other.to_owned(),
        None => panic!("a property without a type: {property:?}"),
    }
}
