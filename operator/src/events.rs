//! Events: what a person would want to be told once. They are best effort; the status is the truth.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tracing::warn;

use crate::{crd::BlockchainCluster, names::FIELD_MANAGER, report::Announcement};

/// The longest note that the API server takes, in characters of at most four bytes.
const NOTE_CHARS_MAX: usize = 250;
/// The longest reason or action.
const WORD_CHARS_MAX: usize = 128;

/// Publishes events.
pub(crate) struct Announcer(Recorder);

impl Announcer {
    pub(crate) fn new(client: Client, identity: &str) -> Self {
        let reporter =
            Reporter { controller: FIELD_MANAGER.into(), instance: Some(identity.into()) };
        Self(Recorder::new(client, reporter))
    }

    /// Tells about a cluster.
    pub(crate) async fn tell(&self, cluster: &BlockchainCluster, announcements: Vec<Announcement>) {
        let about: ObjectReference = cluster.object_ref(&());
        for announcement in announcements {
            let event = Event {
                type_: if announcement.warning { EventType::Warning } else { EventType::Normal },
                reason: cut(&announcement.reason, WORD_CHARS_MAX),
                note: Some(cut(&announcement.note, NOTE_CHARS_MAX)),
                action: cut(&announcement.action, WORD_CHARS_MAX),
                secondary: None,
            };
            if let Err(error) = self.0.publish(&event, &about).await {
                warn!(%error, reason = event.reason, "could not publish an event");
            }
        }
    }
}

fn cut(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}
