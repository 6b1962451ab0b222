//! Blocks that the store has lost come back from peers: whoever administers a backend far away
//! can remove them there, but not make peers forget.

use std::{sync::Arc, time::Duration};

use cairn_ledger::{block::Block, genesis::Genesis, ids::Height};

use super::peers;
use crate::{mesh::Mesh, store::Store};

/// From one look for damaged blocks to the next.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The same while there are some and nobody to ask yet: the chain may wait for what is in them.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Asks peers for damaged blocks, for as long as there are any; never ends by itself.
pub(super) async fn run(mesh: Arc<Mesh>, store: Arc<dyn Store>, genesis: Arc<Genesis>) {
    loop {
        for peer in mesh.connected() {
            let mut next = Height(0);
            // A peer gives the blocks that follow as well: most often, all that are damaged.
            while let Some(height) = store.damaged().into_iter().find(|height| *height >= next) {
                next = height.next();
                let blocks = peers::ask_blocks(&mesh, Arc::clone(&genesis), height, peer).await;
                let store = Arc::clone(&store);
                let mended = tokio::task::spawn_blocking(move || mend(&*store, &blocks));
                if let Err(error) = mended.await {
                    tracing::error!(%error, "damaged blocks were not put back");
                }
            }
        }
        let nobody_yet = !store.damaged().is_empty() && mesh.connected().is_empty();
        tokio::time::sleep(if nobody_yet { AGAIN_AFTER } else { LOOK_EVERY }).await;
    }
}

/// Puts the damaged ones among the blocks back that a peer gave.
fn mend(store: &dyn Store, blocks: &[Block]) {
    let damaged = store.damaged();
    for block in blocks.iter().filter(|block| damaged.contains(&block.header.height)) {
        if let Err(error) = store.repair(block) {
            tracing::warn!(%error, height = block.header.height.0, "a damaged block was not repaired");
        }
    }
}
