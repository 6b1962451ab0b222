//! How a node that lags takes over what others decided: one certified block after the
//! other, from a peer that says it has them. It believes certificates, not peers.

use cairn_ledger::{
    block::{Header, follows},
    ids::Height,
    vote::{Certificate, CertificateError},
};

use super::{Effect, Machine, Phase, Timer};
use crate::{chain::message::ROUND_MAX, mesh::Peer};

/// For so many statuses a peer is not asked, after it sent what does not hold.
const DISTRUST_FALSE: u32 = 120;
/// For so many after it had nothing to send, or did not answer.
const DISTRUST_SILENT: u32 = 4;

/// A block that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    from: Peer,
}

impl Machine {
    /// Asks a peer that is ahead for the next block, one at a time.
    pub(super) fn catch_up(&mut self, effects: &mut Vec<Effect>) {
        if self.fetch.is_some() || !matches!(self.phase, Phase::Idle | Phase::Deciding) {
            return;
        }
        let tip = self.tip.height;
        let ahead = self.peers.iter().filter(|(_, view)| view.height > Some(tip));
        // Whom we trust most, then who is furthest.
        let best = ahead.min_by_key(|(_, view)| (view.distrust, std::cmp::Reverse(view.height)));
        let Some((&from, view)) = best else { return };
        if view.distrust > 0 {
            return;
        }
        let height = tip.next();
        self.fetch = Some(Fetch { from });
        effects.push(Effect::FetchBlocks { from, height });
        let (timer, after) = (Timer::Blocks(height), self.timeouts.fetch);
        effects.push(Effect::Schedule { timer, after });
    }

    /// No answer in time.
    pub(super) fn blocks_timer(&mut self, height: Height, effects: &mut Vec<Effect>) {
        if height != self.tip.height.next() {
            return;
        }
        if let Some(Fetch { from }) = self.fetch {
            self.ask_another(from, DISTRUST_SILENT, effects);
        }
    }

    pub(super) fn unanswered(&mut self, from: Peer, effects: &mut Vec<Effect>) {
        if self.fetch == Some(Fetch { from }) {
            effects.push(Effect::Cancel(Timer::Blocks(self.tip.height.next())));
            self.ask_another(from, DISTRUST_SILENT, effects);
        }
    }

    fn ask_another(&mut self, not: Peer, distrust: u32, effects: &mut Vec<Effect>) {
        self.fetch = None;
        if let Some(view) = self.peers.get_mut(&not) {
            view.distrust = distrust;
        }
        self.catch_up(effects);
    }

    /// A block that a peer says was decided.
    pub(super) fn certified(
        &mut self,
        from: Peer,
        header: Header,
        certificate: Certificate,
        effects: &mut Vec<Effect>,
    ) {
        if header.height == self.tip.height {
            return self.check_fork(from, &header, &certificate, effects);
        }
        let deciding = matches!(self.phase, Phase::Idle | Phase::Deciding);
        if !deciding || header.height != self.tip.height.next() {
            // Decided here meanwhile.
            return;
        }
        if self.fetch.take().is_some() {
            effects.push(Effect::Cancel(Timer::Blocks(header.height)));
        }
        if let Err(why) = self.proves(&header, &certificate) {
            let height = header.height;
            effects.push(Effect::Alarm(format!(
                "validator {from} sent a block for height {height} that does not hold: {why}"
            )));
            return self.ask_another(from, DISTRUST_FALSE, effects);
        }
        self.stop_deciding(effects);
        effects.push(Effect::CommitSynced { from, header, certificate });
    }

    /// Whether that block was decided, and is what follows from the tip.
    fn proves(&self, header: &Header, certificate: &Certificate) -> Result<(), String> {
        if certificate.height != header.height || certificate.block != header.id() {
            return Err("its certificate is for another block".to_owned());
        }
        if certificate.round > ROUND_MAX {
            return Err(format!(
                "it is of round {}, at most {ROUND_MAX} is read",
                certificate.round
            ));
        }
        self.verify(certificate).map_err(|error| error.to_string())?;
        // A quorum's clocks have spoken: only the order of time is checked.
        follows(&self.tip, header, header.time_ms).map_err(|fault| fault.to_string())
    }

    fn verify(&self, certificate: &Certificate) -> Result<(), CertificateError> {
        let verdict = certificate.verify(&self.genesis);
        #[cfg(feature = "planted-bugs")]
        let verdict = self.plant_skip_last(certificate, verdict);
        verdict
    }

    /// Two certificates for one height are the end: more than a third signed two things.
    fn check_fork(
        &mut self,
        from: Peer,
        header: &Header,
        certificate: &Certificate,
        effects: &mut Vec<Effect>,
    ) {
        let block = header.id();
        if block == self.tip.block
            || certificate.height != header.height
            || certificate.block != block
            || self.verify(certificate).is_err()
        {
            return;
        }
        let (height, ours) = (header.height, self.tip.block);
        let signers: Vec<_> = certificate.signatures.iter().map(|(index, _)| *index).collect();
        self.halt(
            format!(
                "height {height} is decided twice: block {ours} here, block {block} by validators {signers:?}, received from {from}"
            ),
            effects,
        );
    }

    /// A block was stored: ask for the next, or tell the others that this node is level.
    pub(super) fn caught_up_one(&mut self, effects: &mut Vec<Effect>) {
        if self.fetch.take().is_some() {
            effects.push(Effect::Cancel(Timer::Blocks(self.tip.height)));
        }
        let tip = self.tip.height;
        if self.peers.values().any(|view| view.height > Some(tip.next())) {
            self.catch_up(effects);
        }
    }
}
