// SPDX-License-Identifier: AGPL-3.0-or-later
//! The judge without a model of its own: similarity, shared words, numbers and polarity.

use bho_engine::CancelToken;

use super::calibration::{self, Calibration};
use super::judge::{Exhibit, Judge, Reading, Statement};
use crate::agents::AgentError;

/// Reads by the rules of [`super::relation`], one sentence at a time.
pub(super) struct Rules;

impl Judge for Rules {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn calibration(&self) -> &Calibration {
        &calibration::RULES
    }

    fn max_sentences(&self) -> usize {
        1
    }

    fn read(
        &self,
        statement: &Statement,
        exhibits: &[Exhibit<'_>],
        cancel: &CancelToken,
    ) -> Result<Vec<Reading>, AgentError> {
        let read = |e: &Exhibit<'_>| {
            cancel.check()?;
            let judged = statement.claim.judge(e.text, e.before, e.similarity);
            let (supports, refutes) =
                self.calibration().of_probabilities(judged.supports, judged.refutes);
            Ok(Reading { supports, refutes })
        };
        exhibits.iter().map(read).collect()
    }
}
