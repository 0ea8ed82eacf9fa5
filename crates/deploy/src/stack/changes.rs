//! What a deployment would do with the stack, in plain words.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudformation::types::{
    Change, ChangeAction, Replacement, ResourceAttribute, Stack as Description,
};
use serde::Serialize;

use super::Parameters;

/// What a deployment would do with the stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StackChanges {
    /// In one word.
    pub intent: Intent,
    /// Its status now; none if there is none.
    pub status: Option<String>,
    /// The template's parameters that change.
    pub parameters: Vec<ParameterChange>,
    /// Its resources that change.
    pub resources: Vec<ResourceChange>,
}

/// What becomes of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Intent {
    /// It is as it should be.
    Keep,
    /// There is none.
    Create,
    /// Its template or its parameters change.
    Update,
    /// A deployment or removal failed: it is removed first.
    MakeAnew,
}

/// A parameter of the template that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParameterChange {
    /// Its name.
    pub name: String,
    /// Its value now; none if the stack does not have it yet.
    pub from: Option<String>,
    /// Its value then.
    pub to: String,
}

/// One resource that a deployment would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResourceChange {
    /// What would be done.
    pub action: Action,
    /// The name in the template.
    pub resource: String,
    /// For example `AWS::Lambda::Function`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The properties that change.
    pub properties: Vec<String>,
}

/// What is done with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is made.
    Create,
    /// It stays, with other properties.
    Change,
    /// It is made anew, with another id.
    Replace,
    /// One of both: CloudFormation decides when it knows what another resource has become.
    ChangeOrReplace,
    /// It goes.
    Delete,
}

/// The parameters that the stack does not have like this.
pub(super) fn of_parameters(stack: &Description, wanted: &Parameters) -> Vec<ParameterChange> {
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

/// One of the changes that a change set proposes.
pub(super) fn of_resource(change: &Change) -> Option<ResourceChange> {
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
            (ChangeAction::Add | ChangeAction::Import, _) => Action::Create,
            (ChangeAction::Remove, _) => Action::Delete,
            (_, Some(Replacement::True)) => Action::Replace,
            (_, Some(Replacement::Conditional)) => Action::ChangeOrReplace,
            _ => Action::Change,
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
    fn what_cloudformation_proposes_is_put_in_words() {
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
        let told = |action: ChangeAction, replacement: Option<Replacement>| {
            let described = Described::builder()
                .action(action)
                .set_replacement(replacement)
                .logical_resource_id("Function")
                .resource_type("AWS::Lambda::Function")
                .details(detail(tags.clone()))
                .details(detail(property.clone()))
                .build();
            let change = Change::builder().resource_change(described).build();
            of_resource(&change).unwrap()
        };
        let modified = |replacement| told(ChangeAction::Modify, Some(replacement)).action;
        assert_eq!(modified(Replacement::True), Action::Replace);
        assert_eq!(modified(Replacement::Conditional), Action::ChangeOrReplace);
        assert_eq!(modified(Replacement::False), Action::Change);
        assert_eq!(told(ChangeAction::Remove, None).action, Action::Delete);
        let made = told(ChangeAction::Add, None);
        assert_eq!(made.action, Action::Create);
        assert_eq!(made.properties, ["Code", "Tags"]);
    }
}
