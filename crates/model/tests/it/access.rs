//! Credentials, permissions, regions and clocks.

use curfew_model::{
    ApiAction, ApiCaller, ApiRequest, ClockCheck, CredentialFault, Denial, DescribeQuery,
    Ec2InstanceState, Launch, ShutdownMode, StopMode, serve,
};

use crate::client::Client;
use crate::{code, model, stop};

#[tokio::test]
async fn a_signature_ten_minutes_off_is_refused_with_the_time() {
    let ec2 = model();
    let server = serve(ec2.clone()).await;
    let late = Client::new(&server).signed("20261123T175000Z");
    assert_eq!(late.call("DescribeInstances", "").await.status, 200);

    ec2.check_clocks(ClockCheck::On);
    let refused = late.call("DescribeInstances", "").await;
    assert_eq!(refused.error(), (400, "RequestExpired"));
    assert!(refused.head.contains("date: Mon, 23 Nov 2026 18:00:00 GMT"));
    let early = Client::new(&server).signed("20261123T181000Z");
    let refused = early.call("DescribeInstances", "").await;
    assert_eq!(refused.error(), (400, "RequestExpired"));
    let close = Client::new(&server).signed("20261123T175600Z");
    assert_eq!(close.call("DescribeInstances", "").await.status, 200);
}

#[test]
fn a_denied_action_is_named_and_has_no_effect() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    ec2.deny(Denial::of(ApiAction::StopInstances));
    let error = stop(&ec2, &[&id]).unwrap_err();
    assert_eq!(
        (error.code.as_ref(), error.status),
        ("UnauthorizedOperation", 403)
    );
    assert!(
        error.message.contains("ec2:StopInstances"),
        "{}",
        error.message
    );
    assert!(error.message.contains(id.as_str()), "{}", error.message);
    assert_eq!(ec2.state(&id), Ec2InstanceState::Running);
    let other = DescribeQuery::default();
    ec2.call(&ApiCaller::default(), ApiRequest::DescribeInstances(other))
        .unwrap();
    ec2.allow_everything();
    stop(&ec2, &[&id]).unwrap();
}

#[test]
fn a_condition_on_tags_denies_the_whole_call_for_one_instance() {
    let ec2 = model();
    let ours = ec2.launch(Launch::new("ours").tag("managed", "curfew-1"));
    let theirs = ec2.launch(Launch::new("theirs"));
    ec2.deny(Denial::of(ApiAction::StopInstances).unless_tagged("managed", "curfew*"));
    let error = stop(&ec2, &[&ours, &theirs]).unwrap_err();
    assert_eq!(error.code, "UnauthorizedOperation");
    assert!(error.message.contains(theirs.as_str()), "{}", error.message);
    assert_eq!(ec2.state(&ours), Ec2InstanceState::Running);
    stop(&ec2, &[&ours]).unwrap();

    let ec2 = model();
    let prod = ec2.launch(Launch::new("prod").tag("Environment", "prod"));
    let dev = ec2.launch(Launch::new("dev").tag("Environment", "dev"));
    ec2.deny(Denial::of(ApiAction::StopInstances).if_tagged("Environment", "prod"));
    assert_eq!(code(stop(&ec2, &[&dev, &prod])), "UnauthorizedOperation");
    stop(&ec2, &[&dev]).unwrap();
}

#[test]
fn a_condition_on_tags_does_not_affect_a_describe() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    let ask = || {
        let query = DescribeQuery {
            ids: vec![id.to_string()],
            ..DescribeQuery::default()
        };
        ec2.call(&ApiCaller::default(), ApiRequest::DescribeInstances(query))
    };
    ec2.deny(Denial::of(ApiAction::DescribeInstances).unless_tagged("managed", "*"));
    ask().unwrap();
    ec2.deny(Denial::of(ApiAction::DescribeInstances));
    assert_eq!(code(ask()), "UnauthorizedOperation");
}

#[test]
fn a_denial_is_limited_to_its_account_and_region() {
    let ec2 = model();
    ec2.deny(
        Denial::of(ApiAction::DescribeInstances)
            .in_account("123456789012")
            .in_region("eu-west-1"),
    );
    let ask = |account, region| {
        let request = ApiRequest::DescribeInstances(DescribeQuery::default());
        ec2.call(&ApiCaller::new(account, region), request).is_ok()
    };
    assert!(!ask("123456789012", "eu-west-1"));
    assert!(ask("123456789012", "eu-west-2"));
    assert!(ask("000000000000", "eu-west-1"));
}

#[test]
fn rejected_credentials_fail_every_call_until_they_are_renewed() {
    for (fault, expected) in [
        (CredentialFault::ExpiredToken, ("ExpiredToken", 400)),
        (CredentialFault::RequestExpired, ("RequestExpired", 400)),
        (CredentialFault::AuthFailure, ("AuthFailure", 401)),
    ] {
        let ec2 = model();
        ec2.reject_credentials("123456789012", fault);
        let ask = |account| {
            let request = ApiRequest::DescribeInstances(DescribeQuery::default());
            ec2.call(&ApiCaller::new(account, "us-east-1"), request)
        };
        let error = ask("123456789012").unwrap_err();
        assert_eq!((error.code.as_ref(), error.status), expected);
        ask("000000000000").unwrap();
        ec2.accept_credentials("123456789012");
        ask("123456789012").unwrap();
    }
}

#[test]
fn an_unknown_or_disabled_region_rejects_credentials() {
    let ec2 = model();
    let ask = |region| {
        let request = ApiRequest::DescribeInstances(DescribeQuery::default());
        ec2.call(&ApiCaller::new("000000000000", region), request)
    };
    assert_eq!(code(ask("mars-1")), "AuthFailure");
    assert_eq!(code(ask("me-south-1")), "AuthFailure");
    ec2.opt_in("me-south-1");
    ask("me-south-1").unwrap();
}

#[test]
fn a_dry_run_checks_permissions_and_does_nothing() {
    let ec2 = model();
    let id = ec2.launch(Launch::new("web"));
    let ask = || {
        let ids = vec![id.to_string()];
        let stop = ApiRequest::StopInstances(ids, StopMode::Plain, ShutdownMode::Graceful);
        ec2.call(&ApiCaller::default(), ApiRequest::DryRun(Box::new(stop)))
            .unwrap_err()
    };
    let error = ask();
    assert_eq!(
        (error.code.as_ref(), error.status),
        ("DryRunOperation", 412)
    );
    ec2.deny(Denial::of(ApiAction::StopInstances));
    assert_eq!(ask().code, "UnauthorizedOperation");
    assert!(ec2.transitions().is_empty());
}
