//! The query protocol: what an SDK sends and needs in the response.

use std::time::Duration;

use curfew_model::{
    ApiAction, Ec2InstanceId, Ec2InstanceState, Fault, Launch, RecordedOutcome, Symptom, serve,
};
use jiff::ToSpan;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::Client;
use crate::model;

#[tokio::test]
async fn a_stop_and_a_start_have_the_xml_of_ec2() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web").tag("Schedule", "office"));
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    ec2.advance(1.hour());

    let stop = client
        .call("StopInstances", &format!("InstanceId.1={id}"))
        .await;
    assert_eq!(stop.status, 200);
    assert_eq!(stop.one("instanceId"), id.as_str());
    assert_eq!(stop.changes(), ["running->stopping"]);
    assert_eq!(stop.all("code"), ["64", "16"]);

    ec2.advance(29.seconds());
    assert_eq!(ec2.state(&id), Ec2InstanceState::Stopping);
    ec2.advance(1.second());
    let stopped = client
        .call("DescribeInstances", &format!("InstanceId.1={id}"))
        .await;
    assert!(stopped.body.starts_with(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <DescribeInstancesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>"
    ));
    assert_eq!(
        stopped.one("instanceState"),
        "<code>80</code><name>stopped</name>"
    );
    assert_eq!(
        stopped.one("reason"),
        "User initiated (2026-11-23 19:00:00 GMT)"
    );
    assert_eq!(
        stopped.one("stateReason"),
        "<code>Client.UserInitiatedShutdown</code>\
         <message>Client.UserInitiatedShutdown: User initiated shutdown</message>"
    );
    assert_eq!(
        stopped.one("launchTime"),
        "2026-11-23T18:00:00.000Z",
        "a stop leaves it"
    );

    let start = client
        .call("StartInstances", &format!("InstanceId.1={id}"))
        .await;
    assert_eq!(start.changes(), ["stopped->pending"]);
    ec2.advance(12.seconds());
    let running = client
        .call("DescribeInstances", &format!("InstanceId.1={id}"))
        .await;
    assert_eq!(
        running.one("instanceState"),
        "<code>16</code><name>running</name>"
    );
    assert_eq!(running.one("launchTime"), "2026-11-23T19:00:30.000Z");
    assert_eq!(running.one("reason"), "");
    assert!(running.all("stateReason").is_empty());
    assert_eq!(
        running.one("tagSet"),
        "<item><key>Name</key><value>web</value></item>\
         <item><key>Schedule</key><value>office</value></item>"
    );
}

#[tokio::test]
async fn region_and_account_come_from_the_signature() {
    let ec2 = model();
    let here = ec2.launch(Launch::new("here"));
    let there = ec2.launch(
        Launch::new("there")
            .region("eu-west-1")
            .account("123456789012"),
    );
    let server = serve(ec2.clone()).await;

    let home = Client::new(&server).call("DescribeInstances", "").await;
    assert_eq!(home.one("instanceId"), here.as_str());
    assert_eq!(home.one("ownerId"), "000000000000");
    let away = Client::new(&server)
        .account("123456789012")
        .region("eu-west-1");
    let reply = away.call("DescribeInstances", "").await;
    assert_eq!(reply.one("instanceId"), there.as_str());
    assert_eq!(reply.one("availabilityZone"), "eu-west-1a");
    let foreign = away
        .call("StopInstances", &format!("InstanceId.1={here}"))
        .await;
    assert_eq!(foreign.error(), (400, "InvalidInstanceID.NotFound"));
    let named = Client::new(&server)
        .account("AKIAIOSFODNN7EXAMPLE")
        .call("DescribeInstances", "")
        .await;
    assert_eq!(named.one("instanceId"), here.as_str());

    let calls = ec2.calls();
    assert_eq!(calls[1].home.account, "123456789012");
    assert_eq!(calls[1].home.region, "eu-west-1");
    assert_eq!(calls[2].ids(), [here.to_string()]);
    assert_eq!(
        calls[2].outcome,
        RecordedOutcome::Refused("InvalidInstanceID.NotFound".to_owned())
    );
    assert_eq!(calls[1].outcome, RecordedOutcome::Done);
    assert_eq!(calls[1].request_id, reply.one("requestId"));
    assert_ne!(calls[0].request_id, calls[1].request_id);
    assert_eq!(ec2.calls_of(ApiAction::DescribeInstances).len(), 3);
}

#[tokio::test]
async fn unsupported_actions_are_refused() {
    let server = serve(model()).await;
    let client = Client::new(&server);
    let other = client.call("DescribeVpcs", "").await;
    assert_eq!(other.error(), (400, "InvalidAction"));
    assert!(other.one("Message").contains("DescribeVpcs"));
    for (body, code) in [
        (
            "Action=DescribeInstances&Version=2010-01-01",
            "InvalidAction",
        ),
        ("Version=2016-11-15", "MissingAction"),
    ] {
        let reply = client.post(body).await.unwrap();
        assert_eq!(reply.error(), (400, code), "{body}");
    }
    for (action, parameters, code) in [
        ("StopInstances", "", "MissingParameter"),
        (
            "StopInstances",
            "InstanceId.1=i-12345678&Force=yes",
            "InvalidParameterValue",
        ),
        (
            "DescribeInstances",
            "MaxResults=many",
            "InvalidParameterValue",
        ),
        ("RunInstances", "MinCount=1&MaxCount=1", "MissingParameter"),
        (
            "RunInstances",
            "ImageId=ami-1&MinCount=2&MaxCount=1",
            "InvalidParameterValue",
        ),
        (
            "RunInstances",
            "ImageId=ami-1&MinCount=0&MaxCount=1",
            "InvalidParameterValue",
        ),
        (
            "ModifyInstanceAttribute",
            "InstanceId=i-12345678",
            "InvalidParameterCombination",
        ),
    ] {
        let reply = client.call(action, parameters).await;
        assert_eq!(reply.error(), (400, code), "{action} {parameters}");
    }
}

#[tokio::test]
async fn text_is_unchanged_by_form_and_xml_encoding() {
    let ec2 = model();
    let id = ec2.launch(Launch::unnamed());
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    let value = "a%3Cb%3E+%26+%22c%22+%C3%A9%2B%3D%25%0D";
    let reply = client
        .call(
            "CreateTags",
            &format!(
                "ResourceId.1={id}&Tag.1.Key=odd&Tag.1.Value={value}&Tag.2.Key=empty&Tag.2.Value="
            ),
        )
        .await;
    assert_eq!(reply.one("return"), "true");
    assert_eq!(ec2.tag(&id, "odd").as_deref(), Some("a<b> & \"c\" é+=%\r"));
    assert_eq!(ec2.tag(&id, "empty").as_deref(), Some(""));
    let reply = client.call("DescribeInstances", "").await;
    assert!(
        reply
            .body
            .contains("<value>a&lt;b&gt; &amp; \"c\" é+=%&#xd;</value>"),
        "{}",
        reply.body
    );
}

#[tokio::test]
async fn lists_are_ordered_by_number() {
    let ec2 = model();
    let ids: Vec<_> = (0..12).map(|_| ec2.launch(Launch::unnamed())).collect();
    let server = serve(ec2.clone()).await;
    let parameters: Vec<_> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| format!("InstanceId.{}={id}", n + 1))
        .rev()
        .collect();
    let reply = Client::new(&server)
        .call("StopInstances", &parameters.join("&"))
        .await;
    let expected: Vec<_> = ids.iter().map(Ec2InstanceId::as_str).collect();
    assert_eq!(reply.all("instanceId"), expected);
}

#[tokio::test]
async fn a_dropped_server_releases_its_port_and_hanging_calls() {
    let ec2 = model();
    ec2.fault(Fault::everywhere(Symptom::Hang));
    let server = serve(ec2.clone()).await;
    let address = server.address;
    let mut hanging = tokio::net::TcpStream::connect(address).await.unwrap();
    let call = "POST / HTTP/1.1\r\nhost: ec2\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                content-length: 24\r\n\r\nAction=DescribeInstances";
    hanging.write_all(call.as_bytes()).await.unwrap();
    while ec2.calls().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(server);
    let mut answer = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), hanging.read_to_end(&mut answer)).await;
    assert!(end.expect("the call ends").is_err(), "but not in order");
    assert!(answer.is_empty(), "nothing ever comes back");
    let freed = async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), freed)
        .await
        .expect("the port is closed soon after the server is dropped");
}
