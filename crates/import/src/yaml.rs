//! Reads YAML as the other tools do, into JSON values.
//!
//! Both read YAML 1.1, in which `yes` and `on` are booleans and `07` is a number. CloudFormation's short functions become their long
//! form: `!Ref Zone` is `{"Ref": "Zone"}`. Aliases are expanded within limits, so that a small text can't fill the memory.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use serde_json::{Map, Value};

/// The maximum depth of lists and mappings, which is far above that of a template or policy.
const MAX_DEPTH: usize = 64;

/// The maximum size of the values, aliases expanded, where each value counts its text and [`VALUE_SIZE`]. A template of
/// CloudFormation has at most 1 MB.
const MAX_SIZE: usize = 16 << 20;

/// What a value counts besides its text.
const VALUE_SIZE: usize = 32;

/// Reads all documents of a text. The error is one sentence with the line.
pub(super) fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| malformed(&error))?;
        reader
            .event(event)
            .map_err(|problem| format!("{problem}, in line {}", span.start.line()))?;
    }
    Ok(reader.documents)
}

fn malformed(error: &ScanError) -> String {
    let (line, column) = (error.marker().line(), error.marker().col() + 1);
    format!("{}, in line {line}, column {column}", error.info())
}

/// The values that are not complete yet, outermost first.
#[derive(Default)]
struct Reader<'t> {
    open: Vec<OpenValue<'t>>,
    /// The anchored values, with their sizes.
    anchors: BTreeMap<usize, (Value, usize)>,
    size: usize,
    documents: Vec<Value>,
}

struct OpenValue<'t> {
    anchor: usize,
    tag: Option<Cow<'t, Tag>>,
    content: Content,
}

enum Content {
    List(Vec<Value>),
    Mapping {
        entries: Map<String, Value>,
        /// The values of merge keys, `<<`.
        merged: Vec<Value>,
        key: Option<String>,
    },
}

impl<'t> Reader<'t> {
    fn event(&mut self, event: Event<'t>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_key = matches!(
                    self.open.last().map(|open| &open.content),
                    Some(Content::Mapping { key: None, .. })
                );
                // A key is its text, also `on` and `off`.
                let value = if is_key {
                    Value::String(text.into_owned())
                } else {
                    scalar(&text, style, tag.as_deref())?
                };
                self.complete(value, anchor)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor);
                let (value, size) = known.cloned().ok_or("an alias refers to itself")?;
                self.add_size(size)?;
                self.place(value)
            }
            Event::SequenceStart(anchor, tag) => self.open(anchor, tag, Content::List(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                let content = Content::Mapping {
                    entries: Map::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.open(anchor, tag, content)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Ok(());
                };
                let value = match open.content {
                    Content::List(items) => Value::Array(items),
                    Content::Mapping {
                        mut entries,
                        merged,
                        ..
                    } => {
                        // The mapping's own entries take precedence, then earlier merged mappings.
                        for (key, value) in merged.into_iter().flat_map(mappings).flatten() {
                            entries.entry(key).or_insert(value);
                        }
                        Value::Object(entries)
                    }
                };
                let value = match &open.tag {
                    Some(tag) => call(tag, value),
                    None => value,
                };
                self.complete(value, open.anchor)
            }
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(
        &mut self,
        anchor: usize,
        tag: Option<Cow<'t, Tag>>,
        content: Content,
    ) -> Result<(), String> {
        if self.open.len() == MAX_DEPTH {
            return Err(format!(
                "the text is nested more than {MAX_DEPTH} levels deep"
            ));
        }
        self.open.push(OpenValue {
            anchor,
            tag,
            content,
        });
        Ok(())
    }

    /// Adds a value that was read, and keeps it if it has an anchor (0 is none).
    fn complete(&mut self, value: Value, anchor: usize) -> Result<(), String> {
        let size = match &value {
            Value::String(text) => VALUE_SIZE + text.len(),
            _ => VALUE_SIZE,
        };
        self.add_size(size)?;
        if anchor != 0 {
            let size = size_of(&value);
            self.add_size(size)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        self.place(value)
    }

    fn add_size(&mut self, size: usize) -> Result<(), String> {
        self.size += size;
        if self.size > MAX_SIZE {
            return Err("the text is too large once its aliases are expanded".to_owned());
        }
        Ok(())
    }

    fn place(&mut self, value: Value) -> Result<(), String> {
        let Some(open) = self.open.last_mut() else {
            self.documents.push(value);
            return Ok(());
        };
        match &mut open.content {
            Content::List(items) => items.push(value),
            Content::Mapping {
                entries,
                merged,
                key,
            } => match (key.take(), value) {
                (None, Value::String(text)) => {
                    if entries.contains_key(&text) {
                        return Err(format!("the key `{}` appears twice", text.escape_debug()));
                    }
                    *key = Some(text);
                }
                (None, _) => return Err("a key is not a string".to_owned()),
                (Some(name), value) if name == "<<" => merged.push(value),
                (Some(name), value) => {
                    entries.insert(name, value);
                }
            },
        }
        Ok(())
    }
}

/// Returns the mappings that a merge key names: one, or a list of them.
fn mappings(value: Value) -> Vec<Map<String, Value>> {
    match value {
        Value::Object(entries) => vec![entries],
        Value::Array(items) => items.into_iter().flat_map(mappings).collect(),
        _ => Vec::new(),
    }
}

fn size_of(value: &Value) -> usize {
    VALUE_SIZE
        + match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size_of).sum(),
            Value::Object(entries) => {
                let entries = entries.iter();
                entries.map(|(key, value)| key.len() + size_of(value)).sum()
            }
            _ => 0,
        }
}

/// Returns the long form of a function of CloudFormation, `{"Fn::Sub": …}` for `!Sub …`. YAML's own tags change nothing.
fn call(tag: &Tag, value: Value) -> Value {
    if tag.is_yaml_core_schema() {
        return value;
    }
    let name = match tag.suffix.as_str() {
        name @ ("Ref" | "Condition") => name.to_owned(),
        name => format!("Fn::{name}"),
    };
    Value::Object(Map::from_iter([(name, value)]))
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let is_plain = style == ScalarStyle::Plain;
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => Ok(call(tag, Value::String(text.to_owned()))),
        Some(tag) if tag.suffix == "str" => Ok(Value::String(text.to_owned())),
        Some(tag) if !["int", "float", "bool", "null"].contains(&tag.suffix.as_str()) => {
            Err(format!("the tag `!!{}` is not read", tag.suffix))
        }
        Some(_) => Ok(resolved(text)),
        None if is_plain => Ok(resolved(text)),
        None => Ok(Value::String(text.to_owned())),
    }
}

/// Returns the value of a text without quotes, by the rules of YAML 1.1. A time such as `20:00`, which these rules read as a number of
/// minutes, stays a text: no tool means the number.
fn resolved(text: &str) -> Value {
    let bool_of = |names: [&str; 3]| {
        let capitalised = |name: &str| name[..1].to_uppercase() + &name[1..];
        names
            .iter()
            .any(|name| text == *name || text == name.to_uppercase() || text == capitalised(name))
    };
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Value::Null;
    }
    if bool_of(["true", "yes", "on"]) {
        return Value::Bool(true);
    }
    if bool_of(["false", "no", "off"]) {
        return Value::Bool(false);
    }
    let digits = text.trim_start_matches(['+', '-']);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = match digits.strip_prefix('0') {
        Some(octal) if is_number && !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
        _ if is_number => text.parse().ok(),
        _ => None,
    };
    if let Some(number) = number {
        return Value::from(number);
    }
    let is_float = text.contains('.')
        && text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    match text.parse::<f64>() {
        Ok(number) if is_float => Value::from(number),
        _ => Value::String(text.to_owned()),
    }
}
