//! Small fleets in JSON files: each instance by its index, and EC2's errors for it.
//!
//! ```json
//! {"0": {"tags": {"Name": "spot"}, "start_error": ["InsufficientInstanceCapacity", "There is no capacity.", 500]},
//!  "1": {"replace_tags": {"Name": "plain"}, "xml": "<ebsOptimized>true</ebsOptimized>"}}
//! ```

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::action::ApiAction;
use crate::error::ModelError;
use crate::fault::{Fault, Symptom};
use crate::ids::Ec2InstanceId;
use crate::instance::SpotKind;
use crate::launch::Launch;
use crate::model::Model;

/// A fleet read from a file.
#[derive(Debug, Clone)]
pub struct Case {
    instances: Vec<CaseInstance>,
    /// The error of `DescribeSpotInstanceRequests`.
    spot_error: Option<ModelError>,
    /// Spot requests by id; the default is one-time.
    spot_kinds: BTreeMap<String, SpotKind>,
}

/// An instance of a case.
#[derive(Debug, Clone, Default)]
struct CaseInstance {
    tags: BTreeMap<String, String>,
    /// Whether the tags replace the default tags of the case.
    replaces_tags: bool,
    /// XML elements for its description.
    xml: String,
    instance_store: bool,
    hibernation: bool,
    start_error: Option<ModelError>,
    hibernate_error: Option<ModelError>,
}

/// An invalid case, with the key that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` is not understood in a case: {value}")]
pub struct BadCase {
    key: String,
    value: String,
}

impl BadCase {
    fn new(key: &str, value: &impl ToString) -> Self {
        Self {
            key: key.to_owned(),
            value: value.to_string(),
        }
    }
}

impl Case {
    /// Parses a case. An unknown key is an error, so that no case has ignored parts.
    pub fn from_json(text: &str) -> Result<Self, BadCase> {
        let whole: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| BadCase::new("", &error))?;
        let mut case = Self {
            instances: Vec::new(),
            spot_error: None,
            spot_kinds: BTreeMap::new(),
        };
        let mut members = BTreeMap::new();
        for (key, value) in &whole {
            let bad = || BadCase::new(key, value);
            match key.as_str() {
                "spot_error" => case.spot_error = Some(error(key, value)?),
                "spot_types" => {
                    for (id, kind) in strings(key, value)? {
                        let kind = match kind.as_str() {
                            "persistent" => SpotKind::Persistent,
                            "one-time" => SpotKind::OneTime,
                            _ => return Err(bad()),
                        };
                        case.spot_kinds.insert(id, kind);
                    }
                }
                index => {
                    let index: usize = index.parse().map_err(|_| bad())?;
                    members.insert(index, CaseInstance::read(value)?);
                }
            }
        }
        let count = members.keys().next_back().map_or(0, |last| last + 1);
        case.instances = (0..count)
            .map(|index| members.remove(&index).unwrap_or_default())
            .collect();
        Ok(case)
    }

    /// Adds the fleet to a model: instances like `plain`, each with the changes and faults of the case, followed by
    /// `more` plain ones. Returns their ids in the order of their indices.
    pub fn put_into(&self, model: &Model, plain: &Launch, more: usize) -> Vec<Ec2InstanceId> {
        if let Some(error) = &self.spot_error {
            let symptom = Symptom::Error(error.clone());
            model.fault(Fault::on(ApiAction::DescribeSpotInstanceRequests, symptom));
        }
        let others = std::iter::repeat_n(CaseInstance::default(), more);
        let members = self.instances.iter().cloned().chain(others);
        members
            .map(|member| self.launch(model, plain.clone(), &member))
            .collect()
    }

    fn launch(&self, model: &Model, mut launch: Launch, member: &CaseInstance) -> Ec2InstanceId {
        if member.replaces_tags {
            launch.tags.clear();
        }
        launch.tags.extend(member.tags.clone());
        if member.instance_store {
            launch = launch.instance_store();
        }
        if member.hibernation {
            launch = launch.hibernation();
        }
        let mut xml = member.xml.clone();
        // The model writes these itself, and needs to know the request.
        take_element(&mut xml, "instanceLifecycle");
        if let Some(request) = take_element(&mut xml, "spotInstanceRequestId") {
            let kind = self.spot_kinds.get(&request).copied();
            launch = launch.spot_request(request, kind.unwrap_or(SpotKind::OneTime));
        }
        let id = model.launch(launch.xml(xml));
        let fault = |action, error: &ModelError| {
            Fault::on(action, Symptom::Error(error.clone())).for_instance(&id)
        };
        if let Some(error) = &member.start_error {
            model.fault(fault(ApiAction::StartInstances, error));
        }
        if let Some(error) = &member.hibernate_error {
            model.fault(fault(ApiAction::StopInstances, error).hibernating());
        }
        id
    }
}

impl CaseInstance {
    fn read(value: &Value) -> Result<Self, BadCase> {
        let fields = value
            .as_object()
            .ok_or_else(|| BadCase::new("an instance", value))?;
        let mut member = Self::default();
        for (key, value) in fields {
            let bad = || BadCase::new(key, value);
            match (key.as_str(), value.as_str()) {
                ("tags", _) => member.tags = strings(key, value)?,
                ("replace_tags", _) => {
                    member.tags = strings(key, value)?;
                    member.replaces_tags = true;
                }
                ("xml", Some(xml)) => xml.clone_into(&mut member.xml),
                ("rdt", Some("instance-store")) => member.instance_store = true,
                ("hib", Some("true")) => member.hibernation = true,
                ("start_error", _) => member.start_error = Some(error(key, value)?),
                ("hib_error", _) => member.hibernate_error = Some(error(key, value)?),
                _ => return Err(bad()),
            }
        }
        Ok(member)
    }
}

/// Parses an error: a code, a message, and an HTTP status (400 if omitted).
fn error(key: &str, value: &Value) -> Result<ModelError, BadCase> {
    let bad = || BadCase::new(key, value);
    let parts = value.as_array().ok_or_else(bad)?;
    let (code, message, status) = match parts.as_slice() {
        [Value::String(code), Value::String(message)] => (code, message, 400),
        [
            Value::String(code),
            Value::String(message),
            Value::Number(status),
        ] => {
            let status = status
                .as_u64()
                .and_then(|status| u16::try_from(status).ok());
            (code, message, status.ok_or_else(bad)?)
        }
        _ => return Err(bad()),
    };
    Ok(ModelError::with_status(
        status,
        code.clone(),
        message.clone(),
    ))
}

fn strings(key: &str, value: &Value) -> Result<BTreeMap<String, String>, BadCase> {
    let bad = || BadCase::new(key, value);
    let fields = value.as_object().ok_or_else(bad)?;
    fields
        .iter()
        .map(|(name, text)| Ok((name.clone(), text.as_str().ok_or_else(bad)?.to_owned())))
        .collect()
}

/// Removes an element that has only text, and returns the text.
fn take_element(xml: &mut String, name: &str) -> Option<String> {
    let (opening, closing) = (format!("<{name}>"), format!("</{name}>"));
    let begin = xml.find(&opening)?;
    let text = begin + opening.len();
    let length = xml[text..].find(&closing)?;
    let taken = xml[text..text + length].to_owned();
    xml.replace_range(begin..text + length + closing.len(), "");
    Some(taken)
}
