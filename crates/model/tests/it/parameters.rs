//! Every parameter of the query protocol, tested by its effect.

use curfew_model::{
    ApiAction, Ec2InstanceState, HibernationOption, Launch, RecordedOutcome, SpotKind,
    StopProtection, serve,
};
use jiff::ToSpan;

use crate::client::Client;
use crate::model;

#[tokio::test]
async fn a_launch_follows_its_parameters() {
    let ec2 = model();
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server).region("eu-west-1");
    let plain = client
        .call("RunInstances", "ImageId=ami-1&MinCount=1&MaxCount=1")
        .await;
    assert_eq!(plain.one("instanceType"), "m1.small");
    assert_eq!(plain.one("availabilityZone"), "eu-west-1a");
    assert_eq!(
        plain.one("instanceState"),
        "<code>0</code><name>pending</name>"
    );
    assert_eq!(plain.one("configured"), "false");
    assert!(plain.all("instanceLifecycle").is_empty() && plain.all("tagSet").is_empty());
    assert_eq!(plain.all("reservationId").len(), 1);

    let rich = client
        .call(
            "RunInstances",
            "ImageId=ami-2&MinCount=1&MaxCount=1&InstanceType=m5.large&Placement.AvailabilityZone=eu-west-1c\
             &HibernationOptions.Configured=true&DisableApiStop=true\
             &InstanceMarketOptions.MarketType=spot&InstanceMarketOptions.SpotOptions.SpotInstanceType=persistent\
             &TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key=not&TagSpecification.1.Tag.1.Value=it\
             &TagSpecification.2.ResourceType=instance&TagSpecification.2.Tag.1.Key=Name&TagSpecification.2.Tag.1.Value=web",
        )
        .await;
    assert_eq!(rich.one("imageId"), "ami-2");
    assert_eq!(rich.one("instanceType"), "m5.large");
    assert_eq!(rich.one("availabilityZone"), "eu-west-1c");
    assert_eq!(rich.one("configured"), "true");
    assert_eq!(rich.one("instanceLifecycle"), "spot");
    assert_eq!(
        rich.one("tagSet"),
        "<item><key>Name</key><value>web</value></item>"
    );
    let instance = ec2.instance(&rich.one("instanceId").parse().unwrap());
    assert_eq!(instance.hibernation, HibernationOption::Configured);
    assert_eq!(instance.stop_protection, StopProtection::On);
    let spot = instance.spot.as_ref().unwrap();
    assert_eq!(spot.kind, SpotKind::Persistent);
    assert_eq!(rich.one("spotInstanceRequestId"), spot.id);

    let spot = client
        .call(
            "RunInstances",
            "ImageId=ami-1&MinCount=1&MaxCount=1&InstanceMarketOptions.MarketType=spot",
        )
        .await;
    let instance = ec2.instance(&spot.one("instanceId").parse().unwrap());
    assert_eq!(instance.spot.as_ref().unwrap().kind, SpotKind::OneTime);
}

#[tokio::test]
async fn a_stop_can_hibernate_be_forced_or_be_a_dry_run() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web").hibernation());
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    ec2.advance(1.hour());
    let stop = |with: &str| format!("InstanceId.1={id}&{with}");

    let dry_run = client.call("StopInstances", &stop("DryRun=true")).await;
    assert_eq!(dry_run.error(), (412, "DryRunOperation"));
    assert_eq!(ec2.state(&id), Ec2InstanceState::Running);

    client.call("StopInstances", &stop("Hibernate=true")).await;
    let reason = ec2.instance(&id).state_reason.clone().unwrap();
    assert_eq!(reason.code, "Client.UserInitiatedHibernate");
    client.call("StopInstances", &stop("Force=true")).await;
    ec2.advance(5.seconds());
    assert_eq!(ec2.state(&id), Ec2InstanceState::Stopped);
}

#[tokio::test]
async fn status_checks_have_their_details() {
    let ec2 = model();
    let up = ec2.launch(Launch::new("up"));
    let down = ec2.launch(Launch::new("down").stopped());
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    let ask = async |with: &str| client.call("DescribeInstanceStatus", with).await;
    let running = ask("").await;
    assert_eq!(running.one("instanceId"), up.as_str());
    assert_eq!(
        running.one("systemStatus"),
        "<status>initializing</status><details><item><name>reachability</name>\
         <status>initializing</status></item></details>"
    );
    ec2.advance(2.minutes());
    assert_eq!(
        ask("").await.one("instanceStatus"),
        "<status>ok</status><details><item><name>reachability</name><status>passed</status></item></details>"
    );
    let all = ask("IncludeAllInstances=true").await;
    assert_eq!(all.all("instanceId").len(), 2);
    let named = ask(&format!("IncludeAllInstances=true&InstanceId.1={down}")).await;
    assert_eq!(
        named.one("instanceStatus"),
        "<status>not-applicable</status>"
    );
}

#[tokio::test]
async fn an_attribute_is_set_by_its_own_name_or_by_attribute_and_value() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web").stopped());
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    let modify = async |with: &str| {
        client
            .call(
                "ModifyInstanceAttribute",
                &format!("InstanceId={id}&{with}"),
            )
            .await
    };
    let done = modify("InstanceType.Value=m5.large").await;
    assert_eq!(done.one("return"), "true");
    assert_eq!(ec2.instance(&id).instance_type, "m5.large");
    modify("Attribute=instanceType&Value=m5.xlarge").await;
    assert_eq!(ec2.instance(&id).instance_type, "m5.xlarge");
    modify("Attribute=disableApiStop&Value=true").await;
    assert_eq!(ec2.instance(&id).stop_protection, StopProtection::On);
    modify("DisableApiStop.Value=false").await;
    assert_eq!(ec2.instance(&id).stop_protection, StopProtection::Off);
    for (with, code) in [
        ("Attribute=kernel&Value=x", "InvalidParameterCombination"),
        (
            "InstanceType.Value=m5.large&DisableApiStop.Value=true",
            "InvalidParameterCombination",
        ),
        ("DisableApiStop.Value=maybe", "InvalidParameterValue"),
    ] {
        assert_eq!(modify(with).await.error(), (400, code), "{with}");
    }
}

#[tokio::test]
async fn a_deleted_tag_with_an_empty_value_is_not_one_without_a_value() {
    let ec2 = model();
    let id = ec2.launch(Launch::unnamed().tag("a", "1"));
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    let delete = format!("ResourceId.1={id}&Tag.1.Key=a");
    client
        .call("DeleteTags", &format!("{delete}&Tag.1.Value="))
        .await;
    assert_eq!(ec2.tag(&id, "a").as_deref(), Some("1"));
    client.call("DeleteTags", &delete).await;
    assert_eq!(ec2.tag(&id, "a"), None);
}

#[tokio::test]
async fn the_other_describes_have_their_elements() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("spot").spot(SpotKind::Persistent));
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    let spot = client.call("DescribeSpotInstanceRequests", "").await;
    assert_eq!(spot.one("instanceId"), id.as_str());
    assert_eq!(spot.one("type"), "persistent");
    assert_eq!(spot.one("state"), "active");
    assert_eq!(spot.one("createTime"), "2026-11-23T18:00:00.000Z");
    let tags = client.call("DescribeTags", "").await;
    assert_eq!(
        tags.one("tagSet"),
        format!(
            "<item><resourceId>{id}</resourceId><resourceType>instance</resourceType>\
             <key>Name</key><value>spot</value></item>"
        )
    );
    let enabled = client.call("DescribeRegions", "").await;
    let all = client.call("DescribeRegions", "AllRegions=true").await;
    assert!(all.all("regionName").len() > enabled.all("regionName").len());
    let one = client
        .call("DescribeRegions", "RegionName.1=eu-west-1")
        .await;
    assert_eq!(
        one.one("item"),
        "<regionName>eu-west-1</regionName><regionEndpoint>ec2.eu-west-1.amazonaws.com</regionEndpoint>\
         <optInStatus>opt-in-not-required</optInStatus>"
    );
}

#[tokio::test]
async fn an_invalid_request_is_recorded_too() {
    let ec2 = model();
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server).account("12345");
    client.call("DescribeInstances", "MaxResults=many").await;
    client.call("DescribeVpcs", "").await;
    let calls = ec2.calls();
    assert_eq!(calls[0].name, ApiAction::DescribeInstances.name());
    assert!(calls[0].request.is_none() && calls[0].ids().is_empty());
    assert_eq!(calls[1].name, "DescribeVpcs");
    assert_eq!(
        calls[1].outcome,
        RecordedOutcome::Refused("InvalidAction".to_owned())
    );
    assert_eq!(
        calls[1].home.account, "000000000000",
        "a key of other than twelve digits names no account"
    );
}
