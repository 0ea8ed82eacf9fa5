//! Parses errors in JSON.

use aws_smithy_runtime_api::http::Headers;
use aws_smithy_types::error::ErrorMetadata;
use aws_smithy_types::error::metadata::Builder;
use serde_json::Value;

/// Parses an error's code and message, from all the places in which services and their proxies put them.
///
/// <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization>
pub(super) fn error(headers: &Headers, body: &[u8]) -> Builder {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |keys: &[&str]| keys.iter().find_map(|key| body.get(key)?.as_str());
    let of_an_older_protocol = headers
        .get("x-amzn-query-error")
        .and_then(|value| value.split_once(';'))
        .map(|(code, _)| code);
    let code = of_an_older_protocol
        .or_else(|| headers.get("x-amzn-errortype").map(name))
        .or_else(|| text(&["__type", "code"]).map(name));
    let mut error = ErrorMetadata::builder();
    if let Some(code) = code {
        error = error.code(code);
    }
    if let Some(message) = text(&["message", "Message", "errorMessage"]) {
        error = error.message(message);
    }
    error
}

/// `aws.protocoltests.json#FooError:http://internal.amazon.com/coral/` names `FooError`.
fn name(code: &str) -> &str {
    let name = code.split(':').next().unwrap_or_default();
    name.rsplit('#').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_and_message(
        headers: &[(&'static str, &'static str)],
        body: &str,
    ) -> [Option<String>; 2] {
        let mut all = Headers::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        let error = error(&all, body.as_bytes()).build();
        [error.code(), error.message()].map(|text| text.map(str::to_owned))
    }

    #[test]
    fn a_code_is_found_in_every_form() {
        let foo = [Some("FooError".to_owned()), None];
        for body in [
            r#"{"__type": "FooError"}"#,
            r#"{"__type": "FooError:http://internal.amazon.com/coral/"}"#,
            r#"{"__type": "aws.protocoltests.json#FooError"}"#,
            r#"{"__type": "aws.protocoltests.json#FooError:http://internal.amazon.com/coral/"}"#,
            r#"{"code": "FooError"}"#,
        ] {
            assert_eq!(code_and_message(&[], body), foo, "{body}");
        }
        assert_eq!(
            code_and_message(&[("x-amzn-errortype", "FooError:")], "{}"),
            foo
        );
    }

    #[test]
    fn the_older_protocols_code_has_precedence() {
        let code = (
            "x-amzn-query-error",
            "AWS.SimpleQueueService.NonExistentQueue;Sender",
        );
        let body =
            r#"{"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "no such queue"}"#;
        assert_eq!(
            code_and_message(&[code], body),
            ["AWS.SimpleQueueService.NonExistentQueue", "no such queue"]
                .map(|text| Some(text.to_owned()))
        );
    }

    #[test]
    fn invalid_json_has_no_code_and_message() {
        for body in [
            "",
            "<html>502 Bad Gateway</html>",
            "null",
            "[1]",
            "{\"__type\": 7}",
        ] {
            assert_eq!(code_and_message(&[], body), [None, None], "{body}");
        }
    }
}
