//! Randomly damaged events: the function never panics, and never makes a change that the event does not request.

use curfew_lambda::auth::Authenticator;
use curfew_lambda::command::ApiCommand;
use curfew_lambda::event::Invocation;
use curfew_lambda::route::Route;
use serde_json::{Value, json};

use super::world::{NOW, World, at_work, request};

/// A seeded random generator, so that a failure is reproducible by its number.
struct Random(u64);

impl Random {
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

/// Collects the JSON pointers of all values in a document.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                pointers(value, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The original events, and the values that replace their parts: odd values, and parts of other events.
struct Damage {
    originals: Vec<(Value, Vec<String>)>,
    parts: Vec<Value>,
}

impl Damage {
    fn new() -> Self {
        let with_pointers = |event: Value| {
            let mut found = Vec::new();
            pointers(&event, "", &mut found);
            (event, found)
        };
        let originals: Vec<_> = originals().into_iter().map(with_pointers).collect();
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
        let parts = originals.iter().flat_map(|(event, at)| {
            at.iter()
                .map(|place| event.pointer(place).cloned().unwrap())
        });
        // As many odd values as parts of events, so that both kinds of damage are equally likely.
        let parts: Vec<Value> = parts.collect();
        let odd = odd.iter().cycle().take(parts.len()).cloned();
        Self {
            parts: odd.chain(parts.iter().cloned()).collect(),
            originals,
        }
    }

    /// Returns the damaged event of this number, which is the same in each run.
    fn event(&self, number: u64) -> Value {
        let random = &mut Random(number);
        let (original, at) = random.of(&self.originals);
        let mut event = original.clone();
        for _ in 0..=random.below(3) {
            // Earlier damage may have removed the target.
            let Some(target) = event.pointer_mut(random.of(at).as_str()) else {
                continue;
            };
            match (target, random.below(4)) {
                (Value::String(text), 0) => {
                    let cut = text.floor_char_boundary(random.below(text.len() + 1));
                    text.truncate(cut);
                }
                (Value::Object(fields), 1) if !fields.is_empty() => {
                    let key = fields.keys().nth(random.below(fields.len())).cloned();
                    fields.remove(&key.unwrap());
                }
                (target, _) => *target = random.of(&self.parts).clone(),
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
        "some damaged events must still be valid changes"
    );
}

#[tokio::test]
async fn damaged_events_without_a_token_change_nothing() {
    let mut world = World::with([at_work("web")]).await;
    world.app.auth = Authenticator::Token(format!("alice={}", "00".repeat(32)).parse().unwrap());
    let damage = Damage::new();
    // Only 5,000, because each runs the complete function and many run a pass. The test above covers the parsing of 100,000.
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
