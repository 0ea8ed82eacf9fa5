//! The panic hook: logs a panic, reports it to Lambda and ends the process.
//!
//! Releases are built without unwinding, which would be an eighth of the binary (docs/contribute/performance.md), so a panic ends the process.
//! The hook first answers an HTTP request with 500, or reports another invocation as failed. No state is lost with the process: it is
//! in the instances' tags, and the next process starts within milliseconds.

use curfew_core::error_code::ErrorCode;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::panic;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tracing::error;

use crate::api_error::{ApiError, HttpErrorCode as _};
use crate::http::HttpResponse;
use crate::json::JsonDocument;
use crate::responses::ErrorResponse;

/// The current invocation. A process handles one at a time.
static CURRENT: Mutex<Option<ActiveInvocation>> = Mutex::new(None);

/// The exit code after a panic, the same as Rust's default.
const EXIT_CODE: i32 = 101;

/// Installs the hook. It reports panics to Lambda's Runtime API at this address (`host:port`), if given, and ends the process.
pub fn install(runtime_api: Option<String>) {
    panic::set_hook(Box::new(move |panic| {
        let invocation = CURRENT.try_lock().ok().and_then(|mut held| held.take());
        error!(
            request_id = invocation.as_ref().map(|one| one.request_id.as_str()),
            panic = panic.payload_as_str(),
            at = panic.location().map(ToString::to_string),
            "panic; exiting"
        );
        if let (Some(api), Some(invocation)) = (&runtime_api, invocation)
            && let Err(error) = invocation.report_panic(api)
        {
            error!(
                error = &error as &dyn std::error::Error,
                "panic could not be reported to the Runtime API"
            );
        }
        std::process::exit(EXIT_CODE);
    }));
}

/// Marks an invocation as the current one until dropped. A panic is reported as this invocation's result.
#[derive(Debug)]
pub struct InvocationGuard(());

impl InvocationGuard {
    /// Marks the invocation with this request id as the current one.
    pub fn enter(event: &JsonDocument, request_id: &str) -> Self {
        Self::set_current(Some(ActiveInvocation {
            request_id: request_id.to_owned(),
            // Only events of API Gateway and function URLs have this field.
            is_http: event.last_values().get("requestContext").is_some(),
        }));
        Self(())
    }

    fn set_current(invocation: Option<ActiveInvocation>) {
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = invocation;
    }
}

impl Drop for InvocationGuard {
    fn drop(&mut self) {
        Self::set_current(None);
    }
}

struct ActiveInvocation {
    request_id: String,
    is_http: bool,
}

impl ActiveInvocation {
    /// The local Runtime API answers at once unless it is unavailable.
    const IO_TIMEOUT: Duration = Duration::from_secs(1);

    /// Reports the panic: as a 500 response to an HTTP request, because API Gateway would otherwise send its own error; else as a
    /// failed invocation, which Lambda counts and may retry.
    ///
    /// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
    fn report_panic(&self, api: &str) -> io::Result<()> {
        let error = ApiError::new(
            ErrorCode::Internal,
            "internal error in Curfew",
            "report it with the request id; the function's log has the details",
        );
        if self.is_http {
            let mut problem =
                serde_json::to_value(ErrorResponse { error }).expect("an error serializes to JSON");
            problem["request_id"] = Value::from(self.request_id.as_str());
            let mut response = HttpResponse::json(ErrorCode::Internal.status(), &problem);
            let id = self.request_id.clone();
            response.headers.insert("X-Request-Id", id);
            self.post(api, "response", &response.envelope())
        } else {
            let failure = json!({"errorType": "internal", "errorMessage": error.to_string()});
            self.post(api, "error", &failure)
        }
    }

    /// Sends a request to the Runtime API without the runtime's client, which waits for the task that panicked.
    fn post(&self, api: &str, what: &str, document: &Value) -> io::Result<()> {
        let body = document.to_string();
        let mut stream = TcpStream::connect(api)?;
        stream.set_write_timeout(Some(Self::IO_TIMEOUT))?;
        stream.set_read_timeout(Some(Self::IO_TIMEOUT))?;
        write!(
            stream,
            "POST /2018-06-01/runtime/invocation/{}/{what} HTTP/1.1\r\nHost: {api}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.request_id,
            body.len(),
        )?;
        // The first byte of the response confirms that the request was accepted.
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
    #[ignore = "ends its process; the other tests run it as a child process"]
    fn panicking_process() {
        install(std::env::var(API).ok());
        let event: JsonDocument = serde_json::from_str(&std::env::var(EVENT).unwrap()).unwrap();
        let _guard = InvocationGuard::enter(&event, "c0ffee");
        assert!(event.last_values().is_null(), "test panic");
    }

    /// Runs the panicking test as a child process. Returns its exit code, and the request line and body sent to the Runtime API.
    fn run_panicking_process(event: &Value) -> (Option<i32>, String, Value) {
        let lambda = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "panic_hook::tests::panicking_process",
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
    fn a_panic_in_an_http_request_is_answered_with_500() {
        let (code, request, answer) = run_panicking_process(&json!({"requestContext": {}}));
        assert_eq!(code, Some(EXIT_CODE));
        assert_eq!(
            request,
            "POST /2018-06-01/runtime/invocation/c0ffee/response HTTP/1.1"
        );
        assert_eq!(answer["statusCode"], 500);
        assert_eq!(answer["headers"]["X-Request-Id"], "c0ffee");
        insta::assert_snapshot!(answer["body"].as_str().unwrap(), @r#"{"error":{"code":"internal","hint":"report it with the request id; the function's log has the details","message":"internal error in Curfew"},"request_id":"c0ffee"}"#);
    }

    #[test]
    fn a_panic_in_an_asynchronous_event_is_reported_as_an_error() {
        let (code, request, failure) =
            run_panicking_process(&json!({"detail-type": "Scheduled Event"}));
        assert_eq!(code, Some(EXIT_CODE));
        assert_eq!(
            request,
            "POST /2018-06-01/runtime/invocation/c0ffee/error HTTP/1.1"
        );
        assert_eq!(failure["errorType"], "internal");
    }
}
