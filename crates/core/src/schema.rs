//! The JSON schema of the configuration file, with which editors complete and check it. Requires the feature `schema`.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

/// Returns the schema of a configuration file with the keys of `T`.
///
/// No key is required, since a file contains only what differs from the defaults. No value may be null, since TOML has no null.
/// The schema is of draft 7, the newest that TOML editors support.
pub fn of<T: JsonSchema>() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    RecursiveTransform(relax).transform(&mut schema);
    schema.to_value()
}

fn relax(schema: &mut Schema) {
    schema.remove("required");
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(mut choices)) = schema.remove("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        let key = if choices.len() == 1 { "allOf" } else { "anyOf" };
        schema.insert(key.to_owned(), choices.into());
    }
}
