//! What is still said when the function hits a defect of its own.
//!
//! What is shipped is built without unwinding, which would be an eighth of it (docs/performance.md): a panic ends the process. Whoever
//! waits is answered before that, and Lambda is told that the invocation failed. Nothing else is lost with the process: what was done
//! is remembered on the instances, and the next one starts within milliseconds.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::panic;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tracing::error;

use crate::answer::Problem;
use crate::http::Response;
use crate::json::Document;
use crate::refusal::{Code, Refusal};

/// The invocation that this process works on: it never has more than one.
static UNDER_WAY: Mutex<Option<Invocation>> = Mutex::new(None);

/// What a program ends with that panics, as Rust's own would.
const PANICKED: i32 = 101;

/// From now on a panic is logged, answered through Lambda's Runtime API at this address (`host:port`), if there is one, and ends the
/// process.
pub fn arrange(runtime_api: Option<String>) {
    panic::set_hook(Box::new(move |panic| {
        let invocation = UNDER_WAY.try_lock().ok().and_then(|mut held| held.take());
        error!(
            request_id = invocation.as_ref().map(|one| one.request_id.as_str()),
            panic = panic.payload_as_str(),
            at = panic.location().map(ToString::to_string),
            "the function has a defect, and ends"
        );
        if let (Some(api), Some(invocation)) = (&runtime_api, invocation)
            && let Err(error) = invocation.fail(api)
        {
            error!(
                error = &error as &dyn std::error::Error,
                "nobody could be told of it"
            );
        }
        std::process::exit(PANICKED);
    }));
}

/// While this lives, a panic is answered as this invocation's.
#[derive(Debug)]
pub struct UnderWay(());

impl UnderWay {
    /// Begins an invocation, with Lambda's id for it.
    pub fn begin(event: &Document, request_id: &str) -> Self {
        Self::override_(Some(Invocation {
            request_id: request_id.to_owned(),
            // What API Gateway and function URLs send, and nobody else.
            over_http: event.last_values().get("requestContext").is_some(),
        }));
        Self(())
    }

    fn override_(invocation: Option<Invocation>) {
        *UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner) = invocation;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        Self::override_(None);
    }
}

struct Invocation {
    request_id: String,
    over_http: bool,
}

impl Invocation {
    /// Lambda answers at once, or is not there.
    const PATIENCE: Duration = Duration::from_secs(1);

    /// Ends it: over HTTP with an answer, since otherwise the caller would get one of API Gateway's, and else as a failure, which Lambda
    /// counts, and repeats where that is its custom.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
    fn fail(&self, api: &str) -> io::Result<()> {
        let refusal = Refusal::new(
            Code::Internal,
            "Curfew has a defect that this request hit",
            "report it with the request id; the function's log has the details",
        );
        if self.over_http {
            let mut problem =
                serde_json::to_value(Problem { error: refusal }).expect("a refusal is plain data");
            problem["request_id"] = Value::from(self.request_id.as_str());
            let mut response = Response::json(Code::Internal.status(), &problem);
            let id = self.request_id.clone();
            response.headers.insert("X-Request-Id", id);
            self.post(api, "response", &response.envelope())
        } else {
            let failure = json!({"errorType": "internal", "errorMessage": refusal.to_string()});
            self.post(api, "error", &failure)
        }
    }

    /// Without the runtime's own client, which waits for the very task that has panicked.
    fn post(&self, api: &str, what: &str, document: &Value) -> io::Result<()> {
        let body = document.to_string();
        let mut stream = TcpStream::connect(api)?;
        stream.set_write_timeout(Some(Self::PATIENCE))?;
        stream.set_read_timeout(Some(Self::PATIENCE))?;
        write!(
            stream,
            "POST /2018-06-01/runtime/invocation/{}/{what} HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.request_id,
            body.len(),
        )?;
        // It has taken what it answers.
        stream.read_exact(&mut [0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    const API: &str = "AWS_LAMBDA_RUNTIME_API";
    const EVENT: &str = "CURFEW_TEST_EVENT";

    #[test]
    #[ignore = "it ends its process: the other tests give it one of its own"]
    fn a_process_that_panics() {
        arrange(std::env::var(API).ok());
        let event: Document = serde_json::from_str(&std::env::var(EVENT).unwrap()).unwrap();
        let _under_way = UnderWay::begin(&event, "c0ffee");
        assert!(event.last_values().is_null(), "a defect");
    }

    /// How a process ends that panics, and what it asks of the Runtime API before.
    fn farewell(event: &Value) -> (Option<i32>, String, Value) {
        let lambda = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "last_words::tests::a_process_that_panics",
            ])
            .env(API, lambda.local_addr().unwrap().to_string())
            .env(EVENT, event.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (stream, _) = lambda.accept().unwrap();
        let mut request = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            request.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_owned()),
            }
        }
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.unwrap().parse().unwrap()];
        request.read_exact(&mut body).unwrap();
        let mut stream = request.into_inner();
        stream.write_all(b"HTTP/1.1 202 Accepted\r\n\r\n").unwrap();
        let code = process.wait().unwrap().code();
        (
            code,
            head.swap_remove(0),
            serde_json::from_slice(&body).unwrap(),
        )
    }

    #[test]
    fn whoever_waits_is_answered() {
        let (code, request, answer) = farewell(&json!({"requestContext": {}}));
        assert_eq!(code, Some(PANICKED));
        assert_eq!(
            request,
            "POST /2018-06-01/runtime/invocation/c0ffee/response HTTP/1.1"
        );
        assert_eq!(answer["statusCode"], 500);
        assert_eq!(answer["headers"]["X-Request-Id"], "c0ffee");
        insta::assert_snapshot!(answer["body"].as_str().unwrap(), @r#"{"error":{"code":"internal","hint":"report it with the request id; the function's log has the details","message":"Curfew has a defect that this request hit"},"request_id":"c0ffee"}"#);
    }

    #[test]
    fn what_nobody_waits_for_has_failed() {
        let (code, request, failure) = farewell(&json!({"detail-type": "Scheduled Event"}));
        assert_eq!(code, Some(PANICKED));
        assert_eq!(
            request,
            "POST /2018-06-01/runtime/invocation/c0ffee/error HTTP/1.1"
        );
        assert_eq!(failure["errorType"], "internal");
    }
}
