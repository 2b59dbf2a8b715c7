//! The routes of the admin listener: one table makes, guards and documents them.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use schemars::{Schema, SchemaGenerator};

use super::access::Who;
use super::api::{self, Clearing, Listing, Wish, Written};
use super::cache::{self, Purge, Purged};
use super::drills::{self, DrillHistory, DrillKept, DrillPlan, DrillWish};
use super::explain::{self, Explanation};
use super::flows::{self, Flows};
use super::history::{self, Remembered};
use super::load::{self, LoadReport, Taken};
use super::problem::Problem;
use super::reports::{self, Reported};
use super::status::Status;
use super::{Admin, dashboard, events, livez, metrics, openapi, readyz};
use crate::drill::Report;
use crate::model::Role;
use crate::probe::Bulletin;

/// Makes the schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// One method of one path.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// What whoever asks must be allowed; `None`: nothing.
    pub(super) role: Option<Role>,
    /// Its name for generated clients.
    pub(super) id: &'static str,
    /// What it does.
    pub(super) does: &'static str,
    /// Parameters in the path, the query string and the head.
    pub(super) takes: &'static [Parameter],
    /// What it takes in as JSON.
    pub(super) body: Option<Body>,
    /// What it gives when it does what it is asked.
    pub(super) gives: (u16, Content),
    /// The problems it may answer with, beside those of who asks.
    pub(super) refuses: &'static [u16],
    handler: fn() -> MethodRouter<Admin>,
}

/// A body that a request has.
pub(super) struct Body {
    pub(super) shape: Shape,
    /// Whether it must be there.
    pub(super) required: bool,
}

/// The body of a reply.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// JSON of this shape.
    Json(Shape),
    /// Text of this type.
    Text(&'static str),
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    Path,
    Query,
    Header,
}

/// A parameter.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) within: Within,
    pub(super) required: bool,
    /// Whether it may be there several times.
    pub(super) many: bool,
    /// Words it may be; empty: any text.
    pub(super) words: &'static [&'static str],
    pub(super) means: &'static str,
}

const fn parameter(name: &'static str, within: Within, means: &'static str) -> Parameter {
    Parameter { name, within, required: true, many: false, words: &[], means }
}

/// `If-Match` of writes that change the overrides.
const BASIS: Parameter = Parameter {
    required: false,
    ..parameter(
        "If-Match",
        Within::Header,
        "The `ETag` of the overrides that the write is based on.",
    )
};

const WHICH: &[Parameter] =
    &[parameter("which", Within::Path, "Id or target of the overrides."), BASIS];

const QUESTION: &[Parameter] = &[
    parameter("name", Within::Query, "The name asked for."),
    Parameter {
        required: false,
        words: &["A", "AAAA", "HTTPS"],
        ..parameter("type", Within::Query, "The type asked for; A if it is not said.")
    },
    parameter("client", Within::Query, "The client's address."),
    Parameter {
        required: false,
        ..parameter("resolver", Within::Query, "The address of the resolver that asks for it.")
    },
    Parameter {
        required: false,
        many: true,
        ..parameter("down", Within::Query, "A region that is supposed to be down.")
    },
];

const LAST: &[Parameter] = &[Parameter {
    required: false,
    ..parameter("Last-Event-ID", Within::Header, "The id of the event that was heard last.")
}];

const SERVICE: &[Parameter] = &[
    Parameter {
        required: false,
        ..parameter("service", Within::Query, "A steered name; the first one if it is not said.")
    },
    Parameter {
        required: false,
        words: &["A", "AAAA"],
        ..parameter("type", Within::Query, "The type asked for; A if it is not said.")
    },
];

/// `If-None-Match` of readers that have the file already.
const KNOWN: Parameter = Parameter {
    required: false,
    ..parameter("If-None-Match", Within::Header, "The `ETag` of the file that is known already.")
};

const PAGE: &[Parameter] = &[KNOWN];

const FILE: &[Parameter] =
    &[parameter("file", Within::Path, "A file that the dashboard consists of."), KNOWN];

const MONITOR: &[Parameter] = &[parameter("monitor", Within::Path, "A monitor of kind `feed`.")];

const PLACE: &[Parameter] = &[
    parameter("pool", Within::Path, "Name of the pool."),
    parameter("region", Within::Path, "Name of the region."),
];

/// All routes.
pub(super) fn table() -> &'static [Route] {
    static ALL: LazyLock<Vec<Route>> = LazyLock::new(|| {
        [showing(), looking(), asking(), forcing(), acting()].into_iter().flatten().collect()
    });
    &ALL
}

/// A `GET` without parameters.
fn look(
    path: &'static str,
    id: &'static str,
    does: &'static str,
    content: Content,
    handler: fn() -> MethodRouter<Admin>,
) -> Route {
    Route {
        method: Method::GET,
        path,
        role: Some(Role::Read),
        id,
        does,
        takes: &[],
        body: None,
        gives: (200, content),
        refuses: &[],
        handler,
    }
}

/// The dashboard, which is the same on every node and holds nothing of any: a browser shows it
/// before there is a token, and what it then shows comes from the routes below.
fn showing() -> Vec<Route> {
    let open = |route: Route| Route { role: None, ..route };
    vec![
        open(Route {
            takes: PAGE,
            refuses: &[304],
            ..look("/", "dashboard", "Gives the dashboard.", Content::Text("text/html"), || {
                get(dashboard::page)
            })
        }),
        open(Route {
            takes: FILE,
            refuses: &[304, 400, 404],
            ..look(
                "/dashboard/{file}",
                "dashboardFile",
                "Gives a part of the dashboard.",
                Content::Text("*/*"),
                || get(dashboard::file),
            )
        }),
    ]
}

/// Those that tell of the node as it is.
fn looking() -> Vec<Route> {
    let plain = Content::Text("text/plain");
    let alive = look("/livez", "alive", "Says that the process runs.", plain, || get(livez));
    let ready = "Says whether queries are answered.";
    let ready = look("/readyz", "ready", ready, plain, || get(readyz));
    vec![
        Route { role: None, ..alive },
        Route { role: None, refuses: &[503], ..ready },
        look("/metrics", "metrics", "Gives metrics in Prometheus' text form.", plain, || {
            get(metrics)
        }),
        look(
            "/api/v1/openapi.json",
            "openapi",
            "Gives this document.",
            Content::Json(|_| schemars::json_schema!({ "type": "object" })),
            || get(openapi::serve),
        ),
        look(
            "/api/v1/status",
            "status",
            "Tells of the node, its regions, pools, endpoints, zones and overrides.",
            Content::Json(SchemaGenerator::subschema_for::<Status>),
            || get(api::status),
        ),
        look(
            "/api/v1/history",
            "history",
            "Tells how many queries and answers there were in the last quarter of an hour.",
            Content::Json(SchemaGenerator::subschema_for::<Remembered>),
            || get(history::history),
        ),
        look(
            "/api/v1/overrides",
            "listOverrides",
            "Lists the overrides in force.",
            Content::Json(SchemaGenerator::subschema_for::<Listing>),
            || get(api::list),
        ),
        look(
            "/api/v1/drills",
            "listDrills",
            "Lists the drills that were reported, the newest first.",
            Content::Json(SchemaGenerator::subschema_for::<DrillHistory>),
            || get(drills::history),
        ),
    ]
}

/// Those that answer questions.
fn asking() -> Vec<Route> {
    vec![
        Route {
            takes: QUESTION,
            refuses: &[400, 503],
            ..look(
                "/api/v1/explain",
                "explain",
                "Says why a client gets the answer it gets.",
                Content::Json(SchemaGenerator::subschema_for::<Explanation>),
                || get(explain::explain),
            )
        },
        Route {
            takes: SERVICE,
            refuses: &[400, 404, 503],
            ..look(
                "/api/v1/flows",
                "flows",
                "Says where the clients of a service are sent, by country.",
                Content::Json(SchemaGenerator::subschema_for::<Flows>),
                || get(flows::flows),
            )
        },
        Route {
            takes: LAST,
            refuses: &[503],
            ..look(
                "/api/v1/events",
                "events",
                "Tells what happens as server-sent events.",
                Content::Text("text/event-stream"),
                || get(events::stream),
            )
        },
    ]
}

/// A `POST` of this shape, which gives that one.
fn act(
    path: &'static str,
    id: &'static str,
    does: &'static str,
    (shape, reply): (Shape, Shape),
    handler: fn() -> MethodRouter<Admin>,
) -> Route {
    Route {
        method: Method::POST,
        path,
        role: Some(Role::Operate),
        id,
        does,
        takes: &[],
        body: Some(Body { shape, required: true }),
        gives: (200, Content::Json(reply)),
        refuses: &[400, 413, 415],
        handler,
    }
}

/// Those that set and clear overrides.
fn forcing() -> Vec<Route> {
    vec![
        Route {
            gives: (201, Content::Json(SchemaGenerator::subschema_for::<Written>)),
            takes: &[BASIS],
            refuses: &[400, 409, 412, 413, 415, 503],
            ..act(
                "/api/v1/overrides",
                "setOverride",
                "Sets an override.",
                (SchemaGenerator::subschema_for::<Wish>, SchemaGenerator::subschema_for::<Written>),
                || post(api::set),
            )
        },
        Route {
            method: Method::DELETE,
            body: Some(Body { shape: SchemaGenerator::subschema_for::<Clearing>, required: false }),
            takes: WHICH,
            refuses: &[400, 404, 412, 413, 415, 503],
            ..act(
                "/api/v1/overrides/{which}",
                "clearOverride",
                "Clears overrides.",
                (
                    SchemaGenerator::subschema_for::<Clearing>,
                    SchemaGenerator::subschema_for::<Written>,
                ),
                || delete(api::clear),
            )
        },
    ]
}

/// Those that change something else, or might look as if they did.
fn acting() -> Vec<Route> {
    vec![
        Route {
            role: Some(Role::Read),
            refuses: &[400, 413, 415, 503],
            ..act(
                "/api/v1/drills/preflight",
                "judgeDrill",
                "Says whether a drill may run, and what it would look at; changes nothing.",
                (
                    SchemaGenerator::subschema_for::<DrillWish>,
                    SchemaGenerator::subschema_for::<DrillPlan>,
                ),
                || post(drills::preflight),
            )
        },
        Route {
            gives: (201, Content::Json(SchemaGenerator::subschema_for::<DrillKept>)),
            ..act(
                "/api/v1/drills",
                "reportDrill",
                "Takes in what came of a drill.",
                (
                    SchemaGenerator::subschema_for::<Report>,
                    SchemaGenerator::subschema_for::<DrillKept>,
                ),
                || post(drills::report),
            )
        },
        Route {
            refuses: &[400, 404, 413, 415],
            ..act(
                "/api/v1/cache/purge",
                "purgeCache",
                "Forgets replies that the proxy keeps.",
                (SchemaGenerator::subschema_for::<Purge>, SchemaGenerator::subschema_for::<Purged>),
                || post(cache::purge),
            )
        },
        Route {
            takes: PLACE,
            refuses: &[400, 404, 413, 415, 503, 507],
            ..act(
                "/api/v1/load/{pool}/{region}",
                "reportLoad",
                "Takes in the load of a pool in a region.",
                (
                    SchemaGenerator::subschema_for::<LoadReport>,
                    SchemaGenerator::subschema_for::<Taken>,
                ),
                || post(load::report),
            )
        },
        Route {
            takes: MONITOR,
            refuses: &[400, 404, 413, 415, 503, 507],
            ..act(
                "/api/v1/reports/{monitor}",
                "report",
                "Takes in what others say of endpoints, for a monitor of kind `feed`.",
                (
                    SchemaGenerator::subschema_for::<Bulletin>,
                    SchemaGenerator::subschema_for::<Reported>,
                ),
                || post(reports::report),
            )
        },
    ]
}

/// The router of the routes that need rights, or of those that need none.
pub(super) fn router(open: bool) -> Router<Admin> {
    let mut router = Router::new();
    for route in table().iter().filter(|route| route.role.is_none() == open) {
        router = router.route(route.path, (route.handler)());
    }
    router
}

/// What whoever asks this must be allowed, where it is no route of the table.
pub(super) fn role_of(method: &Method, path: Option<&str>) -> Role {
    let asked = if *method == Method::HEAD { &Method::GET } else { method };
    let known = table().iter().find(|r| Some(r.path) == path && r.method == *asked);
    let unknown = if *asked == Method::GET { Role::Read } else { Role::Operate };
    known.and_then(|route| route.role).unwrap_or(unknown)
}

/// No route has this path.
pub(super) async fn nothing(_: axum::Extension<Who>) -> Response {
    let problem = Problem::new(StatusCode::NOT_FOUND, "there is nothing at this path");
    problem.hint("/api/v1/openapi.json lists what there is").into_response()
}

/// No route of this path has this method.
pub(super) async fn unsuited() -> Response {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method");
    problem.hint("the field `Allow` names those it has").into_response()
}
