//! The routes: what the application counts, and how it is, as HTTP says it.
//!
//! # Invariants
//!
//! - `/health` is 200 only while the application's state is `RUNNING`.
//! - What the store does not answer is told apart: try again, ask another instance, not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{self, Path};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use onceflow::prelude::*;
use serde::{Deserialize, Serialize};

use crate::topology::VISITS;

/// How many pages `/visits` lists at most.
const LISTED_MAX: usize = 1_000;

/// What the service has at hand.
type Service = extract::State<Arc<App>>;

/// What is told of a page.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Visits {
    pub(crate) page: String,
    pub(crate) visits: i64,
}

/// The routes of the service.
pub(crate) fn routes(app: &Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/visits", get(all_pages))
        .route("/visits/{page}", get(one_page))
        .with_state(Arc::clone(app))
}

async fn health(extract::State(app): Service) -> (StatusCode, String) {
    let state = app.state();
    let status = match state {
        State::Running => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, state.to_string())
}

async fn one_page(
    extract::State(app): Service,
    Path(page): Path<String>,
) -> Result<Response, Unanswered> {
    let store = app.store::<String, i64>(VISITS)?;
    Ok(match store.get(&page).await? {
        Some(visits) => Json(Visits { page, visits }).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    })
}

async fn all_pages(
    extract::State(app): Service,
) -> Result<Json<BTreeMap<String, i64>>, Unanswered> {
    let mut entries = app.store::<String, i64>(VISITS)?.all();
    let mut pages = BTreeMap::new();
    while let Some((page, visits)) = entries.next().await? {
        pages.insert(page, visits);
        if pages.len() == LISTED_MAX {
            break;
        }
    }
    Ok(Json(pages))
}

/// Why the store did not answer, as HTTP says it.
pub(crate) struct Unanswered(QueryError);

impl From<QueryError> for Unanswered {
    fn from(error: QueryError) -> Self {
        Unanswered(error)
    }
}

impl IntoResponse for Unanswered {
    fn into_response(self) -> Response {
        let status = match &self.0 {
            // Of several instances another has the page: a router would go there.
            QueryError::PartitionElsewhere { .. } => StatusCode::MISDIRECTED_REQUEST,
            QueryError::NotRunning { .. } => StatusCode::SERVICE_UNAVAILABLE,
            passing if passing.is_passing() => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let text = self.0.to_string();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                (status, [(header::RETRY_AFTER, "1")], text).into_response()
            }
            _ => (status, text).into_response(),
        }
    }
}
