//! Resources of one account-region of the emulator.

use std::collections::BTreeMap;

use aws_sdk_cloudformation::types::{Capability, Parameter};
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_ec2::types::{InstanceType, ResourceType, Tag, TagSpecification};
use aws_sdk_sqs::types::QueueAttributeName;
use curfew_aws::connect::{ConnectOptions, Connection};
use curfew_aws::parameter::ParameterEditor;
use curfew_deploy::MEMBER_ROLE;
use curfew_emulator::demo;
use tokio::runtime::Runtime;

use super::test_fleet;

/// An account-region of the emulator.
pub(crate) struct Place {
    connection: Connection,
    runtime: Runtime,
}

impl Place {
    /// `account` is an account of twelve digits, which the emulator takes from an access key of the same digits. Without it,
    /// the emulator's default account.
    pub(crate) fn new(endpoint: &str, account: Option<&str>, region: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let options = ConnectOptions {
            endpoint: Some(endpoint.to_owned()),
            region: Some(region.to_owned()),
            ..ConnectOptions::default()
        };
        let mut connection = runtime.block_on(Connection::open(options)).unwrap();
        if let Some(account) = account {
            let keys = Credentials::new(account, "secret", None, None, "test");
            let keys = SharedCredentialsProvider::new(keys);
            let sdk = connection.sdk.into_builder();
            connection.sdk = sdk.credentials_provider(keys).build();
        }
        Self {
            connection,
            runtime,
        }
    }

    pub(crate) fn launch_the_demo_fleet(&self) {
        self.runtime
            .block_on(demo::launch(&self.connection, &test_fleet()))
            .unwrap();
    }

    /// Launches an instance with the schedule tag and returns its id.
    pub(crate) fn launch(&self, schedule: &str) -> String {
        self.launch_with("Schedule", schedule)
    }

    /// The same with another tag key.
    pub(crate) fn launch_with(&self, key: &str, schedule: &str) -> String {
        let tag = Tag::builder().key(key).value(schedule).build();
        let tags = TagSpecification::builder()
            .resource_type(ResourceType::Instance)
            .tags(tag)
            .build();
        let run = self
            .ec2()
            .run_instances()
            .image_id("ami-curfewtest")
            .instance_type(InstanceType::T3Micro)
            .min_count(1)
            .max_count(1)
            .tag_specifications(tags);
        let launched = self.runtime.block_on(run.send()).unwrap();
        launched.instances()[0].instance_id().unwrap().to_owned()
    }

    /// Stops an instance externally.
    pub(crate) fn stop(&self, id: &str) {
        let stop = self.ec2().stop_instances().instance_ids(id);
        self.runtime.block_on(stop.send()).unwrap();
    }

    /// Terminates instances, if they exist.
    pub(crate) fn terminate(&self, ids: &[&str]) {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let terminate = self.ec2().terminate_instances();
        let _ = self
            .runtime
            .block_on(terminate.set_instance_ids(Some(ids)).send());
    }

    /// Returns the state and tags of an instance.
    pub(crate) fn look(&self, id: &str) -> (String, BTreeMap<String, String>) {
        let describe = self.ec2().describe_instances().instance_ids(id);
        let answer = self.runtime.block_on(describe.send()).unwrap();
        let instance = &answer.reservations()[0].instances()[0];
        let state = instance.state().unwrap().name().unwrap();
        let tags = instance.tags().iter().map(|tag| {
            let (key, value) = (tag.key().unwrap(), tag.value().unwrap());
            (key.to_owned(), value.to_owned())
        });
        (state.as_str().to_owned(), tags.collect())
    }

    /// Creates the role that Curfew in the account `curfew` assumes in this account, from the published template.
    pub(crate) fn make_member_role(&self, curfew: &str, external_id: &str) -> String {
        let parameters = [("CurfewAccount", curfew), ("ExternalId", external_id)];
        self.create_stack_with_output("curfew-member", MEMBER_ROLE, &parameters, None)
    }

    /// Creates a stack with CloudFormation and returns its output `FunctionArn`.
    pub(crate) fn create_stack(
        &self,
        name: &str,
        template: &str,
        parameters: &[(&str, &str)],
    ) -> String {
        self.create_stack_with_output(name, template, parameters, Some("FunctionArn"))
    }

    /// Returns the output of this key, or the first one.
    fn create_stack_with_output(
        &self,
        name: &str,
        template: &str,
        parameters: &[(&str, &str)],
        key: Option<&str>,
    ) -> String {
        let client = aws_sdk_cloudformation::Client::new(&self.connection.sdk);
        let parameters = parameters.iter().map(|(key, value)| {
            Parameter::builder()
                .parameter_key(*key)
                .parameter_value(*value)
                .build()
        });
        let create = client
            .create_stack()
            .stack_name(name)
            .template_body(template)
            .capabilities(Capability::CapabilityNamedIam)
            .set_parameters(Some(parameters.collect()));
        self.runtime.block_on(create.send()).unwrap();
        let describe = client.describe_stacks().stack_name(name);
        loop {
            let answer = self.runtime.block_on(describe.clone().send()).unwrap();
            let stack = &answer.stacks()[0];
            let status = stack.stack_status().unwrap().as_str();
            let mut outputs = stack.outputs().iter();
            let wanted = outputs.find(|output| key.is_none() || output.output_key() == key);
            if let Some(output) = wanted {
                return output.output_value().unwrap().to_owned();
            }
            assert_eq!(status, "CREATE_IN_PROGRESS");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    /// Creates a bucket and puts an object into it.
    pub(crate) fn upload(&self, bucket: &str, key: &str, content: Vec<u8>) {
        // Uploading the code of a development build takes longer than other calls on a busy machine.
        let timeouts = aws_sdk_s3::config::timeout::TimeoutConfig::builder()
            .operation_attempt_timeout(std::time::Duration::from_mins(3))
            .build();
        let config = aws_sdk_s3::config::Builder::from(&self.connection.sdk)
            .force_path_style(true)
            .timeout_config(timeouts)
            .build();
        let client = aws_sdk_s3::Client::from_conf(config);
        let create = client.create_bucket().bucket(bucket);
        self.runtime.block_on(create.send()).unwrap();
        let put = client.put_object().bucket(bucket).key(key);
        self.runtime
            .block_on(put.body(content.into()).send())
            .unwrap();
    }

    /// Writes an SSM parameter.
    pub(crate) fn put_parameter(&self, name: &str, value: &str) {
        let editor = ParameterEditor::new(&self.connection);
        self.runtime
            .block_on(editor.put(name, "by hand", value))
            .unwrap();
    }

    /// Creates an EventBridge rule with one target, given by its id and input.
    pub(crate) fn put_rule(
        &self,
        name: &str,
        expression: &str,
        description: &str,
        (id, input): (&str, &str),
        function: &str,
    ) {
        let client = aws_sdk_eventbridge::Client::new(&self.connection.sdk);
        let rule = client
            .put_rule()
            .name(name)
            .schedule_expression(expression)
            .description(description);
        self.runtime.block_on(rule.send()).unwrap();
        let target = aws_sdk_eventbridge::types::Target::builder()
            .id(id)
            .arn(function)
            .input(input)
            .build()
            .unwrap();
        let targets = client.put_targets().rule(name).targets(target);
        let answer = self.runtime.block_on(targets.send()).unwrap();
        assert_eq!(answer.failed_entry_count(), 0, "{answer:?}");
    }

    /// Sends a message to the queue of this name.
    pub(crate) fn send(&self, queue: &str, body: &str) {
        let client = aws_sdk_sqs::Client::new(&self.connection.sdk);
        let send = client
            .send_message()
            .queue_url(self.queue(queue))
            .message_body(body);
        self.runtime.block_on(send.send()).unwrap();
    }

    /// Receives a message without deleting it, as a consumer that fails does.
    pub(crate) fn receive_without_deleting(&self, queue: &str) {
        let client = aws_sdk_sqs::Client::new(&self.connection.sdk);
        let receive = client
            .receive_message()
            .queue_url(self.queue(queue))
            .visibility_timeout(0)
            .wait_time_seconds(0);
        let answer = self.runtime.block_on(receive.send()).unwrap();
        assert_eq!(answer.messages().len(), 1);
    }

    /// The number of messages in a queue, in-flight messages included.
    pub(crate) fn messages(&self, queue: &str) -> usize {
        let client = aws_sdk_sqs::Client::new(&self.connection.sdk);
        let counts = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let attributes = client
            .get_queue_attributes()
            .queue_url(self.queue(queue))
            .set_attribute_names(Some(counts.to_vec()));
        let answer = self.runtime.block_on(attributes.send()).unwrap();
        let found = answer.attributes().unwrap();
        counts
            .iter()
            .map(|count| found[count].parse::<usize>().unwrap())
            .sum()
    }

    /// The URL of a queue.
    fn queue(&self, name: &str) -> String {
        let client = aws_sdk_sqs::Client::new(&self.connection.sdk);
        let request = client.get_queue_url().queue_name(name);
        let answer = self.runtime.block_on(request.send()).unwrap();
        answer.queue_url().unwrap().to_owned()
    }

    fn ec2(&self) -> aws_sdk_ec2::Client {
        aws_sdk_ec2::Client::new(&self.connection.sdk)
    }
}
