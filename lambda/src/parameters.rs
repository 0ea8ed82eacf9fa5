//! Unparsed parameters of a request: pairs of a key and a text, from a query, a JSON object or a form.

use curfew_core::error_code::ErrorCode;
use serde_json::{Map, Value};

use crate::api_error::{ApiError, quoted};
use crate::http::HttpRequest;
use crate::json::JsonDocument;
use crate::route::Route;

/// Pairs of a key and a text. A command takes out the parameters that it knows; the rest is an error.
#[derive(Debug, Default)]
pub(crate) struct RequestParameters(Vec<(String, String)>);

impl RequestParameters {
    /// The maximum number of parameters. Larger selections are made by schedule or tag.
    const MAX: usize = 1000;

    /// Reads the parameters of an HTTP request: its query and, for POST, its body. Fails if the body is malformed.
    pub(crate) fn of(request: &HttpRequest, route: Route) -> Result<Self, ApiError> {
        let mut parameters = Self(request.query.clone());
        let refuse = |message: &str| {
            Err(ApiError::new(
                ErrorCode::BadBody,
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
            // All parameters are in the query.
        } else if body.starts_with('{') {
            // The content type is ignored: curl sends every body as a form.
            match serde_json::from_str::<JsonDocument>(body) {
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

    /// Reads the parameters of a direct command.
    pub(crate) fn of_fields(fields: &Map<String, Value>, route: Route) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        parameters.extend(fields, route)?;
        parameters.bounded()
    }

    fn extend(&mut self, fields: &Map<String, Value>, route: Route) -> Result<(), ApiError> {
        for (key, value) in fields {
            let known = route.parameters().iter().find(|one| one.name() == key);
            let known = known.ok_or_else(|| unknown(route, key))?;
            let texts = known.texts(value)?.into_iter();
            self.0.extend(texts.map(|text| (key.clone(), text)));
        }
        Ok(())
    }

    fn bounded(self) -> Result<Self, ApiError> {
        if self.0.len() > Self::MAX {
            Err(ApiError::new(
                ErrorCode::TooMany,
                format!("{} parameters are more than {}", self.0.len(), Self::MAX),
                "name instances by `schedule` or `tag`",
            ))
        } else {
            Ok(self)
        }
    }

    /// Takes out all values of `key` and parses each with `read`.
    pub(crate) fn all<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, ApiError> {
        let (taken, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(name, _)| name == key);
        self.0 = rest;
        let taken: Vec<(String, String)> = taken;
        taken.iter().map(|(_, text)| read(text)).collect()
    }

    /// Takes out the value of `key`, if present. Fails if there are several.
    pub(crate) fn one<T>(
        &mut self,
        key: &str,
        read: impl Fn(&str) -> Result<T, ApiError>,
    ) -> Result<Option<T>, ApiError> {
        let mut values = self.all(key, read)?;
        if values.len() > 1 {
            return Err(ApiError::bad_parameter(
                format!("`{key}` is given {} times", values.len()),
                "give it once",
            ));
        }
        Ok(values.pop())
    }

    /// Takes out the boolean `key`; `false` if it is absent.
    pub(crate) fn flag(&mut self, key: &str) -> Result<bool, ApiError> {
        let flag = self.one(key, |text| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(ApiError::bad_parameter(
                format!("`{key}` is {}", quoted(text)),
                "use `true` or `false`",
            )),
        })?;
        Ok(flag.unwrap_or_default())
    }

    /// Fails if a parameter is left: a misspelt `schedule` must not select everything.
    pub(crate) fn expect_empty(self, route: Route) -> Result<(), ApiError> {
        let Some((key, _)) = self.0.first() else {
            return Ok(());
        };
        Err(unknown(route, key))
    }
}

fn unknown(route: Route, key: &str) -> ApiError {
    let names = route
        .parameters()
        .iter()
        .map(|one| format!("`{}`", one.name()));
    let names: Vec<String> = names.collect();
    let allowed = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    ApiError::bad_parameter(
        format!("`{}` has no parameter {}", route.name(), quoted(key)),
        format!("allowed: {allowed}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use crate::command::ApiCommand;

    fn request(query: &str, content_type: &str, body: &str) -> HttpRequest {
        HttpRequest {
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

    fn read(route: Route, request: &HttpRequest) -> Result<ApiCommand, ApiError> {
        let now: Timestamp = "2026-11-23T18:00:00.5Z".parse().unwrap();
        ApiCommand::of_request(route, request, now)
    }

    #[test]
    fn query_json_and_form_are_equivalent() {
        let json = r#"{"instance": ["i-0abc1234", "i-0abc1235"], "for": "2h", "dry_run": true}"#;
        let form = "instance=i-0abc1234&instance=i-0abc1235&for=2h&dry_run=true";
        let curl = "application/x-www-form-urlencoded";
        let from_query = read(Route::Start, &request(form, "", "")).unwrap();
        assert_eq!(
            read(Route::Start, &request("", "application/json", json)).unwrap(),
            from_query
        );
        assert_eq!(
            read(Route::Start, &request("", curl, form)).unwrap(),
            from_query
        );
        assert_eq!(
            read(Route::Start, &request("", curl, json)).unwrap(),
            from_query
        );
        insta::assert_debug_snapshot!(from_query, @r#"
        Change {
            ask: Start(
                Known(
                    Until(
                        2026-11-23T20:00:01Z,
                    ),
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
                names: {},
                schedules: {},
                tags: [],
                scope: Named,
            },
            mode: DryRun,
        }
        "#);
    }

    #[test]
    fn an_invalid_parameter_is_reported_with_the_allowed_values() {
        let query = |route, query: &str| read(route, &request(query, "", ""));
        let body = |body: &str| read(Route::Stop, &request("", "text/plain", body));
        let errors: Vec<String> = [
            query(Route::Stop, "instance="),
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
        insta::assert_snapshot!(errors.join("\n"), @r#"
        `instance`: an instance has an id, such as `i-0abc1234def567890`, or a name of up to 256 characters; `/status` lists the ids and names
        `stop` has no parameter `instances`; allowed: `instance`, `schedule`, `tag`, `all`, `for`, `until`, `dry_run`
        `stop` has no parameter `token`; allowed: `instance`, `schedule`, `tag`, `all`, `for`, `until`, `dry_run`
        `all` is `yes`; use `true` or `false`
        `all` is given 2 times; give it once
        `instance` can't be combined with `schedule` or `tag`; use instances alone, or schedule and tags
        `schedule`: `none` can't name a schedule: in an instance's tag it means that no schedule manages it; `/schedules` lists the names
        `tag` is `Environment`; use a key and a value, such as `tag=Environment:dev*`
        `for`: `-2h` is not a length of time: it must be positive; such as `for=2h`
        `for`: `99999h` is too long: at most 31 days (`31d`); such as `for=2h`
        `for`: `soon` is not a length of time such as `90m`, `24h` or `2d`; such as `for=2h`
        `for` and `until` can't be combined; use one of them
        `until`: `2026-11-23T22:00:00 01:00` is not a time; use `22:00`, `friday`, `friday 18:00`, `tomorrow 08:00`, `2026-11-27`, `2026-11-27 18:00`, `2026-11-27T18:00:00Z` or `2h30m`; in a URL the `+` of an offset is written `%2B`
        `until` is over already; it is 2026-11-23T18:00:00Z now
        `until` is too far away; an override lasts 31 days at most
        `resume` has no parameter `for`; allowed: `instance`, `schedule`, `tag`, `all`, `dry_run`
        `status` has no parameter `dry_run`; allowed: `instance`, `schedule`, `tag`, `all`
        `healthz` has no parameter `verbose`; allowed: none
        `days` is `0`; use a whole number from 1 to 31
        `days` is `32`; use a whole number from 1 to 31
        `days` is `a week`; use a whole number from 1 to 31
        the body is not a JSON object; send a JSON object such as {"instance": "i-0abc1234def567890"}, or use the query
        the body is not valid JSON: line 2, column 1; send a JSON object such as {"instance": "i-0abc1234def567890"}, or use the query
        the key `dry_run` is repeated; send a JSON object such as {"instance": "i-0abc1234def567890"}, or use the query
        `instance` is neither a string nor a list of strings; use JSON strings
        `instance` is an empty list; give it a value, or omit it
        `instance` is null; give it a value, or omit it
        `stop` has no parameter `instances`; allowed: `instance`, `schedule`, `tag`, `all`, `for`, `until`, `dry_run`
        `all` is not a boolean; use `true` or `false`
        `for` is not a string; use a JSON string
        `instance` is not a list of strings; use JSON strings
        "#);
    }

    #[test]
    fn deeply_nested_json_and_too_many_parameters_are_refused() {
        let deep = format!(
            "{{\"instance\": {}{}}}",
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        let refusal = read(Route::Stop, &request("", "", &deep)).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::BadBody);
        let too_many = "instance=i-0abc1234&".repeat(RequestParameters::MAX + 1);
        let refusal = read(Route::Stop, &request(&too_many, "", "")).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::TooMany);
    }
}
