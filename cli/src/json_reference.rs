//! The reference of the JSON output, `docs/reference/json.md`, generated from the types that the commands print. The tests check
//! that it is up to date and has every command; `tests/it/json_reference.rs` checks that it has every field of real output.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::commands::{
    apply, check, document, explain, init, next, notify, plan, rules, savings, simulate, status,
    template, token, up,
};
use crate::doctor::DoctorReport;
use crate::error::ErrorDocument;
use crate::{Cli, start_stop};

const INTRODUCTION: &str = "\
# JSON output

<!-- Generated from the types: UPDATE_SCHEMA=1 cargo nextest run --workspace -E 'test(the_document_in_the_repository)' -->

With `-o json` a command prints one JSON document to standard output, and everything else to standard error. Instants are
RFC 3339 in UTC. A field that has no value is `null`; a field that is marked *optional* is absent then. Fields may be added
in a release; a field is renamed or removed only with an entry in the changelog.

`[]` in a name stands for each element of a list, and `.*` for each key of an object. The HTTP API is described by its
OpenAPI document, `openapi.json`, with the same names.
";

/// The commands that print no document of their own: scripts for other programs, a log, and a schema that is JSON already.
const WITHOUT_DOCUMENT: [&str; 6] = ["completions", "import", "man", "run", "schema", "help"];

/// One section of the reference.
struct Section {
    /// The commands that print the document.
    commands: &'static [&'static str],
    schema: Schema,
}

/// The transitions in the journal.
#[derive(Serialize, JsonSchema)]
struct Transitions {
    /// The newest ones that were selected, in the order of their instants.
    transitions: Vec<curfew_journal::JournalEntry>,
}

/// The edges in the journal.
#[derive(Serialize, JsonSchema)]
struct JournalledEdges {
    /// The newest ones that were selected, in the order of their instants.
    edges: Vec<curfew_journal::EdgeEntry>,
}

fn section<T: JsonSchema>(commands: &'static [&'static str]) -> Section {
    // As serialized: a field that is skipped when it is empty is optional.
    let settings = SchemaSettings::draft2020_12().for_serialize();
    Section {
        commands,
        schema: settings.into_generator().into_root_schema_for::<T>(),
    }
}

fn sections() -> Vec<Section> {
    vec![
        section::<curfew_deploy::Outputs>(&["deploy", "outputs"]),
        section::<up::UpReport>(&["up"]),
        section::<init::WrittenFile>(&["init"]),
        section::<curfew_deploy::Preview>(&["deploy --dry-run"]),
        section::<curfew_deploy::StackResources>(&["destroy"]),
        section::<plan::PlanDocument<'_>>(&["plan"]),
        section::<apply::AppliedPlan<'_>>(&["apply"]),
        section::<status::StatusDocument<'_>>(&["status"]),
        section::<start_stop::ChangesDocument<'_>>(&["start", "stop", "resume"]),
        section::<next::NextEdges>(&["next"]),
        section::<explain::InstanceExplained>(&["explain"]),
        section::<explain::ScheduleExplained>(&["explain --schedule"]),
        section::<simulate::SimulateDocument>(&["simulate"]),
        section::<Transitions>(&["history"]),
        section::<JournalledEdges>(&["history --edges"]),
        section::<savings::SavingsReport>(&["savings"]),
        section::<notify::NotifyDocument>(&["notify"]),
        section::<DoctorReport>(&["doctor"]),
        section::<check::CheckResult>(&["check"]),
        section::<rules::RulesDocument>(&["rules"]),
        section::<document::ParameterDocument>(&["document"]),
        section::<template::TemplateDocument>(&["template", "member-role"]),
        section::<token::NewToken>(&["token"]),
        section::<ErrorDocument>(&["errors"]),
    ]
}

/// A field of a document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Field {
    types: BTreeSet<String>,
    meaning: String,
    is_optional: bool,
}

/// Collects the fields of a schema by their path.
struct Fields<'a> {
    definitions: &'a Map<String, Value>,
    found: BTreeMap<String, Field>,
    /// The paths in the order of the types.
    order: Vec<String>,
}

impl<'a> Fields<'a> {
    fn of(schema: &'a Schema) -> Self {
        static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        let definitions = schema.get("$defs").and_then(Value::as_object);
        let mut fields = Self {
            definitions: definitions.unwrap_or(&NONE),
            found: BTreeMap::new(),
            order: Vec::new(),
        };
        fields.collect(schema.as_value(), "", false);
        fields
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let reference = schema.get("$ref").and_then(Value::as_str);
        match reference.and_then(|reference| reference.strip_prefix("#/$defs/")) {
            Some(name) => self.resolve(&self.definitions[name]),
            None => schema,
        }
    }

    /// Adds the fields of the object or list at `path`.
    fn collect(&mut self, schema: &'a Value, path: &str, in_choice: bool) {
        let schema = self.resolve(schema);
        for key in ["allOf", "anyOf", "oneOf"] {
            let choices = schema.get(key).and_then(Value::as_array);
            let is_null = |choice: &&Value| choice.get("type").is_some_and(|name| name == "null");
            let choices: Vec<&Value> = choices
                .into_iter()
                .flatten()
                .filter(|one| !is_null(one))
                .collect();
            // With one choice, the fields are there unless the value is null.
            let has_several = key != "allOf" && choices.len() > 1;
            for choice in choices {
                self.collect(choice, path, in_choice || has_several);
            }
        }
        if let Some(items) = schema.get("items") {
            self.collect(items, &format!("{path}[]"), false);
        }
        if let Some(values) = schema.get("additionalProperties")
            && values.is_object()
        {
            self.add(&format!("{path}.*"), values, false);
        }
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let is_optional = !required.contains(&name.as_str());
            let field = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            self.add(&field, property, is_optional || in_choice);
        }
    }

    fn add(&mut self, path: &str, schema: &'a Value, is_optional: bool) {
        let mut types = BTreeSet::new();
        self.types(schema, &mut types);
        let meaning = description(schema).or_else(|| description(self.resolve(schema)));
        // The field by which the variants of an enumeration differ has no comment of its own.
        let is_variant = schema.get("const").is_some();
        let variant =
            || is_variant.then(|| "The kind, which determines the other fields.".to_owned());
        let meaning = meaning.or_else(variant).unwrap_or_default();
        match self.found.get_mut(path) {
            Some(field) => {
                field.types.extend(types);
                if !field.meaning.contains(&meaning) {
                    let _ = write!(field.meaning, " {meaning}");
                }
            }
            None => {
                self.order.push(path.to_owned());
                let field = Field {
                    types,
                    meaning,
                    is_optional,
                };
                self.found.insert(path.to_owned(), field);
            }
        }
        self.collect(schema, path, false);
    }

    /// Adds the types of a value, such as `string`, `null` or the values of an enumeration.
    fn types(&self, schema: &'a Value, types: &mut BTreeSet<String>) {
        let schema = self.resolve(schema);
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            types.extend(values.iter().map(|value| format!("`{}`", text(value))));
            return;
        }
        if let Some(value) = schema.get("const") {
            types.insert(format!("`{}`", text(value)));
            return;
        }
        let is_instant = schema.get("format").and_then(Value::as_str) == Some("date-time");
        let mut add = |name: &str| {
            let name = match name {
                "string" if is_instant => "instant",
                "array" => "list",
                name => name,
            };
            types.insert(name.to_owned());
        };
        match schema.get("type") {
            Some(Value::String(name)) => add(name),
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).for_each(add),
            _ => {}
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            let choices = schema.get(key).and_then(Value::as_array);
            for choice in choices.into_iter().flatten() {
                self.types(choice, types);
            }
        }
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the first paragraph of a description, on one line.
fn description(schema: &Value) -> Option<String> {
    let text = schema.get("description")?.as_str()?;
    let first = text.split("\n\n").next().unwrap_or_default();
    let first = first.replace('\n', " ").replace('|', "\\|");
    // The links of rustdoc lead nowhere here.
    Some(first.replace("[`", "`").replace("`]", "`"))
}

/// Renders the whole reference.
fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in sections() {
        let names = section.commands.iter();
        let names: Vec<String> = names
            .map(|name| match *name {
                "errors" => "Errors".to_owned(),
                name => format!("`curfew {name}`"),
            })
            .collect();
        let _ = writeln!(page, "\n## {}\n", names.join(", "));
        if let Some(about) = description(section.schema.as_value()) {
            let _ = writeln!(page, "{about}\n");
        }
        page.push_str("| field | type | meaning |\n|---|---|---|\n");
        let fields = Fields::of(&section.schema);
        for path in &fields.order {
            let field = &fields.found[path];
            let optional = if field.is_optional {
                ", *optional*"
            } else {
                ""
            };
            let types: Vec<&str> = field.types.iter().map(String::as_str).collect();
            let _ = writeln!(
                page,
                "| `{path}` | {}{optional} | {} |",
                types.join(", "),
                field.meaning.trim()
            );
        }
    }
    page
}

#[test]
fn the_document_in_the_repository_is_the_reference_of_the_json_output() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/json.md");
    let reference = reference();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &reference).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == reference,
        "docs/reference/json.md is out of date; run the test with UPDATE_SCHEMA=1"
    );
}

#[test]
fn every_field_of_the_reference_has_a_type_and_a_meaning() {
    let mut missing = Vec::new();
    for section in sections() {
        let fields = Fields::of(&section.schema);
        assert!(!fields.order.is_empty(), "{:?}", section.commands);
        let unexplained = fields
            .found
            .iter()
            .filter(|(_, field)| field.types.is_empty() || field.meaning.is_empty());
        missing.extend(unexplained.map(|(path, _)| format!("{}: {path}", section.commands[0])));
    }
    // The values of a map need no meaning of their own.
    missing.retain(|path| !path.ends_with(".*"));
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_command_is_in_the_reference_or_prints_no_document() {
    let sections = sections();
    let has = |name: &str| {
        let mut commands = sections.iter().flat_map(|section| section.commands);
        WITHOUT_DOCUMENT.contains(&name) || commands.any(|command| *command == name)
    };
    let commands = Cli::command();
    let missing: Vec<&str> = commands
        .get_subcommands()
        .map(clap::Command::get_name)
        .filter(|name| !has(name))
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// The forms of a field's values, without null and without the values of an enumeration.
fn forms(fields: &Fields<'_>, path: &str) -> BTreeSet<String> {
    let form = |name: &String| match name.as_str() {
        "null" => None,
        name if name.starts_with('`') => Some("string".to_owned()),
        "list" => {
            let items = format!("{path}[].");
            let is_of_objects = fields.order.iter().any(|path| path.starts_with(&items));
            Some(if is_of_objects { "objects" } else { "texts" }.to_owned())
        }
        name => Some(name.to_owned()),
    };
    fields.found[path].types.iter().filter_map(form).collect()
}

/// The response documents of the HTTP API, from its OpenAPI document.
fn responses() -> Vec<(String, Schema)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace("#/components/schemas/", "#/$defs/");
    let api: Value = serde_json::from_str(&text).unwrap();
    let schemas = &api["components"]["schemas"];
    let names = schemas.as_object().unwrap().keys();
    let names = names.filter(|name| name.ends_with("Response"));
    let schema = |name: &String| {
        let reference = format!("#/$defs/{name}");
        let schema = serde_json::json!({"$defs": schemas, "$ref": reference});
        (format!("HTTP {name}"), Schema::try_from(schema).unwrap())
    };
    names.map(schema).collect()
}

#[test]
fn a_field_has_one_form_in_all_documents() {
    /// The names that stand for two things on purpose, each with the reason.
    const TWO_FORMS: [(&str, &str); 5] = [
        ("schedules", "the names of schedules, or schedules"),
        ("rules", "the names of rules, rules, or their changes"),
        ("parameters", "the names of parameters, or parameters"),
        ("stack", "a stack's name, or its changes"),
        ("tags", "patterns by the key of a tag"),
    ];
    let commands = sections().into_iter();
    let commands = commands.map(|section| (section.commands[0].to_owned(), section.schema));
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut instants = BTreeSet::new();
    for (document, schema) in commands.chain(responses()) {
        let fields = Fields::of(&schema);
        for path in &fields.order {
            let name = path.rsplit('.').next().unwrap_or_default();
            let forms = forms(&fields, path);
            if forms.contains("instant") {
                instants.insert(name.to_owned());
            }
            let forms: Vec<String> = forms.into_iter().collect();
            let documents = found.entry(name.to_owned()).or_default();
            documents
                .entry(forms.join(", "))
                .or_insert_with(|| format!("{document}: {path}"));
        }
    }
    let is_allowed = |name: &str| TWO_FORMS.iter().any(|(allowed, _)| *allowed == name);
    found.retain(|name, forms| forms.len() > 1 && !is_allowed(name));
    assert_eq!(found, BTreeMap::new());
    // `from` and `to` are states or values; a span of time has `since` and `until`.
    assert_eq!(instants.get("from").or(instants.get("to")), None);
    assert!(instants.contains("since") && instants.contains("until"));
}
