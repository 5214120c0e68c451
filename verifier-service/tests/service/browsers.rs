//! Browsers: pages of other origins, and pages whose name is made to lead to this machine.

use serde_json::{Value, json};
use verifier_service::config::{HttpOptions, Serving};

use crate::{
    harness::{Process, endless, serving},
    hostile::chat,
    web::{Answer, CHAT, posted},
};

const PAGE: &str = "https://page.example";

async fn start(http: HttpOptions) -> Process {
    let serving = Serving {
        http,
        ..serving(&[])
    };
    Process::start(endless(), serving).await
}

fn origins(origins: &[&str]) -> HttpOptions {
    HttpOptions {
        cors_origins: origins.iter().map(ToString::to_string).collect(),
        ..HttpOptions::default()
    }
}

/// Asks as a browser does before it sends a page's request.
async fn preflight(process: &Process, path: &str, origin: &str) -> Answer {
    let request = format!(
        "OPTIONS {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\norigin: {origin}\r\n\
         access-control-request-method: POST\r\naccess-control-request-headers: authorization,content-type\r\n\r\n"
    );
    let answer = process.write(request.as_bytes()).await;
    answer.expect("an answer")
}

/// Sends a page's request.
async fn ask(process: &Process, origin: &str, body: &Value) -> Answer {
    let request = posted(CHAT, body.to_string().as_bytes());
    let request = String::from_utf8(request).expect("text");
    let request = request.replacen("\r\n", &format!("\r\norigin: {origin}\r\n"), 1);
    let answer = process.write(request.as_bytes()).await;
    answer.expect("an answer")
}

fn allowed(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[tokio::test]
async fn options_say_what_a_path_allows_and_nothing_of_origins_unless_asked_to() {
    let process = start(HttpOptions::default()).await;
    for (path, methods) in [
        (CHAT, "POST"),
        ("/v1/models", "GET,HEAD"),
        ("/", "GET,HEAD"),
    ] {
        let answer = preflight(&process, path, PAGE).await;
        assert_eq!(answer.status, 204, "{path}");
        assert_eq!(answer.header("allow"), Some(methods), "{path}");
        assert_eq!(allowed(&answer), None);
        assert_eq!(answer.header("access-control-allow-methods"), None);
    }
    assert_eq!(preflight(&process, "/nowhere", PAGE).await.status, 404);
    let answer = ask(&process, PAGE, &chat(&json!({}))).await;
    assert_eq!((answer.status, allowed(&answer)), (200, None));
    assert_eq!(answer.header("vary"), None);
}

#[tokio::test]
async fn pages_of_allowed_origins_ask_and_read_answers_and_errors() {
    let process = start(origins(&["http://localhost:3000", PAGE])).await;
    let answer = preflight(&process, CHAT, PAGE).await;
    assert_eq!(answer.status, 204);
    for (name, expected) in [
        ("access-control-allow-origin", PAGE),
        ("access-control-allow-methods", "GET, HEAD, POST, OPTIONS"),
        ("access-control-allow-headers", "authorization,content-type"),
        ("access-control-max-age", "86400"),
        ("vary", "origin"),
    ] {
        assert_eq!(answer.header(name), Some(expected), "{name}");
    }
    for (body, status) in [
        (chat(&json!({})), 200),
        (chat(&json!({"stream": true})), 200),
        (chat(&json!({"n": 0})), 400),
    ] {
        let answer = ask(&process, PAGE, &body).await;
        assert_eq!((answer.status, allowed(&answer)), (status, Some(PAGE)));
        let exposed = answer.header("access-control-expose-headers");
        let exposed = exposed.expect("headers");
        for name in ["x-request-id", "x-duet-ignored", "retry-after"] {
            assert!(exposed.contains(name), "{exposed}");
        }
    }
    for other in ["https://other.example", "null", "http://page.example"] {
        assert_eq!(allowed(&preflight(&process, CHAT, other).await), None);
        let answer = ask(&process, other, &chat(&json!({}))).await;
        assert_eq!((answer.status, allowed(&answer)), (200, None));
        assert_eq!(answer.header("vary"), Some("origin"));
    }
}

#[tokio::test]
async fn any_origin_may_be_allowed() {
    let process = start(origins(&["*"])).await;
    for origin in [PAGE, "null"] {
        let answer = preflight(&process, CHAT, origin).await;
        assert_eq!((answer.status, allowed(&answer)), (204, Some("*")));
        let answer = ask(&process, origin, &chat(&json!({}))).await;
        assert_eq!((answer.status, allowed(&answer)), (200, Some("*")));
    }
}

#[tokio::test]
async fn name_that_is_not_this_machines_is_refused_unless_it_is_allowed() {
    let allowed = HttpOptions {
        allowed_hosts: vec!["duet".to_owned()],
        ..origins(&["*"])
    };
    let (strict, open) = (start(HttpOptions::default()).await, start(allowed).await);
    for (host, in_strict, in_open) in [
        ("host: localhost:8080\r\n", 200, 200),
        ("host: 127.0.0.1\r\n", 200, 200),
        ("host: [::1]:80\r\n", 200, 200),
        // No browser leaves it out.
        ("", 200, 200),
        ("host: duet\r\n", 403, 200),
        (
            "host: page.example\r\norigin: http://page.example\r\n",
            403,
            403,
        ),
    ] {
        for path in ["/v1/models", "/"] {
            let request = format!("GET {path} HTTP/1.1\r\n{host}connection: close\r\n\r\n");
            for (process, status) in [(&strict, in_strict), (&open, in_open)] {
                let answer = process.write(request.as_bytes()).await.expect("an answer");
                assert_eq!(answer.status, status, "{host:?}");
                if status == 403 {
                    let (_, code, message) = answer.error();
                    assert_eq!(code.as_deref(), Some("host_not_allowed"));
                    assert!(message.contains("--allowed-host"), "{message}");
                    // Nor does the page learn that somebody is here.
                    assert_eq!(answer.header("access-control-allow-origin"), None);
                }
            }
        }
    }
    // The name in an absolute target counts, too.
    let request =
        "GET http://page.example/ HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = strict.write(request.as_bytes()).await.expect("an answer");
    assert_eq!(answer.status, 403);
}
