// SPDX-License-Identifier: AGPL-3.0-or-later
//! The card of the whole, from those of its parts.

use super::{MAX_REDACTIONS, StreamGuard};
use crate::card::ModerationCard;
use crate::decide::MAX_EVIDENCE;

impl StreamGuard {
    /// Adds what was decided about a part to the card of the whole.
    pub(super) fn merge(&mut self, mut part: ModerationCard) {
        let all = &mut self.card;
        let (was, now) = (&mut all.labels, part.labels);
        was.toxicity = was.toxicity.max(now.toxicity);
        was.jailbreak = was.jailbreak.max(now.jailbreak);
        was.pii = was.pii.max(now.pii);
        was.indirect = was.indirect.max(now.indirect);
        all.actions.append(&mut part.actions);
        all.actions.sort_unstable();
        all.actions.dedup();
        let room = MAX_REDACTIONS.saturating_sub(all.redactions.len());
        all.redactions.extend(part.redactions.drain(..).take(room));
        // The first of them; but what blocks is always there.
        let mut evidence = std::mem::take(&mut all.evidence);
        let found = evidence.len() + part.evidence.len();
        evidence.truncate(MAX_EVIDENCE - if part.allowed { 0 } else { part.evidence.len() });
        evidence.append(&mut part.evidence);
        evidence.truncate(MAX_EVIDENCE);
        all.evidence_left_out += part.evidence_left_out + found - evidence.len();
        all.evidence = evidence;
        all.policy_tags.append(&mut part.policy_tags);
        all.policy_tags.sort_unstable();
        all.policy_tags.dedup();
        if !part.allowed {
            // The part that blocked says why, and what stands in for it.
            (all.allowed, all.text, all.why) = (false, part.text, part.why);
            self.done = self.text.len();
        }
    }
}
