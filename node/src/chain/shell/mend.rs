//! Blocks that the store has lost come back from peers: whoever administers a backend far away
//! can remove them there, but not make peers forget.

use std::{sync::Arc, time::Duration};

use cairn_ledger::{block::Block, genesis::Genesis, ids::Height};

use super::peers;
use crate::{mesh::Mesh, store::Store};

/// From one look for damaged blocks to the next.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The same while there are some: the chain may wait for what is in them.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Asks peers for damaged blocks, for as long as there are any; never ends by itself.
pub(super) async fn run(mesh: Arc<Mesh>, store: Arc<dyn Store>, genesis: Arc<Genesis>) {
    loop {
        for height in store.damaged() {
            for peer in mesh.connected() {
                let blocks = peers::ask_blocks(&mesh, Arc::clone(&genesis), height, peer).await;
                let store = Arc::clone(&store);
                let mended = tokio::task::spawn_blocking(move || mend(&*store, height, &blocks));
                if mended.await.unwrap_or(false) {
                    break;
                }
            }
        }
        let pause = if store.damaged().is_empty() { LOOK_EVERY } else { AGAIN_AFTER };
        tokio::time::sleep(pause).await;
    }
}

/// Puts a block back, if it is among those that a peer gave; whether it is there now.
fn mend(store: &dyn Store, height: Height, blocks: &[Block]) -> bool {
    let found = blocks.iter().find(|block| block.header.height == height);
    match found.map(|block| store.repair(block)) {
        Some(Ok(())) => true,
        Some(Err(error)) => {
            tracing::warn!(%error, %height, "a damaged block was not repaired");
            false
        }
        None => false,
    }
}
