//! Pages, filters and regions.

use std::collections::BTreeSet;

use curfew_model::{
    ApiCaller, ApiRequest, DescribeFilter, DescribeQuery, Ec2InstanceId, Launch, Model, ModelError,
    ModelResponse, RegionScope, ResultPage, SpotKind, StatusScope, TagLine, serve,
};
use jiff::ToSpan;

use crate::client::Client;
use crate::{code, model, stop};

fn describe(
    ec2: &Model,
    query: DescribeQuery,
) -> Result<(Vec<Ec2InstanceId>, Option<String>), ModelError> {
    match ec2.call(&ApiCaller::default(), ApiRequest::DescribeInstances(query))? {
        ModelResponse::Instances(page) => Ok((
            page.items.iter().map(|it| it.id.clone()).collect(),
            page.next_token,
        )),
        other => panic!("{other:?}"),
    }
}

fn filtered(ec2: &Model, filters: &[(&str, &[&str])]) -> Result<BTreeSet<String>, ModelError> {
    let filters = filters
        .iter()
        .map(|(name, values)| DescribeFilter::new(*name, values.iter().copied()))
        .collect();
    let query = DescribeQuery {
        filters,
        ..DescribeQuery::default()
    };
    let (ids, _) = describe(ec2, query)?;
    Ok(ids.iter().filter_map(|id| ec2.tag(id, "Name")).collect())
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

fn page(size: i64, next_token: Option<String>) -> DescribeQuery {
    DescribeQuery {
        max_results: Some(size),
        next_token,
        ..DescribeQuery::default()
    }
}

#[test]
fn pages_contain_every_instance_once() {
    let ec2 = model();
    let all: BTreeSet<_> = (0..12).map(|_| ec2.launch(Launch::unnamed())).collect();
    let (mut seen, mut sizes, mut token) = (BTreeSet::new(), Vec::new(), None);
    loop {
        let (ids, next) = describe(&ec2, page(5, token)).unwrap();
        sizes.push(ids.len());
        seen.extend(ids);
        token = next;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [5, 5, 2]);
    assert_eq!(seen, all);
    let (ids, next) = describe(&ec2, page(12, None)).unwrap();
    assert_eq!((ids.len(), next), (12, None), "a full last page ends it");
    let (ids, next) = describe(&ec2, DescribeQuery::default()).unwrap();
    assert_eq!((ids.len(), next), (12, None), "without a size, one answer");
}

#[test]
fn pages_contain_only_filtered_instances() {
    let ec2 = model();
    for n in 0..20 {
        let odd = if n % 2 == 1 { "odd" } else { "even" };
        ec2.launch(Launch::unnamed().tag("kind", odd));
    }
    let query = |next_token| DescribeQuery {
        filters: vec![DescribeFilter::new("tag:kind", ["odd"])],
        ..page(5, next_token)
    };
    let (first, token) = describe(&ec2, query(None)).unwrap();
    let (second, end) = describe(&ec2, query(token)).unwrap();
    assert_eq!((first.len(), second.len(), end), (5, 5, None));
}

#[test]
fn a_page_continues_after_the_previous_one_despite_changes() {
    let ec2 = model();
    let all: BTreeSet<_> = (0..10).map(|_| ec2.launch(Launch::unnamed())).collect();
    let (first, token) = describe(&ec2, page(5, None)).unwrap();
    ec2.terminate(first.last().unwrap()).unwrap();
    ec2.advance(2.hours());
    let (second, _) = describe(&ec2, page(5, token)).unwrap();
    let seen: BTreeSet<_> = first.into_iter().chain(second).collect();
    assert_eq!(seen, all);
}

#[test]
fn page_sizes_have_limits_and_exclude_ids() {
    let ec2 = model();
    let id = ec2.launch(Launch::unnamed());
    for size in [-1, 0, 4, 1001] {
        let error = describe(&ec2, page(size, None)).unwrap_err();
        assert_eq!(error.code, "InvalidParameterValue", "{size}");
        assert!(error.message.contains("maxResults"));
    }
    for size in [5, 1000] {
        describe(&ec2, page(size, None)).unwrap();
    }
    let named = |query: DescribeQuery| DescribeQuery {
        ids: vec![id.to_string()],
        ..query
    };
    let error = describe(&ec2, named(page(5, None))).unwrap_err();
    assert_eq!(error.code, "InvalidParameterCombination");
    assert_eq!(
        error.message,
        "The parameter instancesSet cannot be used with the parameter maxResults"
    );
    let token = DescribeQuery {
        next_token: Some("x".to_owned()),
        ..DescribeQuery::default()
    };
    let both = describe(&ec2, named(token));
    assert_eq!(code(both), "InvalidParameterCombination");
    for bad in ["x", "zz", "5a", "é"] {
        let result = describe(&ec2, page(5, Some(bad.to_owned())));
        assert_eq!(code(result), "InvalidNextToken", "{bad}");
    }
}

#[test]
fn ids_must_exist() {
    let ec2 = model();
    let id = ec2.launch(Launch::unnamed());
    let ask = |other: &str| {
        let ids = vec![id.to_string(), other.to_owned()];
        describe(
            &ec2,
            DescribeQuery {
                ids,
                ..DescribeQuery::default()
            },
        )
    };
    assert_eq!(code(ask("i-00000001")), "InvalidInstanceID.NotFound");
    assert_eq!(code(ask("i-1")), "InvalidInstanceID.Malformed");
    assert_eq!(ask(id.as_str()).unwrap().0, std::slice::from_ref(&id));
}

#[test]
fn filters_are_joined_by_and_their_values_by_or() {
    let ec2 = model();
    let web = ec2.launch(Launch::new("web").tag("Environment", "dev-1"));
    ec2.launch(
        Launch::new("db")
            .tag("Environment", "prod")
            .zone("us-east-1b"),
    );
    ec2.launch(
        Launch::new("batch")
            .tag("Environment", "dev-2")
            .instance_type("m5.large")
            .spot(SpotKind::Persistent)
            .hibernation(),
    );
    ec2.launch(Launch::new("old").stopped().instance_store());
    let vpc = ec2.instance(&web).vpc();
    let subnet = ec2.instance(&web).subnet();
    let check = |filters: &[(&str, &[&str])], expected: &[&str]| {
        let found = filtered(&ec2, filters).unwrap();
        assert_eq!(found, names(expected), "{filters:?}");
    };
    check(&[], &["web", "db", "batch", "old"]);
    check(&[("tag:Environment", &["dev*"])], &["web", "batch"]);
    check(&[("tag:Environment", &["dev-?"])], &["web", "batch"]);
    check(&[("tag:Environment", &["DEV*"])], &[]);
    check(&[("tag:Environment", &["prod", "dev-1"])], &["web", "db"]);
    check(&[("tag-key", &["Environment"])], &["web", "db", "batch"]);
    check(
        &[("tag-key", &["Env*"]), ("instance-type", &["t3.*"])],
        &["web", "db"],
    );
    check(&[("instance-state-name", &["stopped"])], &["old"]);
    check(&[("instance-state-code", &["80"])], &["old"]);
    check(
        &[("instance-state-name", &["pending", "running", "stopping"])],
        &["web", "db", "batch"],
    );
    check(&[("instance-id", &[web.as_str()])], &["web"]);
    check(&[("instance-id", &["i-0123456789abcdef0"])], &[]);
    check(&[("instance-type", &["m5.large"])], &["batch"]);
    check(&[("availability-zone", &["us-east-1b"])], &["db"]);
    check(
        &[("vpc-id", &[vpc.as_str()])],
        &["web", "db", "batch", "old"],
    );
    check(
        &[("subnet-id", &[subnet.as_str()])],
        &["web", "batch", "old"],
    );
    check(&[("instance-lifecycle", &["spot"])], &["batch"]);
    check(&[("hibernation-options.configured", &["true"])], &["batch"]);
    check(&[("root-device-type", &["instance-store"])], &["old"]);
    check(&[("state-reason-code", &["Client.User*"])], &["old"]);
    check(
        &[("launch-time", &["2026-11-23T18*"])],
        &["web", "db", "batch", "old"],
    );
    check(&[("owner-id", &["123456789012"])], &[]);
}

#[test]
fn an_unknown_filter_is_an_error_and_so_are_too_many_values() {
    let ec2 = model();
    ec2.launch(Launch::unnamed());
    for name in ["colour", "tag", "Instance-Id", ""] {
        let error = filtered(&ec2, &[(name, &["x"])]).unwrap_err();
        assert_eq!(error.code, "InvalidParameterValue");
        assert_eq!(error.message, format!("The filter '{name}' is invalid"));
    }
    let values: Vec<_> = (0..201).map(|n| n.to_string()).collect();
    let values: Vec<_> = values.iter().map(String::as_str).collect();
    filtered(&ec2, &[("instance-id", &values[..200])]).unwrap();
    let many = filtered(&ec2, &[("instance-id", &values)]);
    assert_eq!(code(many), "FilterLimitExceeded");
}

#[tokio::test]
async fn filters_and_pages_work_over_http() {
    let ec2 = model();
    let ids: Vec<_> = (0..7)
        .map(|n| ec2.launch(Launch::new(format!("web-{n}"))))
        .collect();
    stop(&ec2, &[&ids[0]]).unwrap();
    let server = serve(ec2.clone()).await;
    let client = Client::new(&server);
    let filter = "Filter.1.Name=instance-state-name&Filter.1.Value.1=running&Filter.1.Value.2=pending\
                  &Filter.2.Name=tag%3AName&Filter.2.Value.1=web-*&MaxResults=5";
    let first = client.call("DescribeInstances", filter).await;
    assert_eq!(first.all("instanceId").len(), 5);
    let token = first.one("nextToken");
    let rest = format!("{filter}&NextToken={token}");
    let second = client.call("DescribeInstances", &rest).await;
    assert_eq!(second.all("instanceId").len(), 1);
    assert!(second.all("nextToken").is_empty());
}

#[test]
fn tags_are_described_in_pages() {
    let ec2 = model();
    for n in 0..4 {
        ec2.launch(Launch::new(format!("web-{n}")).tag("a", "1").tag("b", "2"));
    }
    let ask = |query| match ec2.call(&ApiCaller::default(), ApiRequest::DescribeTags(query)) {
        Ok(ModelResponse::Tags(page)) => page,
        other => panic!("{other:?}"),
    };
    let ResultPage {
        items: mut seen,
        mut next_token,
    } = ask(page(5, None));
    while let Some(token) = next_token {
        let more = ask(page(5, Some(token)));
        assert!(more.items.len() <= 5);
        seen.extend(more.items);
        next_token = more.next_token;
    }
    assert_eq!(seen, ask(DescribeQuery::default()).items);
    assert_eq!(seen.len(), 12);
    assert_eq!(
        ask(page(12, None)).next_token,
        None,
        "a full last page ends it"
    );

    let only = |name: &str, value: &str| {
        let lines = ask(DescribeQuery {
            filters: vec![DescribeFilter::new(name, [value])],
            ..DescribeQuery::default()
        });
        let text = |line: TagLine| format!("{}={}", line.key, line.value);
        lines.items.into_iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(only("key", "a"), ["a=1"; 4]);
    assert_eq!(only("value", "2"), ["b=2"; 4]);
    assert_eq!(only("tag:Name", "web-2"), ["Name=web-2"]);
    assert_eq!(only("resource-id", &seen[0].resource).len(), 3);
    assert_eq!(only("resource-type", "volume").len(), 0);
}

#[test]
fn spot_requests_are_described_by_id_and_filter() {
    let ec2 = model();
    ec2.launch(Launch::new("plain"));
    let once = ec2.launch(Launch::new("once").spot(SpotKind::OneTime));
    let kept = ec2.launch(Launch::new("kept").spot(SpotKind::Persistent));
    let ask = |query| match ec2.call(
        &ApiCaller::default(),
        ApiRequest::DescribeSpotInstanceRequests(query),
    ) {
        Ok(ModelResponse::SpotRequests(page)) => Ok(page
            .items
            .iter()
            .map(|it| it.id.clone())
            .collect::<BTreeSet<_>>()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    assert_eq!(
        ask(DescribeQuery::default()).unwrap(),
        BTreeSet::from([once.clone(), kept.clone()])
    );
    let kind = DescribeQuery {
        filters: vec![DescribeFilter::new("type", ["one-time"])],
        ..DescribeQuery::default()
    };
    assert_eq!(ask(kind).unwrap(), BTreeSet::from([once]));
    let by_id = |id: &str| DescribeQuery {
        ids: vec![id.to_owned()],
        ..DescribeQuery::default()
    };
    let request = ec2.instance(&kept).spot.clone().unwrap().id;
    assert_eq!(ask(by_id(&request)).unwrap(), BTreeSet::from([kept]));
    let missing = ask(by_id("sir-00000000"));
    assert_eq!(code(missing), "InvalidSpotInstanceRequestID.NotFound");
}

#[test]
fn status_checks_accept_at_most_a_hundred_ids() {
    let ec2 = model();
    let ids: Vec<_> = (0..101)
        .map(|_| ec2.launch(Launch::unnamed()).to_string())
        .collect();
    let ask = |ids: &[String]| {
        let query = DescribeQuery {
            ids: ids.to_vec(),
            ..DescribeQuery::default()
        };
        let request = ApiRequest::DescribeInstanceStatus(query, StatusScope::Running);
        ec2.call(&ApiCaller::default(), request)
    };
    assert_eq!(code(ask(&ids)), "InvalidParameterValue");
    ask(&ids[..100]).unwrap();
}

#[test]
fn only_enabled_regions_are_described_unless_all_are_requested() {
    let ec2 = model();
    let ask = |names: &[&str], scope| {
        let query = DescribeQuery {
            ids: names.iter().map(ToString::to_string).collect(),
            ..DescribeQuery::default()
        };
        match ec2.call(
            &ApiCaller::default(),
            ApiRequest::DescribeRegions(query, scope),
        ) {
            Ok(ModelResponse::Regions(lines)) => Ok(lines),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    };
    let has = |scope, name: &str| ask(&[], scope).unwrap().iter().any(|it| it.name == name);
    assert!(has(RegionScope::Enabled, "eu-west-1"));
    assert!(!has(RegionScope::Enabled, "me-south-1"));
    assert!(has(RegionScope::All, "me-south-1"));
    let named = ask(&["me-south-1"], RegionScope::Enabled).unwrap();
    assert_eq!(named[0].opt_in, "not-opted-in");
    ec2.opt_in("me-south-1");
    assert!(has(RegionScope::Enabled, "me-south-1"));
    let unknown = ask(&["mars-1"], RegionScope::All);
    assert_eq!(code(unknown), "InvalidParameterValue");
}
