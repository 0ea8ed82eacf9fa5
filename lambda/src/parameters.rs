//! Parameters before they mean anything: keys with texts, from a query, a JSON object or a form.

use serde_json::{Map, Value};

use crate::http::Request;
use crate::json::Document;
use crate::refusal::{Code, Refusal, quoted};
use crate::route::Route;

/// Keys with texts, taken out one by one, so that what is left over was not understood.
#[derive(Debug, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// More is no request that a person or script makes: a thousand instances are named by a schedule or tag.
    const MOST: usize = 1000;

    /// Of an HTTP request: its query, and for POST its body as well.
    pub(crate) fn of(request: &Request, route: Route) -> Result<Self, Refusal> {
        let mut parameters = Self(request.query.clone());
        let refuse = |message: &str| {
            Err(Refusal::new(
                Code::BadBody,
                message.to_owned(),
                r#"send a JSON object such as {"instance": "i-0abc1234def567890"}, or use the query"#,
            ))
        };
        if request.method != "POST" {
            return parameters.bounded();
        }
        let body = match &request.body {
            Ok(body) => body.trim(),
            Err(error) => return refuse(&error.to_string()),
        };
        let is_form = request
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if body.is_empty() {
            // Everything is in the query.
        } else if body.starts_with('{') {
            // Whatever the content type says: curl calls everything a form.
            match serde_json::from_str::<Document>(body) {
                Ok(document) => match document.unambiguous() {
                    Ok(Value::Object(fields)) => parameters.extend(fields, route)?,
                    Ok(_) => return refuse("the body is not a JSON object"),
                    Err(repeated) => return refuse(&repeated.to_string()),
                },
                Err(error) => {
                    return refuse(&format!(
                        "the body is not valid JSON: line {}, column {}",
                        error.line(),
                        error.column()
                    ));
                }
            }
        } else if is_form {
            parameters
                .0
                .extend(form_urlencoded::parse(body.as_bytes()).into_owned());
        } else {
            return refuse("the body is not a JSON object");
        }
        parameters.bounded()
    }

    /// Of a direct command.
    pub(crate) fn of_fields(fields: &Map<String, Value>, route: Route) -> Result<Self, Refusal> {
        let mut parameters = Self::default();
        parameters.extend(fields, route)?;
        parameters.bounded()
    }

    fn extend(&mut self, fields: &Map<String, Value>, route: Route) -> Result<(), Refusal> {
        for (key, value) in fields {
            let known = route.parameters().iter().find(|one| one.name() == key);
            let known = known.ok_or_else(|| unknown(route, key))?;
            let texts = known.texts(value)?.into_iter();
            self.0.extend(texts.map(|text| (key.clone(), text)));
        }
        Ok(())
    }

    fn bounded(self) -> Result<Self, Refusal> {
        if self.0.len() > Self::MOST {
            Err(Refusal::new(
                Code::TooMany,
                format!("{} parameters are more than {}", self.0.len(), Self::MOST),
                "name instances by `schedule` or `tag`",
            ))
        } else {
            Ok(self)
        }
    }

    /// Every value of `key`, read by `read`.
    pub(crate) fn all<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        let (taken, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(name, _)| name == key);
        self.0 = rest;
        let taken: Vec<(String, String)> = taken;
        taken.iter().map(|(_, text)| read(text)).collect()
    }

    /// The only value of `key`, if there is one.
    pub(crate) fn one<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Result<Option<T>, Refusal> {
        let mut values = self.all(key, read)?;
        if values.len() > 1 {
            return Err(Refusal::parameter(
                format!("`{key}` is there {} times", values.len()),
                "it has one value",
            ));
        }
        Ok(values.pop())
    }

    /// `key=true` or `key=false`; no `key` is `false`.
    pub(crate) fn flag(&mut self, key: &str) -> Result<bool, Refusal> {
        let flag = self.one(key, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Refusal::parameter(
                format!("`{key}` is {}", quoted(text)),
                "it is `true` or `false`",
            )),
        })?;
        Ok(flag.unwrap_or_default())
    }

    /// Refuses what was not taken: a misspelt `schedule` must not mean everything.
    pub(crate) fn nothing_else(self, route: Route) -> Result<(), Refusal> {
        let Some((key, _)) = self.0.first() else {
            return Ok(());
        };
        Err(unknown(route, key))
    }
}

fn unknown(route: Route, key: &str) -> Refusal {
    let names = route
        .parameters()
        .iter()
        .map(|one| format!("`{}`", one.name()));
    let names: Vec<String> = names.collect();
    let allowed = if names.is_empty() {
        "no parameters".to_owned()
    } else {
        names.join(", ")
    };
    Refusal::parameter(
        format!("`{}` has no parameter {}", route.name(), quoted(key)),
        format!("it takes {allowed}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use crate::command::Command;

    fn request(query: &str, content_type: &str, body: &str) -> Request {
        Request {
            method: "POST".into(),
            path: "/start".into(),
            stage: "prod".into(),
            proxy: None,
            query: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            headers: BTreeMap::from([("content-type".to_owned(), content_type.to_owned())]),
            body: Ok(body.to_owned()),
            caller: None,
            source_ip: None,
        }
    }

    fn read(route: Route, request: &Request) -> Result<Command, Refusal> {
        let now: Timestamp = "2026-11-23T18:00:00.5Z".parse().unwrap();
        Command::of_request(route, request, now)
    }

    #[test]
    fn query_json_and_form_say_the_same() {
        let json = r#"{"instance": ["i-0abc1234", "i-0abc1235"], "for": "2h", "dry_run": true}"#;
        let form = "instance=i-0abc1234&instance=i-0abc1235&for=2h&dry_run=true";
        let curl = "application/x-www-form-urlencoded";
        let by_query = read(Route::Start, &request(form, "", "")).unwrap();
        assert_eq!(
            read(Route::Start, &request("", "application/json", json)).unwrap(),
            by_query
        );
        assert_eq!(
            read(Route::Start, &request("", curl, form)).unwrap(),
            by_query
        );
        assert_eq!(
            read(Route::Start, &request("", curl, json)).unwrap(),
            by_query
        );
        insta::assert_debug_snapshot!(by_query, @r#"
        Change {
            ask: Start(
                Until(
                    2026-11-23T20:00:01Z,
                ),
            ),
            targets: InstanceSelector {
                ids: {
                    InstanceId(
                        "i-0abc1234",
                    ),
                    InstanceId(
                        "i-0abc1235",
                    ),
                },
                schedules: {},
                tags: [],
                reach: Named,
            },
            mode: DryRun,
        }
        "#);
    }

    #[test]
    fn what_cannot_be_used_is_named_with_what_is_allowed() {
        let query = |route, query: &str| read(route, &request(query, "", ""));
        let body = |body: &str| read(Route::Stop, &request("", "text/plain", body));
        let told: Vec<String> = [
            query(Route::Stop, "instance=web"),
            query(Route::Stop, "instances=i-0abc1234"),
            query(Route::Stop, "token=s3cr3t"),
            query(Route::Stop, "all=yes"),
            query(Route::Stop, "all=true&all=true"),
            query(Route::Stop, "instance=i-0abc1234&schedule=office"),
            query(Route::Stop, "schedule=none"),
            query(Route::Stop, "tag=Environment"),
            query(Route::Stop, "for=-2h"),
            query(Route::Stop, "for=99999h"),
            query(Route::Stop, "for=soon"),
            query(Route::Stop, "for=2h&until=2026-11-23T22:00:00Z"),
            query(Route::Stop, "until=2026-11-23T22:00:00+01:00"),
            query(Route::Stop, "until=2026-11-23T18:00:00Z"),
            query(Route::Stop, "until=2027-11-23T18:00:00Z"),
            query(Route::Resume, "for=2h"),
            query(Route::Status, "dry_run=true"),
            query(Route::Healthz, "verbose=1"),
            query(Route::Schedules, "days=0"),
            query(Route::Schedules, "days=32"),
            query(Route::Schedules, "days=a week"),
            body("instance=i-0abc1234"),
            body("{\"instance\": \n}"),
            body(r#"{"dry_run": true, "dry_run": false}"#),
            body(r#"{"instance": 7}"#),
            body(r#"{"instance": []}"#),
            body(r#"{"instance": null}"#),
            body(r#"{"instances": ["i-0abc1234"]}"#),
            body(r#"{"all": "true"}"#),
            body(r#"{"for": ["2h"]}"#),
            body(r#"{"instance": [["i-0abc1234"]]}"#),
        ]
        .into_iter()
        .map(|command| command.unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        `instance`: `web` is not an instance id: `i-` and 8 or 17 hexadecimal digits, such as `i-0abc1234def567890`; `/status` lists the ids
        `stop` has no parameter `instances`; it takes `instance`, `schedule`, `tag`, `all`, `for`, `until`, `dry_run`
        `stop` has no parameter `token`; it takes `instance`, `schedule`, `tag`, `all`, `for`, `until`, `dry_run`
        `all` is `yes`; it is `true` or `false`
        `all` is there 2 times; it has one value
        `instance` can't be combined with `schedule` or `tag`; name instances by their ids, or by schedule and tags
        `schedule`: `none` can't name a schedule: in an instance's tag it means that no schedule manages it; `/schedules` lists the names
        `tag` is `Environment`; it is a key and a value, such as `tag=Environment:dev*`
        `for`: `-2h` is not a length of time: it must be more than nothing; such as `for=2h`
        `for`: `99999h` is too long: at most 31 days (`31d`); such as `for=2h`
        `for`: `soon` is not a length of time such as `90m`, `24h` or `2d`; such as `for=2h`
        `for` and `until` both say how long; use one of them
        `until` is `2026-11-23T22:00:00 01:00`, which is not an instant in RFC 3339; such as `until=2026-11-23T22:00:00Z`; in a URL the `+` of an offset is written `%2B`
        `until` is `2026-11-23T18:00:00Z`, which is over already; it is 2026-11-23T18:00:00Z now
        `until` is `2027-11-23T18:00:00Z`, which is too far away; an override lasts 31 days at most
        `resume` has no parameter `for`; it takes `instance`, `schedule`, `tag`, `all`, `dry_run`
        `status` has no parameter `dry_run`; it takes `instance`, `schedule`, `tag`, `all`
        `healthz` has no parameter `verbose`; it takes no parameters
        `days` is `0`; it is a whole number from 1 to 31
        `days` is `32`; it is a whole number from 1 to 31
        `days` is `a week`; it is a whole number from 1 to 31
        the body is not a JSON object; send a JSON object such as {"instance": "i-0abc1234def567890"}, or use the query
        the body is not valid JSON: line 2, column 1; send a JSON object such as {"instance": "i-0abc1234def567890"}, or use the query
        the key `dry_run` is repeated; send a JSON object such as {"instance": "i-0abc1234def567890"}, or use the query
        `instance` is neither text nor a list of texts; write values as JSON strings
        `instance` is an empty list; name what is meant, or leave it out
        `instance` is null; give it a value, or leave it out
        `stop` has no parameter `instances`; it takes `instance`, `schedule`, `tag`, `all`, `for`, `until`, `dry_run`
        `all` is no boolean; it is `true` or `false`
        `for` is not text; write it as a JSON string
        `instance` is not a list of texts; write values as JSON strings
        "#);
    }

    #[test]
    fn deep_json_and_endless_lists_are_refused() {
        let deep = format!(
            "{{\"instance\": {}{}}}",
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        let refusal = read(Route::Stop, &request("", "", &deep)).unwrap_err();
        assert_eq!(refusal.code, Code::BadBody);
        let endless = "instance=i-0abc1234&".repeat(Parameters::MOST + 1);
        let refusal = read(Route::Stop, &request(&endless, "", "")).unwrap_err();
        assert_eq!(refusal.code, Code::TooMany);
    }
}
