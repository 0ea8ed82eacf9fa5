//! The demo fleet that `curfew up` launches in an empty emulator. Its schedules are in `config/examples/demo.toml`.

use std::collections::BTreeSet;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{
    Filter, InstanceStateName, InstanceType, Reservation, ResourceType, Tag, TagSpecification,
};
use curfew_aws::connect::Connection;
use curfew_aws::endpoint_kind::EndpointKind;
use curfew_aws::error::{CloudError, CloudErrorKind};
use curfew_aws::pages::PageTokens;

/// The tag that marks the fleet, so that it is launched only once.
const MARK: &str = "curfew:demo";

/// The name of each instance, and the tag that selects its schedule.
const FLEET: [(&str, &str, &str); 3] = [
    ("web-1", "Schedule", "office"),
    ("batch-1", "Schedule", "night-stop"),
    ("lab-1", "Environment", "lab"),
];

/// Launches the missing instances of the fleet and returns their names. Refuses to launch anything on AWS.
pub async fn launch(conn: &Connection) -> Result<Vec<&'static str>, CloudError> {
    if !EndpointKind::of(conn).is_local() {
        return Err(CloudError::new(
            "ec2:RunInstances",
            CloudErrorKind::Refused,
            "the demo fleet is for the emulator on this machine, not for AWS",
        ));
    }
    let client = Client::new(&conn.sdk);
    let there = names(&client).await?;
    let mut launched = Vec::new();
    for (name, key, value) in FLEET {
        if there.contains(name) {
            continue;
        }
        let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
        client
            .run_instances()
            .image_id("ami-curfewdemo")
            .instance_type(InstanceType::T3Micro)
            .min_count(1)
            .max_count(1)
            .tag_specifications(
                TagSpecification::builder()
                    .resource_type(ResourceType::Instance)
                    .tags(tag("Name", name))
                    .tags(tag(key, value))
                    .tags(tag(MARK, name))
                    .build(),
            )
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ec2:RunInstances", error))?;
        launched.push(name);
    }
    Ok(launched)
}

/// Returns the names of the existing instances of the fleet. A terminated one is launched again.
async fn names(client: &Client) -> Result<BTreeSet<String>, CloudError> {
    let marked = Filter::builder().name("tag-key").values(MARK).build();
    let mut pages = PageTokens::new("ec2:DescribeInstances");
    let mut token = None;
    let mut names = BTreeSet::new();
    loop {
        let page = client
            .describe_instances()
            .filters(marked.clone())
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| CloudError::from_sdk("ec2:DescribeInstances", error))?;
        for instance in page.reservations().iter().flat_map(Reservation::instances) {
            let state = instance.state().and_then(|state| state.name());
            let gone = matches!(
                state,
                Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown)
            );
            let mark = instance.tags().iter().find(|tag| tag.key() == Some(MARK));
            if let (false, Some(name)) = (gone, mark.and_then(|tag| tag.value())) {
                names.insert(name.to_owned());
            }
        }
        token = pages.follow(page.next_token)?;
        if token.is_none() {
            return Ok(names);
        }
    }
}
