//! Parses EC2's query protocol: parameters by name, lists as `Name.1`, structures as `Name.Member` (*Query requests*,
//! API Reference).

use std::collections::BTreeMap;

use crate::action::{ApiAction, Service};
use crate::error::ModelError;
use crate::filter::DescribeFilter;
use crate::instance::{SpotKind, StopProtection};
use crate::launch::Launch;
use crate::request::{
    ApiRequest, AttributeChange, DescribeQuery, RegionScope, ShutdownMode, StatusScope, StopMode,
};

/// The version of the API that the model implements.
const VERSION: &str = "2016-11-15";

/// Returns the name of the action, and the request if it is valid.
pub(super) fn parse(parameters: &[(String, String)]) -> (String, Result<ApiRequest, ModelError>) {
    let parameters = QueryParameters(
        parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
    );
    let name = parameters.get("Action").unwrap_or_default().to_owned();
    let request = read(&parameters, &name);
    (name, request)
}

fn read(parameters: &QueryParameters<'_>, name: &str) -> Result<ApiRequest, ModelError> {
    if name.is_empty() {
        return Err(ModelError::client(
            "MissingAction",
            "The request is missing an action or a required parameter.",
        ));
    }
    let version = parameters.get("Version").unwrap_or(VERSION);
    let action = ApiAction::named(name)
        .filter(|action| action.service() == Service::Ec2 && version == VERSION)
        .ok_or_else(|| ModelError::invalid_action(name, version))?;
    let request = match action {
        ApiAction::RunInstances => run(parameters)?,
        ApiAction::DescribeInstances => {
            ApiRequest::DescribeInstances(query(parameters, "InstanceId")?)
        }
        ApiAction::DescribeInstanceStatus => {
            let scope = if parameters.flag("IncludeAllInstances")? {
                StatusScope::All
            } else {
                StatusScope::Running
            };
            ApiRequest::DescribeInstanceStatus(query(parameters, "InstanceId")?, scope)
        }
        ApiAction::StartInstances => ApiRequest::StartInstances(parameters.list("InstanceId")),
        ApiAction::StopInstances => ApiRequest::StopInstances(
            parameters.list("InstanceId"),
            if parameters.flag("Hibernate")? {
                StopMode::Hibernate
            } else {
                StopMode::Plain
            },
            if parameters.flag("Force")? {
                ShutdownMode::Forced
            } else {
                ShutdownMode::Graceful
            },
        ),
        ApiAction::TerminateInstances => {
            ApiRequest::TerminateInstances(parameters.list("InstanceId"))
        }
        ApiAction::ModifyInstanceAttribute => modify(parameters)?,
        ApiAction::CreateTags => ApiRequest::CreateTags(
            parameters.list("ResourceId"),
            tags(parameters, "Tag")
                .into_iter()
                .map(|(key, value)| (key, value.unwrap_or_default()))
                .collect(),
        ),
        ApiAction::DeleteTags => {
            ApiRequest::DeleteTags(parameters.list("ResourceId"), tags(parameters, "Tag"))
        }
        ApiAction::DescribeTags => ApiRequest::DescribeTags(query(parameters, "")?),
        ApiAction::DescribeSpotInstanceRequests => {
            ApiRequest::DescribeSpotInstanceRequests(query(parameters, "SpotInstanceRequestId")?)
        }
        ApiAction::DescribeRegions => {
            let scope = if parameters.flag("AllRegions")? {
                RegionScope::All
            } else {
                RegionScope::Enabled
            };
            ApiRequest::DescribeRegions(query(parameters, "RegionName")?, scope)
        }
        _ => return Err(ModelError::invalid_action(name, version)),
    };
    Ok(if parameters.flag("DryRun")? {
        ApiRequest::DryRun(Box::new(request))
    } else {
        request
    })
}

fn query(parameters: &QueryParameters<'_>, ids: &str) -> Result<DescribeQuery, ModelError> {
    let filters = parameters
        .indices("Filter")
        .into_iter()
        .map(|index| DescribeFilter {
            name: parameters
                .get(&format!("Filter.{index}.Name"))
                .unwrap_or_default()
                .to_owned(),
            values: parameters.list(&format!("Filter.{index}.Value")),
        })
        .collect();
    Ok(DescribeQuery {
        ids: parameters.list(ids),
        filters,
        max_results: parameters.number("MaxResults")?,
        next_token: parameters.get("NextToken").map(str::to_owned),
    })
}

fn run(parameters: &QueryParameters<'_>) -> Result<ApiRequest, ModelError> {
    let required = |name| {
        parameters
            .get(name)
            .ok_or_else(|| ModelError::missing_parameter(name))
    };
    let mut launch = Launch::unnamed()
        .image(required("ImageId")?)
        // EC2's default (RunInstances, API Reference).
        .instance_type(parameters.get("InstanceType").unwrap_or("m1.small"));
    launch.zone = parameters
        .get("Placement.AvailabilityZone")
        .map(str::to_owned);
    for index in parameters.indices("TagSpecification") {
        let prefix = format!("TagSpecification.{index}");
        if parameters.get(&format!("{prefix}.ResourceType")) == Some("instance") {
            for (key, value) in tags(parameters, &format!("{prefix}.Tag")) {
                launch = launch.tag(key, value.unwrap_or_default());
            }
        }
    }
    if parameters.flag("HibernationOptions.Configured")? {
        launch = launch.hibernation();
    }
    if parameters.flag("DisableApiStop")? {
        launch = launch.stop_protection();
    }
    if parameters.get("InstanceMarketOptions.MarketType") == Some("spot") {
        let kind = parameters.get("InstanceMarketOptions.SpotOptions.SpotInstanceType");
        launch = launch.spot(match kind {
            Some("persistent") => SpotKind::Persistent,
            _ => SpotKind::OneTime,
        });
    }
    let (min, max) = (count(required("MinCount")?)?, count(required("MaxCount")?)?);
    if min > max {
        return Err(ModelError::invalid_value(format!(
            "Value ({min}) for parameter minCount is invalid. Expecting a value of at most maxCount."
        )));
    }
    Ok(ApiRequest::RunInstances {
        launch: Box::new(launch),
        min,
        max,
    })
}

fn modify(parameters: &QueryParameters<'_>) -> Result<ApiRequest, ModelError> {
    let id = parameters
        .get("InstanceId")
        .ok_or_else(|| ModelError::missing_parameter("InstanceId"))?;
    // EC2 accepts an attribute by its own parameter, or by name.
    let named = |attribute: &str, parameter: &str| {
        let by_name = parameters.get("Attribute") == Some(attribute);
        parameters
            .get(parameter)
            .or(parameters.get("Value").filter(|_| by_name))
    };
    let instance_type = named("instanceType", "InstanceType.Value");
    let stop = named("disableApiStop", "DisableApiStop.Value");
    let change = match (instance_type, stop) {
        (Some(wanted), None) => AttributeChange::InstanceType(wanted.to_owned()),
        (None, Some(wanted)) => AttributeChange::StopProtection(if boolean(wanted)? {
            StopProtection::On
        } else {
            StopProtection::Off
        }),
        (None, None) => return Err(ModelError::invalid_combination("No attributes specified.")),
        (Some(_), Some(_)) => {
            return Err(ModelError::invalid_combination(
                "Fields for multiple attribute types specified",
            ));
        }
    };
    Ok(ApiRequest::ModifyInstanceAttribute(id.to_owned(), change))
}

fn tags(parameters: &QueryParameters<'_>, list: &str) -> Vec<(String, Option<String>)> {
    parameters
        .indices(list)
        .into_iter()
        .map(|index| {
            let part = |name| parameters.get(&format!("{list}.{index}.{name}"));
            (
                part("Key").unwrap_or_default().to_owned(),
                part("Value").map(str::to_owned),
            )
        })
        .collect()
}

fn count(text: &str) -> Result<u32, ModelError> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| ModelError::invalid_value(format!("Value ({text}) for a count is invalid.")))
}

fn boolean(text: &str) -> Result<bool, ModelError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(ModelError::invalid_value(format!(
            "'{other}' is not a valid boolean value"
        ))),
    }
}

/// The parameters of one call, by name.
struct QueryParameters<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> QueryParameters<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).copied()
    }

    fn flag(&self, name: &str) -> Result<bool, ModelError> {
        self.get(name).map_or(Ok(false), boolean)
    }

    fn number(&self, name: &str) -> Result<Option<i64>, ModelError> {
        self.get(name)
            .map(|text| {
                text.parse().map_err(|_| {
                    ModelError::invalid_value(format!(
                        "Value ( {text} ) for parameter {name} is invalid."
                    ))
                })
            })
            .transpose()
    }

    /// The values of `NAME.1`, `NAME.2`, …, in the order of their numbers.
    fn list(&self, name: &str) -> Vec<String> {
        self.indices(name)
            .into_iter()
            .filter_map(|index| self.get(&format!("{name}.{index}")))
            .map(str::to_owned)
            .collect()
    }

    /// The numbers after a list's name, in order.
    fn indices(&self, name: &str) -> Vec<u32> {
        let prefix = format!("{name}.");
        let mut indices: Vec<u32> = self
            .0
            .range(prefix.as_str()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter_map(|(key, _)| key[prefix.len()..].split('.').next()?.parse().ok())
            .collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }
}
