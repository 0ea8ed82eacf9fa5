//! The real SDKs against the model, without sockets and on paused time.

use aws_credential_types::Credentials;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Region, SharedHttpClient};
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata as _};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName};
use curfew_model::{
    ApiAction, Denial, Ec2InstanceState, Fault, Home, Launch, Model, QueueAttributes,
    RecordedOutcome, Redrive, Role, Symptom, Throttling, TimeSource, direct,
};
use jiff::{SignedDuration, ToSpan};
use serde_json::Value;
use tokio::time::{Duration, Instant};

const HERE: &str = "000000000000";

fn model() -> Model {
    Model::new("2026-11-23T18:00:00Z".parse().unwrap())
}

fn home() -> Home {
    Home::new(HERE, "eu-west-3")
}

fn keys(account: &str) -> Credentials {
    Credentials::new(account, "secret", None, None, "test")
}

/// Returns a client's configuration; every service's builder has the same methods.
macro_rules! client {
    ($service:ident, $http:expr, $credentials:expr) => {
        $service::Client::from_conf(
            $service::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("eu-west-3"))
                .http_client($http)
                .credentials_provider($credentials)
                .retry_config(RetryConfig::standard())
                .timeout_config(
                    TimeoutConfig::builder()
                        .operation_attempt_timeout(Duration::from_secs(15))
                        .build(),
                )
                .build(),
        )
    };
}

fn ec2_client(http: &SharedHttpClient, credentials: Credentials) -> aws_sdk_ec2::Client {
    client!(aws_sdk_ec2, http.clone(), credentials)
}

fn sqs_client(http: &SharedHttpClient) -> aws_sdk_sqs::Client {
    client!(aws_sdk_sqs, http.clone(), keys(HERE))
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_ends_with_the_state_change_that_it_waited_for() {
    let ec2 = model();
    let web = ec2.launch(Launch::new("web").region("eu-west-3"));
    let elsewhere = ec2.launch(Launch::new("elsewhere").region("eu-west-1"));
    let url = ec2.create_queue(&home(), "changes", QueueAttributes::default());
    ec2.deliver_events_to(&url);
    let sqs = sqs_client(&direct(ec2.clone(), TimeSource::Tokio));

    ec2.stop(&web).unwrap();
    ec2.stop(&elsewhere).unwrap();
    let mut states = Vec::new();
    let begun = Instant::now();
    while states.len() < 2 {
        let received = sqs.receive_message().queue_url(&url).wait_time_seconds(20);
        let received = received.max_number_of_messages(10).send().await.unwrap();
        for message in received.messages() {
            let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
            assert_eq!(event["source"], "aws.ec2");
            assert_eq!(event["detail"]["instance-id"], web.as_str());
            states.push(event["detail"]["state"].as_str().unwrap().to_owned());
            let receipt = message.receipt_handle().unwrap();
            let delete = sqs.delete_message().queue_url(&url).receipt_handle(receipt);
            delete.send().await.unwrap();
        }
    }
    assert_eq!(states, ["stopping", "stopped"]);
    let waited = begun.elapsed();
    assert!(
        (Duration::from_secs(30)..Duration::from_secs(31)).contains(&waited),
        "a poll of 20 s that found nothing, and then 10 s more: {waited:?}"
    );
    assert_eq!(ec2.messages(&url), []);
    assert_eq!(ec2.drain_events().len(), 4, "they are drained all the same");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_deleted_returns_and_becomes_a_dead_letter() {
    let ec2 = model();
    let dead = ec2.create_queue(&home(), "dead", QueueAttributes::default());
    let configuration = QueueAttributes {
        redrive: Some(Redrive {
            max_receives: 2,
            dead_letters: dead.clone(),
        }),
        ..QueueAttributes::default()
    };
    let work = ec2.create_queue(&home(), "work", configuration);
    let sqs = sqs_client(&direct(ec2.clone(), TimeSource::Held));
    let sent = sqs.send_message().queue_url(&work).message_body("one");
    let id = sent.send().await.unwrap().message_id.unwrap();
    let receive = async || {
        let receive = sqs.receive_message().queue_url(&work).send();
        receive.await.unwrap().messages.unwrap_or_default()
    };

    let first = receive().await;
    assert_eq!(first[0].message_id(), Some(id.as_str()));
    assert_eq!(receive().await, [], "the message is in flight");
    ec2.advance(30.seconds());
    let second = receive().await;
    assert_eq!(second[0].body(), Some("one"));
    let stale = sqs.delete_message().queue_url(&work);
    let stale = stale.set_receipt_handle(first[0].receipt_handle.clone());
    stale.send().await.unwrap();
    assert_eq!(ec2.messages(&work).len(), 1, "it has another receipt now");
    let again = sqs.change_message_visibility().queue_url(&work);
    let again = again.set_receipt_handle(second[0].receipt_handle.clone());
    again.visibility_timeout(0).send().await.unwrap();
    assert_eq!(receive().await, [], "it was received twice already");
    assert_eq!(ec2.messages(&work), []);
    assert_eq!(ec2.messages(&dead)[0].body, "one");

    ec2.advance(SignedDuration::from_hours(4 * 24));
    let receive = sqs.receive_message().queue_url(&dead).send();
    assert_eq!(
        receive.await.unwrap().messages(),
        [],
        "it was kept for four days"
    );
}

#[tokio::test(start_paused = true)]
async fn batches_report_each_entry_and_counts_each_state() {
    let ec2 = model();
    let url = ec2.create_queue(&home(), "work", QueueAttributes::default());
    let sqs = sqs_client(&direct(ec2.clone(), TimeSource::Held));
    let found = sqs.get_queue_url().queue_name("work").send();
    assert_eq!(found.await.unwrap().queue_url(), Some(url.as_str()));
    let entry = |name: &str, body: &str, delay| {
        aws_sdk_sqs::types::SendMessageBatchRequestEntry::builder()
            .id(name)
            .message_body(body)
            .delay_seconds(delay)
            .build()
            .unwrap()
    };
    let sent = sqs
        .send_message_batch()
        .queue_url(&url)
        .entries(entry("now", "a", 0))
        .entries(entry("soon", "b", 60))
        .entries(entry("empty", "", 0))
        .send()
        .await
        .unwrap();
    assert_eq!(
        (sent.successful().len(), sent.failed()[0].id()),
        (2, "empty")
    );
    ec2.send(&url, "c");
    let received = sqs.receive_message().queue_url(&url).send().await.unwrap();
    let counts = sqs
        .get_queue_attributes()
        .queue_url(&url)
        .send()
        .await
        .unwrap();
    let count = |name| counts.attributes().unwrap()[&name].clone();
    assert_eq!(count(QueueAttributeName::ApproximateNumberOfMessages), "1");
    assert_eq!(
        count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        "1"
    );
    assert_eq!(
        count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
        "1"
    );
    let done = DeleteMessageBatchRequestEntry::builder()
        .id("a")
        .set_receipt_handle(received.messages()[0].receipt_handle.clone());
    let unknown = DeleteMessageBatchRequestEntry::builder()
        .id("b")
        .receipt_handle("nothing");
    let deleted = sqs
        .delete_message_batch()
        .queue_url(&url)
        .entries(done.build().unwrap())
        .entries(unknown.build().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.successful()[0].id(), "a");
    assert_eq!(deleted.failed()[0].code(), "ReceiptHandleIsInvalid");
}

#[tokio::test(start_paused = true)]
async fn a_missing_queue_and_a_denied_one_have_different_errors() {
    let ec2 = model();
    let url = ec2.create_queue(&home(), "changes", QueueAttributes::default());
    let sqs = sqs_client(&direct(ec2.clone(), TimeSource::Held));
    let missing = sqs.receive_message().queue_url(url.replace("changes", "x"));
    let error = missing.send().await.unwrap_err().into_service_error();
    assert!(error.is_queue_does_not_exist(), "{error:?}");
    let too_many = sqs
        .receive_message()
        .queue_url(&url)
        .max_number_of_messages(11);
    let error = too_many.send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    ec2.deny(Denial::of(ApiAction::ReceiveMessage));
    let error = sqs.receive_message().queue_url(&url).send().await;
    assert_eq!(error.unwrap_err().code(), Some("AccessDeniedException"));
}

#[tokio::test(start_paused = true)]
async fn an_assumed_role_acts_in_another_account_until_it_expires() {
    let ec2 = model();
    let web = ec2.launch(
        Launch::new("web")
            .account("111122223333")
            .region("eu-west-3"),
    );
    let role = Role::new("111122223333", "curfew").trusting(HERE);
    let role = ec2.add_role(role.external_id("a secret of two"));
    let http = direct(ec2.clone(), TimeSource::Held);
    let sts = client!(aws_sdk_sts, http.clone(), keys(HERE));
    let assume = |external_id: Option<&str>| {
        let call = sts.assume_role().role_arn(&role).role_session_name("night");
        call.set_external_id(external_id.map(str::to_owned))
            .duration_seconds(900)
            .send()
    };
    for wrong in [None, Some("a guess")] {
        let error = assume(wrong).await.unwrap_err();
        assert_eq!(error.code(), Some("AccessDenied"));
        assert!(
            DisplayErrorContext(&error)
                .to_string()
                .contains("sts:AssumeRole on resource: arn:aws:iam::111122223333:role/curfew"),
            "{error:?}"
        );
    }
    let given = assume(Some("a secret of two")).await.unwrap();
    let given = given.credentials().unwrap();
    assert_eq!(given.expiration().secs(), ec2.now().as_second() + 900);
    let session = |token: &str| {
        let token = Some(token.to_owned());
        Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            token,
            None,
            "role",
        )
    };
    let there = ec2_client(&http, session(given.session_token()));
    let stop = there.stop_instances().instance_ids(web.as_str());
    stop.send().await.unwrap();
    assert_eq!(ec2.state(&web), Ec2InstanceState::Stopping);
    assert_eq!(ec2.calls().last().unwrap().home.account, "111122223333");
    let identity = client!(aws_sdk_sts, http.clone(), session(given.session_token()));
    let identity = identity.get_caller_identity().send().await.unwrap();
    assert_eq!(
        identity.arn(),
        Some("arn:aws:sts::111122223333:assumed-role/curfew/night")
    );
    let forged = ec2_client(&http, session("another"));
    let error = forged.describe_instances().send().await.unwrap_err();
    assert_eq!(error.code(), Some("AuthFailure"));

    ec2.advance(15.minutes());
    let error = there.describe_instances().send().await.unwrap_err();
    assert_eq!(error.code(), Some("RequestExpired"));
    let error = client!(aws_sdk_sts, http.clone(), session(given.session_token()));
    let error = error.get_caller_identity().send().await.unwrap_err();
    assert_eq!(error.code(), Some("ExpiredToken"));
}

#[tokio::test(start_paused = true)]
async fn timeouts_elapse_on_a_paused_clock() {
    let ec2 = model();
    let client = ec2_client(&direct(ec2.clone(), TimeSource::Tokio), keys(HERE));
    ec2.fault(Fault::on(ApiAction::DescribeInstances, Symptom::Hang).times(2));
    ec2.fault(Fault::on(ApiAction::DescribeInstances, Symptom::Reset).times(4));
    let begun = ec2.now();
    let describe = async || client.describe_instances().send().await;
    describe().await.unwrap_err();
    let waited = ec2.now().duration_since(begun);
    assert!(waited >= SignedDuration::from_secs(30), "{waited:?}");
    describe().await.unwrap_err();
    describe().await.unwrap();
    let lost = ec2.calls();
    let lost = lost
        .iter()
        .filter(|call| call.outcome == RecordedOutcome::Lost);
    assert_eq!(lost.count(), 6, "three calls each, of which two hung");
}

#[tokio::test(start_paused = true)]
async fn buckets_fill_again_while_a_client_sleeps() {
    let ec2 = model();
    ec2.throttle(Throttling::published());
    let client = ec2_client(&direct(ec2.clone(), TimeSource::Tokio), keys(HERE));
    let ask = async || client.describe_regions().send().await.is_ok();
    for _ in 0..100 {
        assert!(ask().await);
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let calls = ec2.calls().len();
    for _ in 0..40 {
        assert!(ask().await, "two seconds at 20 a second");
    }
    assert_eq!(ec2.calls().len(), calls + 40, "none had to be repeated");
}
