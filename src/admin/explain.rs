//! `/api/v1/explain`: why a client gets the answer it gets from this node, now.

mod latency;
mod load;
mod located;
mod question;
mod report;

use std::net::IpAddr;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

pub use question::{Asked, Question};
pub use report::{Explanation, mnemonic};

use super::Admin;
use super::api::{pairs, worked_out};
use super::problem::Problem;
use crate::diagnostic::nearest;
use crate::model::{Fleet, RegionId};
use crate::name::Name;
use crate::snapshot::Snapshot;

/// Explains one answer.
pub(super) async fn explain(State(admin): State<Admin>, RawQuery(query): RawQuery) -> Response {
    let asked = match Wanted::read(query.as_deref().unwrap_or_default()) {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    let snapshot = admin.snapshot.load_full();
    // To suppose something prepares answers anew, which takes its time where services are many.
    worked_out(move || asked.answer(&snapshot), "the explanation").await
}

/// What a query string asks.
struct Wanted {
    question: Question,
    /// Regions to be supposed down, by name.
    down: Vec<String>,
}

impl Wanted {
    fn read(query: &str) -> Result<Self, Problem> {
        let (mut name, mut client, mut resolver) = (None, None, None);
        let mut asked = Asked::default();
        let mut down = Vec::new();
        let address = |key: &str, text: &str| {
            let read = text.parse::<IpAddr>().ok();
            read.ok_or_else(|| {
                Problem::bad(format!("`{key}` is not an address: `{text}`"), "such as 192.0.2.1")
            })
        };
        for (key, value) in pairs(query)? {
            match &*key {
                "name" => {
                    let read = Name::parse(&value, &Name::root());
                    name = Some(read.map_err(|error| {
                        Problem::bad(
                            format!("`{value}` is not a name: {error}"),
                            "such as www.example.com",
                        )
                    })?);
                }
                "type" => {
                    let known = Asked::parse(&value);
                    let unknown = || format!("type `{value}` cannot be explained");
                    asked = known
                        .ok_or_else(|| Problem::bad(unknown(), "expected A, AAAA or HTTPS"))?;
                }
                "client" => client = Some(address("client", &value)?),
                "resolver" => resolver = Some(address("resolver", &value)?),
                "down" => down.push(value.into_owned()),
                _ => {
                    let hint = "known are name, type, client, resolver and down";
                    return Err(Problem::bad(format!("unknown key `{key}`"), hint));
                }
            }
        }
        let missing =
            |key: &str| Problem::bad(format!("`{key}` is missing"), "name and client are needed");
        let name = name.ok_or_else(|| missing("name"))?;
        let client = client.ok_or_else(|| missing("client"))?;
        Ok(Self { question: Question { name, asked, client, resolver }, down })
    }

    fn answer(&self, snapshot: &Snapshot) -> Result<Explanation, Problem> {
        let supposed = if self.down.is_empty() {
            None
        } else {
            let state = snapshot.state.as_ref().ok_or_else(Problem::unready)?;
            let down = regions(&self.down, &state.loaded.model.fleet);
            let down = down.map_err(|(what, hint)| Problem::bad(what, hint))?;
            Some(snapshot.supposing(&down).ok_or_else(Problem::unready)?)
        };
        Explanation::new(&self.question, supposed.as_ref().unwrap_or(snapshot))
            .map_err(|why| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, why))
    }
}

/// The regions of these names.
///
/// # Errors
/// Which name is unknown, and what may have been meant.
pub fn regions(names: &[String], fleet: &Fleet) -> Result<Vec<RegionId>, (String, String)> {
    let find = |name: &String| {
        let at = fleet.regions.iter().position(|region| region.name == *name);
        at.map(|at| RegionId(at as u16)).ok_or_else(|| {
            let known = fleet.regions.iter().map(|region| region.name.as_str());
            let hint = nearest(name, known.clone()).map_or_else(
                || format!("known regions: {}", known.collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            (format!("no region `{name}`"), hint)
        })
    };
    names.iter().map(find).collect()
}
