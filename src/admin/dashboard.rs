//! The dashboard: a page and its parts, which are in the program.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use super::api::unreadable;
use super::problem::Problem;

/// A part of the dashboard.
struct File {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal $kind:ident),* $(,)?) => {
        [$(File { name: $name, kind: $kind, text: include_str!(concat!("dashboard/", $name)) }),*]
    };
}

/// The page, then what it loads.
static FILES: [File; 13] = files![
    "index.html" HTML,
    "style.css" STYLE,
    "panels.css" STYLE,
    "icon.svg" PICTURE,
    "app.js" SCRIPT,
    "api.js" SCRIPT,
    "charts.js" SCRIPT,
    "dom.js" SCRIPT,
    "explain.js" SCRIPT,
    "fleet.js" SCRIPT,
    "map.js" SCRIPT,
    "overrides.js" SCRIPT,
    "world.js" SCRIPT,
];

/// What a browser may load and do for the page: what comes from here, and nothing else. A text that
/// got into the page as markup could neither run nor send anything anywhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// What goes with every file.
static HEADERS: [(HeaderName, &str); 6] = [
    // A new version of the program is seen at once; what is unchanged is not sent again.
    (header::CACHE_CONTROL, "no-cache"),
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// By file: its entity tag.
static TAGS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let tag = |file: &File| {
        let digest = digest(&SHA256, file.text.as_bytes());
        format!("\"{}\"", HEXLOWER.encode(digest.as_ref().get(..12).unwrap_or_default()))
    };
    FILES.iter().map(tag).collect()
});

/// Gives the page.
pub(super) async fn page(headers: HeaderMap) -> Response {
    give("index.html", &headers)
}

/// Gives one of its parts.
pub(super) async fn file(
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    match name {
        Ok(Path(name)) => give(&name, &headers),
        Err(_) => unreadable().into_response(),
    }
}

fn give(name: &str, headers: &HeaderMap) -> Response {
    let found = FILES.iter().zip(TAGS.iter()).find(|(file, _)| file.name == name);
    let Some((file, tag)) = found else {
        let problem = Problem::new(StatusCode::NOT_FOUND, "the dashboard has no such file");
        return problem.hint("`/` is its page").into_response();
    };
    let mut response = if is_known(headers, tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = HeaderValue::from_static(file.kind);
        ([(header::CONTENT_TYPE, kind)], file.text).into_response()
    };
    let own = response.headers_mut();
    let every = HEADERS.iter();
    own.extend(every.map(|(name, value)| (name.clone(), HeaderValue::from_static(value))));
    own.extend(HeaderValue::from_str(tag).ok().map(|tag| (header::ETAG, tag)));
    response
}

/// Whether the reader has the file of this tag (RFC 9110 section 13.1.2).
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let fields = headers.get_all(header::IF_NONE_MATCH).into_iter();
    let mut known = fields.filter_map(|field| field.to_str().ok()).flat_map(|f| f.split(','));
    known.any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str) -> &'static str {
        FILES.iter().find(|file| file.name == name).unwrap().text
    }

    #[test]
    fn all_that_the_page_loads_is_there_and_nothing_comes_from_elsewhere() {
        for file in &FILES {
            let texts = ["src=\"", "href=\"", "from './"].map(|mark| file.text.split(mark).skip(1));
            for rest in texts.into_iter().flatten() {
                let end = rest.find(['"', '\'']).unwrap();
                let loaded = rest[..end].strip_prefix("dashboard/").unwrap_or(&rest[..end]);
                let known = FILES.iter().any(|other| other.name == loaded);
                assert!(known || loaded.starts_with('#'), "{}: {loaded}", file.name);
            }
            // The namespace of SVG is a name, no address.
            let text = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("://"), "{}", file.name);
        }
        let loaded = |file: &File| {
            let named = format!("/{}", file.name);
            file.name == "index.html" || FILES.iter().any(|other| other.text.contains(&named))
        };
        assert!(FILES.iter().all(loaded), "a file that nobody loads");
    }

    #[test]
    fn texts_never_become_markup_and_scripts_keep_to_the_policy() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "new Function",
            "setAttribute('style",
            "localStorage",
            "document.cookie",
        ];
        for file in FILES.iter().filter(|file| file.kind == SCRIPT) {
            for word in forbidden {
                assert!(!file.text.contains(word), "{}: {word}", file.name);
            }
        }
        let page = text("index.html");
        for word in ["<style", " style=", "javascript:", " onclick", " onload"] {
            assert!(!page.contains(word), "{word}");
        }
        let inline = page.split("<script").skip(1).all(|rest| rest.contains("></script>"));
        assert!(inline && page.matches("<script").count() == page.matches("<script type").count());
    }

    #[test]
    fn files_keep_to_the_sizes_of_the_project() {
        for file in &FILES {
            assert!(file.text.lines().count() <= 500, "{}", file.name);
            let wide = file.text.lines().find(|line| line.chars().count() > 100);
            assert_eq!(wide, None, "{}", file.name);
        }
        assert!(text("world.js").len() <= 60 << 10, "the outline of the world is small");
    }

    #[test]
    fn a_reader_that_has_a_file_is_not_sent_it_again() {
        let tag = &TAGS[0];
        let weak = format!("\"x\", W/{tag}");
        for (sent, status) in [
            (None, StatusCode::OK),
            (Some("\"x\""), StatusCode::OK),
            (Some(tag.as_str()), StatusCode::NOT_MODIFIED),
            (Some(weak.as_str()), StatusCode::NOT_MODIFIED),
            (Some("*"), StatusCode::NOT_MODIFIED),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(sent) = sent {
                headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(sent).unwrap());
            }
            let response = give("index.html", &headers);
            assert_eq!(response.status(), status, "{sent:?}");
            let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).unwrap();
            assert!(policy.to_str().unwrap().starts_with("default-src 'none'; script-src 'self'"));
            assert_eq!(response.headers().get(header::ETAG).unwrap(), tag.as_str());
        }
        assert_eq!(give("none.js", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }
}
