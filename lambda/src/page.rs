//! The page at `/`.

use crate::http::Response;

/// The page. It is the same for everybody, and holds nothing of the fleet.
pub(crate) fn response() -> Response {
    let mut response = Response::text(200, "text/html; charset=utf-8", PAGE.to_owned());
    response.headers.insert(
        "Content-Security-Policy",
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
            .to_owned(),
    );
    response
}

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Curfew</title>
<h1>Curfew</h1>
<p>Starts and stops EC2 instances on time: <a href="status">what runs, and why</a> · <a href="schedules">the schedules</a></p>
</html>
"#;
