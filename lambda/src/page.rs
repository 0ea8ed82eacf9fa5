//! The web page at `/`: a static document without data of the fleet, which calls this API for everything that it shows.
//!
//! It is assembled at compile time from the files in `page/`, at no cost to a cold start. The content security policy allows only
//! this script and this style, by their hashes, and connections only to the API, so that markup injected into the page by a bug
//! stays inert.

use crate::http::{HttpRequest, HttpResponse};

macro_rules! style {
    () => {
        include_str!("page/style.css")
    };
}

// One script: each file uses the ones before it.
macro_rules! script {
    () => {
        concat!(
            include_str!("page/time.js"),
            include_str!("page/api.js"),
            include_str!("page/words.js"),
            include_str!("page/week.js"),
            include_str!("page/cards.js"),
            include_str!("page/main.js"),
        )
    };
}

const PAGE: &str = concat!(
    include_str!("page/head.html"),
    "<style>",
    style!(),
    "</style>\n</head>\n<body>\n",
    include_str!("page/body.html"),
    "<script type=\"module\">",
    script!(),
    "</script>\n</body>\n</html>\n",
);

/// The hashes cover the text between the tags; a test checks them and prints the expected ones. `data:` is for the icon.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; \
    script-src 'sha256-iLoEzLdvvTaKt+B0hqjOyPrie7q1BtstOianN+GQLg0='; \
    style-src 'sha256-9d5z4wK5Ody0QRe4PN/neeoOKfQ358wBpM2oWm07LI8='; \
    img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Identifies the page of this release.
const ENTITY_TAG: u64 = fnv1a(PAGE.as_bytes());

/// Returns the page, or 304 if the browser's cached copy is current.
pub(crate) fn response(request: &HttpRequest) -> HttpResponse {
    let tag = format!("\"{ENTITY_TAG:016x}\"");
    // A proxy that compresses the page makes the tag a weak one.
    let known = request.header("if-none-match").is_some_and(|tags| {
        let mut tags = tags.split(',').map(str::trim);
        tags.any(|known| known.strip_prefix("W/").unwrap_or(known) == tag)
    });
    let mut response = if known {
        HttpResponse::empty(304)
    } else {
        HttpResponse::text(200, "text/html; charset=utf-8", PAGE.to_owned())
    };
    for (name, value) in [
        // Cached, but revalidated each time, so that the page and the API are of the same release.
        ("Cache-Control", "no-cache"),
        ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
        ("ETag", tag.as_str()),
        ("Referrer-Policy", "no-referrer"),
    ] {
        response.headers.insert(name, value.to_owned());
    }
    response
}

/// FNV-1a. The hash distinguishes releases; it need not be cryptographic.
///
/// <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;

    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use sha2::{Digest, Sha256};

    fn hash(text: &str) -> String {
        format!(
            "'sha256-{}'",
            BASE64_STANDARD.encode(Sha256::digest(text.as_bytes()))
        )
    }

    fn request_page(if_none_match: Option<&str>) -> HttpResponse {
        let headers = if_none_match.map(|tags| ("if-none-match".to_owned(), tags.to_owned()));
        response(&HttpRequest {
            method: "GET".into(),
            path: "/".into(),
            stage: "prod".into(),
            proxy: None,
            query: Vec::new(),
            headers: BTreeMap::from_iter(headers),
            body: Ok(String::new()),
            caller: None,
            source_ip: None,
        })
    }

    #[test]
    fn the_policy_allows_only_this_script_and_this_style() {
        let between = |from: &str, to: &str| {
            let (_, rest) = PAGE.split_once(from).unwrap();
            rest.split_once(to).unwrap().0
        };
        let script = hash(between("<script type=\"module\">", "</script>"));
        let style = hash(between("<style>", "</style>"));
        let wanted = format!("script-src {script}; style-src {style}; ");
        assert!(
            CONTENT_SECURITY_POLICY.contains(&wanted),
            "the page has changed: its policy is now\n{wanted}"
        );
        assert!(!CONTENT_SECURITY_POLICY.contains("unsafe"));
    }

    #[test]
    fn the_page_loads_and_links_no_other_resource() {
        assert!(!PAGE.contains("innerHTML"));
        let addresses: Vec<&str> = PAGE
            .match_indices("://")
            .map(|(at, _)| &PAGE[at - 4..(at + 30).min(PAGE.len())])
            .collect();
        assert!(
            addresses
                .iter()
                .all(|address| address.starts_with("http://www.w3.org/2000/svg")),
            "{addresses:?}"
        );
        for tag in ["<script ", "<style>", "</script>", "</style>"] {
            assert_eq!(PAGE.matches(tag).count(), 1, "{tag}");
        }
    }

    #[test]
    fn an_unchanged_page_is_answered_with_304() {
        let first = request_page(None);
        assert_eq!((first.status, first.body.as_str()), (200, PAGE));
        let tag = first.headers["ETag"].as_str();
        for tags in [
            tag.to_owned(),
            format!("W/{tag}"),
            format!("\"older\", {tag}"),
        ] {
            let again = request_page(Some(&tags));
            assert_eq!((again.status, again.body.as_str()), (304, ""), "{tags}");
            assert_eq!(again.headers["ETag"], tag);
        }
        assert_eq!(request_page(Some("\"older\"")).status, 200);
    }
}
