//! The rules of EC2 tags.

use curfew_model::{ApiCaller, ApiRequest, Ec2InstanceId, Launch, Model, ModelError};

use crate::{code, model};

fn create(ec2: &Model, ids: &[&Ec2InstanceId], tags: &[(&str, &str)]) -> Result<(), ModelError> {
    let tags = tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let request = ApiRequest::CreateTags(crate::texts(ids), tags);
    ec2.call(&ApiCaller::default(), request).map(drop)
}

fn delete(
    ec2: &Model,
    id: &Ec2InstanceId,
    tags: &[(&str, Option<&str>)],
) -> Result<(), ModelError> {
    let tags = tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
        .collect();
    let request = ApiRequest::DeleteTags(vec![id.to_string()], tags);
    ec2.call(&ApiCaller::default(), request).map(drop)
}

#[test]
fn fifty_user_tags_are_allowed() {
    let ec2 = model();
    let mut full = Launch::unnamed().auto_scaling_group("blue");
    for n in 0..50 {
        full = full.tag(format!("key-{n}"), "old");
    }
    let (full, empty) = (ec2.launch(full), ec2.launch(Launch::unnamed()));
    let error = create(&ec2, &[&empty, &full], &[("one-more", "")]).unwrap_err();
    assert_eq!(error.code, "TagLimitExceeded");
    assert_eq!(
        ec2.tag(&empty, "one-more"),
        None,
        "the call failed for all its resources"
    );
    create(&ec2, &[&full], &[("key-7", "new")]).unwrap();
    assert_eq!(ec2.tag(&full, "key-7").as_deref(), Some("new"));
    delete(&ec2, &full, &[("key-8", None)]).unwrap();
    create(&ec2, &[&full], &[("one-more", "")]).unwrap();
}

#[test]
fn keys_and_values_have_lengths_and_a_reserved_prefix() {
    let ec2 = model();
    let id = ec2.launch(Launch::unnamed());
    let (key, value) = ("é".repeat(128), "é".repeat(256));
    create(&ec2, &[&id], &[(&key, &value)]).unwrap();
    for (key, value) in [
        ("é".repeat(129), String::new()),
        ("key".to_owned(), "é".repeat(257)),
        (String::new(), String::new()),
        ("aws:anything".to_owned(), String::new()),
    ] {
        let result = create(&ec2, &[&id], &[(&key, &value)]);
        assert_eq!(code(result), "InvalidParameterValue", "{key}={value}");
    }
    create(&ec2, &[&id], &[("my", "aws:value")]).unwrap();
    let twice = create(&ec2, &[&id], &[("same", "a"), ("same", "b")]);
    assert_eq!(code(twice), "InvalidParameterValue");
    assert_eq!(code(create(&ec2, &[&id], &[])), "MissingParameter");
    assert_eq!(code(create(&ec2, &[], &[("a", "b")])), "MissingParameter");
    let reserved = delete(&ec2, &id, &[("aws:anything", None)]);
    assert_eq!(code(reserved), "InvalidParameterValue");
}

#[test]
fn a_tag_is_deleted_by_key_by_value_or_with_all_others() {
    let ec2 = model();
    let id = ec2.launch(
        Launch::unnamed()
            .tag("a", "1")
            .tag("b", "2")
            .tag("c", "")
            .auto_scaling_group("blue"),
    );
    let keys = || ec2.instance(&id).tags.keys().cloned().collect::<Vec<_>>();
    delete(
        &ec2,
        &id,
        &[("a", Some("9")), ("b", Some("")), ("none", None)],
    )
    .unwrap();
    assert_eq!(keys(), ["a", "aws:autoscaling:groupName", "b", "c"]);
    delete(&ec2, &id, &[("a", None), ("c", Some(""))]).unwrap();
    assert_eq!(keys(), ["aws:autoscaling:groupName", "b"]);
    delete(&ec2, &id, &[]).unwrap();
    assert_eq!(keys(), ["aws:autoscaling:groupName"]);
}

#[test]
fn unknown_resources_are_refused() {
    let ec2 = model();
    let id = ec2.launch(Launch::unnamed());
    let ask = |other: &str| {
        let tags = vec![("a".to_owned(), "b".to_owned())];
        let request = ApiRequest::CreateTags(vec![id.to_string(), other.to_owned()], tags);
        ec2.call(&ApiCaller::default(), request)
    };
    assert_eq!(
        code(ask("i-0123456789abcdef0")),
        "InvalidInstanceID.NotFound"
    );
    assert_eq!(code(ask("web-1")), "InvalidID");
    assert_eq!(ec2.tag(&id, "a"), None);
}

#[test]
fn a_response_is_a_snapshot() {
    let ec2 = model();
    let id = ec2.launch(Launch::unnamed());
    let before = ec2.instance(&id);
    ec2.set_tag(&id, "Schedule", "office");
    assert!(before.tags.is_empty());
    assert_eq!(ec2.tag(&id, "Schedule").as_deref(), Some("office"));
    ec2.remove_tag(&id, "Schedule");
    assert_eq!(ec2.tag(&id, "Schedule"), None);
}
