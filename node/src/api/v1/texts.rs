//! Assets and metadata by the words in them.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, Uri},
    response::Response,
};

use super::{
    super::{Api, Shared, at, error::Failure, json_text},
    parameters::Parameters,
    pieces::field,
    say,
};
use crate::{
    query::{At, ROWS_BYTES_MAX, ROWS_MAX},
    search::Collection,
};

/// How long an answer waits for the index to reach the stored blocks, so that who has committed an
/// asset finds it. Upstream's index is part of its commit.
const INDEX_PATIENCE: Duration = Duration::from_secs(5);

/// `GET /api/v1/assets?search&limit`.
pub(super) async fn assets(State(api): Shared, uri: Uri) -> Response {
    say(with_words(&api, &uri, Collection::Assets).await)
}

/// `GET /api/v1/metadata?search&limit`.
pub(super) async fn metadata(State(api): Shared, uri: Uri) -> Response {
    say(with_words(&api, &uri, Collection::Metadata).await)
}

async fn with_words(
    api: &Arc<Api>,
    uri: &Uri,
    collection: Collection,
) -> Result<Response, Failure> {
    let parameters = Parameters::of(uri);
    let words = Parameters::required("search", parameters.text("search")?)?;
    let limit = parameters.integer("limit")?;
    if words.is_empty() {
        return Err(Failure::SearchEmpty);
    }
    // No limit, to upstream, is 0; and MongoDB takes -5 for 5.
    let most = match limit {
        None | Some(0) => ROWS_MAX,
        Some(limit) => usize::try_from(limit.unsigned_abs()).map_or(ROWS_MAX, |n| n.min(ROWS_MAX)),
    };
    // An answer that is a little old is better than none: its height says so.
    api.search.reaches(api.query.height(), INDEX_PATIENCE).await;
    let search = Arc::clone(&api.search);
    let answer = api.read(move |query| {
        let At { height, found } = search.text(collection, &words, most)?;
        let mut text = vec![b'['];
        for place in found {
            if text.len() >= ROWS_BYTES_MAX {
                break;
            }
            if let Some(row) = row(collection, &query.body_of(place)?) {
                if text.len() > 1 {
                    text.push(b',');
                }
                text.extend_from_slice(&row);
            }
        }
        text.push(b']');
        Ok(At { height, found: text })
    });
    let answer = answer.await?;
    Ok(at(answer.height, json_text(StatusCode::OK, answer.found)))
}

/// What upstream's collection holds of a transaction; nothing, if that does not read as one.
fn row(collection: Collection, transaction: &[u8]) -> Option<Vec<u8>> {
    let (name, value) = match collection {
        Collection::Assets => ("data", field(field(transaction, "asset")?, "data")?),
        Collection::Metadata => ("metadata", field(transaction, "metadata")?),
    };
    let id = field(transaction, "id")?;
    let name = format!("{{\"{name}\":");
    Some([name.as_bytes(), value, b",\"id\":", id, b"}"].concat())
}
