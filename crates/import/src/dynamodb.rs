//! Items of a `DynamoDB` table, with or without the types of their attributes.

use serde_json::{Map, Value};

/// Returns the items of a `scan` or `query` (`Items`) or of a `get-item` or export (`Item`), as plain JSON; `None` for any other
/// document.
pub(super) fn items(document: &Value) -> Option<Vec<Value>> {
    let items = match (document.get("Items"), document.get("Item")) {
        (Some(Value::Array(items)), _) => items.as_slice(),
        (_, Some(item @ Value::Object(_))) => std::slice::from_ref(item),
        _ => return None,
    };
    Some(items.iter().map(plain_item).collect())
}

/// Returns an item without the types of its attributes; `{"name": {"S": "office"}}` is `{"name": "office"}`. An item whose attributes
/// have no types is returned unchanged.
pub(super) fn plain_item(item: &Value) -> Value {
    let attributes = item.as_object();
    let typed = attributes.filter(|attributes| attributes.values().all(is_typed));
    match typed {
        Some(attributes) if !attributes.is_empty() => plain_map(attributes),
        _ => item.clone(),
    }
}

/// Returns the type and content of a typed attribute.
fn typed(value: &Value) -> Option<(&str, &Value)> {
    let attribute = value.as_object().filter(|attribute| attribute.len() == 1)?;
    let (kind, content) = attribute.iter().next()?;
    let fits = match kind.as_str() {
        "S" | "N" | "B" => content.is_string(),
        "BOOL" | "NULL" => content.is_boolean(),
        "L" | "SS" | "NS" | "BS" => content.is_array(),
        "M" => content.is_object(),
        _ => false,
    };
    fits.then_some((kind, content))
}

fn is_typed(value: &Value) -> bool {
    typed(value).is_some()
}

fn plain(value: &Value) -> Value {
    match typed(value) {
        Some(("NULL", _)) => Value::Null,
        Some(("L", Value::Array(items))) => Value::Array(items.iter().map(plain).collect()),
        Some(("M", Value::Object(attributes))) => plain_map(attributes),
        Some((_, content)) => content.clone(),
        None => value.clone(),
    }
}

fn plain_map(attributes: &Map<String, Value>) -> Value {
    let attributes = attributes.iter();
    Value::Object(
        attributes
            .map(|(key, value)| (key.clone(), plain(value)))
            .collect(),
    )
}
