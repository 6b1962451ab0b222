//! The OpenAPI document, made from the handlers, and a page to try it at.
//!
//! Each handler carries its own part; here they are gathered, and what all have in common is
//! added: `min_height`, `Cairn-Height`, the list of codes.

use std::sync::{Arc, LazyLock};

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{IntoResponses, OpenApi, ToSchema};

use super::{
    super::{Segment, Shared, error::Failure},
    assets, batch, blocks, codes, federation,
    question::Question,
    receipts, schema, select, stream, transactions,
};

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank", "title": "not there yet", "status": 503, "code": "HEIGHT_NOT_REACHED",
    "detail": "height 12 is not stored here yet: this validator stands at 9",
    "request_id": "5d0bd0e0f3a6c1b2", "wanted_height": 12, "height": 9,
}))]
pub(super) struct Problem {
    /// Always `about:blank`: `code` is what tells problems apart.
    r#type: String,
    /// The kind of problem, in a few words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// Stable: programs may rely on it.
    code: String,
    /// What happened, and what would have been fine.
    detail: String,
    /// Names this answer in the validator's log.
    request_id: String,
    /// `unknown` where it may still be decided.
    #[schema(nullable = false)]
    outcome: Option<String>,
    /// The transaction that it is about.
    #[schema(value_type = Option<schema::Id>, nullable = false)]
    id: Option<String>,
    /// The height that was asked for and is not stored yet.
    #[schema(nullable = false)]
    wanted_height: Option<u64>,
    /// The height that this validator has reached.
    #[schema(nullable = false)]
    height: Option<u64>,
}

/// There is no such thing.
#[derive(IntoResponses)]
#[response(status = 404, content_type = "application/problem+json")]
#[expect(dead_code, reason = "described, never made")]
pub(super) struct NotFound(Problem);

/// What any question may hear.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "described, never made")]
pub(super) enum Unwell {
    /// A parameter is unknown or wrong, or the cursor belongs to another question: the detail says what would be fine.
    #[response(status = 400, content_type = "application/problem+json")]
    Wrong(Problem),
    /// More requests arrive than can be answered: come back after `Retry-After`.
    #[response(status = 429, content_type = "application/problem+json")]
    TooMany(Problem),
    /// This validator has trouble with its disk.
    #[response(status = 500, content_type = "application/problem+json")]
    Trouble(Problem),
    /// Not now: the height that was asked for is not stored here yet, or the validator stops. Come back after `Retry-After`, or ask another one.
    #[response(status = 503, content_type = "application/problem+json")]
    NotNow(Problem),
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cairn API v2",
        description = include_str!("openapi.md"),
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This validator")),
    tags(
        (name = "transactions", description = "Send them, see what became of them, prove it"),
        (name = "assets", description = "What exists, and where it came from"),
        (name = "outputs", description = "Who holds what"),
        (name = "blocks", description = "What was decided, and the proof"),
        (name = "federation", description = "Who decides, and how this validator stands"),
        (name = "receipts", description = "Proof, for anyone, that a transaction was decided"),
        (name = "stream", description = "What is decided, as it is decided"),
    ),
    paths(
        federation::index,
        batch::post,
        transactions::one,
        transactions::receipt,
        select::assets,
        assets::one,
        assets::history,
        select::outputs,
        blocks::list,
        blocks::one,
        blocks::header,
        federation::validators,
        federation::status,
        receipts::verify,
        stream::get,
        openapi,
    ),
)]
struct Document;

/// The document.
pub(crate) fn document() -> Value {
    let mut document = serde_json::to_value(Document::openapi()).expect("it has text keys only");
    let height = json!({
        "description": "The height that the answer is true at",
        "schema": {"type": "integer", "format": "int64", "minimum": 0},
    });
    let seconds = json!({
        "description": "When it makes sense to ask again, in seconds; not with every problem",
        "schema": {"type": "integer", "minimum": 1},
    });
    let min_height = json!({
        "name": "min_height",
        "in": "query",
        "required": false,
        "description": "Answer once this height is stored here; wait shortly for it, then say 503. \
                        Give the height of your last write to read what you wrote.",
        "schema": {"type": "integer", "format": "int64", "minimum": 0},
    });
    let refusals = json!({
        "401": "A key or token is asked for here, and none, or none that is good, was shown",
        "403": "The key or token is good, but not for this",
        "408": "The answer took longer than answers may",
    });
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (_, path) in paths {
        for (method, operation) in path.as_object_mut().into_iter().flatten() {
            // Who lets whom in is configuration: every route may say so.
            for (status, description) in refusals.as_object().into_iter().flatten() {
                let responses = &mut operation["responses"];
                if responses[status].is_null() {
                    responses[status] = problem(description);
                }
            }
            operation["responses"]["431"] =
                json!({"description": "The head of the request is too large"});
            operation["security"] = json!([{}, {"bearer": []}]);
            let parameters = &mut operation["parameters"];
            if parameters.is_null() {
                *parameters = json!([]);
            }
            if method == "get" {
                parameters.as_array_mut().expect("it is a list").push(min_height.clone());
            }
            let responses = operation["responses"].as_object_mut();
            for (status, response) in responses.into_iter().flatten() {
                response["headers"]["Cairn-Height"] = height.clone();
                if ["429", "503"].contains(&status.as_str()) {
                    response["headers"]["Retry-After"] = seconds.clone();
                }
            }
        }
    }
    document["components"]["securitySchemes"]["bearer"] = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "An API key or an OpenID Connect token, where the validator asks for one",
    });
    document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = codes::all();
    document
}

fn problem(description: &Value) -> Value {
    let schema = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
    json!({"description": description, "content": {"application/problem+json": schema}})
}

/// The document as text, as it is kept with the sources.
pub(crate) fn text() -> String {
    format!("{:#}\n", document())
}

/// This document
///
/// The OpenAPI document of the API that this validator serves.
#[utoipa::path(
    get,
    path = "/api/v2/openapi.json",
    operation_id = "get_openapi",
    tag = "federation",
    responses((status = 200, description = "OpenAPI 3.1", body = Object), Unwell),
)]
pub(super) async fn openapi(State(api): Shared, uri: Uri) -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(text);
    match Question::ask(&api, &uri, &[]).await {
        Ok(_) => super::super::json_text(StatusCode::OK, TEXT.as_str()),
        Err(failure) => failure.v2(),
    }
}

/// The files of the page come from here, and nothing from elsewhere.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
                      object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

/// The page's address without its last slash: its files are found relative to the one with it.
pub(super) async fn to_page() -> Response {
    (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, "docs/")]).into_response()
}

/// A page to try the API at.
pub(super) async fn page() -> Response {
    file("index.html")
}

/// What the page is made of.
pub(super) async fn part(Segment(path): Segment) -> Response {
    if path.is_empty() { Failure::NotFound.v2() } else { file(&path) }
}

fn file(path: &str) -> Response {
    static CONFIG: LazyLock<Arc<utoipa_swagger_ui::Config<'static>>> = LazyLock::new(|| {
        let config = utoipa_swagger_ui::Config::new(["../openapi.json"]);
        Arc::new(config.validator_url("none").display_request_duration(true))
    });
    let file = match utoipa_swagger_ui::serve(path, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => file,
        Ok(None) => return Failure::NotFound.v2(),
        Err(error) => return Failure::Trouble(error.to_string()).v2(),
    };
    let headers = [
        (header::CONTENT_TYPE, file.content_type.as_str()),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, file.bytes.into_owned()).into_response()
}
