//! From one manifest to a federation that decides.

use serde_json::json;

use crate::{
    client::Client,
    federation::Federation,
    stage::{PATIENCE, Stage},
};

pub(super) fn play(stage: &mut Stage) -> anyhow::Result<()> {
    let federation = Federation::of_four(stage, json!({}))?;
    let client = Client::start(&federation.service(stage)?, 4);
    client.further(50, PATIENCE)?;
    stage.check(&federation, client)
}
