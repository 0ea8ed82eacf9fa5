//! The changes that a deployment would make to the stack.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::types::{
    Change, ChangeAction, Replacement, ResourceAttribute, Stack as Description,
};
use serde::Serialize;

use super::Parameters;

/// The changes that a deployment would make to the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct StackChanges {
    /// What happens to the stack.
    pub intent: Intent,
    /// Its current status; none if there is no stack.
    pub status: Option<String>,
    /// The parameters of the template that change.
    pub parameters: Vec<ParameterChange>,
    /// The resources that change.
    pub resources: Vec<ResourceChange>,
}

/// What a deployment does with the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// Nothing: it is up to date.
    Keep,
    /// It is created.
    Create,
    /// Its template or its parameters change.
    Update,
    /// It is removed and created again, because a deployment or removal failed.
    MakeAnew,
}

/// A parameter of the template that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ParameterChange {
    /// The parameter's name.
    pub name: String,
    /// The current value; none if the stack does not have the parameter yet.
    pub from: Option<String>,
    /// The new value.
    pub to: String,
}

/// A resource that a deployment would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct ResourceChange {
    /// What a deployment does with it.
    pub action: ResourceAction,
    /// The logical id in the template.
    pub resource: String,
    /// The resource type, such as `AWS::Lambda::Function`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The properties that change.
    pub properties: Vec<String>,
}

/// What a deployment does with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResourceAction {
    /// It is created.
    Create,
    /// It is updated in place.
    Change,
    /// It is replaced by a new resource with another id.
    Replace,
    /// It is updated or replaced, depending on the result of another change.
    ChangeOrReplace,
    /// It is deleted.
    Delete,
}

/// Returns the parameters with other values in the stack than in `wanted`.
pub(super) fn parameter_changes(stack: &Description, wanted: &Parameters) -> Vec<ParameterChange> {
    let deployed: BTreeMap<_, _> = stack
        .parameters()
        .iter()
        .filter_map(|p| Some((p.parameter_key()?, p.parameter_value()?)))
        .collect();
    wanted
        .iter()
        .map(|(name, to)| ParameterChange {
            name: (*name).to_owned(),
            from: deployed.get(name).map(|value| (*value).to_owned()),
            to: to.clone(),
        })
        .filter(|change| change.from.as_ref() != Some(&change.to))
        .collect()
}

/// Converts a change of a change set.
pub(super) fn resource_change(change: &Change) -> Option<ResourceChange> {
    let change = change.resource_change()?;
    let targets = change.details().iter().filter_map(|d| d.target());
    let properties: BTreeSet<_> = targets
        .filter_map(|t| {
            let what = t.name().or(t.attribute().map(ResourceAttribute::as_str));
            Some(what?.to_owned())
        })
        .collect();
    Some(ResourceChange {
        action: match (change.action()?, change.replacement()) {
            (ChangeAction::Add | ChangeAction::Import, _) => ResourceAction::Create,
            (ChangeAction::Remove, _) => ResourceAction::Delete,
            (_, Some(Replacement::True)) => ResourceAction::Replace,
            (_, Some(Replacement::Conditional)) => ResourceAction::ChangeOrReplace,
            _ => ResourceAction::Change,
        },
        resource: change.logical_resource_id()?.to_owned(),
        kind: change.resource_type().unwrap_or_default().to_owned(),
        properties: properties.into_iter().collect(),
    })
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::{
        ResourceChange as Described, ResourceChangeDetail, ResourceTargetDefinition,
    };

    use super::*;

    #[test]
    fn changes_of_a_change_set_are_converted() {
        let detail = |target: ResourceTargetDefinition| {
            ResourceChangeDetail::builder().target(target).build()
        };
        let property = ResourceTargetDefinition::builder()
            .attribute(ResourceAttribute::Properties)
            .name("Code")
            .build();
        let tags = ResourceTargetDefinition::builder()
            .attribute(ResourceAttribute::Tags)
            .build();
        let converted = |action: ChangeAction, replacement: Option<Replacement>| {
            let described = Described::builder()
                .action(action)
                .set_replacement(replacement)
                .logical_resource_id("Function")
                .resource_type("AWS::Lambda::Function")
                .details(detail(tags.clone()))
                .details(detail(property.clone()))
                .build();
            let change = Change::builder().resource_change(described).build();
            resource_change(&change).unwrap()
        };
        let modified = |replacement| converted(ChangeAction::Modify, Some(replacement)).action;
        assert_eq!(modified(Replacement::True), ResourceAction::Replace);
        assert_eq!(
            modified(Replacement::Conditional),
            ResourceAction::ChangeOrReplace
        );
        assert_eq!(modified(Replacement::False), ResourceAction::Change);
        assert_eq!(
            converted(ChangeAction::Remove, None).action,
            ResourceAction::Delete
        );
        let made = converted(ChangeAction::Add, None);
        assert_eq!(made.action, ResourceAction::Create);
        assert_eq!(made.properties, ["Code", "Tags"]);
    }
}
