//! Target selection: filters, ids and limits, and the requests that are refused.

use curfew_model::{Launch, SpotKind};

use super::world::{World, at_work};

#[tokio::test]
async fn a_missing_target_lists_the_choices() {
    let world = World::with([at_work("web"), at_work("db"), Launch::new("stray")]).await;
    let answer = world.get("/stop").await;
    insta::assert_snapshot!(serde_json::to_string_pretty(&answer.body).unwrap(), @r#"
    {
      "error": {
        "choices": [
          {
            "id": "i-006c45d188009454f",
            "name": "db"
          },
          {
            "id": "i-0e220a8397b1dcdaf",
            "name": "web"
          }
        ],
        "code": "target_required",
        "hint": "name one with `instance=NAME` or `instance=ID`, several with `schedule=NAME` or `tag=Key:Value`, or use `all=true`",
        "message": "which one? Curfew manages 2 instances: `i-006c45d188009454f` (db), `i-0e220a8397b1dcdaf` (web)"
      },
      "request_id": "c0ffee"
    }
    "#);
    assert_eq!((answer.status, world.changes()), (400, 0));
}

#[tokio::test]
async fn a_missing_target_without_managed_instances_is_not_found() {
    let world = World::with([Launch::new("stray")]).await;
    let answer = world.get("/stop").await;
    insta::assert_snapshot!(answer.error_text(), @"404 nothing_matched: no schedule manages any instance here; add the schedule tag to an instance; `/status?all=true` lists every instance with the reason why it is skipped");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn an_unknown_id_fails_the_request() {
    let world = World::with([at_work("web")]).await;
    let web = world.id("web");
    let answer = world
        .get(&format!(
            "/stop?instance={web}&instance=i-0abc1234def567890"
        ))
        .await;
    insta::assert_snapshot!(answer.error_text(), @"404 unknown_instance: there is no instance `i-0abc1234def567890`; nothing was changed; check the id or the name, the region and the account");
    assert_eq!(world.changes(), 0);
    assert_eq!(
        world.get("/status?instance=i-0abc1234").await.error_code(),
        (404, "unknown_instance")
    );
}

#[tokio::test]
async fn a_name_selects_the_only_instance_that_has_it() {
    let world = World::with([at_work("web"), at_work("db"), at_work("db")]).await;
    let answer = world.get("/stop?instance=web&dry_run=true").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let changes = answer.body["instances"].as_array().unwrap();
    assert_eq!(
        (changes.len(), &changes[0]["name"]),
        (1, &serde_json::json!("web"))
    );
    let answer = world.get("/status?instance=web").await;
    assert_eq!(answer.body["instances"].as_array().unwrap().len(), 1);

    let answer = world.get("/stop?instance=we").await;
    insta::assert_snapshot!(answer.error_text(), @"404 unknown_instance: there is no instance named `we`; nothing was changed; check the id or the name, the region and the account");
    let answer = world.get("/stop?instance=db").await;
    assert_eq!(answer.error_code(), (400, "ambiguous_name"));
    assert_eq!(answer.body["error"]["choices"].as_array().unwrap().len(), 2);
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn a_protected_instance_is_refused_with_a_reason() {
    let world = World::with([
        Launch::new("stray"),
        Launch::new("misspelt").tag("Schedule", "offfice"),
        at_work("scratch").instance_store(),
        at_work("spot").spot(SpotKind::OneTime),
        at_work("gone"),
    ])
    .await;
    world.ec2.terminate(&world.id("gone")).unwrap();
    let mut errors = Vec::new();
    for name in ["stray", "misspelt", "scratch", "spot", "gone"] {
        let id = world.id(name);
        let answer = world.get(&format!("/start?instance={id}")).await;
        errors.push(answer.error_text().replace(id.as_str(), "ID"));
    }
    insta::assert_snapshot!(errors.join("\n"), @r"
    409 not_managed: `ID` (stray): no schedule manages it: it has no managing tag, and no schedule's `match` takes it; nothing was changed; Curfew changes only instances that a schedule manages
    409 protected: `ID` (misspelt): its tag names the schedule `offfice`, which does not exist; there is `lab`, `office`; nothing was changed; remove it from the request, or resolve the reason
    409 protected: `ID` (scratch): its root volume is instance store, which does not survive a stop; nothing was changed; remove it from the request, or resolve the reason
    409 protected: `ID` (spot): it is a one-time Spot instance, which can't be stopped; nothing was changed; remove it from the request, or resolve the reason
    409 protected: `ID` (gone): it is shutting-down; nothing was changed; remove it from the request, or resolve the reason
    ");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn an_instance_of_an_auto_scaling_group_is_changed_only_by_id() {
    let world = World::with([at_work("of-a-group").auto_scaling_group("web-asg")]).await;
    for query in ["schedule=office", "tag=Schedule:office", "all=true"] {
        let answer = world.get(&format!("/stop?{query}")).await;
        assert_eq!(answer.error_code(), (409, "protected"), "{query}");
    }
    assert_eq!(world.changes(), 0);
    let id = world.id("of-a-group");
    let answer = world.get(&format!("/stop?instance={id}")).await;
    assert_eq!(
        answer.of_instances(&["result", "reason"]),
        [
            "of-a-group | stopping | request by http 127.0.0.1: named by its id, although the Auto Scaling group `web-asg` manages it"
        ]
    );
}

#[tokio::test]
async fn schedule_and_tag_filters_are_anded() {
    let launches = [
        at_work("web").tag("Team", "shop"),
        at_work("db").tag("Team", "shop-data"),
        at_work("build").tag("Team", "tools"),
        Launch::new("lab")
            .tag("Schedule", "lab")
            .tag("Team", "shop"),
        Launch::new("stray").tag("Team", "shop"),
    ];
    let world = World::with(launches).await;
    let planned = async |query: &str| {
        let answer = world.get(&format!("/stop?dry_run=true&{query}")).await;
        answer.of_instances(&["result"]).join(", ")
    };
    assert_eq!(
        planned("schedule=office").await,
        "build | planned, db | planned, web | planned"
    );
    assert_eq!(
        planned("schedule=office&schedule=lab&tag=Team:shop").await,
        "lab | planned, web | planned"
    );
    assert_eq!(
        planned("schedule=office&tag=Team:shop*").await,
        "db | planned, web | planned"
    );
    assert_eq!(
        planned("tag=Team:shop").await,
        "lab | planned, stray | skipped, web | planned"
    );
    assert_eq!(
        planned("all=true").await,
        "build | planned, db | planned, lab | planned, web | planned"
    );
}

#[tokio::test]
async fn filters_without_a_match_are_reported() {
    let world = World::with([at_work("of-a-group").auto_scaling_group("web-asg")]).await;
    let mut errors = Vec::new();
    for query in [
        "schedule=ofice",
        "schedule=lab",
        "tag=Team:x",
        "schedule=office",
        "all=true",
    ] {
        errors.push(world.get(&format!("/stop?{query}")).await.error_text());
    }
    insta::assert_snapshot!(errors.join("\n"), @r"
    404 unknown_schedule: there is no schedule `ofice`; there is `lab`, `office`
    404 nothing_matched: no managed instance fits what was named; `/status?all=true` lists every instance with the reason why it is skipped
    404 nothing_matched: no managed instance fits what was named; `/status?all=true` lists every instance with the reason why it is skipped
    409 protected: `i-0e220a8397b1dcdaf` (of-a-group): the Auto Scaling group `web-asg` manages it, and would replace or miss it; only an instance that is named by its id is acted on all the same; `/status?all=true` lists every instance with the reason why it is skipped
    409 protected: `i-0e220a8397b1dcdaf` (of-a-group): the Auto Scaling group `web-asg` manages it, and would replace or miss it; only an instance that is named by its id is acted on all the same; `/status?all=true` lists every instance with the reason why it is skipped
    ");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn more_instances_than_the_limit_require_all() {
    let mut world = World::with((0..101).map(|n| at_work(&format!("web-{n}")))).await;
    let answer = world.get("/stop?schedule=office").await;
    insta::assert_snapshot!(answer.error_text(), @"400 too_many: this is for 101 instances, more than 100; add `all=true` to change all of them");
    let web = world.id("web-0");
    world.app.request_limit = 0;
    let answer = world.get(&format!("/stop?instance={web}")).await;
    insta::assert_snapshot!(answer.error_text(), @"400 too_many: this is for 1 instances, more than 0; add `all=true` to change all of them");
    assert_eq!(world.changes(), 0);
    let answer = world
        .get(&format!("/stop?instance={web}&all=true&dry_run=true"))
        .await;
    assert_eq!(answer.of_instances(&["result"]), ["web-0 | planned"]);
    let answer = world.get("/stop?schedule=office&all=true").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body["instances"].as_array().map(Vec::len), Some(101));
    let calls = world.ec2.calls_of(curfew_model::ApiAction::StopInstances);
    assert_eq!(
        calls
            .iter()
            .map(|call| call.ids().len())
            .collect::<Vec<_>>(),
        [100, 1]
    );
}

#[tokio::test]
async fn a_name_cannot_forge_a_line_of_the_response() {
    // Characters that XML can transport and that a terminal or a log takes for a line end or a control sequence.
    let forged = "web)\n409 refused\r\u{85}\u{9b}31m\u{2028}\u{202e}";
    let world = World::with([at_work(forged), at_work("db")]).await;
    let answer = world.get("/stop").await;
    assert_eq!(answer.error_code(), (400, "target_required"));
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(r"(web)\n409 refused\r\u{85}\u{9b}31m\u{2028}\u{202e})"),
        "{message}"
    );
    assert_eq!(answer.text.trim_end().lines().count(), 1, "{}", answer.text);
    // The field `name` contains the name unescaped.
    let names = world.get("/status").await.of_instances(&[]);
    assert!(names.iter().any(|name| name == forged), "{names:?}");
}
