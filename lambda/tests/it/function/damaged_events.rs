//! Captured events, damaged: always an answer, never a panic, and never an action that the event does not spell out.

use curfew_lambda::auth::Authenticator;
use curfew_lambda::command::ApiCommand;
use curfew_lambda::event::Invocation;
use curfew_lambda::route::Route;
use serde_json::{Value, json};

use super::world::{NOW, World, at_work, request};

/// A small generator, so that a failure is found again by its number.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64 <https://prng.di.unimi.it/splitmix64.c>
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

fn originals() -> Vec<Value> {
    let events = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/events");
    let mut paths: Vec<_> = std::fs::read_dir(events)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let mut originals: Vec<Value> = paths
        .iter()
        .map(|path| serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    originals.extend([
        request("POST", "/stop", r#"{"instance": ["i-0abc1234def567890"], "for": "2h"}"#),
        request("GET", "/start?all=true", ""),
        json!({"command": "wake", "schedule": "office"}),
        json!({"command": "status", "tag": ["Team:*"]}),
        json!({
            "detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2", "time": "2026-11-23T18:00:00Z",
            "region": "us-east-1", "detail": {"instance-id": "i-0abc1234def567890", "state": "stopped"},
        }),
    ]);
    originals
}

/// Every place in a document, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                places(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Events, and what they are damaged with: odd values, and each other's parts.
struct Damage {
    originals: Vec<(Value, Vec<String>)>,
    parts: Vec<Value>,
}

impl Damage {
    fn new() -> Self {
        let with_places = |event: Value| {
            let mut found = Vec::new();
            places(&event, "", &mut found);
            (event, found)
        };
        let originals: Vec<_> = originals().into_iter().map(with_places).collect();
        let odd = [
            Value::Null,
            json!(true),
            json!(-1.5e300),
            json!(""),
            json!([]),
            json!({}),
            json!("\u{0}\r\n\u{202e}<script>"),
            json!("%ff%fe\u{fffd}"),
            json!("9".repeat(5000)),
            json!("{\"instance\": [\"i-0abc1234def567890\"]}"),
        ];
        let theirs = originals.iter().flat_map(|(event, at)| {
            at.iter()
                .map(|place| event.pointer(place).cloned().unwrap())
        });
        // As many odd values as parts of events, so that each sort of damage is as likely.
        let theirs: Vec<Value> = theirs.collect();
        let odd = odd.iter().cycle().take(theirs.len()).cloned();
        Self {
            parts: odd.chain(theirs.iter().cloned()).collect(),
            originals,
        }
    }

    /// The damaged event of this number, always the same.
    fn event(&self, number: u64) -> Value {
        let chance = &mut Chance(number);
        let (original, at) = chance.of(&self.originals);
        let mut event = original.clone();
        for _ in 0..=chance.below(3) {
            // An earlier blow may have taken the place away.
            let Some(target) = event.pointer_mut(chance.of(at).as_str()) else {
                continue;
            };
            match (target, chance.below(4)) {
                (Value::String(text), 0) => {
                    let cut = text.floor_char_boundary(chance.below(text.len() + 1));
                    text.truncate(cut);
                }
                (Value::Object(fields), 1) if !fields.is_empty() => {
                    let key = fields.keys().nth(chance.below(fields.len())).cloned();
                    fields.remove(&key.unwrap());
                }
                (target, _) => *target = chance.of(&self.parts).clone(),
            }
        }
        event
    }
}

#[test]
fn damaged_events_never_panic_or_yield_an_unrequested_change() {
    let (damage, now) = (Damage::new(), NOW.parse().unwrap());
    let mut changes = 0;
    for number in 0..100_000 {
        let event = damage.event(number);
        let Ok(Invocation::Http(request)) = Invocation::read(&event) else {
            continue;
        };
        let command =
            Route::of(&request).and_then(|route| ApiCommand::of_request(route, &request, now));
        if let Ok(ApiCommand::Change { .. }) = command {
            changes += 1;
            let names_it = |path: &str| ["start", "stop", "resume"].contains(&path);
            let whole = request.path.strip_prefix('/').unwrap_or_default();
            let spelled_out = names_it(whole) || request.proxy.as_deref().is_some_and(names_it);
            assert!(spelled_out, "{number}: {event}");
        }
    }
    assert!(
        changes > 0,
        "the damage leaves some requests whole, or this test proves nothing"
    );
}

#[tokio::test]
async fn damaged_events_without_a_token_change_nothing() {
    let mut world = World::with([at_work("web")]).await;
    world.app.auth = Authenticator::Token(format!("alice={}", "00".repeat(32)).parse().unwrap());
    let damage = Damage::new();
    // Of the hundred thousand: each goes through the whole function here, and many make a pass over the model's instances. What the
    // others could add is in the reading, which the test above has for all of them; twenty times as many would take a minute.
    for number in 0..5_000 {
        let event = damage.event(number);
        if let Ok(answer) = world.send(&event).await
            && let Some(status) = answer.get("statusCode")
        {
            let status = status.as_u64().unwrap();
            assert!(
                (200..500).contains(&status),
                "{number}: {status} for {event}"
            );
        }
        assert_eq!(world.changes(), 0, "{number}: {event}");
    }
}
