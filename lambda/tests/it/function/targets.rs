//! Who names what, and what is refused before anything is done.

use curfew_model::{Launch, SpotKind};

use super::world::{World, at_work};

#[tokio::test]
async fn without_a_target_several_instances_are_choices() {
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
        "code": "target_needed",
        "hint": "name one with `instance=ID`, several with `schedule=NAME` or `tag=Key:Value`, or say `all=true`",
        "message": "which one? Curfew manages 2 instances: `i-006c45d188009454f` (db), `i-0e220a8397b1dcdaf` (web)"
      },
      "request_id": "c0ffee"
    }
    "#);
    assert_eq!((answer.status, world.changes()), (400, 0));
}

#[tokio::test]
async fn without_a_target_nothing_managed_is_nothing_found() {
    let world = World::with([Launch::new("stray")]).await;
    let answer = world.get("/stop").await;
    insta::assert_snapshot!(answer.told(), @"404 nothing_matched: no schedule manages any instance here; give an instance the managing tag; `/status?all=true` lists every instance and says why it is left alone");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn one_unknown_id_stops_the_whole_request() {
    let world = World::with([at_work("web")]).await;
    let web = world.id("web");
    let answer = world
        .get(&format!(
            "/stop?instance={web}&instance=i-0abc1234def567890"
        ))
        .await;
    insta::assert_snapshot!(answer.told(), @"404 unknown_instance: there is no instance `i-0abc1234def567890`; nothing was done; check the id, the region and the account");
    assert_eq!(world.changes(), 0);
    assert_eq!(
        world.get("/status?instance=i-0abc1234").await.refusal(),
        (404, "unknown_instance")
    );
}

#[tokio::test]
async fn what_is_never_touched_is_refused_with_its_reason() {
    let world = World::with([
        Launch::new("stray"),
        Launch::new("misspelt").tag("Schedule", "offfice"),
        at_work("scratch").instance_store(),
        at_work("spot").spot(SpotKind::OneTime),
        at_work("gone"),
    ])
    .await;
    world.ec2.terminate(&world.id("gone")).unwrap();
    let mut told = Vec::new();
    for name in ["stray", "misspelt", "scratch", "spot", "gone"] {
        let id = world.id(name);
        let answer = world.get(&format!("/start?instance={id}")).await;
        told.push(answer.told().replace(id.as_str(), "ID"));
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    409 not_managed: `ID` (stray): no schedule manages it: it has no managing tag, and no schedule's `match` takes it; nothing was done; Curfew only changes instances that a schedule manages
    409 never_touched: `ID` (misspelt): its tag names the schedule `offfice`, which does not exist; there is `lab`, `office`; nothing was done; leave it out, or change what the reason names
    409 never_touched: `ID` (scratch): its root volume is instance store, which does not survive a stop; nothing was done; leave it out, or change what the reason names
    409 never_touched: `ID` (spot): it is a one-time Spot instance, which can't be stopped; nothing was done; leave it out, or change what the reason names
    409 never_touched: `ID` (gone): it is shutting-down; nothing was done; leave it out, or change what the reason names
    ");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn what_another_tool_manages_is_changed_by_its_id_alone() {
    let world = World::with([at_work("of-a-group").auto_scaling_group("web-asg")]).await;
    for query in ["schedule=office", "tag=Schedule:office", "all=true"] {
        let answer = world.get(&format!("/stop?{query}")).await;
        assert_eq!(answer.refusal(), (409, "never_touched"), "{query}");
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
async fn schedules_and_tags_narrow_each_other() {
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
async fn what_fits_nothing_says_what_there_is() {
    let world = World::with([at_work("of-a-group").auto_scaling_group("web-asg")]).await;
    let mut told = Vec::new();
    for query in [
        "schedule=ofice",
        "schedule=lab",
        "tag=Team:x",
        "schedule=office",
        "all=true",
    ] {
        told.push(world.get(&format!("/stop?{query}")).await.told());
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    404 unknown_schedule: there is no schedule `ofice`; there is `lab`, `office`
    404 nothing_matched: no managed instance fits what was named; `/status?all=true` lists every instance and says why it is left alone
    404 nothing_matched: no managed instance fits what was named; `/status?all=true` lists every instance and says why it is left alone
    409 never_touched: `i-0e220a8397b1dcdaf` (of-a-group): the Auto Scaling group `web-asg` manages it, and would replace or miss it; only an instance that is named by its id is acted on all the same; `/status?all=true` lists every instance and says why it is left alone
    409 never_touched: `i-0e220a8397b1dcdaf` (of-a-group): the Auto Scaling group `web-asg` manages it, and would replace or miss it; only an instance that is named by its id is acted on all the same; `/status?all=true` lists every instance and says why it is left alone
    ");
    assert_eq!(world.changes(), 0);
}

#[tokio::test]
async fn a_fleet_is_only_changed_by_who_says_all() {
    let mut world = World::with((0..101).map(|n| at_work(&format!("web-{n}")))).await;
    let answer = world.get("/stop?schedule=office").await;
    insta::assert_snapshot!(answer.told(), @"400 too_many: this is for 101 instances, more than 100; add `all=true` if all of them are meant");
    let web = world.id("web-0");
    world.app.request_limit = 0;
    let answer = world.get(&format!("/stop?instance={web}")).await;
    insta::assert_snapshot!(answer.told(), @"400 too_many: this is for 1 instances, more than 0; add `all=true` if all of them are meant");
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
async fn a_name_cannot_forge_a_line_of_the_answer() {
    // What a name can hold on its way through XML, and a terminal or a log takes for the end of a line, or for another order.
    let forged = "web)\n409 refused\r\u{85}\u{9b}31m\u{2028}\u{202e}";
    let world = World::with([at_work(forged), at_work("db")]).await;
    let answer = world.get("/stop").await;
    assert_eq!(answer.refusal(), (400, "target_needed"));
    let message = answer.body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains(r"(web)\n409 refused\r\u{85}\u{9b}31m\u{2028}\u{202e})"),
        "{message}"
    );
    assert_eq!(answer.text.trim_end().lines().count(), 1, "{}", answer.text);
    // Who reads the name by itself gets it as it is.
    let names = world.get("/status").await.of_instances(&[]);
    assert!(names.iter().any(|name| name == forged), "{names:?}");
}
