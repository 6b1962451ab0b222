//! `/api/v1/streams/valid_transactions`: every transaction that is committed from now on.

use std::sync::Arc;

use axum::{
    Router,
    extract::{
        State,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::Response,
    routing::get,
};

use super::{
    super::{
        Api, Shared, both,
        error::Failure,
        server::Lasting,
        websocket::{self, Dialect},
    },
    say,
};
use crate::streams::{Filter, Kind};

/// Adds the route, which is served on two ports.
pub(in super::super) fn routes(router: Router<Arc<Api>>) -> Router<Arc<Api>> {
    both(router, "/api/v1/streams/valid_transactions", get(valid_transactions))
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

async fn valid_transactions(State(api): Shared, lasting: Lasting, upgrade: Upgrade) -> Response {
    say(follow(&api, lasting, upgrade))
}

fn follow(api: &Arc<Api>, lasting: Lasting, upgrade: Upgrade) -> Result<Response, Failure> {
    let upgrade = upgrade.map_err(|_| Failure::NoUpgrade)?;
    // Before the handshake is answered: what is committed once a client heard of it, it is told.
    let follower = api.streams.follow(Kind::V1, None, Filter::committed());
    let full = || Failure::TooManyStreams(api.streams.limits().streams);
    Ok(websocket::tell(upgrade, follower.ok_or_else(full)?, Dialect::V1, lasting))
}
